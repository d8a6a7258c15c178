-- Pull iteration: streamiter.iterator, next_batch, close

SET client_min_messages = warning;
SET TimeZone = 'UTC';

\i src/test/lib/error_of.sql

-- Reads an iterator to its end; returns the sizes of its batches
CREATE FUNCTION pg_temp.batch_sizes(it refcursor) RETURNS integer[]
LANGUAGE plpgsql AS $$
DECLARE
	sizes integer[] := '{}';
	size integer;
BEGIN
	LOOP
		SELECT count(*) INTO size
		FROM streamiter.next_batch(it, NULL::iterator_row);
		EXIT WHEN size = 0;
		sizes := sizes || size;
	END LOOP;
	RETURN sizes;
END
$$;

-- and its ids
CREATE FUNCTION pg_temp.all_ids(it refcursor) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[] := '{}';
	batch bigint[];
BEGIN
	LOOP
		SELECT array_agg(id) INTO batch
		FROM streamiter.next_batch(it, NULL::iterator_row);
		EXIT WHEN batch IS NULL;
		ids := ids || batch;
	END LOOP;
	RETURN ids;
END
$$;

CREATE TABLE iterator_row (gone integer, id bigint PRIMARY KEY, also_gone text,
	name varchar(10));
ALTER TABLE iterator_row DROP COLUMN gone;
ALTER TABLE iterator_row DROP COLUMN also_gone;
INSERT INTO iterator_row SELECT i, 'name ' || i FROM generate_series(1, 10) i;

--
-- What a batch looks like
--

-- a table's row type, dropped columns and all
BEGIN;
SELECT streamiter.iterator('TABLE iterator_row ORDER BY id', 4) AS it \gset
SELECT * FROM streamiter.next_batch(:'it', NULL::iterator_row);
SELECT id, upper(name) FROM streamiter.next_batch(:'it', NULL::iterator_row);
SELECT * FROM streamiter.next_batch(:'it', NULL::iterator_row);
SELECT * FROM streamiter.next_batch(:'it', NULL::iterator_row);
SELECT * FROM streamiter.next_batch(:'it', NULL::iterator_row);
SELECT streamiter.close(:'it');
COMMIT;

-- a single column; a record with a column list; in a select list
BEGIN;
SELECT streamiter.iterator('SELECT id FROM iterator_row ORDER BY id', 2) AS it \gset
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
SELECT * FROM streamiter.next_batch(:'it', NULL::record) AS t (renamed bigint);
SELECT streamiter.next_batch(:'it', NULL::bigint) * 10 AS ten_times;
SELECT streamiter.next_batch(:'it', NULL::record);
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint) WITH ORDINALITY;
COMMIT;

-- no columns, no rows, all kinds of types
BEGIN;
SELECT streamiter.iterator('SELECT FROM generate_series(1, 3)') AS it \gset
SELECT streamiter.next_batch(:'it', NULL::record);
SELECT * FROM streamiter.next_batch(
	streamiter.iterator('SELECT 1 WHERE false'), NULL::integer);
SELECT * FROM streamiter.next_batch(
	streamiter.iterator($$
		VALUES (NULL::text, '{1,2}'::int[], '[1,5)'::int4range, ROW(1, 'x')::iterator_row,
				'2020-02-02 02:02:02.123456+00'::timestamptz, 'Infinity'::numeric)$$),
	NULL::record) AS t (a text, b int[], c int4range, d iterator_row,
						e timestamptz, f numeric);
COMMIT;

-- whatever chunk_size is, every row comes once and in order
BEGIN;
SELECT n, pg_temp.batch_sizes(streamiter.iterator('TABLE iterator_row', n))
FROM unnest('{1, 2, 3, 7, 9, 10, 11, 2000, 1000000}'::int[]) n ORDER BY n;
SELECT n, pg_temp.all_ids(streamiter.iterator('TABLE iterator_row ORDER BY id', n))
FROM unnest('{1, 3, 5, 10}'::int[]) n ORDER BY n;
-- the setting is read when the iterator is made
SET LOCAL streamiter.chunk_size = 6;
SELECT streamiter.iterator('TABLE iterator_row') AS it \gset
SET LOCAL streamiter.chunk_size = 1;
SELECT pg_temp.batch_sizes(:'it');
COMMIT;

-- a batch ends early where it would take too much memory, and goes on after it
BEGIN;
SET LOCAL streamiter.max_batch_memory = '64kB';
SELECT streamiter.iterator(
	$$SELECT repeat('x', 40000) || i FROM generate_series(1, 9) i$$) AS it \gset
SELECT right(t, 1) FROM streamiter.next_batch(:'it', NULL::text) t;
SELECT right(t, 1) FROM streamiter.next_batch(:'it', NULL::text) t;
MOVE ABSOLUTE 5 FROM :it;
SET LOCAL streamiter.max_batch_memory = '1MB';
SELECT right(t, 1) FROM streamiter.next_batch(:'it', NULL::text) t;
COMMIT;

-- arguments
BEGIN;
SELECT * FROM streamiter.next_batch(
	streamiter.iterator('SELECT id, $2 || name FROM iterator_row WHERE id > $1 ORDER BY id',
						args => ROW(8, 'my ')),
	NULL::record) AS t (id bigint, name text);
COMMIT;

--
-- An ordinary cursor, that goes one way
--

BEGIN;
SELECT streamiter.iterator('SELECT id FROM iterator_row ORDER BY id', 2) AS it \gset
SELECT name = :'it' AS name, statement, is_holdable, is_scrollable FROM pg_cursors
WHERE name LIKE 'streamiter%';
FETCH 3 FROM :it;
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
MOVE 1 FROM :it;
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
FETCH ALL FROM :it;
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
FETCH BACKWARD FROM :it;
ROLLBACK;

-- it sees what was there when it was made
BEGIN;
SELECT streamiter.iterator('SELECT id FROM iterator_row ORDER BY id', 5) AS it \gset
UPDATE iterator_row SET id = -id;
INSERT INTO iterator_row VALUES (11, 'new');
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
DELETE FROM iterator_row;
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
SELECT pg_temp.error_of('ALTER TABLE iterator_row DROP COLUMN name');
ROLLBACK;

-- two at once, on the same table, and one inside the other
BEGIN;
SELECT streamiter.iterator('SELECT id FROM iterator_row ORDER BY id', 2) AS a,
	streamiter.iterator('SELECT id FROM iterator_row ORDER BY id DESC', 3) AS b \gset
SELECT :'a' <> :'b' AS different;
SELECT * FROM streamiter.next_batch(:'a', NULL::bigint);
SELECT * FROM streamiter.next_batch(:'b', NULL::bigint);
SELECT * FROM streamiter.next_batch(:'a', NULL::bigint);
DO $$
DECLARE
	outer_it refcursor := streamiter.iterator('SELECT generate_series(1, 3)', 2);
	inner_it refcursor;
	o integer;
	sums integer[];
BEGIN
	FOR batch IN 1 .. 2 LOOP
		FOR o IN SELECT * FROM streamiter.next_batch(outer_it, NULL::integer) LOOP
			inner_it := streamiter.iterator('SELECT generate_series(1, $1)', args => ROW(o));
			sums := sums || (SELECT sum(n)::integer
							 FROM streamiter.next_batch(inner_it, NULL::integer) n);
		END LOOP;
	END LOOP;
	RAISE WARNING 'sums %', sums;
END
$$;
COMMIT;

-- planned to deliver the first rows soon: no sort of the whole table
CREATE TABLE iterator_sorted (id integer PRIMARY KEY, filler text);
INSERT INTO iterator_sorted SELECT i, repeat('x', 100)
FROM generate_series(1, 5000) i ORDER BY md5(i::text);
VACUUM ANALYZE iterator_sorted;
CREATE SEQUENCE iterator_seen;
BEGIN;
SELECT * FROM streamiter.next_batch(streamiter.iterator(
	$$SELECT id FROM iterator_sorted WHERE nextval('iterator_seen') > 0 ORDER BY id$$, 3),
	NULL::integer);
SELECT last_value AS rows_read FROM iterator_seen;
COMMIT;
DROP TABLE iterator_sorted;
DROP SEQUENCE iterator_seen;

--
-- How long it lives
--

-- not longer than its transaction, which may be a single statement
SELECT streamiter.iterator('TABLE iterator_row') AS it \gset
SELECT regexp_replace(pg_temp.error_of(format(
	'SELECT * FROM streamiter.next_batch(%L, NULL::iterator_row)', :'it')), '\d+"', 'N"');
BEGIN;
SELECT streamiter.iterator('TABLE iterator_row') AS it \gset
ROLLBACK;
SELECT pg_temp.error_of(format('SELECT streamiter.close(%L)', :'it')) ~ '^34000' AS gone;
DO $$
DECLARE
	it refcursor := streamiter.iterator('TABLE iterator_row');
BEGIN
	COMMIT;
	RAISE WARNING 'gone: %', pg_temp.error_of(
		format('SELECT streamiter.close(%L)', it)) ~ '^34000';
END
$$;

-- not longer than its subtransaction
BEGIN;
SAVEPOINT s;
SELECT streamiter.iterator('TABLE iterator_row') AS it \gset
ROLLBACK TO s;
SELECT pg_temp.error_of(format('SELECT streamiter.close(%L)', :'it')) ~ '^34000' AS gone;
-- but an error elsewhere does not touch it
SELECT streamiter.iterator('SELECT id FROM iterator_row ORDER BY id', 2) AS it \gset
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
SAVEPOINT s;
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
SELECT 1 / 0;
ROLLBACK TO s;
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
-- whoever closes it, it is closed
CLOSE :it;
SELECT pg_temp.error_of(format('SELECT streamiter.close(%L)', :'it')) ~ '^34000' AS gone;
SELECT streamiter.iterator('TABLE iterator_row') AS it \gset
CLOSE ALL;
SELECT pg_temp.error_of(format('SELECT streamiter.close(%L)', :'it')) ~ '^34000' AS gone;
SELECT streamiter.iterator('TABLE iterator_row') AS it \gset
SELECT streamiter.close(:'it');
SELECT pg_temp.error_of(format('SELECT streamiter.close(%L)', :'it')) ~ '^34000' AS gone;
-- and another cursor of that name is not taken for it
DECLARE :it CURSOR FOR TABLE iterator_row;
SELECT regexp_replace(pg_temp.error_of(format(
	'SELECT * FROM streamiter.next_batch(%L, NULL::iterator_row)', :'it')), '\d+"', 'N"');
SELECT pg_temp.error_of(format('SELECT streamiter.close(%L)', :'it')) ~ '^34000' AS refused;
COMMIT;

-- a name that is taken is left alone
BEGIN;
SELECT streamiter.iterator('TABLE iterator_row') AS it \gset
SELECT 'streamiter_iterator_' || substring(:'it' FROM '\d+')::integer + 1 AS next_name \gset
DECLARE :next_name CURSOR FOR SELECT 1;
SELECT streamiter.iterator('TABLE iterator_row')::text <> :'next_name' AS avoided;
COMMIT;

-- closed by what is done with its rows: the batch is there already
DO $$
DECLARE
	it refcursor := streamiter.iterator('SELECT id FROM iterator_row ORDER BY id', 2);
	id bigint;
BEGIN
	FOR id IN SELECT * FROM streamiter.next_batch(it, NULL::bigint) LOOP
		RAISE WARNING 'row %', id;
		IF id = 1 THEN
			CLOSE it;
		END IF;
	END LOOP;
END
$$;

--
-- Errors
--

\pset format unaligned
\pset tuples_only on
BEGIN;
SELECT pg_temp.error_of('SELECT streamiter.iterator(NULL)');
SELECT pg_temp.error_of('SELECT streamiter.next_batch(NULL, NULL::bigint)');
SELECT pg_temp.error_of('SELECT streamiter.close(NULL)');
SELECT n || ': ' || pg_temp.error_of(format('SELECT streamiter.iterator(%L, %L)', 'SELECT 1', n))
FROM unnest('{0, -1, 1000001, -2147483648}'::int[]) n;
SELECT query || ': ' || left(pg_temp.error_of(format('SELECT streamiter.iterator(%L)', query)), 5)
FROM unnest(ARRAY['', '  -- nothing', 'SELECT 1; SELECT 2', 'DELETE FROM iterator_row',
	'CREATE TABLE x ()', 'SELECT 1 INTO x', 'SELEC 1', 'SELECT $1', 'BEGIN',
	'WITH d AS (DELETE FROM iterator_row RETURNING id) TABLE d',
	'SELECT id FROM iterator_row FOR UPDATE',
	'SELECT id FROM (SELECT id FROM iterator_row FOR SHARE) s',
	'WITH l AS (SELECT id FROM iterator_row FOR UPDATE) SELECT 1', 'EXPLAIN SELECT 1']) WITH ORDINALITY q (query, n)
ORDER BY n;
SELECT left(pg_temp.error_of($$SELECT streamiter.iterator('SELECT 1', args => ROW(1))$$), 5);
SELECT count(*) FROM pg_cursors WHERE name LIKE 'streamiter%';

-- rows that do not fit; the iterator is none the worse for it
SELECT streamiter.iterator('SELECT id, name FROM iterator_row ORDER BY id', 1) AS it \gset
SELECT replace(pg_temp.error_of(format('SELECT %s', call)), :'it', 'it')
FROM unnest(ARRAY[
	format('streamiter.next_batch(%L, NULL::bigint)', :'it'),
	format('* FROM streamiter.next_batch(%L, NULL::pg_foreign_table)', :'it'),
	format('* FROM streamiter.next_batch(%L, NULL::record) AS t (a bigint)', :'it'),
	format('* FROM streamiter.next_batch(%L, NULL::record) AS t (a integer, b varchar)', :'it'),
	format('* FROM streamiter.next_batch(%L, NULL::record) AS t (a bigint, b text)', :'it'),
	format('* FROM streamiter.next_batch(%L, NULL::record) AS t (a bigint, b varchar(11))', :'it'),
	format('* FROM streamiter.next_batch(%L, NULL::record)', :'it'),
	format('* FROM streamiter.next_batch(%L, NULL)', :'it')
	]) WITH ORDINALITY c (call, n) ORDER BY n;
SELECT * FROM streamiter.next_batch(:'it', NULL::record) AS t (a bigint, b varchar);
SELECT streamiter.iterator('SELECT row_value FROM iterator_row row_value') AS it \gset
SELECT replace(pg_temp.error_of(format(
	'SELECT * FROM streamiter.next_batch(%L, NULL::iterator_row)', :'it')), :'it', 'it');
CREATE DOMAIN iterator_domain AS iterator_row;
SELECT replace(pg_temp.error_of(format(
	'SELECT * FROM streamiter.next_batch(%L, NULL::iterator_domain)', :'it')), :'it', 'it');

-- its own query reads it, or closes it
CREATE FUNCTION iterator_self(call text) RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(call, current_setting('iterator_row.it'));
END
$$;
SELECT call || ': ' || regexp_replace(pg_temp.error_of(format(
	$$SELECT streamiter.next_batch(set_config('iterator_row.it',
		streamiter.iterator(%L)::text, true)::refcursor, NULL::bigint)$$,
	format('SELECT iterator_self(%L)', call))), '\d+"', 'N"', 'g')
FROM unnest(ARRAY['SELECT streamiter.next_batch(%L, NULL::bigint)',
	'SELECT id FROM streamiter.close(%L) c, iterator_row']) call;

-- an error of the query, caught: nothing more to be had from this iterator
SELECT streamiter.iterator('SELECT 6 / (4 - id) FROM iterator_row ORDER BY id', 2) AS it \gset
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
SELECT pg_temp.error_of(format(
	'SELECT * FROM streamiter.next_batch(%L, NULL::bigint)', :'it'));
SELECT replace(pg_temp.error_of(format(
	'SELECT * FROM streamiter.next_batch(%L, NULL::bigint)', :'it')), :'it', 'it');
SELECT streamiter.close(:'it');
COMMIT;

-- an error of the query, not caught
BEGIN;
SELECT streamiter.iterator('SELECT 6 / (4 - id) FROM iterator_row ORDER BY id', 5) AS it \gset
SELECT * FROM streamiter.next_batch(:'it', NULL::bigint);
COMMIT;
SELECT count(*) FROM pg_cursors;
\pset format aligned
\pset tuples_only off

DROP FUNCTION iterator_self;
DROP DOMAIN iterator_domain;
DROP TABLE iterator_row;
