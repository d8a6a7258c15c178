--
-- How a batch is read: no more of the index than its rows, and only the rows
-- that are there
--
SET client_min_messages = warning;
CREATE SCHEMA scan_test;
SET search_path = scan_test, public;
RESET client_min_messages;

CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT g FROM generate_series(1, 2000) g;
SELECT streamiter.register_statement('range',
	'UPDATE item SET v = v + 1 WHERE id BETWEEN $1 AND $2', per => 'range');
SELECT streamiter.register_statement('array',
	'UPDATE item SET v = v + 1 WHERE id = ANY ($1)');

-- What the index counted while a job ran
CREATE FUNCTION scans() RETURNS bigint LANGUAGE sql AS $$
	SELECT pg_stat_get_numscans('item_pkey'::regclass)
$$;

-- An array of all keys from the first to the last is one scan, not one for
-- each of them; how many there are besides is the same for both kinds
SELECT streamiter.create_job('array', 'TABLE item', 'array', chunk_size => 500);
SELECT streamiter.create_job('range', 'TABLE item', 'range', chunk_size => 500);
SELECT pg_stat_force_next_flush();
SELECT scans() AS before \gset
CALL streamiter.run('range');
SELECT pg_stat_force_next_flush();
SELECT scans() AS between \gset
CALL streamiter.run('array');
SELECT pg_stat_force_next_flush();
SELECT scans() - :between <= :between - :before AS no_more, :between - :before < 20 AS few;
SELECT v, count(*) FROM item GROUP BY v;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT * FROM streamiter.explain_job('array') AS line WHERE line ~ 'Scan|Cond|Filter';
RESET enable_bitmapscan;
SET enable_indexscan = off;
SELECT * FROM streamiter.explain_job('array') AS line WHERE line ~ 'Bitmap|Cond: .*>= |Filter';
SELECT streamiter.reset('array');
CALL streamiter.run('array');
SELECT v, count(*) FROM item GROUP BY v;
RESET enable_indexscan;

-- Not where the source leaves rows out: there could be many in between
SELECT streamiter.create_job('some', 'SELECT id FROM item WHERE id % 100 = 0', 'array');
CALL streamiter.run('some');
SELECT v, count(*) FROM item GROUP BY v ORDER BY v;
SELECT * FROM streamiter.explain_job('some') AS line WHERE line ~ 'Cond: .*>= |Filter';
CREATE POLICY few ON item USING (id % 100 = 0);
CREATE ROLE regress_streamiter_scan;
GRANT ALL ON SCHEMA scan_test TO regress_streamiter_scan;
GRANT ALL ON item TO regress_streamiter_scan;
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
SET ROLE regress_streamiter_scan;
SELECT streamiter.create_job('policed', 'TABLE item', 'array');
SELECT * FROM streamiter.explain_job('policed') AS line WHERE line ~ 'Cond: .*>= ';
CALL streamiter.run('policed');
SELECT streamiter.drop_job('policed');
RESET ROLE;
ALTER TABLE item DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_streamiter_scan;
DROP ROLE regress_streamiter_scan;
SELECT v, count(*) FROM item GROUP BY v ORDER BY v;

-- Nor is it done for statements that look up something else, or other arrays
CREATE TABLE other (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO other SELECT g FROM generate_series(-10, 10) g;
CREATE TABLE wide (a integer PRIMARY KEY, b integer NOT NULL, big bigint NOT NULL);
INSERT INTO wide SELECT g, 11 - g, g FROM generate_series(1, 10) g;
CREATE UNIQUE INDEX ON wide (b);
CREATE UNIQUE INDEX ON wide (big);
ALTER TABLE wide ADD v integer NOT NULL DEFAULT 0;
CREATE PROCEDURE try(statement text, source text, condition text) LANGUAGE plpgsql AS $$
DECLARE
	rows bigint;
	by_range boolean;
BEGIN
	PERFORM streamiter.register_statement('try', statement);
	PERFORM streamiter.create_job('try', source, 'try', chunk_size => 4);
	SELECT bool_or(line ~ 'Cond: .*>= ') INTO by_range FROM streamiter.explain_job('try') line;
	COMMIT;
	CALL streamiter.run('try');
	EXECUTE format('SELECT count(*) FROM %s', condition) INTO rows;
	RAISE NOTICE '%: % rows, by range %', statement, rows, by_range;
	PERFORM streamiter.drop_job('try'), streamiter.unregister_callback('try');
	COMMIT;
END $$;
SET streamiter.progress_interval = 0;
CALL try('UPDATE other SET v = v + 1 WHERE id = ANY ($1)', 'SELECT a FROM wide', 'other WHERE v = 1 AND id BETWEEN 1 AND 10 OR v = 0');
CALL try('UPDATE wide SET v = v + 1 WHERE a = ANY ($1)', 'SELECT a FROM wide', 'wide WHERE v = 1');
CALL try('UPDATE wide SET v = v + 1 WHERE b = ANY ($1)', 'SELECT a FROM wide', 'wide WHERE v = 2');
CALL try('UPDATE wide SET v = v + 1 WHERE a = ANY ($2)', 'SELECT a, b FROM wide', 'wide WHERE v = 3');
CALL try('UPDATE wide SET v = v + 1 WHERE big = ANY ($1)', 'SELECT a FROM wide', 'wide WHERE v = 4');
CALL try('UPDATE wide SET v = v + 1 WHERE a <> ALL ($1) OR a = ANY ($1)', 'SELECT a FROM wide', 'wide WHERE v = 7');
CALL try('UPDATE wide SET v = v + 1 WHERE a = ANY ($1) AND 10 / (a - 11) < 0 AND b % 2 = 0', 'SELECT b, a FROM wide', 'wide WHERE v > 7');
CALL try('UPDATE wide w SET v = w.v + 1 FROM other o WHERE w.a = ANY ($1) AND o.id = w.a', 'SELECT a FROM wide', 'wide WHERE v > 7');
-- nor for keys that are made of what cannot be hashed
CREATE TYPE bits AS (b bit(8), n integer);
CREATE TABLE compound (id bits PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO compound SELECT (g::bit(8), g)::bits FROM generate_series(1, 10) g;
CALL try('UPDATE compound SET v = v + 1 WHERE id = ANY ($1)', 'SELECT id FROM compound', 'compound WHERE v = 1');
CREATE TYPE bitsrange AS RANGE (subtype = varbit);
CREATE TABLE ranges (id bitsrange PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO ranges SELECT bitsrange(g::bit(8)::varbit, NULL) FROM generate_series(1, 10) g;
CALL try('UPDATE ranges SET v = v + 1 WHERE id = ANY ($1)', 'SELECT id FROM ranges', 'ranges WHERE v = 1');
-- nor is that plan forced on a statement with another use for its arrays, which
-- may need a plan that knows them
CREATE SEQUENCE calls;
CREATE FUNCTION elements(integer[]) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM nextval('calls');
	RETURN cardinality($1);
END $$;
CALL try('UPDATE wide SET v = v + elements($1) WHERE a = ANY ($1)', 'SELECT a FROM wide', 'wide WHERE v > 7');
SELECT last_value AS one_for_each_batch FROM calls;
CALL try('DELETE FROM wide WHERE a = ANY ($1)', 'SELECT a FROM wide', 'wide');
RESET enable_seqscan;

-- A row that comes in while a batch is at work is not in its array
CREATE TABLE half (id numeric PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO half SELECT g FROM generate_series(1, 10) g;
CREATE FUNCTION bring_in(numeric) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO half SELECT $1 - 0.5 WHERE $1 BETWEEN 2 AND 9;
	RETURN $1;
END $$;
SELECT streamiter.register_statement('half', 'UPDATE half SET v = v + 1 WHERE id = ANY ($1)');
SELECT streamiter.create_job('half', 'SELECT id, bring_in(id) FROM half', 'half', chunk_size => 4);
SELECT * FROM streamiter.explain_job('half') AS line WHERE line ~ 'Filter';
CALL streamiter.run('half');
SELECT v, count(*), bool_and(id % 1 = 0) AS whole FROM half GROUP BY v ORDER BY v;

-- When the plan cache has to plan anew, batch after batch
CREATE FUNCTION look_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	ANALYZE item;
	RETURN NULL;
END $$;
CREATE TRIGGER look_again BEFORE UPDATE ON item FOR STATEMENT EXECUTE FUNCTION look_again();
UPDATE item SET v = 0;
SELECT streamiter.reset('array');
SELECT pg_stat_force_next_flush();
SELECT scans() AS before \gset
CALL streamiter.run('array');
SELECT pg_stat_force_next_flush();
SELECT scans() - :before < 20 AS few;
SELECT v, count(*) FROM item GROUP BY v;
DROP TRIGGER look_again ON item;

-- Keys are counted in the index: not those of rows that are gone, be it that
-- the index still has them, or that the table is not known to be clean
DELETE FROM item WHERE id % 3 = 0;
DELETE FROM item WHERE id > 1900 AND id <> 1999;
UPDATE item SET v = 0;
SELECT streamiter.reset('range'), streamiter.alter_job('range', chunk_size => 97);
CALL streamiter.run('range', max_rows => 100);
DELETE FROM item WHERE id BETWEEN 200 AND 900;
INSERT INTO item SELECT g FROM generate_series(300, 600, 2) g;
CALL streamiter.run('range');
SELECT rows, batches FROM streamiter.jobs WHERE name = 'range';
SELECT v, count(*) FROM item GROUP BY v;
VACUUM item;
SELECT streamiter.reset('range');
CALL streamiter.run('range', max_rows => 97);
SELECT position FROM streamiter.slices WHERE name = 'range';
CALL streamiter.run('range', max_rows => 1);
CALL streamiter.run('range');
SELECT rows, batches FROM streamiter.jobs WHERE name = 'range';
SELECT v, count(*) FROM item GROUP BY v;

-- An index with DESC is read backward, which is the key's order
CREATE TABLE falling (id integer NOT NULL, v integer NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX ON falling (id DESC);
INSERT INTO falling SELECT g FROM generate_series(1, 1000) g;
VACUUM ANALYZE falling;
CALL streamiter.backfill('falling', set => 'v = v + 1', key => '{id}', name => 'falling', chunk_size => 97);
SELECT v, count(*) FROM falling GROUP BY v;

TRUNCATE item;
SELECT streamiter.reset('range'), streamiter.alter_job('range', acknowledge => true);
CALL streamiter.run('range');

SELECT count(streamiter.drop_job(name)) FROM streamiter.jobs;
SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks;
SET client_min_messages = warning;
DROP SCHEMA scan_test CASCADE;
