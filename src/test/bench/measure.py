"""measure: ways of doing some work take turns, and are timed

A way is some work that returns the number of rows it handled.  Each runs once
in a session of its own, to warm up and for its memory to be seen; then all of
them take turns, in one order and then in the other.  Short ones take three
times as many turns, since what else a machine does weighs more on them.

Two clocks are read.  Processor time is what the server and the client were at
work: where the work is done by one process after the other it is the same as
the time on the wall, but for what a busy machine adds to that.
"""

import os
import re
import sys
import threading
import time

from django.db import connection

from options import options
from report import add_way
from server import execute

PROCESSOR, WALL = "processor", "wall"

# Where the slowest way is done in so many seconds, so many times the rounds
SHORT, MORE_ROUNDS = 2.5, 3


class Way:
    """run() does the work; a way with a name gets a line in the report.

    client: the process that does it, with its "pid" and that of its "backend";
    else it is done from here.
    """
    def __init__(self, run, name="", client=None):
        self.run = run
        self.name = name
        self.client = client

    def __call__(self):
        return self.run()

    def pids(self):
        """Backend and client."""
        if self.client:
            return self.client.backend, self.client.pid
        connection.ensure_connection()
        return connection.connection.get_backend_pid(), os.getpid()


def sql(statement, name=""):
    return Way(lambda: execute(statement), name)


def walk(source, callback, name="", **more):
    arguments = ", ".join([f"'{source}'", f"'{callback}'"] + [f"{k} => {v}" for k, v in more.items()])
    return sql(f"SELECT rows FROM streamiter.for_each({arguments})", name)


def many(times, way):
    return Way(lambda: sum(way() for _ in range(times)))


class Times(list):
    """Seconds of each round by the clock that judges, and on the wall; the most bytes it had."""
    def __init__(self, backend, client):
        super().__init__()
        self.wall = []
        self.backend, self.client = backend, client


def runs(*measured):
    """How often all of these ways were run, warming up included."""
    return sum(len(times) + 1 for times in measured)


def on_processor(pid):
    try:
        with open(f"/proc/{pid}/schedstat") as schedstat:
            return int(schedstat.read().split()[0]) / 1e9
    except FileNotFoundError:
        return 0


def processor_time(backend, client):
    """Seconds that the client, programs that it ran, and all of the server's processes were at work."""
    with open(f"/proc/{backend}/status") as status:
        postmaster = re.search(r"PPid:\s*(\d+)", status.read())[1]
    with open(f"/proc/{postmaster}/task/{postmaster}/children") as children:
        living = sum(map(on_processor, children.read().split()))
    with open(f"/proc/{postmaster}/stat") as stat:
        ended = stat.read().rpartition(")")[2].split()[13:15]
    return (living + sum(map(int, ended)) / os.sysconf("SC_CLK_TCK")
            + (time.process_time() + sum(os.times()[2:4]) if client == os.getpid() else on_processor(client)))


def anonymous_memory(pid):
    """Bytes that are the process's alone: no shared buffers, no program text."""
    with open(f"/proc/{pid}/statm") as statm:
        _, resident, shared, *_ = map(int, statm.read().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


class MemoryWatch(threading.Thread):
    """How large some processes get until stop()."""
    def __init__(self, pids):
        super().__init__()
        self.peaks = {pid: 0 for pid in pids}
        self.over = threading.Event()

    def run(self):
        while True:
            for pid in self.peaks:
                self.peaks[pid] = max(self.peaks[pid], anonymous_memory(pid))
            if self.over.wait(0.002):
                break

    def stop(self):
        self.over.set()
        self.join()
        return list(self.peaks.values())


def check(handled, rows):
    if handled != rows:
        sys.exit(f"{handled} rows handled, not {rows}")


def warm_up(way, rows):
    """Returns the most memory, in bytes, that backend and client had, and the seconds it took."""
    if not way.client:
        connection.close()
    watch = MemoryWatch(way.pids())
    watch.start()
    start = time.perf_counter()
    handled = way()
    took = time.perf_counter() - start
    peaks = watch.stop()
    check(handled, rows)
    return peaks, took


def measure(*ways, rows=None, before=lambda: None, clock=PROCESSOR):
    """Returns the Times of each way.

    "before" puts things in order before each run, and is not measured.
    """
    rows = options.rows if rows is None else rows
    clock = WALL if options.wall else PROCESSOR if options.cpu else clock
    ways = [way if isinstance(way, Way) else Way(way) for way in ways]
    times, slowest = [], 0
    for way in ways:
        before()
        (backend, client), took = warm_up(way, rows)
        times.append(Times(backend, client if way.client or way.run.__name__ == "loop" else None))
        slowest = max(slowest, took)
    for turn in range(options.rounds * (MORE_ROUNDS if slowest < SHORT else 1)):
        for way, seconds in list(zip(ways, times))[::-1 if turn % 2 else 1]:
            before()
            pids = way.pids()
            start = time.perf_counter(), processor_time(*pids)
            handled = way()
            end = time.perf_counter(), processor_time(*pids)
            check(handled, rows)
            seconds.wall.append(end[0] - start[0])
            seconds.append(end[0] - start[0] if clock == WALL else end[1] - start[1])
    for way, seconds in zip(ways, times):
        if way.name:
            add_way(way.name, rows, seconds)
    return times
