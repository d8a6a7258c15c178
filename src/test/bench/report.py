"""report: what was measured, held against its goal

A ratio is the median of the rounds' own ratios, its spread the least and the
greatest of them.
"""

import sys
from statistics import median

from server import machine

ways = [("way", "rows", "s", "spread", "s on the wall", "rows/s", "backend MB", "client MB")]
goals = [("goal", "wanted", "measured", "spread", "verdict", "times")]
peers = [("what", "measured", "spread", "verdict", "times")]
memory = [("memory at the most, in MB", "backend", "client")]


def show(line):
    print(*filter(None, line), sep=" | ", file=sys.stderr, flush=True)


def spread(form, values):
    return f"{form.format(min(values))} to {form.format(max(values))}"


def megabytes(size):
    return "" if size is None else f"{size / 2**20:.1f}"


def add_way(name, rows, times):
    """One way of doing some work: how long it took, and the most memory it had."""
    ways.append((name, f"{rows:,}", f"{median(times):.3f}", spread("{:.3f}", times),
                 f"{median(times.wall):.3f}", f"{rows / median(times):,.0f}",
                 megabytes(times.backend), megabytes(times.client)))
    show(ways[-1])


def add_memory(name, times):
    """What of add_way() people compare."""
    memory.append((name, megabytes(times.backend), megabytes(times.client)))


def add_missing(what, reason):
    """What could not be measured is not left out."""
    peers.append((what, "", "", "not measured", reason))
    show(peers[-1])


def add_row(what, values, form, at_most=None, at_least=None, ahead=None, information=""):
    """One row of the report: the median of some values, held against a goal.

    ahead: without a goal, whether such a median means that we are ahead of a peer.
    """
    measured = float(form.format(median(values)))
    goal, verdict = "", ""
    if at_most is not None:
        goal, verdict = "at most " + form.format(at_most), "held" if measured <= at_most else "MISSED"
    elif at_least is not None:
        goal, verdict = "at least " + form.format(at_least), "held" if measured >= at_least else "MISSED"
    elif ahead is not None:
        verdict = "ahead" if ahead(measured) else "level" if measured == 1 else "BEHIND"
    row = form.format(measured), spread(form, values), verdict, information
    if goal:
        goals.append((what, goal, *row))
        show(goals[-1])
    else:
        peers.append((what, *row))
        show(peers[-1])


def seconds(times):
    """Both clocks, where two were read."""
    wall = getattr(times, "wall", times)
    text = f"{median(times):.3f} s"
    return text if wall == times else f"{text} ({median(wall):.3f})"


def add_times(what, walked, other, at_most=None):
    """How many times as long as the other the walk took."""
    add_row(what, [w / o for w, o in zip(walked, other)], "{:.2f}", at_most=at_most,
            ahead=lambda times: times < 1, information=f"{seconds(walked)}, {seconds(other)}")


def add_speedup(what, walked, other, at_least=None):
    """How many times as fast as the other the walk was."""
    add_row(what, [o / w for w, o in zip(walked, other)], "{:.1f}", at_least=at_least,
            ahead=lambda speed: speed > 1, information=f"{seconds(walked)}, {seconds(other)}")


def print_table(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    print()
    for line in lines:
        print("|", " | ".join(map(str.ljust, line, widths)), "|")


def print_report():
    """The ways that have a name, then what is held against goals and peers."""
    if len(ways) > 1:
        print_table(ways)
    print(f"\n{machine()}")
    for table in (goals, peers, memory):
        if len(table) > 1:
            print_table(table)


def any_missed():
    return any("MISSED" in line for line in goals)
