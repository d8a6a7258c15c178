"""callbacks: what the call of a callback costs, beside the executor's own call and other languages' loops"""

from measure import measure, sql, walk
from options import options
from report import add_missing, add_row, add_speedup, add_times
from server import execute, has_language

# The last row tells how many there were
LOOP = """
CREATE FUNCTION loop_{function}() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT id FROM account LOOP
        PERFORM {function}(r.id);
    END LOOP;
    RETURN r.id;
END
$$
"""

IN_PYTHON = """
CREATE FUNCTION in_python(x bigint) RETURNS bigint LANGUAGE plpython3u AS 'return x';
CREATE FUNCTION batch_in_python(ids bigint[]) RETURNS void LANGUAGE plpython3u AS $$
for x in ids:
    pass
$$;
SELECT streamiter.register_callback('bench_python_batch', 'batch_in_python(bigint[])', per => 'batch');
CREATE FUNCTION cursor_in_python() RETURNS bigint LANGUAGE plpython3u AS $$
rows = 0
cursor = plpy.cursor("SELECT id FROM account")
while True:
    batch = cursor.fetch(2000)
    if not batch:
        return rows
    for row in batch:
        rows += 1
$$
"""

IN_PERL = """
CREATE FUNCTION in_perl(bigint) RETURNS bigint LANGUAGE plperl AS 'return $_[0]';
CREATE FUNCTION query_in_perl() RETURNS bigint LANGUAGE plperl AS $$
my $rows = 0;
my $query = spi_query('SELECT id FROM account');
while (defined(my $row = spi_fetchrow($query)))
{
    $rows++;
}
return $rows;
$$
"""


def row_callbacks():
    """The executor's own call, and the loop that people write."""
    for language, function in (("PL/pgSQL", "in_plpgsql"), ("C", "in_c"),
                               ("STRICT C", "in_strict_c"), ("SQL", "in_sql")):
        execute(LOOP.format(function=function))
        call = "SELECT id FROM account", f"{function}(bigint)"
        walked, counted = measure(
            walk(*call, f"for_each, {language} row callback"),
            sql(f"SELECT count({function}(id)) FROM account", f"`SELECT count(f(id))`, f in {language}"))
        beside, looped = measure(
            walk(*call),
            sql(f"SELECT loop_{function}()", f"PL/pgSQL `FOR … LOOP PERFORM f(r.id)`, f in {language}"))
        add_times(f"{language} row callback: time / `SELECT count(f(id))`",
                  walked, counted, at_most=1.05)
        add_speedup(f"{language} row callback: speed / `FOR … LOOP PERFORM f(r.id)`",
                    beside, looped, at_least=7)


def native_callback():
    """Whole rows to C code; the bare scan is the executor with nobody listening."""
    table = "SELECT * FROM account"
    walked, scanned = measure(
        walk(table, "streamiter_native_count(internal)", "for_each, native callback, whole rows"),
        sql(f"SELECT streamiter_native_scan('{table}')", "bare scan, rows dropped"))
    add_times("native callback, whole rows: time / bare scan", walked, scanned, at_most=2.5)


def languages():
    """Loops in the server's other languages, empty, beside callbacks in them that are."""
    if has_language("plpython3u"):
        execute(IN_PYTHON)
        by_row, by_batch, counted, looped = measure(
            walk("SELECT id FROM account", "in_python(bigint)", "for_each, PL/Python row callback"),
            walk("SELECT id FROM account", "bench_python_batch", "for_each, PL/Python batch function that loops"),
            sql("SELECT count(in_python(id)) FROM account", "`SELECT count(f(id))`, f in PL/Python"),
            sql("SELECT cursor_in_python()", "PL/Python `plpy.cursor`, `fetch(2000)`, a loop"))
        add_times("PL/Python row callback: time / `SELECT count(f(id))`", by_row, counted)
        add_speedup("PL/Python row callback: speed / `plpy.cursor`, `fetch(2000)`, no call", by_row, looped)
        add_speedup("PL/Python batch function: speed / `plpy.cursor`, `fetch(2000)`", by_batch, looped)
        execute("SELECT streamiter.unregister_callback('bench_python_batch')")
    else:
        add_missing("PL/Python", "the server has no plpython3u")
    if has_language("plperl"):
        execute(IN_PERL)
        by_row, looped = measure(
            walk("SELECT id FROM account", "in_perl(bigint)", "for_each, PL/Perl row callback"),
            sql("SELECT query_in_perl()", "PL/Perl `spi_query`, a loop"))
        add_speedup("PL/Perl row callback: speed / `spi_query`, no call", by_row, looped)
    else:
        add_missing("PL/Perl", "the server has no plperl")


WIDE = """
CREATE TABLE wide (id bigint, body text);
ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
INSERT INTO wide SELECT g, repeat(md5(g::text), 64) FROM generate_series(1, {rows}) g;
CREATE FUNCTION leave_wide(bigint, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION read_wide(bigint, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM md5($2); END';
CREATE FUNCTION take_wide(bigint[], text[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
SELECT streamiter.register_callback('bench_wide_batch', 'take_wide(bigint[], text[])', per => 'batch');
CREATE FUNCTION loop_wide(wanted text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT id, body FROM wide LOOP
        IF wanted = 'leave' THEN
            PERFORM leave_wide(r.id, r.body);
        ELSE
            PERFORM read_wide(r.id, r.body);
        END IF;
    END LOOP;
    RETURN r.id;
END
$$
"""


def wide_rows():
    """Rows with 2 kB of text, stored out of line, that the callback reads or leaves alone."""
    rows = max(options.rows // 20, 1)
    source = "SELECT id, body FROM wide"
    execute(WIDE.format(rows=rows))
    execute("VACUUM ANALYZE wide")
    left, read, batch, loop_left, loop_read = measure(
        walk(source, "leave_wide(bigint,text)", "for_each, PL/pgSQL, 2 kB rows left alone"),
        walk(source, "read_wide(bigint,text)", "for_each, PL/pgSQL, 2 kB rows read"),
        walk(source, "bench_wide_batch", "for_each, PL/pgSQL batch function, arrays of 2 kB texts"),
        sql("SELECT loop_wide('leave')", "PL/pgSQL `FOR … LOOP PERFORM`, 2 kB rows left alone"),
        sql("SELECT loop_wide('read')", "PL/pgSQL `FOR … LOOP PERFORM`, 2 kB rows read"), rows=rows)
    add_speedup("PL/pgSQL row callback, 2 kB rows left alone: speed / `FOR … LOOP PERFORM`", left, loop_left)
    add_speedup("PL/pgSQL row callback, 2 kB rows read: speed / `FOR … LOOP PERFORM`", read, loop_read)
    execute("SELECT streamiter.unregister_callback('bench_wide_batch')")


def chunk_sizes():
    """Rows that are collected, since batches are what is called: how much that depends on their size."""
    rows = max(options.rows // 4, 1)
    source = f"SELECT id FROM account WHERE id <= {rows}"
    execute("SELECT streamiter.register_statement('bench_select', 'SELECT cardinality($1)')")
    chunks = (1, 10, 100, 2000, 20_000)
    kinds = (("PL/pgSQL row callback", "in_plpgsql(bigint)"),
             ("native batch callback", "streamiter_native_count_batch(internal)"), ("batch statement", "bench_select"))
    for kind, callback in kinds:
        times = dict(zip(chunks, measure(*(
            walk(source, callback, f"for_each, {kind}, chunk_size {chunk}", chunk_size=chunk) for chunk in chunks),
            rows=rows)))
        for chunk in (1, 10, 100, 20_000):
            add_row(f"{kind}, chunk_size {chunk}: time / chunk_size 2000",
                    [t / usual for t, usual in zip(times[chunk], times[2000])], "{:.2f}")
    execute("SELECT streamiter.unregister_callback('bench_select')")
