"""options: what the command line says; read before anything else is imported"""

import argparse

parser = argparse.ArgumentParser(description="what walks and jobs cost, beside other ways")
parser.add_argument("--rounds", type=int, default=5, help="5 if not given")
parser.add_argument("--rows", type=int, default=2_000_000, help="2000000 if not given; slow ways get a quarter")
parser.add_argument("--wall", action="store_true", help="judge all by the clock on the wall")
parser.add_argument("--cpu", action="store_true", help="judge all by processor time, for busy machines")
parser.add_argument("--all", action="store_true", help="also what takes long: job_chunks, large (tables of 10^5 and 10^7 rows)")
parser.add_argument("--strict", action="store_true", help="fail where a goal is missed")
parser.add_argument("topics", nargs="*", metavar="TOPIC", help="only these, by the names that it prints")
options = parser.parse_args()
