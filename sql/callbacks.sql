-- Row functions: which columns they are given, as what, and which are refused

SET client_min_messages = warning;
CREATE SCHEMA regress_callbacks;
SET search_path = regress_callbacks, public;

\i src/test/lib/error_of.sql
CREATE TABLE log (n serial, what text);
CREATE FUNCTION note(what text) RETURNS void LANGUAGE sql AS $$ INSERT INTO log (what) VALUES (what) $$;
-- Walks, and returns what the callback has noted
CREATE FUNCTION pg_temp.walk(query text, callback text, args record DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamiter.for_each(query, callback, 2, args);
	RETURN QUERY SELECT what FROM log ORDER BY n;
	DELETE FROM log;
END
$$;
\pset format unaligned
\pset tuples_only on

--
-- By position, under implicit casts
--

CREATE FUNCTION two(id bigint, name text) RETURNS text LANGUAGE plpgsql
AS $$ BEGIN PERFORM note(format('%s %s', id, name)); RETURN name; END $$;
SELECT * FROM pg_temp.walk('VALUES (1::bigint, ''one''::text), (2, NULL), (NULL, ''three'')', 'two(bigint, text)');
-- names mean nothing; casts: integer, smallint, varchar, name, char
SELECT * FROM pg_temp.walk('SELECT 1 AS name, ''one''::varchar(2) AS id', 'two(bigint, text)');
SELECT * FROM pg_temp.walk('SELECT 1::smallint, ''one''::name', 'two(bigint, text)');
SELECT * FROM pg_temp.walk('SELECT 1::integer, ''one''::char(5)', 'two(bigint, text)');
-- duplicate and unnamed columns
SELECT * FROM pg_temp.walk('SELECT 1 + 1, ''a'' || ''b''', 'two(bigint, text)');
SELECT * FROM pg_temp.walk('SELECT a.x, a.y AS x FROM (VALUES (1, ''one'')) a (x, y)', 'two(bigint, text)');

-- a cast that is a function, and one between types of ours
CREATE TYPE celsius AS (degrees integer);
CREATE TYPE kelvin AS (degrees integer);
CREATE FUNCTION to_kelvin(celsius) RETURNS kelvin LANGUAGE sql IMMUTABLE AS $$ SELECT ROW($1.degrees + 273)::kelvin $$;
CREATE CAST (celsius AS kelvin) WITH FUNCTION to_kelvin(celsius) AS IMPLICIT;
CREATE FUNCTION temperature(kelvin) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
SELECT * FROM pg_temp.walk('SELECT ROW(i)::celsius FROM generate_series(1, 2) i', 'temperature(kelvin)');

-- defaults, evaluated for each row
CREATE SEQUENCE counter;
CREATE FUNCTION defaults(a integer, b text DEFAULT 'def', c bigint DEFAULT nextval('counter')) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN PERFORM note(format('%s %s %s', a, b, c)); END $$;
SELECT * FROM pg_temp.walk('VALUES (1), (2)', 'defaults(int, text, bigint)');
SELECT * FROM pg_temp.walk('VALUES (1, ''given'')', 'defaults(int, text, bigint)');
SELECT * FROM pg_temp.walk('VALUES (1, NULL, 7)', 'defaults(int, text, bigint)');
-- IMMUTABLE or not, it is called for each row: of a constant, of a default, of nothing
CREATE FUNCTION shout(a integer DEFAULT 7) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING 'called with %', $1; RETURN a; END $$;
CREATE FUNCTION shout_nothing() RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING 'called'; RETURN 1; END $$;
SELECT rows FROM streamiter.for_each('SELECT 1 FROM generate_series(1, 2)', 'shout(integer)');
SELECT rows FROM streamiter.for_each('SELECT FROM generate_series(1, 2)', 'shout(integer)');
SELECT rows FROM streamiter.for_each('SELECT FROM generate_series(1, 2)', 'shout_nothing()');

-- polymorphic: types as they come, results and defaults as well
CREATE FUNCTION element(anyelement) RETURNS anyelement LANGUAGE plpgsql
AS $$ BEGIN PERFORM note(format('%s %s', pg_typeof($1), $1)); RETURN $1; END $$;
CREATE FUNCTION array_and_element(anyarray, anyelement DEFAULT NULL) RETURNS anyelement LANGUAGE plpgsql
AS $$ BEGIN PERFORM note(format('%s %s %s', pg_typeof($1), $1, pg_typeof($2))); RETURN $1[1]; END $$;
CREATE FUNCTION compatible(anycompatible, anycompatible) RETURNS anycompatiblearray LANGUAGE plpgsql
AS $$ BEGIN PERFORM note(format('%s %s', pg_typeof($1), ARRAY[$1, $2])); RETURN ARRAY[$1, $2]; END $$;
CREATE FUNCTION same_sql(anyelement) RETURNS anyelement LANGUAGE sql AS $$ SELECT note($1::text); SELECT $1 $$;
CREATE FUNCTION same_inlined(anyelement) RETURNS anyelement LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION ranged(anyrange) RETURNS anymultirange LANGUAGE plpgsql
AS $$ BEGIN PERFORM note(format('%s %s', pg_typeof($1), $1)); RETURN NULL; END $$;
SELECT * FROM pg_temp.walk('SELECT 1', 'element(anyelement)');
SELECT * FROM pg_temp.walk('SELECT ARRAY[date ''2024-01-01'']', 'element(anyelement)');
SELECT * FROM pg_temp.walk('SELECT ARRAY[1.5]', 'array_and_element(anyarray, anyelement)');
SELECT * FROM pg_temp.walk('SELECT 1, 2.5', 'compatible(anycompatible, anycompatible)');
SELECT * FROM pg_temp.walk('SELECT ''x''', 'same_sql(anyelement)');
SELECT rows FROM streamiter.for_each('SELECT relname FROM pg_class LIMIT 5', 'same_inlined(anyelement)');
SELECT * FROM pg_temp.walk('SELECT int4range(1, 5)', 'ranged(anyrange)');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT ARRAY[1], ''x''::text', 'array_and_element(anyarray, anyelement)')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT 1', 'array_and_element(anyarray, anyelement)')$$);

-- VARIADIC: the parameter is an array, and takes one
CREATE FUNCTION many(VARIADIC int[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
SELECT * FROM pg_temp.walk('SELECT ARRAY[1, 2, 3]', 'many(int[])');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT 1, 2', 'many(int[])')$$);
SELECT rows FROM streamiter.for_each('SELECT ''%s'', 1', 'format(text, "any")');

-- domains: to and from, with their constraints
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE FUNCTION take_positive(positive) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
CREATE FUNCTION take_integer(integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
SELECT * FROM pg_temp.walk('VALUES (1), (2)', 'take_positive(positive)');
SELECT * FROM pg_temp.walk('VALUES (1::positive), (2)', 'take_integer(integer)');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('VALUES (1), (0)', 'take_positive(positive)')$$);

-- the collation is that of the columns, as in a query
CREATE FUNCTION collated(text, text DEFAULT 'x') RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note(pg_collation_for($1)); END $$;
SELECT * FROM pg_temp.walk('SELECT ''a'' COLLATE "C"', 'collated(text, text)');
SELECT * FROM pg_temp.walk('SELECT ''a'', ''b'' COLLATE "POSIX"', 'collated(text, text)');
-- two that contradict each other
SELECT * FROM pg_temp.walk('SELECT ''a'' COLLATE "C", ''b'' COLLATE "POSIX"', 'collated(text, text)');
SELECT collated(a, b) FROM (SELECT 'a' COLLATE "C", 'b' COLLATE "POSIX" OFFSET 0) s (a, b);
SELECT what FROM log;
DELETE FROM log;

-- overloaded: the signature says which
CREATE FUNCTION over(integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note('integer'); END $$;
CREATE FUNCTION over(bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note('bigint'); END $$;
CREATE FUNCTION over(integer, integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note('two'); END $$;
SELECT * FROM pg_temp.walk('SELECT 1', 'over(integer)');
SELECT * FROM pg_temp.walk('SELECT 1', 'over(bigint)');
SELECT * FROM pg_temp.walk('SELECT 1, 2', 'over(int, int4)');
SELECT * FROM pg_temp.walk('SELECT 1', ' "regress_callbacks" . over ( int8 ) ');

-- many parameters
DO $$
BEGIN
	EXECUTE format('CREATE FUNCTION hundred(%s) RETURNS void LANGUAGE plpgsql AS %L',
		(SELECT string_agg('p' || i || ' integer', ', ' ORDER BY i) FROM generate_series(1, 100) i),
		'BEGIN PERFORM note(format(''%s %s'', p1, p100)); END');
END
$$;
SELECT * FROM pg_temp.walk(
	'SELECT ' || (SELECT string_agg(i::text, ', ' ORDER BY i) FROM generate_series(1, 100) i),
	'hundred(' || (SELECT string_agg('int', ', ') FROM generate_series(1, 100)) || ')');
SELECT left(pg_temp.error_of(format('SELECT pg_temp.walk(%L, %L)',
	'SELECT ' || (SELECT string_agg(i::text, ', ') FROM generate_series(1, 1664) i), 'two(bigint, text)')), 58);

--
-- Whole rows
--

CREATE TABLE item (gone integer, id integer, name varchar(5), "odd ""name" numeric(4, 1));
ALTER TABLE item DROP COLUMN gone;
INSERT INTO item VALUES (1, 'one', 1.25), (2, NULL, 2), (NULL, NULL, NULL);
CREATE FUNCTION take_item(item) RETURNS integer LANGUAGE plpgsql
AS $$ BEGIN PERFORM note(format('%s: %s %s %s', $1, $1.id, $1.name, $1."odd ""name")); RETURN $1.id; END $$;
SELECT * FROM pg_temp.walk('TABLE item', 'take_item(item)');
-- a column that is a row fits by position
SELECT * FROM pg_temp.walk('SELECT i FROM item i', 'take_item(item)');
-- columns are cast implicitly, and type modifiers hold
SELECT * FROM pg_temp.walk('SELECT 1::smallint, ''x''::text, 3', 'take_item(item)');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT 1, ''longer than five'', 3', 'take_item(item)')$$);
-- a type; a domain over it
CREATE TYPE pair AS (a integer, b text);
CREATE DOMAIN good_pair AS pair CHECK ((VALUE).a > 0);
CREATE FUNCTION take_pair(pair) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
CREATE FUNCTION take_good(good_pair) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
SELECT * FROM pg_temp.walk('SELECT 1, ''x''', 'take_pair(pair)');
SELECT * FROM pg_temp.walk('SELECT 1, ''x''', 'take_good(good_pair)');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT 0, ''x''', 'take_good(good_pair)')$$);
-- a row of one column: by position if it fits so, else as a row
CREATE TYPE single AS (a integer);
CREATE FUNCTION take_single(single) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
SELECT * FROM pg_temp.walk('SELECT 1', 'take_single(single)');
SELECT * FROM pg_temp.walk('SELECT ROW(2)::single', 'take_single(single)');
-- any row; names of columns are kept
CREATE FUNCTION take_record(record) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note(to_json($1)::text); END $$;
SELECT * FROM pg_temp.walk('TABLE item LIMIT 2', 'take_record(record)');
SELECT * FROM pg_temp.walk('SELECT 1 AS a, 2 AS a, NULL AS "B c"', 'take_record(record)');
SELECT * FROM pg_temp.walk('SELECT ROW(1, 2)', 'take_record(record)');
-- with more parameters that have defaults
CREATE FUNCTION row_and_more(item, more text DEFAULT 'more') RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1.id || more); END $$;
SELECT * FROM pg_temp.walk('TABLE item LIMIT 1', 'row_and_more(item, text)');
-- jsonb is passed when it is selected, and only then
CREATE FUNCTION take_json(jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note($1::text); END $$;
SELECT * FROM pg_temp.walk('SELECT to_jsonb(i) FROM item i LIMIT 1', 'take_json(jsonb)');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('TABLE item', 'take_json(jsonb)')$$);
-- language SQL, one expression of a row
CREATE FUNCTION row_sql(item) RETURNS text LANGUAGE sql AS $$ SELECT $1.name || $1.id $$;
SELECT rows FROM streamiter.for_each('TABLE item', 'row_sql(item)');

--
-- Results of any kind are ignored
--

CREATE FUNCTION out_two(a integer, OUT b integer, OUT c text) LANGUAGE plpgsql AS $$ BEGIN b := a; PERFORM note('out ' || a); END $$;
CREATE FUNCTION returns_record(a integer) RETURNS record LANGUAGE plpgsql AS $$ BEGIN PERFORM note('record ' || a); RETURN ROW(a, a); END $$;
CREATE FUNCTION returns_table_row(a integer) RETURNS item LANGUAGE plpgsql AS $$ BEGIN PERFORM note('row ' || a); RETURN NULL; END $$;
CREATE FUNCTION returns_bytes(a integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM note('text ' || a); RETURN repeat('x', 1000000); END $$;
SELECT * FROM pg_temp.walk('SELECT 1', 'out_two(integer)');
SELECT * FROM pg_temp.walk('SELECT 1', 'returns_record(integer)');
SELECT * FROM pg_temp.walk('SELECT 1', 'returns_table_row(integer)');
SELECT * FROM pg_temp.walk('SELECT 1', 'returns_bytes(integer)');
-- and do not pile up
SELECT peak_batch_bytes < 4 * 1024 * 1024 AS small FROM streamiter.for_each('SELECT generate_series(1, 50)', 'returns_bytes(integer)');
DELETE FROM log;

--
-- What a callback may do: notices, SPI, settings, an exception block
--

CREATE FUNCTION busy(i integer) RETURNS void SET work_mem = '1MB' LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	RAISE WARNING 'row %, work_mem %', i, current_setting('work_mem');
	FOR r IN SELECT generate_series(1, 3) LOOP END LOOP;
	BEGIN
		PERFORM note('undone');
		PERFORM 1 / (i - 2);
		PERFORM note('done ' || i);
	EXCEPTION WHEN division_by_zero THEN
		PERFORM note('caught ' || i);
	END;
	CREATE TEMP TABLE busy_table ON COMMIT DROP AS SELECT i;
	DROP TABLE busy_table;
END
$$;
SELECT * FROM pg_temp.walk('SELECT generate_series(1, 3)', 'busy(integer)');
-- rights: SECURITY DEFINER functions change them, and only while they run
CREATE ROLE regress_streamiter_definer;
GRANT USAGE ON SCHEMA regress_callbacks TO regress_streamiter_definer;
CREATE FUNCTION whoami(integer) RETURNS void SECURITY DEFINER LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING 'definer: %', current_user = 'regress_streamiter_definer'; END $$;
ALTER FUNCTION whoami(integer) OWNER TO regress_streamiter_definer;
SELECT rows, current_user = session_user AS back FROM streamiter.for_each('SELECT 1', 'whoami(integer)');

--
-- Refused before the first row
--

CREATE FUNCTION a_set(integer) RETURNS SETOF integer LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION a_table(integer) RETURNS TABLE (a integer) LANGUAGE sql AS $$ SELECT $1 $$;
CREATE PROCEDURE a_procedure(integer) LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE FUNCTION a_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE FUNCTION an_event_trigger() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
-- the source raises an error when its first row is read: none of these is that
SELECT callback || ': ' || pg_temp.error_of(format('SELECT streamiter.for_each(%L, %L)', 'SELECT 1 / 0 WHERE random() >= 0', callback))
FROM unnest(ARRAY['two(bigint, text)', 'two(bigint)', 'nowhere(integer)', 'over()', 'over', 'over(', 'over)', 'over(integer',
	'over(no_such_type)', '', ' ', 'sum(integer)', 'count(*)', 'rank()', 'row_number()',
	'a_set(integer)', 'a_table(integer)', 'generate_series(integer,integer)', 'a_procedure(integer)', 'a_trigger()', 'an_event_trigger()',
	'int4in(cstring)', 'take_json(jsonb)', 'take_pair(pair)', 'boolin(cstring)', 'array_append(anycompatiblearray, anycompatible)'])
	WITH ORDINALITY c (callback, ordinal) ORDER BY ordinal;
-- a right that is missing
CREATE ROLE regress_streamiter_nobody;
REVOKE EXECUTE ON FUNCTION take_integer(integer) FROM PUBLIC;
SET ROLE regress_streamiter_nobody;
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'regress_callbacks.take_integer(integer)')$$);
RESET ROLE;
GRANT USAGE ON SCHEMA regress_callbacks TO regress_streamiter_nobody;
SET ROLE regress_streamiter_nobody;
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'take_integer(integer)')$$);
RESET ROLE;

-- a function that drops itself: nothing of the walk is kept, as with SELECT suicide(i)
CREATE FUNCTION suicide(integer) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN DROP FUNCTION suicide(integer); END $$;
SELECT left(pg_temp.error_of($$SELECT streamiter.for_each('SELECT generate_series(1, 3)', 'suicide(integer)')$$), 5);
SELECT left(pg_temp.error_of($$SELECT suicide(i) FROM generate_series(1, 3) i$$), 5);
SELECT rows FROM streamiter.for_each('SELECT 1', 'suicide(integer)');

\pset format aligned
\pset tuples_only off
SET client_min_messages = error;
DROP SCHEMA regress_callbacks CASCADE;
DROP ROLE regress_streamiter_definer, regress_streamiter_nobody;
