"""jobs: what committing each batch costs beside one statement for all of it"""

from measure import measure
from options import options
from report import add_times
from server import execute

JOBS = """
CREATE TABLE item (id bigint PRIMARY KEY, v integer NOT NULL, name text NOT NULL) WITH (fillfactor = 45);
INSERT INTO item SELECT g, 0, 'item ' || g FROM generate_series(1, {rows}) g;
SELECT streamiter.register_statement('bench_range', 'UPDATE item SET v = v + 1 WHERE id BETWEEN $1 AND $2', per => 'range');
SELECT streamiter.register_statement('bench_array', 'UPDATE item SET v = v + 1 WHERE id = ANY($1)');
SELECT streamiter.create_job('bench_range', 'SELECT id FROM item', 'bench_range', chunk_size => 2000, recurrence => 'repeat');
SELECT streamiter.create_job('bench_array', 'SELECT id FROM item', 'bench_array', chunk_size => 2000, recurrence => 'repeat');
CREATE TABLE by_hand (position bigint NOT NULL);
CREATE PROCEDURE by_hand() LANGUAGE plpgsql AS $$
DECLARE
    lower bigint;
    upper bigint;
BEGIN
    LOOP
        SELECT position INTO lower FROM by_hand;
        SELECT max(id) INTO upper FROM (SELECT id FROM item WHERE id > lower ORDER BY id LIMIT 2000) s;
        EXIT WHEN upper IS NULL;
        UPDATE item SET v = v + 1 WHERE id > lower AND id <= upper;
        UPDATE by_hand SET position = upper;
        COMMIT;
    END LOOP;
END
$$;
"""


def updated_by(statement):
    """Rows that were updated, as the table itself tells."""
    def way():
        before = execute("SELECT v FROM item WHERE id = 1")
        execute(statement)
        return execute(f"SELECT count(*) FROM item WHERE v = {before + 1}")
    return way


def jobs():
    """Cheap updates, for what a batch costs beside them to show."""
    def in_order():
        execute("VACUUM item")
        execute("TRUNCATE by_hand")
        execute("INSERT INTO by_hand VALUES (0)")
        execute("CHECKPOINT")

    execute(JOBS.format(rows=options.rows))
    execute("VACUUM ANALYZE item")
    once, by_range, by_array, by_hand = measure(
        updated_by("UPDATE item SET v = v + 1"),
        updated_by("CALL streamiter.run('bench_range')"),
        updated_by("CALL streamiter.run('bench_array')"),
        updated_by("CALL by_hand()"), before=in_order)
    add_times("job, range statement: time / one UPDATE", by_range, once, at_most=1.10)
    add_times("job, `= ANY($1)` statement: time / one UPDATE", by_array, once, at_most=1.5)
    add_times("PL/pgSQL procedure by hand (keyset, COMMIT): time / one UPDATE", by_hand, once)
    for job in ("bench_range", "bench_array"):
        execute(f"SELECT streamiter.drop_job('{job}')")
    execute("SELECT streamiter.unregister_callback('bench_range'), streamiter.unregister_callback('bench_array')")
