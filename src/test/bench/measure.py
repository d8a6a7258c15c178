"""measure: ways of doing some work take turns, and are timed

A way is a function that does the work and returns the number of rows.  Each
runs once to warm up, then all of them take turns, in one order and then in the
other.
"""

import sys
import time

from django.db import connection

from options import options
from server import execute


def sql(statement):
    return lambda: execute(statement)


def walk(source, callback):
    return sql(f"SELECT rows FROM streamiter.for_each('{source}', '{callback}')")


def many(times, way):
    return lambda: sum(way() for _ in range(times))


def clock():
    """Seconds; with --cpu those that this process and the server's were at work."""
    if not options.cpu:
        return time.perf_counter()
    with open(f"/proc/{connection.connection.get_backend_pid()}/schedstat") as schedstat:
        return time.process_time() + int(schedstat.read().split()[0]) / 1e9


def measure(*ways, rows=None, before=lambda: None):
    """Returns the seconds that each way took, a list of one per round for each.

    "before" puts things in order before each run, and is not measured.
    """
    rows = options.rows if rows is None else rows
    seconds = [[] for _ in ways]
    for turn in range(options.rounds + 1):
        for way in range(len(ways))[::-1 if turn % 2 else 1]:
            before()
            start = clock()
            handled = ways[way]()
            end = clock()
            if handled != rows:
                sys.exit(f"{handled} rows handled, not {rows}")
            if turn > 0:
                seconds[way].append(end - start)
    return seconds
