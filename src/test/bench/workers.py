"""workers: what several processes gain, and what slices cost"""

from jobs import END_JOBS, ONE_UPDATE, check_updated, in_order, make_jobs, updating
from measure import WALL, Way, measure
from options import options
from report import add_times
from server import execute

# The one slice that is not done, cut as a run with workers would
CUT = """
WITH one AS (
    SELECT s.* FROM streamiter.slice s JOIN streamiter.job j ON j.id = s.job_id
    WHERE j.name = 'bench_range' AND NOT s.done),
more AS (
    INSERT INTO streamiter.slice (job_id, slice, pass, run_id, lower, position, upper, done, updated)
    SELECT job_id, g, pass, run_id, ARRAY[(g - 1) * {width}]::text[], ARRAY[(g - 1) * {width}]::text[],
        CASE WHEN g < {slices} THEN ARRAY[g * {width}]::text[] ELSE upper END, false, now()
    FROM one, generate_series(2, {slices}) g)
UPDATE streamiter.slice s SET upper = ARRAY[{width}]::text[] FROM one WHERE s.job_id = one.job_id
"""


def in_slices(slices, rows):
    """A pass that a run has left in so many slices."""
    def way():
        execute("CALL streamiter.run('bench_range', max_rows => 1)")
        execute(CUT.format(slices=slices, width=rows // slices))
        execute("CALL streamiter.run('bench_range')")
        return rows
    return Way(way, f"job, range statement, {slices} slices, 1000 batches")


def workers():
    rows = options.rows
    make_jobs(rows)
    ways = [updating(ONE_UPDATE, "one UPDATE", rows)]
    ways += [updating(f"CALL streamiter.run('bench_range', workers => {n})",
                      f"job, range statement, workers => {n}", rows) for n in (1, 2)]
    once, one, two = measure(*ways, rows=rows, before=in_order, clock=WALL)
    check_updated(once, one, two)
    add_times("job, range statement, 2 workers: time / one UPDATE", two, once, at_most=0.7)
    add_times("job, range statement, 2 workers: time / 1 worker", two, one)

    # in as many batches
    execute(f"SELECT streamiter.alter_job('bench_range', chunk_size => {max(rows // 1000, 1)})")
    ways = [in_slices(slices, rows) for slices in (10, 1000)]
    few, many = measure(*ways, rows=rows, before=in_order, clock=WALL)
    check_updated(once, one, two, few, many)
    add_times("job of 1000 slices: time / the same in 10", many, few)
    execute(END_JOBS)
