"""limits: what a walk costs before its first row, and when there are many rows"""

import re

from django.db import connection

from measure import Way, many, measure, sql, walk
from report import add_row, seconds
from server import execute


def start_up():
    times = 300
    walked, counted = measure(
        many(times, walk("SELECT id FROM ten", "in_plpgsql(bigint)")),
        many(times, sql("SELECT count(in_plpgsql(id)) FROM ten")), rows=10 * times)
    add_row("walk of 10 rows: ms more than `SELECT count(f(id))`",
            [(w - c) / times * 1000 for w, c in zip(walked, counted)], "{:.3f}", at_most=0.2)


def size():
    """The same number of rows in many walks and in one; the source makes them on the fly."""
    def walk_series(rows):
        return walk(f"SELECT generate_series(1::bigint, {rows})", "in_plpgsql(bigint)")

    short, long = measure(many(100, walk_series(10**5)), walk_series(10**7), rows=10**7)
    add_row("rows/s: walk of 10⁷ rows / walks of 10⁵ rows",
            [s / l for s, l in zip(short, long)], "{:.2f}", at_least=0.9,
            information=f"{seconds(long)}, {seconds(short)}")


def large():
    """Real tables; the rows of the small one as often as the large one has them."""
    for name, rows in (("small", 10**5), ("big", 10**7)):
        execute(f"CREATE TABLE {name} AS SELECT g::bigint AS id FROM generate_series(1, {rows}) g")
        execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
        execute(f"VACUUM ANALYZE {name}")
        execute(f"SELECT streamiter.create_job('bench_{name}', 'SELECT id FROM {name}', 'in_plpgsql(bigint)',"
                " recurrence => 'repeat')")

    def run(name):
        return Way(lambda: execute(f"CALL streamiter.run('bench_{name}')") or {"small": 10**5, "big": 10**7}[name])

    for kind, short, long in (
            ("walk", *(walk(f"SELECT id FROM {name}", "in_plpgsql(bigint)") for name in ("small", "big"))),
            ("job", run("small"), run("big"))):
        short, long = measure(many(100, short), long, rows=10**7)
        add_row(f"rows/s: {kind} over a table of 10⁷ rows / of 10⁵ rows",
                [s / l for s, l in zip(short, long)], "{:.2f}", at_least=0.9,
                information=f"{seconds(long)}, {seconds(short)}")
    execute("SELECT streamiter.drop_job('bench_small'), streamiter.drop_job('bench_big')")
    execute("DROP TABLE small, big")


def memory():
    """How large a backend of its own has been, as the kernel counts."""
    def peak(rows, callback):
        session = connection.copy()
        with session.cursor() as cursor:
            cursor.execute(f"SELECT pg_backend_pid() FROM streamiter.for_each("
                           f"'SELECT generate_series(1::bigint, {rows})', '{callback}')")
            with open(f"/proc/{cursor.fetchone()[0]}/status") as status:
                kilobytes = int(re.search(r"VmHWM:\s*(\d+)", status.read())[1])
        session.close()
        return kilobytes / 1024

    for kind, callback in (("PL/pgSQL", "in_plpgsql(bigint)"),
                           ("native", "streamiter_native_count(internal)")):
        small = peak(200_000, callback)
        add_row(f"backend memory, {kind}: MB more at 2·10⁷ rows than at 2·10⁵",
                [peak(20_000_000, callback) - small], "{:.2f}", at_most=1)
