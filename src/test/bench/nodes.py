"""nodes: a job over partitions on other servers, run from here and run there

Three servers of our own, on Unix sockets, that go when the topic is over.
"""

import os
import subprocess
import tempfile
from contextlib import contextmanager

from measure import WALL, Way, measure, runs
from options import options
from report import add_missing, add_speedup
from server import SCHEMA, execute

NODES = 3

NODE = """
CREATE EXTENSION streamiter;
CREATE TABLE item_{n} (id bigint PRIMARY KEY, v integer NOT NULL DEFAULT 0) WITH (fillfactor = 45);
INSERT INTO item_{n} SELECT generate_series({first}, {last});
"""

PARTITION = """
CREATE SERVER node_{n} FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host '{folder}', port '{n}', dbname 'postgres', fetch_size '2000');
CREATE USER MAPPING FOR CURRENT_USER SERVER node_{n} OPTIONS (user 'postgres');
CREATE FOREIGN TABLE part_{n} PARTITION OF parted FOR VALUES FROM ({first}) TO ({last} + 1)
    SERVER node_{n} OPTIONS (schema_name 'public', table_name 'item_{n}');
"""

JOBS = """
SELECT streamiter.register_statement('bench_parted', 'UPDATE parted SET v = v + 1 WHERE id BETWEEN $1 AND $2', per => 'range');
SELECT streamiter.create_job('bench_from_here', 'SELECT id FROM parted', 'bench_parted', key => '{{id}}',
    chunk_size => 2000, recurrence => 'repeat', allow_slow_plan => true);
SELECT streamiter.distribute('bench_there', 'parted', per => 'range',
    statement => 'UPDATE {{part}} SET v = v + 1 WHERE id BETWEEN $1 AND $2',
    settings => '{{"chunk_size": 2000, "recurrence": "repeat"}}');
"""

END_JOBS = """
SELECT streamiter.drop_job('bench_from_here'), streamiter.unregister_callback('bench_parted'), streamiter.drop_parts('bench_there');
DROP TABLE parted;
DROP SERVER {servers} CASCADE;
"""


def program(*command, **more):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **more)


@contextmanager
def node(folder, n, first, last):
    """A server whose port is its number."""
    data = f"{folder}/{n}"
    program("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8")
    with open(f"{data}/postgresql.conf", "a", encoding="ascii") as conf:
        conf.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nport = {n}\n"
                   "fsync = off\nautovacuum = off\njit = off\nmax_wal_size = 4GB\n")
    program("pg_ctl", "start", "-s", "-w", "-D", data, "-l", f"{data}.log")
    try:
        program("psql", "-X", "-q", "-h", folder, "-p", str(n), "-d", "postgres", "-U", "postgres",
                "-v", "ON_ERROR_STOP=1", input=NODE.format(n=n, first=first, last=last), text=True)
        program("psql", "-X", "-q", "-h", folder, "-p", str(n), "-d", "postgres", "-U", "postgres",
                "-c", "VACUUM ANALYZE")
        execute(PARTITION.format(folder=folder, n=n, first=first, last=last))
        yield
    finally:
        program("pg_ctl", "stop", "-s", "-m", "immediate", "-D", data)


def vacuum(folder):
    for n in range(1, NODES + 1):
        program("psql", "-X", "-q", "-h", folder, "-p", str(n), "-d", "postgres", "-U", "postgres",
                "-c", f"VACUUM item_{n}", "-c", "CHECKPOINT")


def race(folder, rows):
    def way(statement, name):
        def run():
            execute(statement)
            return rows
        return Way(run, name)

    here, there = measure(
        way("CALL streamiter.run('bench_from_here')", f"job over {NODES} foreign partitions, run from here"),
        way("CALL streamiter.run_parts('bench_there')", f"distributed job, run on its {NODES} nodes"),
        rows=rows, before=lambda: vacuum(folder), clock=WALL)
    wrong = execute(f"SELECT count(*) FROM parted WHERE v <> {runs(here, there)}")
    if wrong:
        raise SystemExit(f"{wrong} rows were not updated once in each run")
    add_speedup("distributed job on its nodes: speed / job from here", there, here)


def distributed():
    if execute("SELECT count(*) FROM pg_available_extensions WHERE name IN ('dblink', 'postgres_fdw')") < 2:
        add_missing("distributed job", "the server has no dblink or no postgres_fdw")
        return
    execute(f"CREATE EXTENSION IF NOT EXISTS dblink SCHEMA {SCHEMA}")
    execute(f"CREATE EXTENSION IF NOT EXISTS postgres_fdw SCHEMA {SCHEMA}")
    execute("CREATE TABLE parted (id bigint, v integer) PARTITION BY RANGE (id)")
    each = max(options.rows // 4 // NODES, 1)
    with tempfile.TemporaryDirectory() as folder, node(folder, 1, 1, each), \
            node(folder, 2, each + 1, 2 * each), node(folder, 3, 2 * each + 1, 3 * each):
        execute(JOBS.format())
        try:
            race(folder, 3 * each)
        finally:
            execute(END_JOBS.format(servers=", ".join(f"node_{n}" for n in range(1, NODES + 1))))
