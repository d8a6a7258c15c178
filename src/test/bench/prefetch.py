"""prefetch: the related rows of each row, beside the queries that would get them too"""

from measure import measure, walk
from options import options
from report import add_times
from server import execute

TABLES = """
CREATE TABLE item (account bigint NOT NULL, id bigint, price integer, note text);
INSERT INTO item SELECT 1 + g::bigint * 7919 % {rows}, g, g % 100, 'item ' || g
FROM generate_series(1, {items}) g;
CREATE FUNCTION take_items(bigint, jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
"""

ITEMS = """
SELECT coalesce(jsonb_agg(to_jsonb(i)), jsonb_build_array()) AS items
FROM (SELECT id, price, note FROM item WHERE account = a.id) i
"""

PREFETCH = "$$SELECT account, id, price, note FROM item WHERE account = ANY ($1)$$"


def compare(what, rows):
    accounts = f"(SELECT id FROM account WHERE id <= {rows}) a"
    callback = "take_items(bigint, jsonb)"
    prefetched, selected, joined = measure(
        walk(f"SELECT id FROM {accounts}", callback, f"{what}: prefetch",
             prefetch=PREFETCH, prefetch_key="$$id$$"),
        walk(f"SELECT id, ({ITEMS}) FROM {accounts}", callback, f"{what}: sub-select"),
        walk(f"SELECT id, items FROM {accounts} LEFT JOIN LATERAL ({ITEMS}) r ON true", callback,
             f"{what}: LATERAL join"),
        rows=rows)
    add_times(f"{what}: prefetch, time / correlated sub-select", prefetched, selected)
    add_times(f"{what}: prefetch, time / `LATERAL` join", prefetched, joined)


def prefetch():
    """Ten items to an account; with an index on them, and then for a few accounts without."""
    rows = options.rows // 10
    execute(TABLES.format(rows=rows, items=10 * rows))
    execute("CREATE INDEX item_account ON item (account)")
    execute("VACUUM ANALYZE item")
    compare("related rows", rows)
    execute("DROP INDEX item_account")
    compare("related rows without an index", min(100, rows))
    execute("DROP TABLE item")
    execute("DROP FUNCTION take_items")
