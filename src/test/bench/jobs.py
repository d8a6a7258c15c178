"""jobs: what committing each batch costs beside one statement for all of it"""

from measure import WALL, Way, measure, runs
from options import options
from report import add_missing, add_row, add_times
from server import execute

JOBS = """
CREATE TABLE item (id bigint PRIMARY KEY, v integer NOT NULL, name text NOT NULL) WITH (fillfactor = 45);
INSERT INTO item SELECT g, 0, 'item ' || g FROM generate_series(1, {rows}) g;
SELECT streamiter.register_statement('bench_range', 'UPDATE item SET v = v + 1 WHERE id BETWEEN $1 AND $2', per => 'range');
SELECT streamiter.register_statement('bench_array', 'UPDATE item SET v = v + 1 WHERE id = ANY($1)');
SELECT streamiter.create_job('bench_range', 'SELECT id FROM item', 'bench_range', chunk_size => 2000, recurrence => 'repeat');
SELECT streamiter.create_job('bench_array', 'SELECT id FROM item', 'bench_array', chunk_size => 2000, recurrence => 'repeat');
CREATE TABLE by_hand (position bigint NOT NULL);
CREATE PROCEDURE by_hand(chunk_size integer DEFAULT 2000) LANGUAGE plpgsql AS $$
DECLARE
    lower bigint;
    upper bigint;
BEGIN
    LOOP
        SELECT position INTO lower FROM by_hand;
        SELECT max(id) INTO upper FROM (SELECT id FROM item WHERE id > lower ORDER BY id LIMIT chunk_size) s;
        EXIT WHEN upper IS NULL;
        UPDATE item SET v = v + 1 WHERE id > lower AND id <= upper;
        UPDATE by_hand SET position = upper;
        COMMIT;
    END LOOP;
END
$$;
CREATE PROCEDURE known_ranges() LANGUAGE plpgsql AS $$
BEGIN
    FOR lower IN 0 .. {rows} - 1 BY 2000 LOOP
        UPDATE item SET v = v + 1 WHERE id BETWEEN lower + 1 AND lower + 2000;
        COMMIT;
    END LOOP;
END
$$;
CREATE PROCEDURE by_hand_array() LANGUAGE plpgsql AS $$
DECLARE
    lower bigint;
    ids bigint[];
BEGIN
    LOOP
        SELECT position INTO lower FROM by_hand;
        ids := ARRAY (SELECT id FROM item WHERE id > lower ORDER BY id LIMIT 2000);
        EXIT WHEN ids = '{{}}';
        UPDATE item SET v = v + 1 WHERE id = ANY (ids);
        UPDATE by_hand SET position = ids[cardinality(ids)];
        COMMIT;
    END LOOP;
END
$$;
"""

# They would outlive the schema
END_JOBS = """
SELECT streamiter.drop_job(name) FROM streamiter.jobs WHERE name IN ('bench_range', 'bench_array', 'bench_backfill');
SELECT streamiter.unregister_callback('bench_range'), streamiter.unregister_callback('bench_array');
DROP TABLE item, by_hand;
DROP PROCEDURE by_hand, known_ranges, by_hand_array;
"""

ONE_UPDATE = "UPDATE item SET v = v + 1"


def make_jobs(rows):
    """Cheap updates, for what a batch costs beside them to show."""
    execute(JOBS.format(rows=rows))
    execute("VACUUM ANALYZE item")


def few_rows():
    """Enough for what does not depend on how many there are."""
    return max(options.rows // 4, 1)


def in_order():
    """As if nothing had been updated before."""
    execute("VACUUM item")
    execute("TRUNCATE by_hand")
    execute("INSERT INTO by_hand VALUES (0)")
    execute("CHECKPOINT")


def updating(statement, name, rows):
    """The table itself tells whether all of its rows were updated: v goes up by one in each."""
    def way():
        execute(statement)
        return rows
    return Way(way, name)


def check_updated(*measured):
    """Each row once in each run of these ways."""
    wrong = execute(f"SELECT count(*) FROM item WHERE v <> {runs(*measured)}")
    if wrong:
        raise SystemExit(f"{wrong} rows were not updated once in each run")


def jobs():
    rows = options.rows
    make_jobs(rows)
    ways = [updating(*way, rows) for way in (
        (ONE_UPDATE, "one UPDATE"),
        ("CALL streamiter.run('bench_range')", "job, range statement, commit every 2000 rows"),
        ("CALL streamiter.backfill('item', 'v = v + 1', name => 'bench_backfill')", "backfill, commit every 2000 rows"),
        ("CALL streamiter.run('bench_array')", "job, `= ANY($1)` statement, commit every 2000 rows"),
        ("CALL by_hand()", "PL/pgSQL procedure by hand: keyset, range, commit every 2000 rows"),
        ("CALL known_ranges()", "PL/pgSQL procedure that is told the ranges, commit every 2000 rows"),
        ("CALL by_hand_array()", "PL/pgSQL procedure by hand: keyset, `= ANY`, commit every 2000 rows"))]
    times = measure(*ways, rows=rows, before=in_order, clock=WALL)
    check_updated(*times)
    once, by_range, backfilled, by_array, by_hand, known, by_hand_array = times
    add_times("job, range statement: time / one UPDATE", by_range, once, at_most=1.10)
    add_times("backfill: time / one UPDATE", backfilled, once, at_most=1.10)
    add_times("job, `= ANY($1)` statement: time / one UPDATE", by_array, once, at_most=1.5)
    add_times("job, range statement: time / procedure by hand", by_range, by_hand)
    add_times("job, range statement: time / the same UPDATEs alone", by_range, known)
    add_times("job, `= ANY($1)` statement: time / procedure by hand", by_array, by_hand_array)
    execute(END_JOBS)


def spent(statement):
    """Statements, transaction ids and bytes of WAL that a statement costs."""
    def meters():
        return (execute("SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE NOT toplevel"),
                execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"),
                execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"))

    in_order()
    before = meters()
    execute("SET pg_stat_statements.track = 'all'")
    execute(statement)
    execute("SET pg_stat_statements.track = 'none'")
    return [b - a for a, b in zip(before, meters())]


def batch_cost():
    """What a batch costs, counted: what a run of many costs more than one of few."""
    if "pg_stat_statements" not in execute("SHOW shared_preload_libraries"):
        add_missing("what a batch costs", "pg_stat_statements is not preloaded")
        return
    rows = few_rows()
    make_jobs(rows)
    execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    # the rows' own WAL would hide that of the batches
    execute("SELECT streamiter.register_statement('bench_read',"
            " 'SELECT FROM item WHERE id BETWEEN $1 AND $2', per => 'range')")
    execute("SELECT streamiter.create_job('bench_read', 'SELECT id FROM item', 'bench_read', recurrence => 'repeat')")
    for job, kind, shown in (("bench_range", "an UPDATE of a range", ("statements", "transaction ids")),
                             ("bench_array", "an UPDATE `= ANY($1)`", ("statements", "transaction ids")),
                             ("bench_read", "a SELECT of a range", ("bytes of WAL",))):
        costs, batches = [], []
        # the first prepares what is prepared once in a session
        for divisor in (10, 10, 200):
            chunk = max(rows // divisor, 1)
            execute(f"SELECT streamiter.alter_job('{job}', chunk_size => {chunk})")
            batches.append(-(-rows // chunk))
            costs.append(spent(f"CALL streamiter.run('{job}')"))
        for unit, few, many in zip(("statements", "transaction ids", "bytes of WAL"), costs[1], costs[2]):
            if unit in shown:
                add_row(f"job, {kind}: {unit} per batch", [(many - few) / (batches[2] - batches[1])], "{:.0f}")
    execute("SELECT streamiter.drop_job('bench_read'), streamiter.unregister_callback('bench_read')")
    execute(END_JOBS)


def job_chunks():
    """How much a job's batch size matters."""
    rows = few_rows()
    make_jobs(rows)
    execute("SELECT streamiter.create_job('bench_chunk', 'SELECT id FROM item', 'bench_range', recurrence => 'repeat')")

    def by_chunk(chunk):
        def way():
            execute(f"SELECT streamiter.alter_job('bench_chunk', chunk_size => {chunk})")
            execute("CALL streamiter.run('bench_chunk')")
            return rows
        return Way(way, f"job, range statement, commit every {chunk} rows")

    chunks = (10, 100, 2000, 20_000)
    ways = [by_chunk(chunk) for chunk in chunks]
    ways += [updating(f"CALL by_hand({chunk})", f"PL/pgSQL procedure by hand, commit every {chunk} rows", rows)
             for chunk in chunks]
    times = measure(*ways, rows=rows, before=in_order, clock=WALL)
    check_updated(*times)
    for chunk, job, hand in zip(chunks, times, times[len(chunks):]):
        add_times(f"job, range statement, chunk_size {chunk}: time / procedure by hand", job, hand)
    execute("SELECT streamiter.drop_job('bench_chunk')")
    execute(END_JOBS)
