"""clients: the same work done at the other end of a connection"""

import os
import subprocess

import django
from django.db import transaction

from measure import Way, measure, walk
from options import options
from report import add_memory, add_speedup
from server import SCHEMA, SESSION, Account, execute

HERE = os.path.dirname(os.path.abspath(__file__))


class Program:
    """A client that does a piece of work for each line it is sent, and says how many rows there were."""
    def __init__(self, *command, greeting=""):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "PGOPTIONS": SESSION})
        self.pid = self.process.pid
        self.write(greeting)
        self.backend = int(self.process.stdout.readline())

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def way(self, text, name):
        def run():
            self.write(text)
            return int(self.process.stdout.readline())
        return Way(run, name, client=self)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def psql(fetch_count):
    return Program("psql", "-XAtq", "-v", f"FETCH_COUNT={fetch_count}", greeting="SELECT pg_backend_pid();\n")


def django_loop(queryset, name):
    """Nothing in the loop; in a transaction, where the cursor is an ordinary one."""
    def loop():
        rows = 0
        with transaction.atomic():
            for _ in queryset.iterator(chunk_size=2000):
                rows += 1
        return rows
    return Way(loop, name)


def quarter_table():
    """A table of fewer rows, for those that are slow."""
    rows = max(options.rows // 4, 1)
    execute(f"CREATE TABLE quarter AS SELECT * FROM account WHERE id <= {rows}")
    execute("ALTER TABLE quarter ADD PRIMARY KEY (id)")
    execute("VACUUM ANALYZE quarter")
    Account._meta.db_table = "quarter"
    return rows


def client_iterators():
    """Reading a table row by row, with nothing done to the rows."""
    rows = quarter_table()
    rails = Program("ruby", f"{HERE}/find_each.rb", SCHEMA)
    fetching, plain = psql(2000), psql(0)
    table, away = "SELECT * FROM quarter", "\\g /dev/null\n\\echo :ROW_COUNT\n"
    in_plpgsql, native, *peers = measure(
        walk("SELECT id FROM quarter", "in_plpgsql(bigint)", "for_each, PL/pgSQL row callback"),
        walk(table, "streamiter_native_count(internal)", "for_each, native callback, whole rows"),
        django_loop(Account.objects.all(), f"Django {django.get_version()} `iterator(2000)`"),
        django_loop(Account.objects.values_list(), "Django `values_list().iterator(2000)`"),
        rails.way("quarter\n", "Rails `find_each(batch_size: 2000)`"),
        fetching.way(f"{table} {away}", "psql, FETCH_COUNT 2000, to /dev/null"),
        plain.way(f"COPY quarter TO STDOUT {away}", "COPY TO STDOUT, to /dev/null"),
        rows=rows)
    for program in (rails, fetching, plain):
        program.end()
    models, tuples, find_each, fetch_count, copy = peers
    add_memory("for_each, PL/pgSQL row callback", in_plpgsql)
    add_memory("for_each, native callback, whole rows", native)
    for peer, times, goals in (
            ("Django `iterator(2000)`", models, (10, 40)), ("`values_list().iterator(2000)`", tuples, (None, None)),
            ("Rails `find_each`", find_each, (None, None)), ("psql with FETCH_COUNT", fetch_count, (None, None)),
            ("COPY", copy, (None, None))):
        add_speedup(f"PL/pgSQL row callback: speed / {peer}", in_plpgsql, times, at_least=goals[0])
        add_speedup(f"native callback, whole rows: speed / {peer}", native, times, at_least=goals[1])
        add_memory(peer, times)
    execute("DROP TABLE quarter")
