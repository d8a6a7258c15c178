--
-- What a job does about errors: stop, skip, try again
--
SET client_min_messages = warning;
CREATE SCHEMA job_errors;
SET search_path = job_errors, public;
RESET client_min_messages;

CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT g FROM generate_series(1, 1000) g;

-- the counter tells how often a row's effects were committed
CREATE FUNCTION work(item, bad integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1.id;
	IF $1.id = ANY (bad) THEN
		RAISE check_violation USING message = 'bad row ' || $1.id,
			detail = 'some detail', hint = 'some hint';
	END IF;
END $$;
CREATE FUNCTION row_work(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM work($1, '{1,2,77,99,100,500,1000}');
END $$;

CREATE VIEW job AS
SELECT name, state, rows, batches, skipped, retries, sqlstate, message
FROM streamiter.jobs;
CREATE VIEW done AS
SELECT v, count(*) FROM item GROUP BY v ORDER BY v;

--
-- Stop: nothing of the batch is kept, and all is told
--
SELECT streamiter.create_job('stop', 'TABLE item', 'row_work(item)',
	chunk_size => 50);
UPDATE item SET id = -id WHERE id IN (1, 2);
CALL streamiter.run('stop');
SELECT * FROM job;
SELECT outcome, rows, sqlstate, message, detail, hint, first_key, last_key
FROM streamiter.runs;
SELECT context FROM streamiter.runs;
SELECT * FROM done;

-- and again, as nothing has changed
CALL streamiter.run('stop');
SELECT state, rows FROM job;

-- when it has, the job goes on
UPDATE item SET id = id + 10000 WHERE id IN (77, 99, 100, 500, 1000);
CALL streamiter.run('stop');
SELECT state, rows FROM job;
SELECT streamiter.drop_job('stop');
UPDATE item SET id = id - 10000 WHERE id > 10000;
UPDATE item SET id = -id WHERE id < 0;

--
-- Skip: the bad rows are set aside, all others done once
--
UPDATE item SET v = 0;
SELECT streamiter.create_job('rows', 'TABLE item', 'row_work(item)',
	chunk_size => 100, on_error => 'skip');
CALL streamiter.run('rows');
SELECT * FROM job;
SELECT * FROM done;
SELECT key, row_data, sqlstate, message, detail, hint, attempts
FROM streamiter.skipped ORDER BY row_data -> 'id';
SELECT context FROM streamiter.skipped ORDER BY row_data -> 'id' LIMIT 1;

-- a job with skips has not just finished
CALL streamiter.run('rows');

-- they can be tried again
SELECT streamiter.retry_skipped('rows');
SELECT state FROM job;
CALL streamiter.run('rows');
SELECT state, skipped FROM job;
SELECT key, attempts FROM streamiter.skipped ORDER BY row_data -> 'id';
CREATE OR REPLACE FUNCTION row_work(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM work($1, '{77}');
END $$;
SELECT streamiter.alter_job('rows', acknowledge => true);
SELECT streamiter.retry_skipped('rows');
DELETE FROM item WHERE id = 500;
INSERT INTO item VALUES (500, -9);
CALL streamiter.run('rows');
SELECT state, skipped FROM job;
SELECT key, attempts FROM streamiter.skipped;
SELECT * FROM done;
UPDATE item SET id = 7777 WHERE id = 77;
SELECT streamiter.retry_skipped('rows');
CALL streamiter.run('rows');
SELECT state, skipped FROM job;
SELECT streamiter.drop_job('rows');

-- every callback that takes a batch: halves, until the bad row stands alone
UPDATE item SET id = 77 WHERE id = 7777;
CREATE FUNCTION batch_work(integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = ANY ($1);
	IF $1 && '{1,2,77,500,1000}' THEN
		RAISE check_violation USING message = 'bad batch';
	END IF;
END $$;
SELECT streamiter.register_callback('batch_work', 'batch_work(integer[])',
	per => 'batch');
SELECT streamiter.register_statement('array_work', 'UPDATE job_errors.item
	SET v = v + 1 / (id - 77) * 0 + 1 WHERE id = ANY ($1)');
SELECT streamiter.register_statement('range_work', 'UPDATE job_errors.item
	SET v = v + 1 / (id - 77) * 0 + 1 WHERE id BETWEEN $1 AND $2',
	per => 'range');
UPDATE item SET v = 0;
SELECT streamiter.create_job('batches', 'SELECT id FROM item', 'batch_work',
	chunk_size => 128, on_error => 'skip');
CALL streamiter.run('batches');
SELECT * FROM job;
SELECT key, message FROM streamiter.skipped ORDER BY row_data -> 'id';
SELECT * FROM done;
SELECT streamiter.drop_job('batches');

UPDATE item SET v = 0;
SELECT streamiter.create_job('arrays', 'SELECT id FROM item', 'array_work',
	chunk_size => 128, on_error => 'skip');
CALL streamiter.run('arrays');
SELECT key, row_data, message FROM streamiter.skipped;
SELECT * FROM done;
SELECT streamiter.drop_job('arrays');

UPDATE item SET v = 0;
SELECT streamiter.create_job('ranges', 'SELECT id FROM item', 'range_work',
	chunk_size => 128, on_error => 'skip');
CALL streamiter.run('ranges');
SELECT key, row_data, message FROM streamiter.skipped;
SELECT * FROM done;
CALL streamiter.run('ranges');
SELECT streamiter.retry_skipped('ranges');
CALL streamiter.run('ranges');
SELECT key, row_data, message, attempts FROM streamiter.skipped;
SELECT * FROM done;

-- what a row tried again changes counts as that of any other
CREATE TABLE excuse (id integer PRIMARY KEY);
SELECT streamiter.register_statement('excused work', 'UPDATE job_errors.item
	SET v = v + 1 / (CASE WHEN id = 77 AND NOT EXISTS (SELECT FROM job_errors.excuse e
		WHERE e.id = item.id) THEN 0 ELSE 1 END) WHERE id BETWEEN $1 AND $2',
	per => 'range');
SELECT streamiter.reset('ranges');
SELECT streamiter.alter_job('ranges', callback => 'excused work');
UPDATE item SET v = 0;
CALL streamiter.run('ranges');
SELECT streamiter.retry_skipped('ranges');
CALL streamiter.run('ranges');
INSERT INTO excuse VALUES (77);
SELECT streamiter.retry_skipped('ranges');
CALL streamiter.run('ranges');
SELECT outcome, rows, skipped, affected, wal_bytes > 0 AS wal
FROM streamiter.runs WHERE name = 'ranges' ORDER BY run DESC LIMIT 3;
SELECT state, rows, skipped, affected FROM streamiter.jobs WHERE name = 'ranges';
SELECT * FROM done;
SELECT streamiter.drop_job('ranges');
SELECT streamiter.unregister_callback('excused work');

-- one row more than max_skips fails the job; what was set aside stays so
CREATE OR REPLACE FUNCTION row_work(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM work($1, '{1,2,77,99,100,500,1000}');
END $$;
UPDATE item SET v = 0;
SELECT streamiter.create_job('few', 'TABLE item', 'row_work(item)',
	chunk_size => 30, on_error => 'skip', max_skips => 3);
CALL streamiter.run('few');
SELECT state, rows, skipped, sqlstate FROM job;
SELECT key FROM streamiter.skipped ORDER BY row_data -> 'id';
SELECT * FROM done;
SELECT streamiter.alter_job('few', max_skips => 7);
CALL streamiter.run('few');
SELECT state, rows, skipped, sqlstate FROM job;
SELECT * FROM done;

-- reset forgets them
SELECT streamiter.reset('few');
SELECT count(*) FROM streamiter.skipped;
SELECT streamiter.drop_job('few');

-- every row of a batch is bad; the rest is not taken for the end
CREATE FUNCTION bad_middle(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1.id;
	IF $1.id BETWEEN 11 AND 20 THEN RAISE 'bad'; END IF;
END $$;
UPDATE item SET v = 0;
SELECT streamiter.create_job('middle', 'TABLE item', 'bad_middle(item)',
	chunk_size => 10, on_error => 'skip');
CALL streamiter.run('middle', max_rows => 15);
SELECT state, rows, skipped FROM job;
CALL streamiter.run('middle');
SELECT state, rows, skipped FROM job;
SELECT * FROM done;
SELECT streamiter.drop_job('middle');

-- the source itself fails for a row: its key can still be had
SELECT streamiter.create_job('source', 'SELECT id, 1 / (id - 77) AS x FROM item',
	'array_work', chunk_size => 100, on_error => 'skip');
SELECT streamiter.create_job('source_stop',
	'SELECT id, 1 / (id - 77) AS x FROM item', 'array_work', chunk_size => 100);
CALL streamiter.run('source');
CALL streamiter.run('source_stop');
SELECT * FROM job ORDER BY name;
SELECT key, row_data, message FROM streamiter.skipped;
SELECT streamiter.drop_job('source');
SELECT streamiter.drop_job('source_stop');

-- the same where fetches look one row ahead
CREATE VIEW items AS SELECT * FROM item;
CREATE FUNCTION two(integer, integer) RETURNS void LANGUAGE sql AS
	'UPDATE job_errors.item SET v = v + 1 WHERE id = $1';
UPDATE item SET v = 0;
SELECT streamiter.create_job('ahead', 'SELECT i.id, 1 / (i.id - 77) AS x
	FROM items i JOIN item j USING (id)', 'two(integer, integer)',
	key => '{id}', chunk_size => 100, on_error => 'skip',
	allow_slow_plan => true);
CALL streamiter.run('ahead');
SELECT * FROM job;
SELECT key, row_data, message FROM streamiter.skipped;
SELECT * FROM done;
SELECT streamiter.drop_job('ahead');

--
-- Errors that come at commit: they are the batch's
--
CREATE TABLE parent (id integer PRIMARY KEY);
INSERT INTO parent SELECT g FROM generate_series(1, 100) g WHERE g <> 42;
CREATE TABLE child (id integer PRIMARY KEY,
	parent integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION adopt(item) RETURNS void LANGUAGE sql AS
	'INSERT INTO job_errors.child VALUES ($1.id, $1.id)';
SELECT streamiter.create_job('deferred',
	'SELECT * FROM item WHERE id <= 100', 'adopt(item)', chunk_size => 20);
CALL streamiter.run('deferred');
SELECT state, rows FROM job;
SELECT count(*) FROM child;
SELECT streamiter.alter_job('deferred', on_error => 'skip');
CALL streamiter.run('deferred');
SELECT state, rows, skipped FROM job;
SELECT key, sqlstate FROM streamiter.skipped;
SELECT count(*) FROM child;
SELECT streamiter.drop_job('deferred');

--
-- Never skipped: what is not about the row
--
CREATE FUNCTION fatal(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1.id = 15 THEN
		RAISE EXCEPTION USING
			ERRCODE = current_setting('job_errors.code'),
			MESSAGE = 'error ' || current_setting('job_errors.code');
	END IF;
END $$;
SELECT streamiter.create_job('fatal', 'TABLE item', 'fatal(item)',
	chunk_size => 10, on_error => 'skip');
\set VERBOSITY terse
SET job_errors.code = '57014';
CALL streamiter.run('fatal');
SELECT state, rows, skipped, sqlstate FROM job;
SET job_errors.code = '57P01';
CALL streamiter.run('fatal');
SET job_errors.code = '53100';
CALL streamiter.run('fatal');
SET job_errors.code = '54001';
CALL streamiter.run('fatal');
SET job_errors.code = '58030';
CALL streamiter.run('fatal');
SET job_errors.code = 'XX001';
CALL streamiter.run('fatal');
SET job_errors.code = '25006';
CALL streamiter.run('fatal');
SET job_errors.code = '26000';
CALL streamiter.run('fatal');
SET job_errors.code = '2D000';
CALL streamiter.run('fatal');
SET job_errors.code = '34000';
CALL streamiter.run('fatal');
SET job_errors.code = 'P0004';
CALL streamiter.run('fatal');
SELECT state, rows, skipped, sqlstate FROM job;
\set VERBOSITY default
SELECT count(*) FROM streamiter.skipped;
SELECT streamiter.drop_job('fatal');

-- statement_timeout covers the whole CALL, and says so
CREATE FUNCTION slow(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1.id = 15 THEN PERFORM pg_sleep(60); END IF;
END $$;
SELECT streamiter.create_job('slow', 'TABLE item', 'slow(item)',
	chunk_size => 10, on_error => 'skip');
CALL streamiter.run('slow', max_rows => 10);
-- on a slow machine it may strike before that row
\set SHOW_CONTEXT never
SET statement_timeout = '1s';
CALL streamiter.run('slow');
RESET statement_timeout;
\set SHOW_CONTEXT errors
SELECT state, rows, skipped, sqlstate FROM job;
SELECT streamiter.drop_job('slow');

--
-- Tried again: deadlocks, serialization failures, lock timeouts.  A sequence
-- does not roll back, so it knows how often a row was tried.
--
CREATE SEQUENCE tries;
CREATE FUNCTION flaky(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1.id;
	IF $1.id = 15 AND nextval('job_errors.tries') <= 2 THEN
		RAISE deadlock_detected;
	END IF;
END $$;
UPDATE item SET v = 0;
SELECT streamiter.create_job('flaky', 'TABLE item', 'flaky(item)',
	chunk_size => 10);
CALL streamiter.run('flaky');
SELECT state, rows, skipped, retries FROM job;
SELECT outcome, retries FROM streamiter.runs ORDER BY run;
SELECT * FROM done;

-- but not for ever
SELECT setval('tries', 1, false);
SELECT streamiter.reset('flaky');
SELECT streamiter.alter_job('flaky', max_retries => 1);
CALL streamiter.run('flaky');
SELECT state, rows, skipped, sqlstate FROM job;
SELECT outcome, retries FROM streamiter.runs ORDER BY run;
SELECT streamiter.drop_job('flaky');

-- a row that somebody keeps locked
CREATE FUNCTION locked(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1.id = 15 THEN RAISE lock_not_available; END IF;
END $$;
SELECT streamiter.create_job('locked', 'TABLE item', 'locked(item)',
	chunk_size => 10, on_error => 'skip', max_retries => 1,
	lock_timeout => '1 s');
CALL streamiter.run('locked');
SELECT state, rows, skipped, retries FROM job;
SELECT key, attempts FROM streamiter.skipped;
SELECT streamiter.drop_job('locked');

--
-- Pause and cancel at odd moments
--
CREATE TABLE ask (id integer, call text);
CREATE FUNCTION asking(item) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	call text;
BEGIN
	FOR call IN SELECT ask.call FROM ask WHERE id = $1.id LOOP
		EXECUTE 'SELECT ' || call;
	END LOOP;
END $$;
UPDATE item SET v = 0;
SELECT streamiter.create_job('asked', 'SELECT * FROM item WHERE id <= 30', 'asking(item)',
	chunk_size => 10, on_error => 'skip');

-- in the last batch it is too late, also for when rows are tried again
INSERT INTO ask VALUES (5, '1 / 0'), (15, '1 / 0'), (30, $$streamiter.cancel('asked')$$);
CALL streamiter.run('asked');
SELECT state, rows, skipped FROM job;
SELECT streamiter.resume('asked');
SELECT streamiter.retry_skipped('asked');
SELECT state FROM job;
CALL streamiter.run('asked');
UPDATE ask SET call = $$streamiter.pause('asked')$$ WHERE id = 30;
SELECT streamiter.reset('asked');
CALL streamiter.run('asked');
SELECT streamiter.alter_job('asked', recurrence => 'repeat');
SELECT state FROM job;
SELECT streamiter.alter_job('asked', recurrence => 'once');

-- among rows that are tried again: the next is left alone
UPDATE ask SET call = $$streamiter.pause('asked')$$ WHERE id = 5;
SELECT streamiter.retry_skipped('asked');
CALL streamiter.run('asked');
SELECT state, skipped FROM job;
SELECT key, attempts FROM streamiter.skipped;
SELECT streamiter.resume('asked');
CALL streamiter.run('asked');
SELECT key, attempts FROM streamiter.skipped;

-- what is being cancelled is not cancelled yet, and cannot be resumed either
UPDATE ask SET call = $$streamiter.cancel('asked'), streamiter.resume('asked')$$
WHERE id = 5;
SELECT streamiter.reset('asked');
SELECT streamiter.alter_job('asked', on_error => 'stop');
CALL streamiter.run('asked');
SELECT state, rows FROM job;
SELECT streamiter.drop_job('asked');

--
-- Transaction ids: two per attempt
--
CREATE FUNCTION next_xid() RETURNS bigint LANGUAGE sql AS
	'SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint';
SELECT streamiter.create_job('xids', 'TABLE item', 'row_work(item)',
	chunk_size => 10, on_error => 'skip');
SELECT next_xid() AS before \gset
CALL streamiter.run('xids');
SELECT next_xid() - :before < 2 * (100 + 7 * 4) + 20 AS few;
SELECT streamiter.drop_job('xids');
SELECT streamiter.create_job('xids', 'SELECT id FROM item', 'range_work',
	chunk_size => 128, on_error => 'skip');
SELECT next_xid() AS before \gset
CALL streamiter.run('xids');
SELECT next_xid() - :before < 2 * (8 + 2 * 7 + 4) + 20 AS few;
SELECT streamiter.drop_job('xids');

SELECT streamiter.unregister_callback(name)
FROM (VALUES ('batch_work'), ('array_work'), ('range_work')) v(name);
SET client_min_messages = warning;
DROP SCHEMA job_errors CASCADE;
