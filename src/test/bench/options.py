"""options: what the command line says; "run" fills it before anything else is imported"""

import argparse

parser = argparse.ArgumentParser(description="what walks and jobs cost, beside other ways")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--rows", type=int, default=2_000_000)
parser.add_argument("--cpu", action="store_true", help="count processor time, for busy machines")
parser.add_argument("--strict", action="store_true", help="fail where a goal is missed")
parser.add_argument("topics", nargs="*", metavar="TOPIC", help="all of them when none is named")
options = parser.parse_args()
