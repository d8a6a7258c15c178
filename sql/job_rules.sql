--
-- What a job's callback may not do, and jobs whose owner is gone
--
SET client_min_messages = warning;
CREATE SCHEMA job_rules;
SET search_path = job_rules, public;
CREATE ROLE regress_streamiter_gone;
CREATE ROLE regress_streamiter_other;
GRANT USAGE, CREATE ON SCHEMA job_rules TO regress_streamiter_gone, regress_streamiter_other;
RESET client_min_messages;

CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT generate_series(1, 10);
GRANT SELECT, UPDATE ON item TO regress_streamiter_gone, regress_streamiter_other;

--
-- Be another role when the batch is committed: whatever came next would be
-- done as that role
--
CREATE FUNCTION as_other(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1;
	IF $1 >= 5 THEN
		SET ROLE regress_streamiter_other;
	END IF;
END $$;
SELECT streamiter.create_job('roles', 'SELECT id FROM item',
	'as_other(integer)', chunk_size => 2, on_error => 'skip');
CALL streamiter.run('roles');
SELECT CURRENT_USER = SESSION_USER AS still_myself;
SELECT state, rows, sqlstate FROM streamiter.jobs;
SELECT sum(v) FROM item;

-- nor when a row is tried again
CREATE FUNCTION bad_then_other(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('job_rules.mended', true) IS NULL THEN
		RAISE 'bad row';
	END IF;
	SET ROLE regress_streamiter_other;
END $$;
SELECT streamiter.drop_job('roles');
SELECT streamiter.create_job('roles', 'SELECT id FROM item WHERE id = 3',
	'bad_then_other(integer)', on_error => 'skip');
CALL streamiter.run('roles');
SELECT streamiter.retry_skipped('roles');
SET job_rules.mended = 'yes';
CALL streamiter.run('roles');
SELECT CURRENT_USER = SESSION_USER AS still_myself;
SELECT key, attempts FROM streamiter.skipped;
RESET job_rules.mended;

-- within the callback it may be whom it likes
CREATE FUNCTION there_and_back(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	SET ROLE regress_streamiter_other;
	UPDATE item SET v = v + 1 WHERE id = $1;
	RESET ROLE;
END $$;
SELECT streamiter.drop_job('roles');
SELECT streamiter.create_job('roles', 'SELECT id FROM item',
	'there_and_back(integer)', chunk_size => 4);
CALL streamiter.run('roles');
SELECT streamiter.drop_job('roles');

-- what the job has recorded holds for each batch, whatever the last one set;
-- other settings stay as the callback leaves them
CREATE FUNCTION setting(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '%: %, %, %', $1, current_setting('search_path'),
		current_setting('TimeZone'), current_setting('job_rules.mark', true);
	PERFORM set_config('search_path', 'pg_catalog', false);
	SET TimeZone = 'Asia/Tokyo';
	PERFORM set_config('job_rules.mark', 'left by ' || $1, false);
END $$;
SET TimeZone = 'UTC';
SELECT streamiter.create_job('settings', 'SELECT id FROM item WHERE id < 3',
	'setting(integer)', chunk_size => 1);
CALL streamiter.run('settings');
SHOW job_rules.mark;
SET search_path = job_rules, public;
RESET TimeZone;
SELECT streamiter.drop_job('settings');

-- one that forbids to write ends the run, and that is written down
CREATE FUNCTION forbids(integer) RETURNS void LANGUAGE sql AS
	'SET default_transaction_read_only = on';
SELECT streamiter.create_job('settings', 'SELECT id FROM item',
	'forbids(integer)', chunk_size => 1);
\set VERBOSITY terse
CALL streamiter.run('settings');
\set VERBOSITY default
RESET default_transaction_read_only;
SELECT state, rows, sqlstate FROM streamiter.jobs;
SELECT streamiter.drop_job('settings');

--
-- Run a job: a batch is one transaction
--
CREATE FUNCTION running(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CALL streamiter.run(''inner'')';
END $$;
CREATE FUNCTION touch(integer) RETURNS void LANGUAGE sql AS
	'UPDATE item SET v = v + 1 WHERE id = $1';
SELECT streamiter.create_job('inner', 'SELECT id FROM item', 'touch(integer)');
SELECT streamiter.create_job('outer', 'SELECT id FROM item',
	'running(integer)');
\set VERBOSITY terse
CALL streamiter.run('outer');
\set VERBOSITY default
SELECT sqlstate, message, hint FROM streamiter.runs WHERE name = 'outer';
SELECT name, state FROM streamiter.jobs ORDER BY name;
CALL streamiter.run('inner');
SELECT streamiter.drop_job('inner');
SELECT streamiter.drop_job('outer');

--
-- A role goes without asking us, and leaves a job that nobody owns
--
SET ROLE regress_streamiter_gone;
SELECT streamiter.create_job('left', 'SELECT id FROM item', 'touch(integer)',
	chunk_size => 2);
CALL streamiter.run('left', max_rows => 4);
RESET ROLE;
REASSIGN OWNED BY regress_streamiter_gone TO regress_streamiter_other;
DROP OWNED BY regress_streamiter_gone;
SELECT name, state, rows FROM streamiter.jobs;
\set VERBOSITY terse
SELECT streamiter.drop_job('left');
\set VERBOSITY default
DROP ROLE regress_streamiter_gone;
SELECT name, state, rows FROM streamiter.jobs;
SET ROLE regress_streamiter_other;
SELECT count(*) FROM streamiter.jobs;
SELECT streamiter.drop_job('left');
RESET ROLE;
CALL streamiter.run('left');
SELECT streamiter.drop_job('left');
SELECT streamiter.drop_job('left');
SELECT count(*) FROM streamiter.job;
SELECT count(*) FROM streamiter.slice;

SET client_min_messages = warning;
DROP SCHEMA job_rules CASCADE;
DROP ROLE regress_streamiter_other;
