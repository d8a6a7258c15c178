"""callbacks: what the call of a callback costs beside the executor's own call"""

from measure import measure, sql, walk
from report import add_speedup, add_times
from server import execute

LOOP = """
CREATE FUNCTION loop_{function}() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r record;
    n bigint := 0;
BEGIN
    FOR r IN SELECT id FROM account LOOP
        PERFORM {function}(r.id);
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$
"""


def row_callbacks():
    """The executor's own call, and the loop that people write."""
    for language, function in (("PL/pgSQL", "in_plpgsql"), ("C", "in_c"),
                               ("STRICT C", "in_strict_c"), ("SQL", "in_sql")):
        execute(LOOP.format(function=function))
        walked, counted, looped = measure(
            walk("SELECT id FROM account", f"{function}(bigint)"),
            sql(f"SELECT count({function}(id)) FROM account"),
            sql(f"SELECT loop_{function}()"))
        add_times(f"{language} row callback: time / `SELECT count(f(id))`",
                  walked, counted, at_most=1.05)
        add_speedup(f"{language} row callback: speed / `FOR … LOOP PERFORM f(r.id)`",
                    walked, looped, at_least=7)


def native_callback():
    """Whole rows to C code; the bare scan is the executor with nobody listening."""
    walked, scanned = measure(
        walk("SELECT * FROM account", "streamiter_native_count(internal)"),
        sql("SELECT streamiter_native_scan('SELECT * FROM account')"))
    add_times("native callback, whole rows: time / bare scan", walked, scanned, at_most=2.5)
