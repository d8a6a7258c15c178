-- Errors of callbacks: where they are said to have happened, what is kept,
-- and which rows are set aside

CREATE SCHEMA regress_errors;
SET search_path = regress_errors, public;

CREATE TABLE done (id integer);
-- Fails for the rows named in a setting, after some work
CREATE FUNCTION work(i integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO done VALUES (i);
	IF i = ANY (current_setting('errors.bad')::integer[]) THEN
		RAISE 'bad row %', i USING ERRCODE = current_setting('errors.code'),
			DETAIL = 'a detail', HINT = 'a hint';
	END IF;
END
$$;
CREATE FUNCTION work_batch(i integer[]) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN PERFORM work(x) FROM unnest(i) x; END $$;
SELECT streamiter.register_callback('work batch', 'work_batch(integer[])', per => 'batch');
SELECT streamiter.register_statement('work statement', 'SELECT regress_errors.work(x) FROM unnest($1) x');
CREATE FUNCTION pg_temp.bad(rows text, code text DEFAULT 'P0001') RETURNS void LANGUAGE sql
AS $$ SELECT set_config('errors.bad', rows, false), set_config('errors.code', code, false) $$;

-- A walk over 1 .. 10 in batches of 4; what is done afterwards
CREATE FUNCTION pg_temp.walk(callback text, on_error text DEFAULT 'stop', max_skips bigint DEFAULT 10, chunk_size integer DEFAULT 4) RETURNS text LANGUAGE sql
AS $$ SELECT rows || ' rows, ' || batches || ' batches, ' || skipped || ' skipped'
FROM streamiter.for_each('SELECT generate_series(1, 10)', callback, chunk_size, on_error => on_error, max_skips => max_skips) $$;
CREATE FUNCTION pg_temp.work_done() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := (SELECT string_agg(id::text, ' ' ORDER BY ctid) FROM done);
BEGIN
	DELETE FROM done;
	RETURN coalesce(result, '(nothing)');
END
$$;
-- How a statement fails, with its context
CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	context text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, nullif(detail, ''), nullif(hint, ''),
		substring(context FROM 'walk of [^\n]*'));
END
$$;
\pset format unaligned
\pset tuples_only on

--
-- on_error => 'stop': nothing is kept, and the place is named
--

-- first, middle and last row of the first, a middle and the last batch
CREATE FUNCTION pg_temp.fail_at(bad integer, callback text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.bad(format('{%s}', bad));
	RETURN pg_temp.failure(format('SELECT pg_temp.walk(%L)', callback));
END
$$;
SELECT pg_temp.fail_at(bad, callback), pg_temp.work_done()
FROM unnest('{1,2,4,5,6,8,9,10}'::int[]) bad,
	unnest('{work(integer),work batch,work statement}'::text[]) WITH ORDINALITY c (callback, n)
ORDER BY bad, n;
-- the source may fail as well, at its first row, in the middle, at its end
SELECT pg_temp.bad('{}');
SELECT callback, query, pg_temp.failure(format('SELECT streamiter.for_each(%L, %L, 4)', query, callback)), pg_temp.work_done()
FROM unnest(ARRAY['SELECT 1 / (i - 1) FROM generate_series(1, 10) i', 'SELECT 1 / (i - 6) FROM generate_series(1, 10) i',
		'SELECT 1 / (i - 10) FROM generate_series(1, 10) i', 'SELECT 1 / i FROM generate_series(-3, 3) i ORDER BY 1']) WITH ORDINALITY q (query, n),
	unnest('{work(integer),work batch}'::text[]) WITH ORDINALITY c (callback, m)
ORDER BY n, m;
-- which is not skipped: no callback has failed
SELECT pg_temp.failure($$SELECT rows FROM streamiter.for_each('SELECT 1 / (i - 6) FROM generate_series(1, 10) i', 'work(integer)', 4, on_error => 'skip')$$);
SELECT pg_temp.work_done();
-- a long query is shown by its beginning
SELECT pg_temp.bad('{1}');
SELECT pg_temp.failure(format('SELECT rows FROM streamiter.for_each(%L, %L)',
	'SELECT 1 /* ' || repeat('x', 200) || ' */', 'work(integer)'));
-- all there is to know, as psql shows it
SELECT streamiter.for_each('SELECT 1', 'work(integer)');
SELECT streamiter.for_each('SELECT 1', 'work statement');

--
-- on_error => 'skip': bad rows are undone and left out, each good one is done once
--

\set SHOW_CONTEXT always
SELECT pg_temp.bad('{3}');
SELECT pg_temp.walk('work(integer)', 'skip');
SELECT pg_temp.work_done();
SELECT pg_temp.walk('work batch', 'skip');
SELECT pg_temp.work_done();
\set SHOW_CONTEXT errors
SET client_min_messages = error;
-- Where the bad rows lie does not matter, nor how rows are called: all others
-- are done, once.  "tries" is how often a batch function was called.
CREATE SEQUENCE tries;
CREATE FUNCTION work_counted(i integer[]) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN PERFORM nextval('tries'); PERFORM work_batch(i); END $$;
SELECT streamiter.register_callback('work counted', 'work_counted(integer[])', per => 'batch');
CREATE FUNCTION pg_temp.skipping(bad integer[], OUT missed integer[], OUT tries bigint[]) LANGUAGE plpgsql AS $$
DECLARE
	good text := coalesce((SELECT string_agg(i::text, ' ' ORDER BY i) FROM generate_series(1, 10) i WHERE i <> ALL (bad)), '(nothing)');
	callback text;
	chunk integer;
	result record;
	got text;
BEGIN
	PERFORM pg_temp.bad(bad::text);
	FOREACH chunk IN ARRAY '{1,2,3,4,5,9,10,11}'::int[] LOOP
		FOREACH callback IN ARRAY '{work(integer),work batch,work statement,work counted}'::text[] LOOP
			PERFORM setval('tries', 1, false);
			SELECT * INTO result FROM streamiter.for_each('SELECT generate_series(1, 10)', callback, chunk, on_error => 'skip');
			got := pg_temp.work_done();
			ASSERT got = good, format('%s, chunk_size %s: %s', callback, chunk, got);
			ASSERT (result.rows, result.skipped) = (10, cardinality(bad)), format('%s, chunk_size %s: %s', callback, chunk, result);
		END LOOP;
		tries := tries || nextval('tries') - 1;
	END LOOP;
	missed := bad;
END
$$;
-- none; first; last; neighbours; around the end of a batch; every second; a whole batch; all but one; all
SELECT * FROM unnest(ARRAY['{}', '{1}', '{10}', '{1,2}', '{5,6}', '{4,5}', '{8,9}', '{9,10}', '{1,3,5,7,9}', '{1,4,5,8}',
	'{5,6,7,8}', '{2,3,4,5,6,7,8,9,10}', '{1,2,3,4,5,6,7,8,9,10}']) WITH ORDINALITY b (bad, n),
	pg_temp.skipping(bad::int[]) ORDER BY n;
-- halving: one bad row in a thousand costs tens of calls, not a thousand
SELECT setval('tries', 1, false), pg_temp.bad('{617}');
SELECT rows, skipped FROM streamiter.for_each('SELECT generate_series(1, 1000)', 'work counted', 1000, on_error => 'skip');
SELECT nextval('tries') - 1 AS tries;
SELECT count(*), count(DISTINCT id) FROM done;
DELETE FROM done;

-- max_skips: as many, and not one more; 0 is 'stop' with other words
SELECT pg_temp.bad('{2,7,9}');
SELECT pg_temp.walk('work(integer)', 'skip', 3);
SELECT pg_temp.work_done();
SELECT max_skips, callback, pg_temp.failure(format('SELECT pg_temp.walk(%L, ''skip'', %s)', callback, max_skips)), pg_temp.work_done()
FROM generate_series(0, 2) max_skips, unnest('{work(integer),work batch}'::text[]) WITH ORDINALITY c (callback, n) ORDER BY max_skips, n;

-- errors that say nothing about a row end the walk
SELECT code, pg_temp.bad('{5}', code), pg_temp.failure($$SELECT pg_temp.walk('work(integer)', 'skip')$$), pg_temp.work_done()
FROM unnest('{57014,57P01,53100,53200,53300,54000,54001,58030,XX000,XX001,XX002,25000,25006,26000,2D000,34000,P0004,40001,40P01,55P03}'::text[])
	WITH ORDINALITY c (code, n) ORDER BY n;
-- and these are a row's own
SELECT code, pg_temp.bad('{5}', code), pg_temp.walk('work batch', 'skip'), pg_temp.work_done()
FROM unnest('{P0001,22012,22001,23505,23514,2200G,42P01,42501,0A000,55000,40002}'::text[]) WITH ORDINALITY c (code, n) ORDER BY n;
-- a real one of each sort
CREATE FUNCTION cancelled(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(10); END $$;
CREATE FUNCTION asserts(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN ASSERT i < 3, 'not below 3'; END $$;
CREATE FUNCTION commits(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CREATE FUNCTION recurses(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM recurses(i); END $$;
SELECT callback, left(pg_temp.failure(format('SELECT pg_temp.walk(%L, ''skip'')', callback || '(integer)')), 40)
FROM unnest('{cancelled,asserts,commits,recurses}'::text[]) WITH ORDINALITY c (callback, n) ORDER BY n;
-- statement_timeout ends the walk, however often a callback would fail
CREATE FUNCTION asleep(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RAISE 'no'; END $$;
SET statement_timeout = '100ms';
SELECT left(pg_temp.failure($$SELECT streamiter.for_each('SELECT generate_series(1, 1000000)', 'asleep(integer)', on_error => 'skip', max_skips => 1000000)$$), 5);
RESET statement_timeout;

-- what a bad row has done is undone: rows, settings, cursors, locks, notifications
CREATE TABLE locked (id integer);
CREATE FUNCTION leaves(i integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c CURSOR FOR SELECT 1;
BEGIN
	OPEN c;
	LOCK TABLE locked IN ACCESS EXCLUSIVE MODE;
	SET LOCAL work_mem = '3MB';
	CREATE TABLE leaves_table (i integer);
	RAISE 'no';
END
$$;
BEGIN;
SELECT rows, skipped FROM streamiter.for_each('SELECT generate_series(1, 3)', 'leaves(integer)', 2, on_error => 'skip');
SELECT count(*) FROM pg_cursors;
SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass AND pid = pg_backend_pid();
SELECT current_setting('work_mem') <> '3MB' AS reset, to_regclass('leaves_table');
COMMIT;

--
-- Subtransactions: one for each batch, and those that isolate a bad row
--

SELECT pg_temp.bad('{}');
-- by the transaction ids that rows carry
SELECT pg_temp.walk('work(integer)', 'skip');
SELECT count(*), count(DISTINCT xmin::text) FROM done;
DELETE FROM done;
SELECT pg_temp.bad('{6}');
SELECT pg_temp.walk('work(integer)', 'skip');
SELECT string_agg(ids, ' | ' ORDER BY first) FROM (SELECT min(id) AS first, string_agg(id::text, ' ' ORDER BY id) AS ids FROM done GROUP BY xmin::text) s;
DELETE FROM done;
-- none with 'stop', and none that is kept where nothing is written
SELECT pg_temp.bad('{}');
SELECT pg_temp.walk('work batch');
SELECT count(*), count(DISTINCT xmin::text) FROM done;
DELETE FROM done;
BEGIN;
SELECT rows FROM streamiter.for_each('SELECT ''x'' FROM generate_series(1, 10)', 'length(text)', 2, on_error => 'skip');
SELECT pg_current_xact_id_if_assigned() IS NULL AS none;
COMMIT;
-- more than 64 are worth a warning, once
RESET client_min_messages;
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 64)', 'work(integer)', 1, on_error => 'skip');
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 200)', 'work(integer)', 1, on_error => 'skip');
-- a hundred skipped rows are reported one by one
\set VERBOSITY terse
CREATE FUNCTION fails(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
SELECT rows, skipped FROM streamiter.for_each('SELECT generate_series(1, 102)', 'fails(integer)', on_error => 'skip', max_skips => 1000);
\set VERBOSITY default

-- the row is shown in the warning: NULLs, several columns, long values, none
CREATE FUNCTION fails_row(record) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
SELECT skipped FROM streamiter.for_each('SELECT 1, NULL, repeat(''x'', 100), ARRAY[1, 2], ROW(1, ''a b'')', 'fails_row(record)', on_error => 'skip');
CREATE FUNCTION fails_none() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING DETAIL = 'why', HINT = 'how'; END $$;
SELECT skipped FROM streamiter.for_each('SELECT', 'fails_none()', on_error => 'skip');

SELECT count(*) FROM pg_cursors;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'streamiter%';
\pset format aligned
\pset tuples_only off
SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks WHERE name LIKE 'work %';
SET client_min_messages = error;
DROP SCHEMA regress_errors CASCADE;
