-- Walks: what is counted, which sources there are, where walks may stand, and
-- that nothing is left of them

SET client_min_messages = warning;

-- Whatever a walk could leave in this session
CREATE FUNCTION pg_temp.left_behind() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT 'cursor ' || statement FROM pg_cursors
	UNION ALL
	SELECT 'context ' || name FROM pg_backend_memory_contexts
	WHERE name LIKE 'streamiter%'
	UNION ALL
	SELECT 'temporary file' FROM pg_ls_tmpdir()
	WHERE name LIKE 'pgsql_tmp' || pg_backend_pid() || '.%'
$$;

CREATE TABLE walk_row (id integer PRIMARY KEY, name text);
INSERT INTO walk_row SELECT i, 'name ' || i FROM generate_series(1, 10) i;
ANALYZE walk_row;

-- The walked rows, in the order in which they came
CREATE TABLE walk_log (n serial, what text);
CREATE FUNCTION walk_note(anyelement) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO walk_log (what) VALUES ($1::text); END $$;
CREATE FUNCTION pg_temp.noted() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := (SELECT string_agg(coalesce(what, 'null'), ' ' ORDER BY n) FROM walk_log);
BEGIN
	DELETE FROM walk_log;
	RETURN result;
END
$$;
-- and the same for a plain SELECT, to compare with
CREATE FUNCTION pg_temp.selected(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT string_agg(coalesce(q.value::text, ''null''), '' '') FROM (%s) q (value)', query)
	INTO result;
	RETURN result;
END
$$;

--
-- The result
--

SELECT rows, batches, skipped, not_called,
	first_row > '0' AND first_row <= elapsed AS first_row,
	elapsed < '1 minute' AS elapsed, peak_batch_bytes < 100000 AS peak
FROM streamiter.for_each('SELECT id FROM walk_row', 'walk_note(anyelement)', 3);
TRUNCATE walk_log;
-- no rows: no batch, and no first row
SELECT rows, batches, skipped, not_called, first_row, elapsed > '0' AS elapsed, peak_batch_bytes
FROM streamiter.for_each('SELECT id FROM walk_row WHERE id > 10', 'walk_note(anyelement)');
SELECT pg_temp.noted();
-- a batch that is just full is not followed by an empty one
SELECT chunk_size, rows, batches FROM unnest('{1, 2, 3, 5, 9, 10, 11, 1000000}'::int[]) chunk_size,
	streamiter.for_each('SELECT id FROM walk_row', 'walk_note(anyelement)', chunk_size);
SELECT count(*), count(DISTINCT what) FROM walk_log;
TRUNCATE walk_log;
-- the first row comes before the last is made
SELECT elapsed - first_row > '0.09s' AS early
FROM streamiter.for_each('SELECT i + length(pg_sleep(0.05)::text) FROM generate_series(1, 3) i', 'walk_note(anyelement)');
TRUNCATE walk_log;

--
-- Sources: rows and order are those of a plain SELECT
--

CREATE VIEW walk_view AS SELECT id * 10 AS ten FROM walk_row ORDER BY id DESC LIMIT 4;
CREATE TABLE walk_part (id integer, v text) PARTITION BY RANGE (id);
CREATE TABLE walk_part_1 PARTITION OF walk_part FOR VALUES FROM (1) TO (3);
CREATE TABLE walk_part_2 (gone integer, v text, id integer);
ALTER TABLE walk_part_2 DROP COLUMN gone;
ALTER TABLE walk_part ATTACH PARTITION walk_part_2 FOR VALUES FROM (3) TO (6);
CREATE TABLE walk_part_default PARTITION OF walk_part DEFAULT;
INSERT INTO walk_part SELECT i, 'p' || i FROM generate_series(1, 7) i;
CREATE TABLE walk_parent (id integer);
CREATE TABLE walk_child (extra text) INHERITS (walk_parent);
INSERT INTO walk_parent VALUES (1);
INSERT INTO walk_child VALUES (2, 'x');
CREATE TEMP TABLE walk_temp AS SELECT i FROM generate_series(5, 1, -1) i;

CREATE FUNCTION pg_temp.compare(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	selected text := pg_temp.selected(query);
	walked text;
	chunk integer;
BEGIN
	FOREACH chunk IN ARRAY '{1, 2, 7, 2000}'::int[] LOOP
		PERFORM streamiter.for_each(query, 'walk_note(anyelement)', chunk);
		walked := pg_temp.noted();
		IF walked IS DISTINCT FROM selected THEN
			RETURN format('chunk_size %s: %s', chunk, walked);
		END IF;
	END LOOP;
	RETURN selected;
END
$$;
\pset format unaligned
\pset tuples_only on
SELECT query || ': ' || coalesce(pg_temp.compare(query), '(none)') FROM unnest(ARRAY[
	'SELECT id FROM walk_row ORDER BY id DESC',
	'SELECT id FROM walk_row ORDER BY id LIMIT 3 OFFSET 2',
	'SELECT id FROM walk_row ORDER BY id FETCH FIRST 2 ROWS WITH TIES',
	'SELECT id FROM walk_row ORDER BY name COLLATE "C" DESC LIMIT 4',
	'SELECT id FROM walk_row LIMIT 0',
	'SELECT DISTINCT id % 3 FROM walk_row ORDER BY 1',
	'SELECT id % 3 FROM walk_row GROUP BY 1 HAVING count(*) > 3 ORDER BY 1',
	'SELECT count(*) FROM walk_row',
	'SELECT id FROM walk_row WHERE id < 3 UNION ALL SELECT 7 UNION ALL SELECT NULL',
	'SELECT id FROM walk_row EXCEPT SELECT 3 ORDER BY 1',
	'SELECT sum(id) OVER (ORDER BY id) FROM walk_row ORDER BY id',
	'SELECT unnest(ARRAY[id, -id]) FROM walk_row WHERE id < 4 ORDER BY id',
	'WITH RECURSIVE r (n) AS (VALUES (1) UNION ALL SELECT n * 2 FROM r WHERE n < 100) SELECT n FROM r',
	'WITH m AS MATERIALIZED (SELECT id FROM walk_row WHERE id > 7) SELECT id FROM m ORDER BY 1',
	'SELECT a.id FROM walk_row a JOIN walk_row b ON a.id = b.id * 2 ORDER BY a.id',
	'SELECT b.id FROM walk_row a LEFT JOIN walk_row b ON b.id = a.id + 8 ORDER BY a.id',
	'SELECT (SELECT max(b.id) FROM walk_row b WHERE b.id < a.id) FROM walk_row a ORDER BY id',
	'SELECT y.two FROM generate_series(1, 3) x, LATERAL (SELECT x * 2 AS two OFFSET 0) y',
	'TABLE walk_view',
	'SELECT id FROM walk_part ORDER BY id',
	'SELECT p FROM walk_part p ORDER BY id',
	'SELECT id FROM walk_parent ORDER BY id',
	'SELECT id FROM ONLY walk_parent',
	'TABLE walk_temp',
	'VALUES (3), (1), (NULL), (2)',
	'SELECT NULL FROM walk_row WHERE id < 3',
	'(((SELECT 1)))',
	'SELECT relname FROM pg_class WHERE relname = ''walk_row'''
	]) WITH ORDINALITY q (query, ordinal)
ORDER BY ordinal;
\pset format aligned
\pset tuples_only off
-- one statement, whatever stands around it
SELECT rows FROM streamiter.for_each('SELECT 1;', 'walk_note(anyelement)');
SELECT rows FROM streamiter.for_each(E';; -- ;\n SELECT /* ; */ 1 ; ; -- ;', 'walk_note(anyelement)');
SELECT pg_temp.noted();
-- rows without columns are rows
CREATE FUNCTION walk_nothing() RETURNS void LANGUAGE sql
AS $$ INSERT INTO walk_log (what) VALUES ('called') $$;
SELECT rows, batches FROM streamiter.for_each('SELECT FROM walk_row WHERE id < 4', 'walk_nothing()', 2);
SELECT pg_temp.noted();

-- a source that writes through a function sees to it itself; each call once
CREATE SEQUENCE walk_sequence;
SELECT rows FROM streamiter.for_each('SELECT nextval(''walk_sequence'') FROM walk_row', 'walk_note(anyelement)', 4);
SELECT pg_temp.noted();
SELECT last_value FROM walk_sequence;

--
-- Where a walk may stand
--

-- in a select list, once per row; beside another; below a LIMIT, and not run
SELECT (streamiter.for_each('SELECT id FROM walk_row WHERE id <= $1', 'walk_note(anyelement)', args => ROW(id))).rows
FROM walk_row WHERE id < 4 ORDER BY id;
SELECT pg_temp.noted();
SELECT a.rows, b.rows FROM streamiter.for_each('SELECT 1', 'walk_note(anyelement)') a,
	streamiter.for_each('SELECT 2', 'walk_note(anyelement)') b;
SELECT count(*) FROM walk_log;
SELECT rows FROM streamiter.for_each('SELECT 1', 'walk_note(anyelement)') LIMIT 0;
SELECT count(*) FROM walk_log;
TRUNCATE walk_log;
-- in a cursor that is not read to its end
BEGIN;
DECLARE c CURSOR FOR
SELECT i, f.rows FROM generate_series(1, 3) i,
	streamiter.for_each('SELECT id FROM walk_row WHERE id <= $1', 'walk_note(anyelement)', args => ROW(i)) f;
FETCH 2 FROM c;
CLOSE c;
SELECT * FROM pg_temp.left_behind();
COMMIT;
SELECT pg_temp.noted();
-- in functions, a DO block, a prepared statement, a trigger
CREATE FUNCTION walk_in_sql(bigint) RETURNS bigint LANGUAGE sql
AS $$ SELECT rows FROM streamiter.for_each('SELECT id FROM walk_row WHERE id <= $1', 'walk_note(anyelement)', args => ROW($1)) $$;
SELECT walk_in_sql(2);
DO $$ BEGIN PERFORM walk_in_sql(3); END $$;
PREPARE walk_prepared (bigint) AS SELECT walk_in_sql($1);
EXECUTE walk_prepared (1);
EXECUTE walk_prepared (2);
DEALLOCATE walk_prepared;
SELECT pg_temp.noted();
CREATE FUNCTION walk_trigger() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM walk_in_sql(NEW.id); RETURN NEW; END $$;
CREATE TRIGGER walk_trigger BEFORE INSERT ON walk_child FOR EACH ROW EXECUTE FUNCTION walk_trigger();
INSERT INTO walk_child VALUES (2), (1);
SELECT pg_temp.noted();
-- in a procedure that commits between walks
CREATE PROCEDURE walk_procedure() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		PERFORM walk_in_sql(i);
		COMMIT;
	END LOOP;
END
$$;
CALL walk_procedure();
SELECT pg_temp.noted();
-- in each isolation level, and where nothing may be written
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT walk_in_sql(2);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT rows FROM streamiter.for_each('SELECT name FROM walk_row', 'length(text)', 3);
COMMIT;
SELECT pg_temp.noted();

-- the walk sees what the statement that starts it sees
BEGIN;
INSERT INTO walk_row VALUES (11, 'new');
SELECT rows FROM streamiter.for_each('SELECT id FROM walk_row', 'to_jsonb(anyelement)');
ROLLBACK;
WITH new AS (INSERT INTO walk_row VALUES (11, 'new') RETURNING id)
SELECT new.id, f.rows
FROM new, LATERAL streamiter.for_each('SELECT id FROM walk_row WHERE id <= $1', 'walk_note(anyelement)', args => ROW(new.id)) f;
DELETE FROM walk_row WHERE id = 11;
TRUNCATE walk_log;

--
-- Nothing is left
--

SELECT * FROM pg_temp.left_behind();
-- of many walks in one transaction, good and bad
CREATE FUNCTION walk_fail(i integer) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN IF i = 4 THEN RAISE 'four'; END IF; END $$;
BEGIN;
DO $$
BEGIN
	FOR i IN 1 .. 100 LOOP
		PERFORM streamiter.for_each('SELECT id FROM walk_row', 'walk_note(anyelement)', 3);
		BEGIN
			PERFORM streamiter.for_each('SELECT id FROM walk_row ORDER BY id', 'walk_fail(int)', 3);
			RAISE 'walk_fail() did not fail';
		EXCEPTION WHEN raise_exception THEN
			ASSERT SQLERRM = 'four';
		END;
		PERFORM streamiter.for_each('SELECT id FROM walk_row', 'walk_fail(int)', 3, on_error => 'skip')
		FROM set_config('client_min_messages', 'error', true);
	END LOOP;
END
$$;
SELECT * FROM pg_temp.left_behind();
COMMIT;
-- of an error in the middle of a sort that has spilled to disk
SET work_mem = '64kB';
BEGIN;
SAVEPOINT before;
SELECT streamiter.for_each('SELECT i FROM generate_series(1, 20000) i ORDER BY md5(i::text)', 'walk_fail(int)', 100);
ROLLBACK TO before;
SELECT * FROM pg_temp.left_behind();
COMMIT;
SELECT streamiter.for_each('SELECT i FROM generate_series(1, 20000) i ORDER BY md5(i::text)', 'walk_fail(int)', 100);
SELECT * FROM pg_temp.left_behind();
RESET work_mem;
-- of a walk in a subtransaction that is rolled back after it
TRUNCATE walk_log;
BEGIN;
SAVEPOINT before;
SELECT walk_in_sql(3);
ROLLBACK TO before;
SELECT pg_temp.noted();
SELECT * FROM pg_temp.left_behind();
COMMIT;

DROP FUNCTION walk_note, walk_in_sql, walk_fail, walk_nothing;
DROP PROCEDURE walk_procedure;
DROP VIEW walk_view;
DROP TABLE walk_row, walk_log, walk_part, walk_parent, walk_child, walk_temp;
DROP FUNCTION walk_trigger;
DROP SEQUENCE walk_sequence;
