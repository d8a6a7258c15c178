--
-- How far jobs and walks are, and what is remembered of runs
--
SET client_min_messages = warning;
CREATE SCHEMA progress_test;
SET search_path = progress_test, public;
RESET client_min_messages;

-- percent: 100 only for what is over, never below 0, never more
SELECT rows, total, over, streamiter.progress_percent(rows, total, over)
FROM (VALUES (0::bigint, 0::bigint, false), (0, NULL, false), (-5, 10, false),
	(1, 0, false), (5, -3, false), (1, 3, false), (9994, 10000, false),
	(9996, 10000, false), (10000, 10000, false), (20000, 10000, false),
	(3, 10000, true), (0, NULL, true), (NULL, NULL, NULL),
	(9223372036854775806, 9223372036854775807, false)) v (rows, total, over);

-- it never falls while rows grow
SELECT count(*) FROM (
	SELECT p, lag(p) OVER (ORDER BY g) AS before
	FROM (SELECT g, streamiter.progress_percent(g, 777, false) AS p
		FROM generate_series(0, 2000) g) x) y
WHERE p < before OR p < 0 OR p >= 100;

SELECT p, streamiter.progress_bar(p)
FROM (VALUES (0::float8), (4.9), (5), (50), (99.9), (100), (-1), (101),
	('NaN')) v (p);

-- the line, and the rate in it, with a clock of our own: ms, rows, total
CREATE FUNCTION line(bigint[], bigint[], bigint) RETURNS text
	AS '$libdir/streamiter', 'streamiter_progress_line' LANGUAGE C STRICT;
-- at the start nothing is known
SELECT line('{0}', '{0}', 1000);
-- a steady walk
SELECT line('{0, 1000}', '{0, 100}', 1000);
SELECT line(array_agg(g * 1000), array_agg(g * 100), 1000000)
FROM generate_series(0, 100) g;
-- one that became slower is shown as it is now, not on average
SELECT line(array_agg(g * 1000), array_agg(100000 + g * 10), 1000000)
FROM (SELECT -1000 AS g UNION ALL SELECT generate_series(0, 60)) g;
-- one that stands still
SELECT line('{0, 6000, 12000, 18000}', '{0, 600, 600, 600}', 1000);
-- a total that was too low; one that is not known
SELECT line('{0, 1000}', '{0, 100}', 50);
SELECT line('{0, 1000}', '{0, 100}', 0);
-- a clock that was put back
SELECT line('{1000000, 1001000, 1000, 2000}', '{0, 100, 150, 200}', 1000);
-- a rate at which it would take for ever
SELECT line('{0, 1000}', '{0, 1}', 9000000000000000);

CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT g FROM generate_series(1, 1000) g;
ANALYZE item;
CREATE FUNCTION work(item) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET v = v + 1 WHERE id = $1.id;
END $$;

-- a job from its creation to its end
SELECT streamiter.create_job('far', 'TABLE item', 'work(item)',
	chunk_size => 100);
CREATE VIEW shown AS
SELECT kind, name, owner = current_user::regrole AS mine, state, pid, pass, rows,
	total_rows, total_is_exact, percent, bar, rows_per_second, eta, wait_reason,
	query FROM streamiter.progress WHERE name = 'far';
SELECT * FROM shown;
CALL streamiter.run('far', max_rows => 250);
SELECT * FROM shown;
-- the total is the pass's, whatever the planner thinks of later
INSERT INTO item SELECT g FROM generate_series(2001, 9000) g;
ANALYZE item;
CALL streamiter.run('far', max_rows => 100);
SELECT * FROM shown;
CALL streamiter.run('far');
SELECT * FROM shown;

-- rows that are tried again, while that goes on and when it fails: all others are done
CREATE TABLE seen (percent float8, state text);
CREATE FUNCTION fail_or_look(id integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF id % 40 = 7 AND current_setting('progress_test.fail', true) = 'on' THEN
		RAISE 'bad row %', id;
	END IF;
	INSERT INTO seen SELECT percent, state FROM streamiter.progress WHERE name = 'again';
END $$;
SELECT streamiter.create_job('again', 'SELECT id FROM item WHERE id <= 100',
	'fail_or_look(integer)', chunk_size => 10, on_error => 'skip');
CREATE VIEW again AS
SELECT state, rows, skipped, percent, bar FROM streamiter.progress WHERE name = 'again';
SET progress_test.fail = on;
CALL streamiter.run('again');
SELECT * FROM again;
SELECT max(percent) < 100 AS below FROM seen;
SELECT streamiter.retry_skipped('again');
SELECT * FROM again;
RESET progress_test.fail;
TRUNCATE seen;
CALL streamiter.run('again', max_rows => 1);
SELECT outcome FROM streamiter.runs WHERE name = 'again' ORDER BY run DESC LIMIT 1;
SELECT * FROM again;
CALL streamiter.run('again');
SELECT * FROM again;
SELECT * FROM seen;
SELECT streamiter.reset('again');
SELECT * FROM again;
SELECT streamiter.drop_job('again');

-- an estimate far too low, then a total that is exact
DELETE FROM item WHERE id <= 8000;
VACUUM ANALYZE item;
INSERT INTO item SELECT g FROM generate_series(1, 2500) g;
SELECT streamiter.reset('far');
SELECT * FROM shown;
SET streamiter.exact_totals = on;
CALL streamiter.run('far', max_rows => 350);
RESET streamiter.exact_totals;
SELECT * FROM shown;

-- what a walk itself sees of it, where it is shown
CREATE FUNCTION peek(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM streamiter.progress
	WHERE kind = 'for_each' AND (rows NOT IN (0, 1000)
		OR percent NOT BETWEEN 0 AND 99.9 OR pid <> pg_backend_pid());
	IF FOUND THEN RAISE 'bad progress'; END IF;
END $$;
SELECT rows FROM streamiter.for_each(
	'SELECT max(id) OVER () FROM item LIMIT 1500', 'peek(integer)', chunk_size => 1000);
SELECT count(*) FROM streamiter.progress WHERE kind = 'for_each';

-- history: as many runs as there is room for
SELECT run_by = session_user AS by_me, pass, outcome, rows, batches,
	wal_bytes > rows * 20 AS wal
FROM streamiter.runs WHERE name = 'far' ORDER BY run;
SET streamiter.history_limit = 3;
CALL streamiter.run('far', max_rows => 10);
SELECT pass, outcome, rows FROM streamiter.runs WHERE name = 'far' ORDER BY run;
SET streamiter.history_limit = 1;
CALL streamiter.run('far', max_rows => 20);
SELECT pass, outcome, rows FROM streamiter.runs WHERE name = 'far' ORDER BY run;
SELECT state, rows, total_rows FROM shown;
-- pass numbers go on, though the runs that had them are forgotten
SELECT streamiter.reset('far');
CALL streamiter.run('far', max_rows => 20);
CALL streamiter.run('far', max_rows => 20);
SELECT pass, outcome, rows FROM streamiter.runs WHERE name = 'far' ORDER BY run;
RESET streamiter.history_limit;
SET streamiter.history_limit = 0;
SET streamiter.history_limit = 1000001;

-- a line of progress is no business of a fast job
\set VERBOSITY sqlstate
SET streamiter.progress_interval = -1;
SET streamiter.progress_interval = '2 days';
\set VERBOSITY default

-- who may see what
CREATE ROLE regress_streamiter_progress;
SET ROLE regress_streamiter_progress;
SELECT count(*) FROM streamiter.progress;
SELECT streamiter.job_state(id) FROM generate_series(1, 100) id
WHERE streamiter.job_state(id) IS NOT NULL;
RESET ROLE;
GRANT pg_read_all_stats TO regress_streamiter_progress;
SET ROLE regress_streamiter_progress;
SELECT name, state, rows FROM streamiter.progress;
RESET ROLE;
DROP ROLE regress_streamiter_progress;

SELECT streamiter.drop_job('far');
SET client_min_messages = warning;
DROP SCHEMA progress_test CASCADE;
