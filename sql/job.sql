--
-- The life of a job: create, run, stop, resume, finish; what is refused
--
SET client_min_messages = warning;
CREATE SCHEMA job_test;
SET search_path = job_test, public;
RESET client_min_messages;

CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT g FROM generate_series(1, 107) g;
CREATE TABLE log (id integer);
CREATE FUNCTION work(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1.id;
	INSERT INTO log VALUES ($1.id);
END $$;

SELECT streamiter.create_job('life', 'TABLE item', 'work(item)',
	chunk_size => 10);
SELECT name, owner = current_user::regrole AS mine, state, rows, source,
	callback, key, chunk_size, on_error, max_skips, recurrence
FROM streamiter.jobs;

-- exactly so many rows, whatever the chunk size
CALL streamiter.run('life', max_rows => 25);
SELECT state, pass, rows, batches FROM streamiter.jobs;
SELECT slice, pass, lower, upper, position, done, rows FROM streamiter.slices;

-- a budget of no time at all makes one batch of progress
CALL streamiter.run('life', max_duration => '0');
SELECT state, rows, batches FROM streamiter.jobs;

-- another size, another DateStyle, another search_path
SELECT streamiter.alter_job('life', chunk_size => 7);
SET search_path = pg_catalog;
SET DateStyle = 'German';
CALL streamiter.run('life', max_rows => 7);
RESET DateStyle;
SET search_path = job_test, public;

-- rows above the end that was fixed at the start are not visited
INSERT INTO item VALUES (1000);
CALL streamiter.run('life');
SELECT state, rows, skipped, retries FROM streamiter.jobs;
SELECT v, count(*) FROM item GROUP BY v ORDER BY v;
SELECT count(*), count(DISTINCT id) FROM log;
SELECT run, pass, outcome, rows, batches, skipped, retries, sqlstate
FROM (SELECT row_number() OVER (ORDER BY run) AS run, pass, outcome, rows,
		batches, skipped, retries, sqlstate, started <= ended AS sane
	FROM streamiter.runs) r ORDER BY run;

-- what has finished stays so, until it is reset
CALL streamiter.run('life');
SELECT streamiter.pause('life');
SELECT streamiter.cancel('life');
SELECT streamiter.resume('life');
SELECT streamiter.reset('life');
SELECT state, rows FROM streamiter.jobs;
CALL streamiter.run('life');
SELECT state, pass, rows FROM streamiter.jobs;
SELECT v, count(*) FROM item GROUP BY v ORDER BY v;
SELECT streamiter.drop_job('life');
SELECT count(*) FROM streamiter.jobs;

--
-- Pause, resume, cancel
--
SELECT streamiter.create_job('states', 'TABLE item', 'work(item)',
	chunk_size => 10);
SELECT streamiter.resume('states');
SELECT streamiter.pause('states');
SELECT streamiter.pause('states');
SELECT state FROM streamiter.jobs;
CALL streamiter.run('states');
SELECT streamiter.resume('states');
SELECT state FROM streamiter.jobs;
CALL streamiter.run('states', max_rows => 10);
SELECT streamiter.pause('states');
SELECT streamiter.resume('states');
SELECT state FROM streamiter.jobs;
SELECT streamiter.pause('states');
SELECT streamiter.cancel('states');
SELECT streamiter.cancel('states');
SELECT streamiter.pause('states');
SELECT streamiter.resume('states');
CALL streamiter.run('states');
SELECT streamiter.retry_skipped('states');
SELECT streamiter.reset('states');
SELECT state, rows FROM streamiter.jobs;

-- a callback that pauses its own job: after its batch
CREATE FUNCTION pausing(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1.id = 15 THEN PERFORM streamiter.pause('states'); END IF;
END $$;
SELECT streamiter.alter_job('states', callback => 'pausing(item)');
CALL streamiter.run('states');
SELECT state, rows FROM streamiter.jobs;
SELECT streamiter.resume('states');
CALL streamiter.run('states', max_rows => 10);

-- a callback cannot run, reset or drop the job that calls it
CREATE FUNCTION meddling(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM streamiter.drop_job('states');
	EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%: %', SQLSTATE, SQLERRM;
	END;
	BEGIN
		PERFORM streamiter.reset('states');
	EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%: %', SQLSTATE, SQLERRM;
	END;
	BEGIN
		PERFORM streamiter.alter_job('states', acknowledge => true);
	EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%: %', SQLSTATE, SQLERRM;
	END;
	RAISE NOTICE '%', (SELECT state FROM streamiter.jobs WHERE name = 'states');
	PERFORM pg_advisory_unlock_all();
	RAISE NOTICE '%', (SELECT state FROM streamiter.jobs WHERE name = 'states');
END $$;
SELECT streamiter.alter_job('states', callback => 'meddling(item)');
CALL streamiter.run('states', max_rows => 1);
SELECT state, rows FROM streamiter.jobs;

-- alter_job heeds settings at the next batch
CREATE FUNCTION altering(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1.id = 40 THEN
		PERFORM streamiter.alter_job('states', chunk_size => 50);
	END IF;
END $$;
SELECT streamiter.alter_job('states', callback => 'altering(item)');
CALL streamiter.run('states');
SELECT streamiter.drop_job('states');

--
-- Passes
--
TRUNCATE log;
SELECT streamiter.create_job('again', 'SELECT id FROM item WHERE id < 6',
	'logging', recurrence => 'repeat');
SELECT streamiter.register_statement('logging',
	'INSERT INTO job_test.log SELECT unnest($1)');
SELECT streamiter.create_job('again', 'SELECT id FROM item WHERE id < 6',
	'logging', recurrence => 'repeat');
CALL streamiter.run('again');
SELECT state, pass, rows FROM streamiter.jobs;
CALL streamiter.run('again', max_rows => 2);
CALL streamiter.run('again');
SELECT state, pass, rows FROM streamiter.jobs;
SELECT count(*), count(DISTINCT id) FROM log;
SELECT streamiter.pause('again');
CALL streamiter.run('again');
SELECT streamiter.resume('again');
SELECT state FROM streamiter.jobs;

-- a source without rows
DELETE FROM item WHERE id < 6;
CALL streamiter.run('again');
SELECT state, pass, rows, batches FROM streamiter.jobs;
SELECT slice, upper, position, done FROM streamiter.slices;
SELECT streamiter.drop_job('again');

-- n = k * chunk, and one more or less
CREATE FUNCTION touch(integer) RETURNS void LANGUAGE sql AS
	'INSERT INTO job_test.log VALUES ($1)';
TRUNCATE log;
SELECT streamiter.create_job('edge', 'SELECT id FROM item WHERE id <= 105',
	'touch(integer)', chunk_size => n, recurrence => 'repeat')
FROM (VALUES (100)) v(n);
CALL streamiter.run('edge');
SELECT streamiter.alter_job('edge', chunk_size => 99);
CALL streamiter.run('edge');
SELECT streamiter.alter_job('edge', chunk_size => 101);
CALL streamiter.run('edge');
SELECT streamiter.alter_job('edge', chunk_size => 1);
CALL streamiter.run('edge');
SELECT count(*), count(DISTINCT id) FROM log;
SELECT streamiter.drop_job('edge');

-- STRICT callbacks are not called with NULL
CREATE TABLE gaps (id integer PRIMARY KEY, v integer);
INSERT INTO gaps SELECT g, nullif(g % 3, 0) FROM generate_series(1, 9) g;
CREATE FUNCTION two(integer, integer) RETURNS void LANGUAGE plpgsql STRICT AS
	'BEGIN END';
SELECT streamiter.create_job('strict', 'TABLE gaps', 'two(integer, integer)');
CALL streamiter.run('strict');
SELECT rows, not_called FROM streamiter.jobs;
SELECT streamiter.drop_job('strict');

-- composite keys, and rows locked before the callback sees them
CREATE TABLE pair (a integer, b text COLLATE "C", v integer DEFAULT 0,
	PRIMARY KEY (a, b));
INSERT INTO pair SELECT g / 3, 'b' || g FROM generate_series(0, 29) g;
CREATE FUNCTION pairing(pair) RETURNS void LANGUAGE sql AS
	'UPDATE job_test.pair SET v = v + 1 WHERE a = $1.a AND b = $1.b';
SELECT streamiter.create_job('pairs', 'TABLE pair', 'pairing(pair)',
	chunk_size => 4, lock_rows => 'update');
CALL streamiter.run('pairs');
SELECT position FROM streamiter.slices;
SELECT streamiter.register_statement('range', 'UPDATE job_test.pair
	SET v = v + 1 WHERE (a, b) >= ($1, $2) AND (a, b) <= ($3, $4)',
	per => 'range');
SELECT streamiter.create_job('ranges', 'TABLE pair', 'range', chunk_size => 4);
CALL streamiter.run('ranges', max_rows => 13);
CALL streamiter.run('ranges');
SELECT v, count(*) FROM pair GROUP BY v;
SELECT streamiter.drop_job('pairs');
SELECT streamiter.drop_job('ranges');

--
-- Where a run cannot commit
--
SELECT streamiter.create_job('where', 'TABLE item', 'work(item)');
BEGIN;
CALL streamiter.run('where');
ROLLBACK;
SELECT 1 \; CALL streamiter.run('where');
CREATE FUNCTION caller() RETURNS void LANGUAGE plpgsql AS
	'BEGIN CALL streamiter.run(''where''); END';
SELECT caller();
DO $$ BEGIN EXECUTE 'CALL streamiter.run(''where'')'; END $$;
DO $$ BEGIN
	CALL streamiter.run('where');
EXCEPTION WHEN division_by_zero THEN
END $$;
CREATE PROCEDURE with_set() SET work_mem = '4MB' LANGUAGE plpgsql AS
	'BEGIN CALL streamiter.run(''where''); END';
CALL with_set();
SET default_transaction_read_only = on;
CALL streamiter.run('where');
RESET default_transaction_read_only;
SELECT state, rows FROM streamiter.jobs;

-- where it can: DO, a loop, another procedure
CREATE PROCEDURE outer_one() LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM generate_series(1, 2) LOOP
		CALL streamiter.run('where', max_rows => 10);
	END LOOP;
END $$;
CALL outer_one();
DO $$ BEGIN CALL streamiter.run('where', max_rows => 5); END $$;
SELECT state, rows FROM streamiter.jobs;

--
-- Bad arguments
--
CALL streamiter.run('nobody');
CALL streamiter.run(NULL);
CALL streamiter.run('where', max_rows => 0);
CALL streamiter.run('where', max_duration => '-1 second');
CALL streamiter.run('where', workers => 0);
SELECT streamiter.create_job('where', 'TABLE item', 'work(item)');
SELECT streamiter.create_job('', 'TABLE item', 'work(item)');
SELECT streamiter.create_job(repeat('x', 64), 'TABLE item', 'work(item)');
SELECT streamiter.create_job(NULL, 'TABLE item', 'work(item)');
SELECT streamiter.create_job('x', NULL, 'work(item)');
SELECT streamiter.create_job('x', 'TABLE item', NULL);
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)', on_error => NULL);
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)',
	on_error => 'ignore');
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)', chunk_size => 0);
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)', max_skips => -1);
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)',
	recurrence => 'daily');
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)',
	lock_rows => 'share');
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)',
	batch_pause => '-1 second');
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)',
	lock_timeout => '1000 years');
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)',
	max_retries => -1);
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)', key => '{}');
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)',
	key => '{id,NULL}');
SELECT streamiter.create_job('x', 'TABLE item', 'work(item)', key => '{v}');
SELECT streamiter.create_job('x', 'TABLE item', 'two(integer, text)');
SELECT streamiter.create_job('x', 'TABLE pair', 'work(item)');
SELECT streamiter.create_job('x', 'TABLE pair', 'range', lock_rows => 'update');
SELECT streamiter.create_job('x', 'SELECT id FROM item ORDER BY id LIMIT 5',
	'touch(integer)');
SELECT streamiter.alter_job('nobody');
SELECT streamiter.alter_job('where', chunk_size => 0);
SELECT streamiter.alter_job('where', unset => '{speed}');
SELECT streamiter.alter_job('where', callback => 'pairing(pair)');
SELECT streamiter.drop_job('nobody');
SELECT streamiter.pause('nobody');
SELECT streamiter.pause(NULL);
CREATE TEMP TABLE passing (id integer PRIMARY KEY);
SELECT streamiter.create_job('x', 'TABLE passing', 'touch(integer)');
CREATE UNLOGGED TABLE fleeting (id integer PRIMARY KEY);
SELECT streamiter.create_job('fleeting', 'TABLE fleeting', 'touch(integer)');
SELECT streamiter.drop_job('fleeting');

SELECT streamiter.alter_job('where', on_error => 'skip', max_skips => 3,
	recurrence => 'repeat', batch_pause => '10 ms', lock_timeout => '2 s',
	max_retries => 7);
SELECT chunk_size, on_error, max_skips, recurrence, batch_pause, lock_timeout,
	max_retries
FROM streamiter.jobs;
SELECT streamiter.alter_job('where', unset =>
	'{on_error,max_skips,recurrence,batch_pause,lock_timeout,max_retries}');
SELECT chunk_size, on_error, max_skips, recurrence, batch_pause, lock_timeout,
	max_retries
FROM streamiter.jobs;

--
-- What changed since creation is noticed, and named
--
CREATE FUNCTION noticed() RETURNS void LANGUAGE plpgsql AS $$
DECLARE j streamiter.jobs;
BEGIN
	SELECT * INTO j FROM streamiter.jobs WHERE name = 'where';
	RAISE NOTICE '% %: %', j.state, j.sqlstate, j.message;
END $$;
CREATE OR REPLACE FUNCTION work(item) RETURNS void LANGUAGE plpgsql AS
	'BEGIN END';
CALL streamiter.run('where', max_rows => 1);
SELECT noticed();
SELECT streamiter.alter_job('where', acknowledge => true);
CALL streamiter.run('where', max_rows => 1);
ALTER FUNCTION work(item) SET work_mem = '4MB';
CALL streamiter.run('where', max_rows => 1);
SELECT streamiter.alter_job('where', acknowledge => true);
CREATE ROLE regress_streamiter_other;
GRANT CREATE ON SCHEMA job_test TO regress_streamiter_other;
ALTER FUNCTION work(item) OWNER TO regress_streamiter_other;
CALL streamiter.run('where', max_rows => 1);
SELECT streamiter.alter_job('where', acknowledge => true);
ALTER FUNCTION work(item) RENAME TO work_2;
CALL streamiter.run('where', max_rows => 1);
SELECT streamiter.alter_job('where', callback => 'work_2(item)');
CALL streamiter.run('where', max_rows => 1);

-- also between two batches
CREATE FUNCTION changing(item) RETURNS void LANGUAGE plpgsql AS $x$
BEGIN
	IF $1.id = 40 THEN
		ALTER FUNCTION changing(item) SET work_mem = '4MB';
	END IF;
END $x$;
SELECT streamiter.alter_job('where', callback => 'changing(item)',
	chunk_size => 20);
CALL streamiter.run('where');
SELECT state, rows FROM streamiter.jobs;

CREATE FUNCTION swap() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamiter.unregister_callback('swapping');
	PERFORM streamiter.register_statement('swapping',
		'SELECT 1 WHERE $1 = $2', per => 'range');
END $$;
SELECT streamiter.register_statement('swapping',
	'SELECT job_test.swap() WHERE $1 < $2', per => 'range');
SELECT streamiter.alter_job('where', callback => 'swapping', chunk_size => 5);
CALL streamiter.run('where');
SELECT state, rows FROM streamiter.jobs;
SELECT streamiter.unregister_callback('swapping');
CALL streamiter.run('where');

ALTER TABLE item RENAME TO thing;
CALL streamiter.run('where', max_rows => 1);
SELECT noticed();
ALTER TABLE thing RENAME TO item;
ALTER TABLE item ALTER id TYPE bigint;
CALL streamiter.run('where', max_rows => 1);
SELECT streamiter.drop_job('where');

--
-- Rights
--
GRANT USAGE ON SCHEMA job_test TO regress_streamiter_other;
GRANT SELECT ON gaps TO regress_streamiter_other;
GRANT INSERT ON log TO regress_streamiter_other;
SELECT streamiter.create_job('mine', 'SELECT id FROM gaps', 'touch(integer)');
SET ROLE regress_streamiter_other;
SELECT count(*) FROM streamiter.jobs;
SELECT count(*) FROM streamiter.runs;
SELECT count(*) FROM streamiter.slices;
SELECT count(*) FROM streamiter.skipped;
SELECT count(*) FROM streamiter.job;
SELECT count(*) FROM streamiter.slice;
SELECT count(*) FROM streamiter.run;
SELECT count(*) FROM streamiter.skipped_row;
\set VERBOSITY terse
CALL streamiter.run('mine');
SELECT streamiter.pause('mine');
SELECT streamiter.alter_job('mine', chunk_size => 1);
SELECT streamiter.drop_job('mine');
\set VERBOSITY default
SELECT streamiter.job_state(id) FROM generate_series(1, 1000) id
WHERE streamiter.job_state(id) IS NOT NULL;

-- names are one's own
SELECT streamiter.create_job('mine', 'SELECT id FROM gaps', 'touch(integer)');
CALL streamiter.run('mine', max_rows => 2);
SELECT name, owner, state FROM streamiter.jobs;

-- a right that goes is missed
RESET ROLE;
REVOKE INSERT ON log FROM regress_streamiter_other;
REVOKE EXECUTE ON FUNCTION touch(integer) FROM PUBLIC;
SET ROLE regress_streamiter_other;
CALL streamiter.run('mine');
SELECT state, rows, sqlstate FROM streamiter.jobs;
RESET ROLE;
GRANT EXECUTE ON FUNCTION touch(integer) TO PUBLIC;
SET ROLE regress_streamiter_other;
CALL streamiter.run('mine');
SELECT state, rows, sqlstate FROM streamiter.jobs;
SELECT streamiter.drop_job('mine');
RESET ROLE;
SELECT streamiter.drop_job('mine');

SELECT streamiter.unregister_callback('logging');
SELECT streamiter.unregister_callback('range');
SET client_min_messages = warning;
DROP SCHEMA job_test CASCADE;
DROP ROLE regress_streamiter_other;
