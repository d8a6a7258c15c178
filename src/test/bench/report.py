"""report: what was measured, held against its goal

A ratio is the median of the rounds' own ratios, its spread the least and the
greatest of them.  Times are for information only.
"""

import sys
from statistics import median

from server import machine

report = []


def add_row(what, values, form, at_most=None, at_least=None, information=""):
    """One row of the report: the median of some values, held against a goal."""
    measured = float(form.format(median(values)))
    goal, held = "", None
    if at_most is not None:
        goal, held = "at most " + form.format(at_most), measured <= at_most
    if at_least is not None:
        goal, held = "at least " + form.format(at_least), measured >= at_least
    verdict = {True: "held", False: "MISSED", None: ""}[held]
    spread = f"{form.format(min(values))} to {form.format(max(values))}"
    report.append((what, goal, form.format(measured), spread, verdict, information))
    print(*filter(None, report[-1]), sep=" | ", file=sys.stderr, flush=True)


def add_times(what, walked, other, at_most=None):
    """How many times as long as the other the walk took."""
    add_row(what, [w / o for w, o in zip(walked, other)], "{:.2f}", at_most=at_most,
            information=f"{median(walked):.3f} s, {median(other):.3f} s")


def add_speedup(what, walked, other, at_least=None):
    """How many times as fast as the other the walk was."""
    add_row(what, [o / w for w, o in zip(walked, other)], "{:.1f}", at_least=at_least,
            information=f"{median(walked):.3f} s, {median(other):.3f} s")


def print_report():
    lines = [("what", "goal", "measured", "spread", "verdict", "times")] + report
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    print(f"\n{machine()}\n")
    for line in lines:
        print("|", " | ".join(map(str.ljust, line, widths)), "|")


def any_missed():
    return any("MISSED" in line for line in report)
