--
-- Trying a job's batches, and undoing them
--
SET client_min_messages = warning;
CREATE SCHEMA dry_test;
SET search_path = dry_test, public;
RESET client_min_messages;

CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT g FROM generate_series(1, 1000) g;
ANALYZE item;
CREATE FUNCTION work(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1.id;
END $$;
SELECT streamiter.create_job('try', 'TABLE item', 'work(item)',
	chunk_size => 100);

-- without what is not the same each time
CREATE FUNCTION dry(name text, batches integer DEFAULT 5,
	OUT rows bigint, OUT batches_tried bigint, OUT more boolean,
	OUT sane boolean)
LANGUAGE sql AS $$
	SELECT rows, batches_tried, estimated_rows > rows,
		elapsed > '0' AND elapsed < '1 min' AND rows_per_second > 0
		AND wal_bytes > rows * 20 AND wal_bytes < rows * 10000
		AND abs(wal_bytes_per_row - wal_bytes::float8 / rows) < 1
		AND estimated_time >= elapsed AND estimated_wal_bytes >= wal_bytes
	FROM streamiter.dry_run(name, batches)
$$;
CREATE VIEW state AS
SELECT j.state, j.pass, j.rows, j.pause_requested AS paused,
	(SELECT count(*) FROM streamiter.runs r WHERE r.name = j.name) AS runs,
	(SELECT sum(v) FROM item) AS sum
FROM streamiter.jobs j WHERE name = 'try';

SELECT * FROM dry('try');
SELECT * FROM dry('try', 1);
-- it sees the end
SELECT * FROM dry('try', 10);
SELECT * FROM dry('try', 11);
SELECT * FROM state;

-- it begins where the job stands
CALL streamiter.run('try', max_rows => 350);
SELECT * FROM dry('try', 2);
SELECT * FROM state;

-- in a transaction, beside work of its own and deferred constraints
CREATE TABLE child (id integer PRIMARY KEY,
	item_id integer REFERENCES item DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO item VALUES (5000);
INSERT INTO child VALUES (1, 6000);
UPDATE child SET item_id = 5000;
SELECT * FROM dry('try', 2);
INSERT INTO child VALUES (2, 7000);
SELECT streamiter.dry_run('try', 1);
ROLLBACK;
BEGIN;
INSERT INTO child VALUES (2, 5000);
SAVEPOINT s;
SELECT streamiter.dry_run('try', 1);
ROLLBACK TO s;
INSERT INTO item VALUES (5000);
SELECT * FROM dry('try', 1);
COMMIT;
SELECT * FROM state;
DELETE FROM child;
DELETE FROM item WHERE id = 5000;

-- nothing is left, not even locks
BEGIN;
SELECT * FROM dry('try', 2);
SELECT count(*) FROM pg_locks
WHERE pid = pg_backend_pid() AND relation = 'item'::regclass
AND mode = 'RowExclusiveLock';
COMMIT;
SELECT count(*) FROM pg_cursors;

-- jobs that would not run, and one that is over
SELECT streamiter.pause('try');
SELECT * FROM dry('try', 2);
SELECT * FROM state;
SELECT streamiter.resume('try');
CALL streamiter.run('try');
SELECT * FROM dry('try', 3);
SELECT * FROM state;
SELECT streamiter.reset('try');

-- errors are those of the batch, caught where the caller catches them
CREATE OR REPLACE FUNCTION work(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1.id;
	IF $1.id = 150 THEN
		RAISE 'no % here', $1.id USING ERRCODE = 'P0123', HINT = 'Look elsewhere.';
	END IF;
END $$;
SELECT streamiter.alter_job('try', acknowledge => true, on_error => 'skip');
SELECT * FROM dry('try', 1);
\set VERBOSITY terse
SELECT streamiter.dry_run('try', 2);
\set VERBOSITY default
DO $$
BEGIN
	PERFORM streamiter.dry_run('try', 2);
EXCEPTION WHEN SQLSTATE 'P0123' THEN
	RAISE NOTICE 'caught: %', SQLERRM;
END $$;
SELECT * FROM state;

-- the statement of a range job
SELECT streamiter.register_statement('add',
	'UPDATE item SET v = v + 1 WHERE id BETWEEN $1 AND $2', per => 'range');
SELECT streamiter.create_job('range', 'TABLE item', 'add', chunk_size => 400);
SELECT * FROM dry('range', 2);

-- a source without rows
CREATE TABLE nothing (id integer PRIMARY KEY);
CREATE FUNCTION noop(integer) RETURNS void LANGUAGE sql AS '';
SELECT streamiter.create_job('empty', 'TABLE nothing', 'noop(integer)');
SELECT rows, batches_tried, rows_per_second, wal_bytes_per_row,
	estimated_rows, estimated_time, estimated_wal_bytes
FROM streamiter.dry_run('empty');

-- a job cannot try itself
CREATE FUNCTION try_itself(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamiter.dry_run('self');
END $$;
SELECT streamiter.create_job('self', 'TABLE item', 'try_itself(item)');
\set VERBOSITY terse
CALL streamiter.run('self');
\set VERBOSITY default

-- bad input
SELECT streamiter.dry_run('try', 0);
SELECT streamiter.dry_run('try', -1);
SELECT streamiter.dry_run('try', 1000001);
SELECT streamiter.dry_run('try', NULL);
SELECT streamiter.dry_run(NULL);
SELECT streamiter.dry_run('unknown');
BEGIN READ ONLY;
SELECT streamiter.dry_run('try');
ROLLBACK;
CREATE ROLE regress_streamiter_dry;
SET ROLE regress_streamiter_dry;
SELECT streamiter.dry_run('try');
RESET ROLE;
DROP ROLE regress_streamiter_dry;

SET client_min_messages = warning;
SELECT count(streamiter.drop_job(name)) FROM streamiter.jobs;
SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks;
DROP SCHEMA dry_test CASCADE;
