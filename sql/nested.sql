-- Callbacks that walk themselves, touch the cursor, or change what is walked

SET client_min_messages = warning;
-- enable_seqscan = off makes plans dear enough for it
SET jit = off;
CREATE SCHEMA regress_nested;
SET search_path = regress_nested, public;

CREATE TABLE log (n serial, what text);
CREATE FUNCTION pg_temp.logged() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := (SELECT string_agg(what, ' ' ORDER BY n) FROM log);
BEGIN
	DELETE FROM log;
	RETURN coalesce(result, '(nothing)');
END
$$;
CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	context text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || regexp_replace(message, '<unnamed portal \d+>', '<cursor>'),
		(SELECT string_agg(line, E'\n') FROM regexp_split_to_table(context, E'\n') line WHERE line LIKE 'walk of %'));
END
$$;
\pset format unaligned
\pset tuples_only on

--
-- Walks in walks
--

-- 50 deep, and rows of each level
CREATE FUNCTION deeper(depth integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log (what) VALUES (depth::text);
	IF depth < 50 THEN
		PERFORM streamiter.for_each('SELECT $1', 'deeper(integer)', args => ROW(depth + 1));
	END IF;
END
$$;
SELECT rows FROM streamiter.for_each('SELECT 1', 'deeper(integer)');
SELECT count(*), count(DISTINCT what), max(n) - min(n) FROM log;
DELETE FROM log;
SELECT rows, skipped FROM streamiter.for_each('SELECT 1', 'deeper(integer)', on_error => 'skip');
SELECT count(*), count(DISTINCT what) FROM log;
DELETE FROM log;
-- without end: the stack's limit, not a crash; and nothing is left
CREATE FUNCTION endless(integer) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN PERFORM streamiter.for_each('SELECT 1', 'endless(integer)'); END $$;
SET max_stack_depth = '200kB';
SELECT left(pg_temp.failure($$SELECT streamiter.for_each('SELECT 1', 'endless(integer)')$$), 33);
RESET max_stack_depth;
SELECT count(*) FROM pg_cursors;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'streamiter%';

-- the same table, side by side; each walk has its own rows, batches and counts
CREATE TABLE item (id integer PRIMARY KEY, v integer);
INSERT INTO item SELECT i, i FROM generate_series(1, 7) i;
CREATE FUNCTION inner_row(integer, integer) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1 || '-' || $2); END $$;
CREATE FUNCTION outer_row(id integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	result record;
BEGIN
	SELECT * INTO result FROM streamiter.for_each('SELECT $1, id FROM item WHERE id <= $1 ORDER BY id', 'inner_row(integer, integer)', 2, ROW(id));
	ASSERT (result.rows, result.batches) = (id, (id + 1) / 2);
END
$$;
SELECT rows, batches FROM streamiter.for_each('SELECT id FROM item WHERE id < 4 ORDER BY id', 'outer_row(integer)', 3);
SELECT pg_temp.logged();
-- every way to call, in every other
CREATE FUNCTION leaf(integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (what) VALUES ($1::text); END $$;
CREATE FUNCTION leaf_sql(integer) RETURNS void LANGUAGE sql AS $$ SELECT leaf($1) $$;
CREATE FUNCTION leaf_batch(integer[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM leaf(x) FROM unnest($1) x; END $$;
SELECT streamiter.register_callback('leaf', 'leaf(integer)'), streamiter.register_callback('leaf sql', 'leaf_sql(integer)'),
	streamiter.register_callback('leaf batch', 'leaf_batch(integer[])', per => 'batch'),
	streamiter.register_statement('leaf statement', 'INSERT INTO regress_nested.log (what) SELECT unnest($1)');
CREATE FUNCTION walk_with(callback text) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN PERFORM streamiter.for_each('SELECT id FROM item WHERE id < 3 ORDER BY id', callback, 1, on_error => 'stop'),
	streamiter.for_each('SELECT id FROM item WHERE id = 3', callback, on_error => 'skip'); END $$;
CREATE FUNCTION walk_with_sql(callback text) RETURNS void LANGUAGE sql AS $$ SELECT walk_with($1) $$;
CREATE FUNCTION walk_with_batch(text[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM walk_with(x) FROM unnest($1) x; END $$;
SELECT streamiter.register_callback('walk batch', 'walk_with_batch(text[])', per => 'batch'),
	streamiter.register_statement('walk statement', 'SELECT regress_nested.walk_with(x) FROM unnest($1) x');
CREATE FUNCTION pg_temp.walk_both(callback text, on_error text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamiter.for_each($q$SELECT unnest('{leaf,leaf sql,leaf batch,leaf statement}'::text[])$q$, callback, 3, on_error => on_error);
	RETURN pg_temp.logged();
END
$$;
SELECT callback, on_error, pg_temp.walk_both(callback, on_error)
FROM unnest('{walk_with(text),walk_with_sql(text),walk batch,walk statement}'::text[]) WITH ORDINALITY c (callback, n),
	unnest('{stop,skip}'::text[]) on_error ORDER BY n, on_error;

-- an error inside: every walk is named, innermost first
CREATE FUNCTION fails(integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / ($1 - 2); END $$;
CREATE FUNCTION middle(integer) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN PERFORM streamiter.for_each('SELECT generate_series(1, 3)', 'fails(integer)', 1); END $$;
SELECT pg_temp.failure($$SELECT streamiter.for_each('SELECT generate_series(5, 6)', 'middle(integer)')$$);
SELECT pg_temp.failure($$SELECT streamiter.for_each('SELECT x FROM generate_series(5, 6) x WHERE x > 0', 'middle(integer)')$$);
-- caught inside, the outer goes on
CREATE FUNCTION catches(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM middle($1);
EXCEPTION WHEN division_by_zero THEN
	INSERT INTO log (what) VALUES ('caught ' || $1);
END
$$;
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 3)', 'catches(integer)', 2);
SELECT pg_temp.logged();
SELECT rows, skipped FROM streamiter.for_each('SELECT generate_series(1, 3)', 'catches(integer)', 2, on_error => 'skip');
SELECT pg_temp.logged();
-- skipped inside, and skipped outside
SET client_min_messages = error;
CREATE FUNCTION inner_skips(integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n bigint := (SELECT skipped FROM streamiter.for_each('SELECT generate_series(1, 3)', 'fails(integer)', 2, on_error => 'skip'));
BEGIN
	INSERT INTO log (what) VALUES ($1 || ':' || n);
	PERFORM fails($1);
END
$$;
SELECT rows, skipped FROM streamiter.for_each('SELECT generate_series(1, 4)', 'inner_skips(integer)', 3, on_error => 'skip');
SELECT pg_temp.logged();
SET client_min_messages = warning;
-- a walk in the source
CREATE FUNCTION counts(integer) RETURNS bigint LANGUAGE sql
AS $$ SELECT rows FROM streamiter.for_each('SELECT generate_series(1, $1)', 'leaf(integer)', args => ROW($1)) $$;
SELECT rows FROM streamiter.for_each('SELECT counts(i)::integer * 100 FROM generate_series(1, 3) i', 'leaf(integer)');
SELECT pg_temp.logged();

--
-- Iterators in walks
--

-- one opened in each call and left to its transaction; one that goes through all calls
CREATE FUNCTION opens(integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	it refcursor := streamiter.iterator('SELECT generate_series(1, 5)', 2);
BEGIN
	INSERT INTO log (what) SELECT x FROM streamiter.next_batch(it, NULL::integer) x;
END
$$;
BEGIN;
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 3)', 'opens(integer)', 2);
SELECT pg_temp.logged(), (SELECT count(*) FROM pg_cursors);
COMMIT;
CREATE FUNCTION pulls(integer, refcursor) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) SELECT $1 || ':' || x FROM streamiter.next_batch($2, NULL::integer) x; END $$;
BEGIN;
SELECT streamiter.iterator('SELECT generate_series(1, 5)', 2) AS it \gset
SELECT rows FROM streamiter.for_each('SELECT i, $1 FROM generate_series(1, 4) i', 'pulls(integer, refcursor)', 2, ROW(:'it'::refcursor));
SELECT pg_temp.logged();
COMMIT;

--
-- Hands on the walk's cursor
--

CREATE FUNCTION on_cursors(what text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c refcursor;
	ignored text;
BEGIN
	IF what = 'close all' THEN
		EXECUTE 'CLOSE ALL';
		RETURN;
	END IF;
	FOR c IN SELECT name FROM pg_cursors WHERE statement LIKE '%generate_series%' LOOP
		CASE what
			WHEN 'close' THEN CLOSE c;
			WHEN 'fetch' THEN FETCH c INTO ignored;
			WHEN 'move' THEN MOVE FORWARD 1 FROM c;
			WHEN 'look' THEN INSERT INTO log (what) VALUES ('seen');
		END CASE;
	END LOOP;
END
$$;
CREATE FUNCTION on_cursors_batch(text[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM on_cursors(x) FROM unnest($1) x; END $$;
SELECT streamiter.register_callback('on cursors batch', 'on_cursors_batch(text[])', per => 'batch');
-- CLOSE ALL leaves it alone; else the walk ends with an error, and never without some of its rows
SELECT what, callback, on_error, pg_temp.failure(format('SELECT streamiter.for_each(%L, %L, 2, ROW(%L), %L, 0)',
	'SELECT $1 FROM generate_series(1, 5)', callback, what, on_error))
FROM unnest('{close all,close,fetch,move,look}'::text[]) WITH ORDINALITY w (what, n),
	unnest('{on_cursors(text),on cursors batch}'::text[]) WITH ORDINALITY c (callback, m), unnest('{stop,skip}'::text[]) on_error
ORDER BY n, m, on_error;
SELECT pg_temp.logged();
SELECT count(*) FROM pg_cursors;
-- cursors of the callback's own, opened and left, or held
CREATE FUNCTION own_cursor(integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c refcursor;
BEGIN
	OPEN c FOR SELECT 1;
END
$$;
BEGIN;
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 5)', 'own_cursor(integer)', 2);
SELECT count(*) FROM pg_cursors;
CLOSE ALL;
COMMIT;
CREATE FUNCTION close_all(integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CLOSE ALL'; END $$;
BEGIN;
DECLARE mine CURSOR WITH HOLD FOR SELECT 1;
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 5)', 'close_all(integer)', 2);
SELECT count(*) FROM pg_cursors;
COMMIT;
-- the end of the transaction is not a callback's to decide; DISCARD neither
CREATE FUNCTION ends(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE what; END $$;
SELECT what, pg_temp.failure(format('SELECT streamiter.for_each(%L, %L, args => ROW(%L))', 'SELECT $1 FROM generate_series(1, 3)', 'ends(text)', what))
FROM unnest('{COMMIT,ROLLBACK,SAVEPOINT a,DISCARD ALL,VACUUM item}'::text[]) WITH ORDINALITY w (what, n) ORDER BY n;

--
-- The table that is walked: it cannot be taken away
--

CREATE FUNCTION ddl(integer, what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE what; END $$;
SELECT what, on_error, left(pg_temp.failure(format('SELECT streamiter.for_each(%L, %L, 2, ROW(%L), %L, 0)', 'SELECT id, $1 FROM item ORDER BY id', 'ddl(integer, text)', what, on_error)), 5)
FROM unnest(ARRAY['DROP TABLE item', 'TRUNCATE item', 'ALTER TABLE item ADD COLUMN more text', 'ALTER TABLE item DROP COLUMN v', 'DROP SCHEMA regress_nested CASCADE',
	'CREATE INDEX ON item (v)', 'REINDEX TABLE item', 'CLUSTER item USING item_pkey', 'DROP TABLE IF EXISTS item CASCADE']) WITH ORDINALITY w (what, n),
	unnest('{stop,skip}'::text[]) on_error
ORDER BY n, on_error;
SELECT count(*) FROM item;

--
-- Its rows: each comes once, as it was when the walk began, whatever happens
--

CREATE FUNCTION seen(id integer, v integer) RETURNS void LANGUAGE sql AS $$ INSERT INTO log (what) VALUES (id || ':' || v) $$;
CREATE FUNCTION touch(id integer, v integer, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM seen(id, v);
	EXECUTE what USING id, v;
END
$$;
CREATE FUNCTION touch_batch(id integer[], v integer[], what text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM touch(a, b, c) FROM unnest(id, v, what) x (a, b, c);
END
$$;
SELECT streamiter.register_callback('touch batch', 'touch_batch(integer[], integer[], text[])', per => 'batch');
-- walked by sequential scan, by index, and sorted; every row must come once and as it was
CREATE FUNCTION pg_temp.touching(work text, OUT walked text, OUT after text) LANGUAGE plpgsql AS $$
DECLARE
	callback text;
	query text;
	chunk integer;
BEGIN
	TRUNCATE item, log;
	FOREACH query IN ARRAY ARRAY['SELECT id, v, $1 FROM item', 'SELECT id, v, $1 FROM item WHERE id > 0 ORDER BY id', 'SELECT id, v, $1 FROM item ORDER BY v'] LOOP
		PERFORM set_config('enable_seqscan', (query NOT LIKE '%WHERE%')::text, true);
		FOREACH callback IN ARRAY '{"touch(integer, integer, text)","touch batch"}'::text[] LOOP
			FOREACH chunk IN ARRAY '{1,3,100}'::int[] LOOP
				DELETE FROM item;
				INSERT INTO item SELECT i, i FROM generate_series(1, 7) i;
				PERFORM streamiter.for_each(query, callback, chunk, ROW(work));
				walked := pg_temp.logged();
				ASSERT walked = '1:1 2:2 3:3 4:4 5:5 6:6 7:7', format('%s, %s, chunk_size %s: %s', query, callback, chunk, walked);
			END LOOP;
		END LOOP;
	END LOOP;
	PERFORM set_config('enable_seqscan', 'on', true);
	after := (SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM item);
END
$$;
SELECT work, (pg_temp.touching(work)).after FROM unnest(ARRAY[
	'UPDATE item SET v = v + 100 WHERE id = $1',
	'UPDATE item SET v = v + 1',
	'UPDATE item SET id = id + 100 WHERE id = $1',
	'UPDATE item SET id = -id, v = -v WHERE id = $1',
	'DELETE FROM item WHERE id = $1',
	'DELETE FROM item WHERE id > $1',
	'DELETE FROM item',
	'INSERT INTO item VALUES ($1 + 100, $2 + 100)',
	'INSERT INTO item VALUES (-$1, -$2)',
	'WITH d AS (DELETE FROM item WHERE id = $1) INSERT INTO item VALUES ($1 + 10, 0)'
	]) WITH ORDINALITY w (work, n) ORDER BY n;
-- also what the source looks up on its way does not change
SELECT rows FROM streamiter.for_each('SELECT id, (SELECT count(*) FROM item)::integer, $1 FROM item ORDER BY id', 'touch(integer, integer, text)', 1,
	ROW('DELETE FROM item WHERE id = $1'));
SELECT pg_temp.logged();
-- values stored out of line are still there when their rows are gone
CREATE TABLE wide (id integer, t text);
ALTER TABLE wide ALTER t SET STORAGE EXTERNAL;
INSERT INTO wide SELECT i, repeat(i::text, 10000) FROM generate_series(1, 5) i;
CREATE FUNCTION delete_wide(id integer, t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM wide;
	INSERT INTO log (what) VALUES (id || ':' || length(t) || ':' || (t = repeat(id::text, 10000)));
END
$$;
BEGIN;
SELECT rows FROM streamiter.for_each('TABLE wide', 'delete_wide(integer, text)', 2);
SELECT pg_temp.logged();
ROLLBACK;
SELECT rows FROM streamiter.for_each('TABLE wide', 'delete_wide(integer, text)', 2, on_error => 'skip');
SELECT pg_temp.logged();

-- an exception block in each call, which undoes its part
CREATE FUNCTION half_undone(id integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log (what) VALUES ('kept ' || id);
	BEGIN
		INSERT INTO log (what) VALUES ('undone ' || id);
		RAISE 'no';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
END
$$;
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 4)', 'half_undone(integer)', 3);
SELECT rows FROM streamiter.for_each('SELECT x FROM generate_series(5, 8) x WHERE x > 0', 'half_undone(integer)', 3, on_error => 'skip');
SELECT pg_temp.logged();

SELECT count(*) FROM pg_cursors;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'streamiter%';
\pset format aligned
\pset tuples_only off
SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks
WHERE name LIKE 'leaf%' OR name LIKE 'walk %' OR name IN ('on cursors batch', 'touch batch');
SET client_min_messages = error;
DROP SCHEMA regress_nested CASCADE;
