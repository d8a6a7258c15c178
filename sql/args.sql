-- Arguments of the source: $1, $2 ... with their types

SET client_min_messages = warning;
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';

\i src/test/lib/error_of.sql

-- What came, and as what
CREATE FUNCTION args_show(anyelement) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING '% (%)', $1, pg_typeof($1); END $$;

-- values keep their types; a bare literal is text
SELECT rows FROM streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW(42));
SELECT rows FROM streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW('bare'));
SELECT rows FROM streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW(NULL));
SELECT rows FROM streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW(NULL::date));
SELECT rows FROM streamiter.for_each('SELECT $2 - $1', 'args_show(anyelement)', args => ROW(date '2024-02-28', timestamp '2024-03-01 12:00'));
SELECT rows FROM streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW(1.50::numeric(5, 2)));
SELECT rows FROM streamiter.for_each('SELECT unnest($1)', 'args_show(anyelement)', args => ROW('{7,NULL,8}'::int[]));
-- a bare literal does not turn into what the query would like it to be
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1 + $1', 'args_show(anyelement)', args => ROW('2'))$$);

-- order and number of uses do not matter
SELECT rows FROM streamiter.for_each('SELECT $3 || $1 || $2 || $3', 'args_show(anyelement)', args => ROW('a', 'b', 'c'));
-- in every part of a query
SELECT rows FROM streamiter.for_each(
	'WITH c AS (SELECT i FROM generate_series(1, $1) i WHERE i > $2) SELECT i FROM c ORDER BY i * $3 LIMIT $4 OFFSET $5',
	'args_show(anyelement)', 1, ROW(10, 3, -1, 3, 1));
SELECT rows FROM streamiter.for_each('SELECT (SELECT $1 FROM (SELECT $2) s (x) WHERE x = 2)', 'args_show(anyelement)', args => ROW('inner', 2));
-- the plan knows the values: a condition that they make false is never asked
SELECT rows FROM streamiter.for_each('SELECT 1 WHERE $1 AND 1 / $2 = 1', 'args_show(anyelement)', args => ROW(false, 0));

-- no arguments, in three ways
SELECT rows FROM streamiter.for_each('SELECT 1', 'args_show(anyelement)', args => NULL);
SELECT rows FROM streamiter.for_each('SELECT 1', 'args_show(anyelement)', args => NULL::record);
SELECT rows FROM streamiter.for_each('SELECT 1', 'args_show(anyelement)', args => ROW());
-- one argument that is a row; the fields of a row
CREATE TYPE args_pair AS (a integer, b text);
SELECT rows FROM streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW(ROW(1, 'x')::args_pair));
SELECT rows FROM streamiter.for_each('SELECT $2 || $1', 'args_show(anyelement)', args => ROW(1, 'x')::args_pair);
-- a table's row: dropped columns keep their numbers
CREATE TABLE args_table (gone integer, id integer, also_gone text, name varchar(10));
INSERT INTO args_table VALUES (1, 2, 'three', 'four');
ALTER TABLE args_table DROP COLUMN gone, DROP COLUMN also_gone;
SELECT rows FROM args_table t, streamiter.for_each('SELECT $2 || $4', 'args_show(anyelement)', args => t);
CREATE DOMAIN args_domain AS args_pair;
SELECT rows FROM streamiter.for_each('SELECT $2', 'args_show(anyelement)', args => ROW(3, 'domain')::args_domain);
-- a domain's value stays one
CREATE DOMAIN args_positive AS integer CHECK (VALUE > 0);
SELECT rows FROM streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW(3::args_positive));
-- large values, and as many as there may be columns
SELECT rows FROM streamiter.for_each('SELECT length($1)', 'args_show(anyelement)', args => ROW(repeat('x', 1000000)));
DO $$
BEGIN
	EXECUTE format('SELECT streamiter.for_each(%L, %L, args => ROW(%s))', 'SELECT $1 + $1000', 'args_show(anyelement)',
		(SELECT string_agg(i::text, ', ') FROM generate_series(1, 1000) i));
END
$$;
-- a value that the callback's table holds is copied: the walk does not lose it
CREATE FUNCTION args_delete(anyelement) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN UPDATE args_table SET name = 'other'; DELETE FROM args_table; END $$;
SELECT rows FROM args_table t, streamiter.for_each('SELECT $4 FROM generate_series(1, 3) WHERE $2 = 2', 'args_delete(anyelement)', 1, t);

-- the iterator takes the same
BEGIN;
SELECT * FROM streamiter.next_batch(streamiter.iterator('SELECT $1 || $2', args => ROW('a', 1)), NULL::text);
COMMIT;

-- too few, too many, none at all, none needed, of a type that does not do
\pset format unaligned
\pset tuples_only on
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT $1, $2', 'args_show(anyelement)', args => ROW(1))$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW(1, 2))$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'args_show(anyelement)', args => ROW(1))$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'args_show(anyelement)', args => ROW(1, 2))$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT $1', 'args_show(anyelement)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => ROW())$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT $0', 'args_show(anyelement)', args => ROW(1))$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT $1 + $2', 'args_show(anyelement)', args => ROW(1, true))$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT lower($1)', 'args_show(anyelement)', args => ROW(1))$$);
SELECT left(pg_temp.error_of($$SELECT streamiter.for_each('SELECT $1', 'args_show(anyelement)', args => 1)$$), 5);
\pset format aligned
\pset tuples_only off

DROP FUNCTION args_show, args_delete;
DROP DOMAIN args_domain, args_positive;
DROP TYPE args_pair;
DROP TABLE args_table;
