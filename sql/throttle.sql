-- Settings that pace a job: what is taken, what is refused; waits themselves
-- are tested in src/test/t/031_throttle.pl, their arithmetic in 030_pace.pl

SET client_min_messages = warning;
CREATE SCHEMA throttle_test;
SET search_path = throttle_test;
SET client_min_messages = notice;
\set VERBOSITY terse
CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT generate_series(1, 100);
CREATE FUNCTION work(integer) RETURNS void LANGUAGE sql
AS 'UPDATE throttle_test.item SET n = n + 1 WHERE id = $1';
SELECT streamiter.create_job('j', 'SELECT id FROM item', 'work(integer)');

-- off unless set
SELECT target_batch_time, min_chunk_size, max_chunk_size, batch_timeout,
	max_rows_per_second, max_wal_rate, max_replica_lag, throttle_query
FROM streamiter.jobs WHERE name = 'j';

-- set by another session or this one, NULL leaves them, unset takes them away
SELECT streamiter.alter_job('j', target_batch_time => '250 ms',
	min_chunk_size => 10, max_chunk_size => 5000, batch_timeout => '1 min',
	max_rows_per_second => 1000000, max_wal_rate => '16 MB',
	max_replica_lag => '10 s', throttle_query => 'SELECT count(*) > 1000 FROM item');
SELECT streamiter.alter_job('j', max_wal_rate => '1GB');
SELECT target_batch_time, min_chunk_size, max_chunk_size, batch_timeout,
	max_rows_per_second, max_wal_rate, max_replica_lag, throttle_query
FROM streamiter.jobs WHERE name = 'j';
SELECT streamiter.alter_job('j', unset => '{max_replica_lag, throttle_query, max_wal_rate}');
SELECT target_batch_time, min_chunk_size, max_chunk_size, batch_timeout,
	max_rows_per_second, max_wal_rate, max_replica_lag, throttle_query
FROM streamiter.jobs WHERE name = 'j';
CALL streamiter.run('j');
SELECT DISTINCT n FROM item;
SELECT wait_time FROM streamiter.runs WHERE name = 'j';

-- what is out of bounds; a limit of nothing is none that anybody means
\set VERBOSITY default
SELECT streamiter.alter_job('j', max_rows_per_second => 0);
\set VERBOSITY terse
SELECT streamiter.alter_job('j', max_rows_per_second => -1);
SELECT streamiter.alter_job('j', max_rows_per_second => 9223372036854775807);
SELECT streamiter.alter_job('j', max_wal_rate => '0');
SELECT streamiter.alter_job('j', max_wal_rate => '-1 MB');
SELECT streamiter.alter_job('j', max_wal_rate => '1 PB');
SELECT streamiter.alter_job('j', max_wal_rate => 'fast');
SELECT streamiter.alter_job('j', max_replica_lag => '0');
SELECT streamiter.alter_job('j', max_replica_lag => '-1 s');
SELECT streamiter.alter_job('j', max_replica_lag => '178000000 years');
SELECT streamiter.alter_job('j', target_batch_time => '0');
SELECT streamiter.alter_job('j', target_batch_time => '2 hours');
SELECT streamiter.alter_job('j', target_batch_time => '-1 month');
SELECT streamiter.alter_job('j', batch_timeout => '0');
SELECT streamiter.alter_job('j', batch_timeout => '25 days');
SELECT streamiter.alter_job('j', min_chunk_size => 0);
SELECT streamiter.alter_job('j', max_chunk_size => 1000001);
SELECT streamiter.alter_job('j', batch_pause => '-1 s');
SELECT streamiter.alter_job('j', lock_timeout => '-1 s');
SELECT streamiter.alter_job('j', max_retries => -1);
SELECT streamiter.create_job('bad', 'SELECT id FROM item', 'work(integer)',
	max_rows_per_second => 0);

-- what contradicts something else, whichever comes first
\set VERBOSITY default
SELECT streamiter.alter_job('j', batch_timeout => '250 ms');
SELECT streamiter.alter_job('j', min_chunk_size => 6000);
SELECT streamiter.alter_job('j', chunk_size => 6000);
SELECT streamiter.alter_job('j', chunk_size => 9);
\set VERBOSITY terse
SELECT streamiter.alter_job('j', target_batch_time => '1 min');
SELECT streamiter.alter_job('j', chunk_size => 6000, max_chunk_size => 6000);

-- what there is not, and whose it is not
SELECT streamiter.alter_job('j', unset => '{speed}');
SELECT streamiter.alter_job('j', unset => ARRAY[NULL]);
CREATE ROLE regress_streamiter_other;
SET ROLE regress_streamiter_other;
SELECT streamiter.alter_job('j', max_rows_per_second => 1);
RESET ROLE;
DROP ROLE regress_streamiter_other;

-- a throttle query is a SELECT of one boolean
\set VERBOSITY default
SELECT streamiter.alter_job('j', throttle_query => 'SELECT 1');
\set VERBOSITY terse
SELECT streamiter.alter_job('j', throttle_query => 'SELECT true, false');
SELECT streamiter.alter_job('j', throttle_query => '');
SELECT streamiter.alter_job('j', throttle_query => 'SELECT true; SELECT true');
SELECT streamiter.alter_job('j', throttle_query => 'UPDATE item SET n = 0 RETURNING true');
SELECT streamiter.alter_job('j', throttle_query =>
	'WITH w AS (UPDATE item SET n = 0 RETURNING true AS up) SELECT up FROM w');
SELECT streamiter.alter_job('j', throttle_query => 'SELECT true FROM item FOR UPDATE');
SELECT streamiter.alter_job('j', throttle_query => 'SELECT true INTO made');
SELECT streamiter.alter_job('j', throttle_query => 'CREATE TABLE made ()');
SELECT streamiter.alter_job('j', throttle_query => 'SELECT up FROM nowhere');
SELECT streamiter.alter_job('j', throttle_query => 'SELECT $1::boolean');
SELECT streamiter.alter_job('j', throttle_query => 'VALUES (false)');
SELECT throttle_query FROM streamiter.jobs WHERE name = 'j';

-- its answer counts only if it is one
SELECT streamiter.create_job('q', 'SELECT id FROM item', 'work(integer)',
	max_retries => 0, throttle_query => 'SELECT NULL::boolean');
\set VERBOSITY default
CALL streamiter.run('q');
\set VERBOSITY terse
SELECT streamiter.alter_job('q', throttle_query => 'SELECT true WHERE false');
CALL streamiter.run('q');
SELECT streamiter.alter_job('q', throttle_query => 'SELECT false FROM item');
CALL streamiter.run('q');
SELECT streamiter.alter_job('q', throttle_query => 'SELECT 1 / count(*) = 0 FROM item WHERE id > 100');
CALL streamiter.run('q');
SELECT state, rows FROM streamiter.jobs WHERE name = 'q';

-- it finds what the job would find
SELECT streamiter.alter_job('q', throttle_query => 'SELECT count(*) <> 100 FROM item');
SET search_path = pg_catalog;
CALL streamiter.run('q');
SET search_path = throttle_test;
SELECT DISTINCT n FROM item;

-- too long is too long, whoever waits: here a single row does.  The others are to
-- be in time on a slow machine, too.
CREATE FUNCTION sleep_at_50(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = 50 THEN PERFORM pg_sleep(60); END IF;
END $$;
SELECT streamiter.create_job('t', 'SELECT id FROM item', 'sleep_at_50(integer)',
	chunk_size => 4, batch_timeout => '1 s', on_error => 'skip');
SET client_min_messages = warning;
CALL streamiter.run('t');
SELECT key, sqlstate, message FROM streamiter.skipped WHERE name = 't';
-- one that will not be cancelled is late nevertheless
CREATE FUNCTION stubborn(integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = 50 THEN PERFORM pg_sleep(60); END IF;
EXCEPTION WHEN query_canceled THEN
	NULL;
END $$;
SELECT streamiter.alter_job('t', callback => 'stubborn(integer)');
SELECT streamiter.retry_skipped('t');
CALL streamiter.run('t');
SELECT key, sqlstate, attempts FROM streamiter.skipped WHERE name = 't';
SELECT state, rows FROM streamiter.jobs WHERE name = 't';

SELECT streamiter.drop_job(name) FROM streamiter.jobs;
DROP SCHEMA throttle_test CASCADE;
