-- Callbacks in language SQL: one expression may be put into the plan of the
-- source, or evaluated instead of called, where nothing but speed can tell.
-- What can be seen of a walk must be what SELECT f(columns) shows.

SET client_min_messages = warning;
CREATE SCHEMA regress_fused;
SET search_path = regress_fused, public;

CREATE TABLE item (id integer PRIMARY KEY, v integer, name text);
INSERT INTO item SELECT i, i * 10, 'n' || i FROM generate_series(1, 6) i;
ANALYZE item;
CREATE TABLE other (id integer PRIMARY KEY, w integer);
INSERT INTO other SELECT i, -i FROM generate_series(1, 4) i;
CREATE TABLE empty (id integer, v integer);

-- What was called, in order.  A plain table would do, but tells nothing of
-- what happens to be planned away.
CREATE TABLE log (n serial, what text);
CREATE FUNCTION note(what text) RETURNS text LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES (what); RETURN what; END $$;
CREATE FUNCTION pg_temp.noted() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := (SELECT string_agg(coalesce(what, 'null'), ' ' ORDER BY n) FROM log);
BEGIN
	DELETE FROM log;
	RETURN coalesce(result, '(nothing)');
END
$$;
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;

--
-- Walk and plain SELECT, side by side
--

CREATE FUNCTION inlined(integer) RETURNS text LANGUAGE sql AS $$ SELECT note('i' || $1) $$;
CREATE FUNCTION inlined2(integer, integer) RETURNS text LANGUAGE sql AS $$ SELECT note($1 || '/' || $2) $$;
-- the same where it cannot be inlined
CREATE FUNCTION called(integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN note('i' || $1); END $$;
CREATE FUNCTION called2(integer, integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN note($1 || '/' || $2); END $$;

-- Walks with both, in both modes and several chunk sizes: all must agree with
-- SELECT f(columns) FROM (source); returns that
CREATE FUNCTION pg_temp.compare(query text, arity integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	columns text := CASE arity WHEN 1 THEN 'a' ELSE 'a, b' END;
	signature text := CASE arity WHEN 1 THEN '(integer)' ELSE '2(integer, integer)' END;
	expected text;
	got text;
	callback text;
	chunk integer;
	on_error text;
BEGIN
	EXECUTE format('SELECT count(%s) FROM (SELECT called%s(%s) AS f FROM (SELECT * FROM (%s) q OFFSET 0) s (%s) OFFSET 0) t',
		'f', CASE arity WHEN 1 THEN '' ELSE '2' END, columns, query, columns);
	expected := pg_temp.noted();
	FOREACH callback IN ARRAY '{inlined,called}'::text[] LOOP
		FOREACH chunk IN ARRAY '{1, 3, 2000}'::int[] LOOP
			FOREACH on_error IN ARRAY '{stop,skip}'::text[] LOOP
				PERFORM streamiter.for_each(query, callback || signature, chunk, on_error => on_error);
				got := pg_temp.noted();
				IF got <> expected THEN
					RETURN format('%s, %s, %s: %s, not %s', callback, chunk, on_error, got, expected);
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
	RETURN expected;
END
$$;
\pset format unaligned
\pset tuples_only on
-- plans of each kind on top: scans, joins, sorts, limits, aggregates, windows, sets ...
SELECT query || ': ' || pg_temp.compare(query, 1) FROM unnest(ARRAY[
	'SELECT id FROM item',
	'SELECT id FROM item WHERE v > 20',
	'SELECT id FROM item WHERE id = 3',
	'SELECT v FROM item WHERE id > 3 ORDER BY id DESC',
	'SELECT v FROM item ORDER BY v DESC',
	'SELECT v FROM item ORDER BY name COLLATE "C" DESC',
	'SELECT id FROM item ORDER BY v DESC LIMIT 2 OFFSET 1',
	'SELECT id FROM item LIMIT 2',
	'SELECT id FROM item LIMIT 0',
	'SELECT v / 20 FROM item GROUP BY 1 ORDER BY 1',
	'SELECT max(v) FROM item',
	'SELECT DISTINCT v / 40 FROM item ORDER BY 1',
	'SELECT id FROM item GROUP BY GROUPING SETS (id, ()) ORDER BY id NULLS FIRST',
	'SELECT (sum(v) OVER (ORDER BY id))::integer FROM item',
	'SELECT v FROM (SELECT v, row_number() OVER (ORDER BY id DESC) FROM item) s',
	'SELECT i.v FROM item i JOIN other o USING (id) ORDER BY i.id',
	'SELECT o.w FROM item i LEFT JOIN other o USING (id) WHERE i.id > 3 ORDER BY i.id',
	'SELECT w FROM item RIGHT JOIN other ON item.id = other.id + 100 ORDER BY w',
	'SELECT v FROM item WHERE EXISTS (SELECT FROM other WHERE other.id = item.id) ORDER BY v',
	'SELECT id FROM item WHERE id < 3 UNION ALL SELECT w FROM other',
	'SELECT w FROM other INTERSECT ALL SELECT -id FROM item ORDER BY 1',
	'SELECT i FROM generate_series(1, 3) i',
	'VALUES (3), (1), (2)',
	'WITH c AS MATERIALIZED (SELECT id FROM item WHERE id < 4) SELECT id FROM c ORDER BY id',
	'WITH RECURSIVE r (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM r WHERE i < 4) SELECT i FROM r',
	'SELECT generate_series(1, id) FROM item WHERE id < 3',
	'SELECT x.id FROM item i, LATERAL (SELECT i.id OFFSET 0) x ORDER BY 1',
	'SELECT (SELECT w FROM other o WHERE o.id = i.id) FROM item i WHERE id < 3 ORDER BY id',
	'SELECT id FROM item TABLESAMPLE SYSTEM (100)',
	'SELECT id FROM item WHERE ctid = ''(0,2)''',
	'SELECT id FROM empty',
	'SELECT 7',
	'SELECT NULL::integer'
	]) WITH ORDINALITY q (query, ordinal) ORDER BY ordinal;
SET enable_seqscan = off;
SET jit = off;
SELECT query || ': ' || pg_temp.compare(query, 1) FROM unnest(ARRAY[
	'SELECT id FROM item WHERE id > 3 ORDER BY id',
	'SELECT v FROM item WHERE id > 3 ORDER BY id',
	'SELECT v FROM item WHERE id > 3 OR id = 1 ORDER BY id'
	]) WITH ORDINALITY q (query, ordinal) ORDER BY ordinal;
RESET enable_seqscan;
RESET jit;

-- duplicate columns, unnamed ones, swapped ones, columns of both sides of a join
SELECT query || ': ' || pg_temp.compare(query, 2) FROM unnest(ARRAY[
	'SELECT id, v FROM item',
	'SELECT v, id FROM item',
	'SELECT id, id FROM item',
	'SELECT id AS x, v AS x FROM item',
	'SELECT id + 0, v * 1 FROM item',
	'SELECT id, 5 FROM item',
	'SELECT 5, 6 FROM item',
	'SELECT o.id, i.v FROM item i, other o WHERE i.id = o.id ORDER BY o.id',
	'SELECT v, (count(*) OVER ())::integer FROM item',
	'SELECT count(*)::integer, max(id) FROM item',
	'VALUES (1, 2), (3, 4)',
	'TABLE other ORDER BY id',
	'TABLE other'
	]) WITH ORDINALITY q (query, ordinal) ORDER BY ordinal;

--
-- Nothing is called less often
--

-- IMMUTABLE, over columns that are constants: once per row, not once in all
CREATE FUNCTION immutable_note(integer) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT regress_fused.note('c' || $1) $$;
CREATE FUNCTION immutable_direct(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM regress_fused.note('d' || $1); RETURN 1; END $$;
CREATE FUNCTION immutable_around(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS $$ SELECT regress_fused.immutable_direct($1) $$;
SELECT rows FROM streamiter.for_each('SELECT 1 FROM item', 'immutable_note(integer)');
SELECT pg_temp.noted();
SELECT rows FROM streamiter.for_each('SELECT 1 FROM item', 'immutable_direct(integer)');
SELECT pg_temp.noted();
SELECT rows FROM streamiter.for_each('SELECT 1 FROM item', 'immutable_around(integer)');
SELECT pg_temp.noted();
SELECT rows FROM streamiter.for_each('SELECT x FROM item, (SELECT 1 AS x) s WHERE v > 0', 'immutable_around(integer)');
SELECT pg_temp.noted();
SELECT rows FROM streamiter.for_each('SELECT id FROM item WHERE id = 2', 'immutable_around(integer)');
SELECT pg_temp.noted();

--
-- Every column of the source is evaluated, used or not
--

CREATE SEQUENCE counter;
CREATE FUNCTION ignores(integer, anyelement) RETURNS integer LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION ignores_all(integer) RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;
SELECT rows FROM streamiter.for_each('SELECT id, nextval(''counter'') FROM item', 'ignores(integer, anyelement)');
SELECT last_value FROM counter;
SELECT rows FROM streamiter.for_each('SELECT nextval(''counter'')::integer FROM item', 'ignores_all(integer)');
SELECT last_value FROM counter;
SELECT rows FROM streamiter.for_each('SELECT id, note(''col'' || id) FROM item WHERE id < 3', 'ignores(integer, anyelement)');
SELECT pg_temp.noted();
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT id, 1 / (id - 3) FROM item', 'ignores(integer, anyelement)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1 / (id - 3) FROM item', 'ignores_all(integer)')$$);
-- a volatile column used twice has one value
CREATE FUNCTION same_value(double precision) RETURNS text LANGUAGE sql AS $$ SELECT note(CASE WHEN $1 = $1 THEN 'same' ELSE 'other' END) $$;
SELECT rows FROM streamiter.for_each('SELECT random() FROM item WHERE id < 4', 'same_value(double precision)');
SELECT pg_temp.noted();
CREATE FUNCTION twice(bigint) RETURNS text LANGUAGE sql AS $$ SELECT note($1 || '=' || $1) $$;
ALTER SEQUENCE counter RESTART;
SELECT rows FROM streamiter.for_each('SELECT nextval(''counter'') FROM item WHERE id < 4', 'twice(bigint)');
SELECT rows FROM streamiter.for_each('SELECT x FROM (SELECT nextval(''counter'') AS x FROM item WHERE id < 4 OFFSET 0) s', 'twice(bigint)');
SELECT pg_temp.noted();
-- volatile bodies: once per row each
CREATE FUNCTION draws(integer) RETURNS text LANGUAGE sql AS $$ SELECT note($1 || ':' || nextval('regress_fused.counter')) $$;
ALTER SEQUENCE counter RESTART;
SELECT rows FROM streamiter.for_each('SELECT id FROM item WHERE v > 30', 'draws(integer)', 1);
SELECT pg_temp.noted();

--
-- Errors in a body belong to a row
--

CREATE FUNCTION fails(integer) RETURNS integer LANGUAGE sql AS $$ SELECT 1 / 0 $$;
CREATE FUNCTION fails_at(integer) RETURNS integer LANGUAGE sql AS $$ SELECT 1 / ($1 - 3) $$;
CREATE FUNCTION fails_fold(integer) RETURNS integer LANGUAGE sql AS $$ SELECT $1 + 'x'::text::integer $$;
-- without rows there is none
SELECT callback, query, pg_temp.error_of(format('SELECT streamiter.for_each(%L, %L)', query, callback))
FROM unnest(ARRAY['fails(integer)', 'fails_at(integer)', 'fails_fold(integer)']) WITH ORDINALITY c (callback, n),
	unnest(ARRAY['SELECT id FROM empty', 'SELECT id FROM item WHERE v < 0', 'SELECT id FROM item WHERE false', 'SELECT id FROM item WHERE v > 10']) WITH ORDINALITY q (query, m)
ORDER BY n, m;
-- rows, batches and callback are named, wherever the call was made
SELECT streamiter.for_each('SELECT id FROM item WHERE v > 0', 'fails_at(integer)', 2);
SELECT rows FROM streamiter.for_each('TABLE empty UNION ALL SELECT id, v FROM item', 'ignores(integer, anyelement)');
SELECT streamiter.for_each('SELECT id FROM item ORDER BY v DESC', 'fails_at(integer)', 3);
-- bad rows are skipped
SELECT rows, skipped FROM streamiter.for_each('SELECT id FROM item WHERE v > 0', 'fails_at(integer)', 2, on_error => 'skip');
-- arguments that are not evaluated raise nothing: none is left out
CREATE FUNCTION lazy(integer, integer) RETURNS integer LANGUAGE sql AS $$ SELECT CASE WHEN $1 > 3 THEN 1 / ($1 - 3) ELSE 0 END $$;
SELECT rows FROM streamiter.for_each('SELECT id, v FROM item WHERE v > 0', 'lazy(integer, integer)');

--
-- What must stay a call: SECURITY DEFINER, settings, sets, several statements
--

CREATE ROLE regress_streamiter_fused;
GRANT USAGE ON SCHEMA regress_fused TO regress_streamiter_fused;
GRANT INSERT ON log TO regress_streamiter_fused;
GRANT USAGE ON SEQUENCE log_n_seq TO regress_streamiter_fused;
CREATE FUNCTION definer(integer) RETURNS text SECURITY DEFINER LANGUAGE sql AS $$ SELECT regress_fused.note(current_user || $1) $$;
ALTER FUNCTION definer(integer) OWNER TO regress_streamiter_fused;
CREATE FUNCTION setting(integer) RETURNS text SET work_mem = '1234kB' LANGUAGE sql AS $$ SELECT note($1 || current_setting('work_mem')) $$;
CREATE FUNCTION statements(integer) RETURNS text LANGUAGE sql AS $$ SELECT note('first'); SELECT note('second' || $1) $$;
CREATE FUNCTION reads(integer) RETURNS text LANGUAGE sql AS $$ SELECT note(name) FROM item WHERE id = $1 $$;
CREATE FUNCTION writes(integer) RETURNS void LANGUAGE sql AS $$ INSERT INTO log (what) VALUES ('w' || $1) $$;
CREATE FUNCTION standard(integer) RETURNS text LANGUAGE sql RETURN note('s' || $1);
CREATE FUNCTION atomic(integer) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT note('a' || $1); END;
SELECT callback || ': ' || rows FROM unnest('{definer,setting,statements,reads,writes,standard,atomic}'::text[]) WITH ORDINALITY c (callback, n),
	streamiter.for_each('SELECT id FROM item WHERE v < 30', callback || '(integer)') ORDER BY n;
SELECT pg_temp.noted();
-- the caller's rights count for the body of the others, as in SELECT f(x)
CREATE FUNCTION private(integer) RETURNS integer LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION uses_private(integer) RETURNS integer LANGUAGE sql AS $$ SELECT regress_fused.private($1) $$;
REVOKE EXECUTE ON FUNCTION private(integer) FROM PUBLIC;
GRANT SELECT ON item TO regress_streamiter_fused;
SET ROLE regress_streamiter_fused;
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT id FROM regress_fused.item WHERE v > 0', 'regress_fused.uses_private(integer)')$$);
SELECT pg_temp.error_of($$SELECT regress_fused.uses_private(id) FROM regress_fused.item WHERE v > 0$$);
RESET ROLE;

-- a function that replaces itself: the walk goes on with what it began with, as SELECT f(x) does
CREATE FUNCTION replaced(integer) RETURNS text LANGUAGE sql AS $$ SELECT '' $$;
CREATE FUNCTION replace_it() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CREATE OR REPLACE FUNCTION regress_fused.replaced(integer) RETURNS text LANGUAGE sql AS 'SELECT regress_fused.note(''new'' || $1)';
	RETURN '';
END
$$;
CREATE FUNCTION pg_temp.restore() RETURNS void LANGUAGE sql AS
$$ CREATE OR REPLACE FUNCTION regress_fused.replaced(integer) RETURNS text LANGUAGE sql AS 'SELECT regress_fused.note(''old'' || $1) || regress_fused.replace_it()' $$;
SELECT pg_temp.restore();
SELECT count(replaced(id)) FROM item WHERE v > 30;
SELECT pg_temp.noted(), pg_temp.restore();
SELECT rows FROM streamiter.for_each('SELECT id FROM item WHERE v > 30', 'replaced(integer)', 1);
SELECT pg_temp.noted(), pg_temp.restore();
-- one that is dropped, and made anew, between two walks
DROP FUNCTION inlined(integer);
CREATE FUNCTION inlined(integer) RETURNS text LANGUAGE sql AS $$ SELECT note('anew' || $1) $$;
SELECT rows FROM streamiter.for_each('SELECT id FROM item WHERE v < 30', 'inlined(integer)');
SELECT pg_temp.noted();

--
-- The rest of the contract
--

-- the callback changes the rows it walks: each comes once, as it was
CREATE FUNCTION bump(integer) RETURNS void LANGUAGE sql AS $$ UPDATE item SET v = v + 1000, id = id + 100 WHERE id = $1 $$;
SELECT rows FROM streamiter.for_each('SELECT id FROM item WHERE v >= 0', 'bump(integer)', 1);
SELECT id, v FROM item ORDER BY id;
-- a walk inside the expression
CREATE FUNCTION nested(integer) RETURNS bigint LANGUAGE sql
AS $$ SELECT rows FROM streamiter.for_each('SELECT 1 FROM generate_series(1, $1)', 'ignores_all(integer)', args => ROW($1)) $$;
CREATE FUNCTION nested_expression(integer) RETURNS text LANGUAGE sql AS $$ SELECT note(nested($1)::text) $$;
SELECT rows FROM streamiter.for_each('SELECT w * -1 FROM other ORDER BY id', 'nested_expression(integer)');
SELECT pg_temp.noted();
-- no transaction id is used where nothing is written
BEGIN;
SELECT rows FROM streamiter.for_each('SELECT id FROM item WHERE v > 0', 'ignores_all(integer)');
SELECT pg_current_xact_id_if_assigned() IS NULL AS none;
COMMIT;
\pset format aligned
\pset tuples_only off

SET client_min_messages = error;
DROP SCHEMA regress_fused CASCADE;
DROP ROLE regress_streamiter_fused;
