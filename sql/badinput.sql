-- Bad input: a clear error with the right SQLSTATE and a hint, before any row
-- is read, and nothing left behind

SET client_min_messages = warning;
CREATE SCHEMA regress_badinput;
SET search_path = regress_badinput, public;

\i src/test/lib/error_of.sql

-- Counts rows that a source delivers, and calls of a callback; no rollback undoes it
CREATE SEQUENCE delivered;
CREATE SEQUENCE called;
CREATE TABLE item (id integer, name text);
INSERT INTO item SELECT i, 'n' || i FROM generate_series(1, 5) i;
CREATE VIEW source AS SELECT id, name FROM item WHERE nextval('delivered') > 0;
CREATE FUNCTION row_f(integer, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('called'); END $$;
CREATE FUNCTION batch_f(integer[], text[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('called'); END $$;
CREATE FUNCTION overloaded(integer, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE FUNCTION overloaded(integer, name) RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$;

-- Whatever a refused walk could leave behind; '' if nothing
CREATE FUNCTION pg_temp.left_behind() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(what, ', '), '') FROM (
		SELECT 'row delivered' FROM delivered WHERE is_called
		UNION ALL SELECT 'callback called' FROM called WHERE is_called
		UNION ALL SELECT 'cursor ' || name FROM pg_cursors
		UNION ALL SELECT 'context ' || name FROM pg_backend_memory_contexts WHERE name LIKE 'streamiter%'
		UNION ALL SELECT 'temporary file ' || name FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql_tmp' || pg_backend_pid() || '.%'
	) s (what)
$$;
-- Runs the call, printing it, its error and what it left behind
CREATE FUNCTION pg_temp.refused(arguments text, function text DEFAULT 'streamiter.for_each') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	error text := pg_temp.error_of(format('SELECT %s(%s)', function, arguments));
BEGIN
	RETURN format(E'-- %s\n%s', arguments, concat_ws(E'\nLEFT BEHIND: ', error, nullif(pg_temp.left_behind(), '')));
END
$$;
\pset format unaligned
\pset tuples_only on

--
-- Arguments of for_each
--

SELECT pg_temp.refused(arguments) FROM unnest(ARRAY[
	$$'TABLE source', 'row_f(integer, text)', 0$$,
	$$'TABLE source', 'row_f(integer, text)', -1$$,
	$$'TABLE source', 'row_f(integer, text)', 1000001$$,
	$$'TABLE source', 'row_f(integer, text)', 2147483647$$,
	$$'TABLE source', 'row_f(integer, text)', chunk_size => -2147483648$$,
	$$NULL, 'row_f(integer, text)'$$,
	$$'TABLE source', NULL$$,
	$$'TABLE source', 'row_f(integer, text)', on_error => 'ignore'$$,
	$$'TABLE source', 'row_f(integer, text)', on_error => 'SKIP'$$,
	$$'TABLE source', 'row_f(integer, text)', on_error => ''$$,
	$$'TABLE source', 'row_f(integer, text)', on_error => NULL$$,
	$$'TABLE source', 'row_f(integer, text)', max_skips => -1$$,
	$$'TABLE source', 'row_f(integer, text)', max_skips => NULL$$
	]) WITH ORDINALITY a (arguments, n) ORDER BY n;
-- types that are none of theirs: no such function, as everywhere
SELECT left(pg_temp.error_of(format('SELECT streamiter.for_each(%s)', arguments)), 5), arguments FROM unnest(ARRAY[
	$$'TABLE source', 'row_f(integer, text)', NULL::text$$,
	$$'TABLE source', 'row_f(integer, text)', 2147483648$$,
	$$'TABLE source', 'row_f(integer, text)', 1.5$$,
	$$'TABLE source', 'row_f(integer, text)', 'ten'$$,
	$$'TABLE source'$$,
	$$'TABLE source', 'row_f(integer, text)', 1, NULL, 'stop', 1, 2$$,
	$$'TABLE source', 'row_f(integer, text)', chunks => 1$$,
	$$'TABLE source', 'row_f(integer, text)', args => 'x'$$,
	$$'TABLE source', 'row_f(integer, text)', args => 7$$
	]) WITH ORDINALITY a (arguments, n) ORDER BY n;
-- a NULL of the right type is the setting's value
SELECT rows FROM streamiter.for_each('TABLE item', 'overloaded(integer, text)', NULL::integer);

--
-- Queries
--

CREATE RULE instead AS ON INSERT TO item DO INSTEAD SELECT 1 AS a;
CREATE TABLE other (id integer, name text);
PREPARE badinput_prepared AS SELECT 1, 'x'::text;
SELECT pg_temp.refused(format('%L, %L', query, 'row_f(integer, text)')) FROM unnest(ARRAY[
	'',
	'   ',
	'-- nothing',
	';',
	'TABLE source; TABLE source',
	'TABLE source; DROP TABLE item',
	'TABLE source; COMMIT',
	'SELEC 1',
	'SELECT * FROM',
	'SELECT 1 +',
	'SELECT ''open',
	'row_f(1, ''x'')',
	'source',
	'SELECT * FROM nowhere',
	'SELECT nothing FROM source',
	'SELECT no_function(id) FROM source',
	'SELECT id, count(*) FROM source',
	'INSERT INTO other TABLE source',
	'INSERT INTO other TABLE source RETURNING id, name',
	'INSERT INTO item VALUES (1, ''rule'')',
	'UPDATE item SET id = 0',
	'UPDATE item SET id = 0 RETURNING id, name',
	'DELETE FROM item RETURNING id, name',
	'MERGE INTO other USING item ON true WHEN NOT MATCHED THEN DO NOTHING',
	'TRUNCATE item',
	'WITH d AS (DELETE FROM item RETURNING id, name) TABLE d',
	'WITH i AS (INSERT INTO other TABLE source) TABLE source',
	'SELECT id, name INTO badinput_new FROM source',
	'SELECT id, name INTO TEMP badinput_new FROM source UNION ALL TABLE source',
	'CREATE TABLE badinput_new AS TABLE source',
	'DROP TABLE item',
	'ALTER TABLE item ADD x integer',
	'VACUUM item',
	'COPY item TO STDOUT',
	'EXPLAIN TABLE source',
	'EXPLAIN ANALYZE TABLE source',
	'EXECUTE badinput_prepared',
	'PREPARE p AS TABLE source',
	'DECLARE c CURSOR FOR TABLE source',
	'FETCH ALL FROM c',
	'SHOW work_mem',
	'SET work_mem = ''1MB''',
	'BEGIN',
	'COMMIT',
	'ROLLBACK',
	'SAVEPOINT a',
	'LOCK TABLE item',
	'NOTIFY x',
	'DO ''BEGIN END''',
	'CALL nothing()',
	'DISCARD ALL',
	'SELECT id, name FROM item FOR UPDATE',
	'SELECT id, name FROM item FOR KEY SHARE SKIP LOCKED',
	'SELECT id, name FROM (SELECT id, name FROM item FOR UPDATE) s',
	'WITH l AS (SELECT id, name FROM item FOR SHARE) TABLE l'
	]) WITH ORDINALITY q (query, n) ORDER BY n;
SELECT to_regclass('badinput_new'), (SELECT count(*) FROM item), (SELECT count(*) FROM other), current_setting('work_mem') <> '1MB';
DEALLOCATE badinput_prepared;
-- the iterator refuses the same
SELECT query, left(pg_temp.error_of(format('SELECT streamiter.iterator(%L)', query)), 5) FROM unnest(ARRAY[
	'', 'TABLE source; TABLE source', 'SELEC 1', 'INSERT INTO other TABLE source', 'INSERT INTO item VALUES (1, ''rule'')', 'SELECT 1 INTO x', 'EXPLAIN SELECT 1',
	'WITH d AS (DELETE FROM item RETURNING id) TABLE d', 'SELECT id FROM item FOR UPDATE', 'COMMIT']) WITH ORDINALITY q (query, n) ORDER BY n;

--
-- Arguments of the query
--

SELECT pg_temp.refused(arguments) FROM unnest(ARRAY[
	$$'SELECT * FROM source WHERE id = $1', 'row_f(integer, text)'$$,
	$$'SELECT * FROM source WHERE id = $1', 'row_f(integer, text)', args => ROW()$$,
	$$'SELECT * FROM source WHERE id = $2', 'row_f(integer, text)', args => ROW(1)$$,
	$$'SELECT * FROM source WHERE id = $1', 'row_f(integer, text)', args => ROW(1, 2)$$,
	$$'TABLE source', 'row_f(integer, text)', args => ROW(1)$$,
	$$'SELECT * FROM source WHERE id = $1', 'row_f(integer, text)', args => ROW('text')$$,
	$$'SELECT * FROM source WHERE id = $1', 'row_f(integer, text)', args => ROW(now())$$
	]) WITH ORDINALITY a (arguments, n) ORDER BY n;

--
-- Callbacks
--

CREATE FUNCTION set_f(integer, text) RETURNS SETOF integer LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION table_f(integer, text) RETURNS TABLE (x integer) LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION trigger_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE FUNCTION event_f() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE PROCEDURE procedure_f(integer, text) LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE AGGREGATE aggregate_f(integer) (SFUNC = int4pl, STYPE = integer);
CREATE FUNCTION few_f(integer) RETURNS void LANGUAGE sql AS $$ $$;
CREATE FUNCTION many_f(integer, text, integer) RETURNS void LANGUAGE sql AS $$ $$;
CREATE FUNCTION order_f(text, integer) RETURNS void LANGUAGE sql AS $$ $$;
CREATE FUNCTION types_f(boolean, text) RETURNS void LANGUAGE sql AS $$ $$;
CREATE FUNCTION narrow_f(smallint, text) RETURNS void LANGUAGE sql AS $$ $$;
CREATE TYPE pair AS (a integer, b integer);
CREATE FUNCTION pair_f(pair) RETURNS void LANGUAGE sql AS $$ $$;
SELECT pg_temp.refused(format('%L, %L', 'TABLE source', callback)) FROM unnest(ARRAY[
	'', ' ', 'nowhere', 'row_f', 'ROW_F', 'overloaded', 'regress_badinput.row_f', 'x; DROP TABLE item', 'row_f(', 'row_f)', 'row_f(integer', 'row_f()',
	'nowhere(integer)', 'row_f(nothing)', 'row_f(integer, text); SELECT', 'row_f(1, ''x'')', 'row_f(id, name)', 'postgres.public.f(int)', 'a.b.c.d(int)',
	'set_f(integer, text)', 'table_f(integer, text)', 'aggregate_f(integer)', 'count(*)', 'sum(integer)', 'rank()', 'lag(anyelement)', 'trigger_f()', 'event_f()', 'procedure_f(integer, text)',
	'few_f(integer)', 'many_f(integer, text, integer)', 'order_f(text, integer)', 'types_f(boolean, text)', 'narrow_f(smallint, text)', 'pair_f(pair)', 'batch_f(integer[], text[])', 'now()',
	'array_in(cstring, oid, integer)', 'internal_in(cstring)', 'heap_tableam_handler(internal)', 'bthandler(internal)', 'generate_series_int4_support(internal)', 'streamiter.for_each(text, text, integer, record, text, bigint, text, text)'
	]) WITH ORDINALITY c (callback, n) ORDER BY n;

-- registered ones that have gone, or do not fit any more
SELECT streamiter.register_callback('bad gone', 'few_f(integer)'), streamiter.register_callback('bad batch', 'batch_f(integer[], text[])', per => 'batch');
DROP FUNCTION few_f(integer);
SELECT pg_temp.refused($$'SELECT id FROM source', 'bad gone'$$);
SELECT pg_temp.refused($$'SELECT id FROM source', 'bad batch'$$);
SELECT pg_temp.refused($$'SELECT name, id FROM source', 'bad batch'$$);
CREATE FUNCTION few_f(integer) RETURNS SETOF integer LANGUAGE sql AS $$ SELECT 1 $$;
SELECT pg_temp.refused($$'SELECT id FROM source', 'bad gone'$$);
-- statements with the wrong parameters, of objects that have gone, and for jobs only
CREATE FUNCTION pg_temp.refused_statement(statement text, per text DEFAULT 'batch') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamiter.register_statement('bad statement', statement, per);
	RETURN statement || E'\n' || pg_temp.refused($q$'TABLE source', 'bad statement'$q$);
EXCEPTION WHEN OTHERS THEN
	RETURN statement || E'\n' || SQLSTATE || ': ' || SQLERRM;
END
$$;
SELECT pg_temp.refused_statement(statement), streamiter.unregister_callback('bad statement') FROM unnest(ARRAY['SELECT $3', 'SELECT $0', 'SELECT $1 + 1', 'SELECT lower($1)',
	'DELETE FROM nowhere WHERE id = ANY ($1)', 'DELETE FROM item WHERE nothing = ANY ($1)', 'UPDATE item SET id = $1']) WITH ORDINALITY s (statement, n) ORDER BY n;
SELECT pg_temp.refused_statement('UPDATE item SET id = id WHERE id BETWEEN $1 AND $2', 'range'), streamiter.unregister_callback('bad statement');
SELECT pg_temp.refused_statement(statement) FROM unnest(ARRAY['', 'SELEC 1', 'SELECT 1; SELECT 2', 'CREATE TABLE x ()', 'SELECT 1 INTO x', 'COMMIT', 'DO ''BEGIN END''', 'CALL procedure_f(1, ''x'')'])
	WITH ORDINALITY s (statement, n) ORDER BY n;
-- names
SELECT name, left(pg_temp.error_of(format('SELECT streamiter.register_callback(%L, %L)', name, 'row_f(integer, text)')), 100) FROM unnest(ARRAY[
	'', 'bad gone', 'bad(integer)', 'bad(', repeat('x', 64), NULL]) WITH ORDINALITY s (name, n) ORDER BY n;

--
-- Rights
--

CREATE ROLE regress_streamiter_bad;
GRANT USAGE ON SCHEMA regress_badinput TO regress_streamiter_bad;
REVOKE EXECUTE ON FUNCTION row_f(integer, text) FROM PUBLIC;
GRANT SELECT ON other TO regress_streamiter_bad;
CREATE FUNCTION public_f(integer, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$;
SET ROLE regress_streamiter_bad;
SELECT pg_temp.error_of($$SELECT streamiter.for_each('TABLE other', 'row_f(integer, text)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('TABLE item', 'public_f(integer, text)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1, rolpassword FROM pg_authid', 'public_f(integer, text)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1, pg_read_file(''/etc/passwd'')', 'public_f(integer, text)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1, name FROM streamiter.callback', 'public_f(integer, text)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.iterator('TABLE item')$$);
SELECT count(*) FROM pg_cursors;
RESET ROLE;
SELECT pg_temp.left_behind();

-- after all that, the session walks as before
SELECT rows FROM streamiter.for_each('TABLE source', 'row_f(integer, text)');
SELECT d.last_value, c.last_value FROM delivered d, called c;
\pset format aligned
\pset tuples_only off

SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks WHERE name LIKE 'bad %';
SET client_min_messages = error;
DROP SCHEMA regress_badinput CASCADE;
DROP ROLE regress_streamiter_bad;
