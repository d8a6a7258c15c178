-- The registry: names that stand for functions and statements

SET client_min_messages = warning;

\i src/test/lib/error_of.sql

CREATE ROLE regress_streamiter_owner;
CREATE ROLE regress_streamiter_other;
CREATE SCHEMA regress_streamiter AUTHORIZATION regress_streamiter_owner;
CREATE SCHEMA "regress ""quoted"", schema" AUTHORIZATION regress_streamiter_owner;
GRANT USAGE ON SCHEMA regress_streamiter TO PUBLIC;
SET search_path = regress_streamiter, public;
SET ROLE regress_streamiter_owner;

CREATE TABLE log (id bigint);
CREATE FUNCTION note(id bigint) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO regress_streamiter.log VALUES (id); END $$;
CREATE FUNCTION note(id integer) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO regress_streamiter.log VALUES (-id); END $$;
CREATE FUNCTION note_all(ids bigint[]) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO regress_streamiter.log SELECT unnest(ids); END $$;

--
-- Register, walk, unregister
--

SELECT streamiter.register_callback('note', 'note(bigint)');
SELECT streamiter.register_callback('note minus', 'note(integer)', per => 'row');
SELECT streamiter.register_callback('note all', 'note_all(bigint[])', per => 'batch');
SELECT streamiter.register_callback('note batch', 'note(bigint)', per => 'batch');
SELECT streamiter.register_callback(E' \t', 'note(bigint)');
SELECT streamiter.register_statement('add',
	'INSERT INTO regress_streamiter.log SELECT unnest($1)');
SELECT streamiter.register_statement('remove',
	'DELETE FROM regress_streamiter.log WHERE id BETWEEN $1 AND $2', per => 'range');
SELECT name, owner, kind, signature, statement, usable, created <= now() AS past
FROM streamiter.callbacks ORDER BY name;
\d streamiter.callbacks

SELECT rows FROM streamiter.for_each('SELECT 7::bigint', 'note');
SELECT rows FROM streamiter.for_each('SELECT 8', 'note minus');
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 3)::bigint', 'note all');
SELECT rows FROM streamiter.for_each('SELECT generate_series(4, 6)::bigint', 'add');
SELECT * FROM log ORDER BY id;
TRUNCATE log;

SELECT streamiter.unregister_callback('note');
SELECT name FROM streamiter.callbacks ORDER BY name;
SELECT streamiter.register_callback('note', 'note(bigint)');

-- with the transaction, as everything
BEGIN;
SELECT streamiter.register_callback('short-lived', 'note(bigint)');
SELECT rows FROM streamiter.for_each('SELECT 7::bigint', 'short-lived');
ROLLBACK;
SELECT count(*) FROM streamiter.callbacks WHERE name = 'short-lived';
-- registered by the statement that uses it
SELECT streamiter.register_callback('at once', 'note(bigint)'),
	(streamiter.for_each('SELECT 8::bigint', 'at once')).rows;
SELECT streamiter.unregister_callback('at once');
BEGIN READ ONLY;
SELECT left(pg_temp.error_of($$SELECT streamiter.register_callback('ro', 'note(bigint)')$$), 5);
SELECT rows FROM streamiter.for_each('SELECT 9 WHERE false', 'note minus');
COMMIT;

--
-- Names of functions and types
--

CREATE TYPE "regress ""quoted"", schema"."a, ""type"" []" AS (a integer);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE FUNCTION "regress ""quoted"", schema"."f(), ""g"""(
	"char", char, varchar, bit, bit varying, timestamptz, time, interval, numeric,
	real, double precision, name, oid, regclass, jsonb, xml,
	"regress ""quoted"", schema"."a, ""type"" []",
	"regress ""quoted"", schema"."a, ""type"" []"[],
	positive, positive[], colour, log, log[], integer[][], OUT result integer,
	VARIADIC texts text[] DEFAULT '{}')
LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION polymorphic(anyelement, anyarray, record) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS '';

-- search_path does not matter, neither now nor later
SELECT streamiter.register_callback('types', oid::regprocedure) FROM pg_proc
WHERE proname = 'f(), "g"';
SELECT streamiter.register_callback('polymorphic', 'polymorphic(anyelement, anyarray, record)');
SELECT streamiter.register_callback('nothing', 'nothing()');
SET search_path = '';
\pset format unaligned
SELECT name, replace(signature, ', ', E',\n') AS signature, usable FROM streamiter.callbacks
WHERE name IN ('types', 'polymorphic', 'nothing') ORDER BY name;
\pset format aligned
SET search_path = regress_streamiter, public;

-- renamed, moved, dropped: said so, and found again when it is back
ALTER FUNCTION note(bigint) RENAME TO note_renamed;
SELECT usable FROM streamiter.callbacks WHERE name = 'note';
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'note')$$);
ALTER FUNCTION note_renamed(bigint) RENAME TO note;
SELECT usable FROM streamiter.callbacks WHERE name = 'note';
ALTER FUNCTION note(bigint) SET SCHEMA "regress ""quoted"", schema";
SELECT usable FROM streamiter.callbacks WHERE name = 'note';
SELECT left(pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'note')$$), 5);
ALTER FUNCTION "regress ""quoted"", schema".note(bigint) SET SCHEMA regress_streamiter;
ALTER TYPE colour RENAME TO color;
SELECT usable FROM streamiter.callbacks WHERE name = 'types';
SELECT left(pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'types')$$), 5);
ALTER TYPE color RENAME TO colour;
SELECT usable FROM streamiter.callbacks WHERE name = 'types';
-- another function of the same name and types is that function
TRUNCATE log;
DROP FUNCTION note(bigint);
CREATE FUNCTION note(id bigint) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO regress_streamiter.log VALUES (id * 1000); END $$;
SELECT rows FROM streamiter.for_each('SELECT 1::bigint', 'note');
SELECT * FROM log;
-- but one that was registered as a function does not become a handler, and
-- the other way round
BEGIN;
RESET ROLE;
UPDATE streamiter.callback SET kind = 'native' WHERE name = 'note';
SET ROLE regress_streamiter_owner;
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'note')$$);
ROLLBACK;

--
-- What cannot be registered
--

CREATE FUNCTION a_set() RETURNS SETOF integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION a_table() RETURNS TABLE (a integer) LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION a_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE PROCEDURE a_procedure() LANGUAGE sql AS '';
CREATE AGGREGATE an_aggregate(bigint) (SFUNC = int8pl, STYPE = bigint);
CREATE FUNCTION pg_temp.temporary(bigint) RETURNS void LANGUAGE sql AS '';
CREATE TEMP TABLE temporary_row (a integer);
CREATE FUNCTION of_temporary(temporary_row[]) RETURNS void LANGUAGE sql AS '';

\pset format unaligned
\pset tuples_only on
SELECT f || ': ' || left(pg_temp.error_of(format(
	'SELECT streamiter.register_callback(%L, %L::regprocedure)', 'bad', f)), 5)
FROM unnest('{a_set(),a_table(),a_trigger(),a_procedure(),an_aggregate(bigint),row_number(),not_there(),note(text),12345678,-}'::text[])
	WITH ORDINALITY c (f, n) ORDER BY n;
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('bad', 'pg_temp.temporary(bigint)')$$);
SELECT left(pg_temp.error_of($$SELECT streamiter.register_callback('bad', 'of_temporary(temporary_row[])')$$), 5);

-- names
SELECT pg_temp.error_of($$SELECT streamiter.register_callback(NULL, 'note(bigint)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('', 'note(bigint)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_callback(repeat('x', 64), 'note(bigint)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('f(int)', 'note(bigint)')$$);
SELECT left(pg_temp.error_of($$SELECT streamiter.register_callback('f)', 'note(bigint)')$$), 5);
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('note', 'note(integer)')$$);
SELECT left(pg_temp.error_of(format('SELECT streamiter.register_statement(%L, %L)', name, 'SELECT')), 5)
FROM unnest(ARRAY[NULL, '', repeat('x', 64), 'f(', 'note']) WITH ORDINALITY n (name, i) ORDER BY i;

-- the rest
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('bad', NULL)$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('bad', 'note(bigint)', NULL)$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('bad', 'note(bigint)', 'range')$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_statement('bad', NULL)$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_statement('bad', 'SELECT', NULL)$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_statement('bad', 'SELECT', 'row')$$);
SELECT statement || ': ' || left(pg_temp.error_of(format(
	'SELECT streamiter.register_statement(%L, %L)', 'bad', statement)), 5)
FROM unnest(ARRAY['', ' -- nothing', 'SELECT 1; SELECT 2', 'SELEC 1', 'BEGIN', 'VACUUM', 'DROP TABLE log'])
	WITH ORDINALITY s (statement, n) ORDER BY n;
SELECT pg_temp.error_of($$SELECT streamiter.unregister_callback(NULL)$$);
SELECT pg_temp.error_of($$SELECT streamiter.unregister_callback('bad')$$);

-- a range statement is for jobs
SELECT left(pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'remove')$$), 5);

-- 63 bytes are a name, as are many others
SELECT streamiter.register_callback(name, 'nothing()'), streamiter.unregister_callback(name)
FROM unnest(ARRAY[repeat('x', 63), ' x ', E'tab\t', '''quoted'' "name"; --', E'new\nline', '1', 'null']) name;
\pset format aligned
\pset tuples_only off

--
-- Whose names
--

RESET ROLE;
CREATE ROLE regress_streamiter_super1 SUPERUSER;
CREATE ROLE regress_streamiter_super2 SUPERUSER;

-- each role has names of its own
SET ROLE regress_streamiter_other;
SELECT count(*) FROM streamiter.callbacks;
SELECT streamiter.register_callback('note', 'regress_streamiter.nothing()');
SELECT name, owner, signature FROM streamiter.callbacks ORDER BY name;

-- one's own before a superuser's
SET ROLE regress_streamiter_super1;
CREATE FUNCTION said(text) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING '%', $1; END $$;
CREATE FUNCTION said_too(text) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING '% too', $1; END $$;
SELECT streamiter.register_callback('note', 'said(text)');
SELECT streamiter.register_callback('shared', 'said(text)');
SELECT name, owner, signature, usable FROM streamiter.callbacks
WHERE name = 'note' ORDER BY owner::text;
SET ROLE regress_streamiter_other;
SELECT name, owner, signature, usable FROM streamiter.callbacks ORDER BY owner::text, name;
SELECT rows FROM streamiter.for_each($$SELECT 'shared'$$, 'shared');
SELECT left(pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'note')$$), 5);
SELECT streamiter.unregister_callback('note');
SELECT rows FROM streamiter.for_each($$SELECT 'note'$$, 'note');
SELECT pg_temp.error_of($$SELECT streamiter.unregister_callback('note')$$);

-- two superusers' name is nobody's
SET ROLE regress_streamiter_super2;
SELECT streamiter.register_callback('shared', 'said_too(text)');
SELECT rows FROM streamiter.for_each($$SELECT 'own'$$, 'shared');
SET ROLE regress_streamiter_other;
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'shared')$$);
-- who is a superuser is looked at when the name is used
RESET ROLE;
ALTER ROLE regress_streamiter_super1 NOSUPERUSER;
SET ROLE regress_streamiter_other;
SELECT rows FROM streamiter.for_each($$SELECT 'other'$$, 'shared');
SELECT name, owner FROM streamiter.callbacks ORDER BY owner::text, name;

-- roles are renamed and dropped
RESET ROLE;
ALTER ROLE regress_streamiter_super1 RENAME TO regress_streamiter_renamed;
SELECT name, owner FROM streamiter.callbacks WHERE name = 'note' ORDER BY owner::text;
SET ROLE regress_streamiter_renamed;
SELECT rows FROM streamiter.for_each($$SELECT 'renamed'$$, 'shared');
RESET ROLE;
DROP FUNCTION said, said_too;
DROP ROLE regress_streamiter_renamed, regress_streamiter_super2;
SELECT count(*) FROM streamiter.callbacks WHERE name = 'shared';
SELECT count(*) FROM streamiter.callback WHERE name = 'shared';
SET ROLE regress_streamiter_owner;
SELECT left(pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'shared')$$), 5);
SELECT streamiter.register_callback('sweeps', 'nothing()');
RESET ROLE;
SELECT count(*) FROM streamiter.callback WHERE name = 'shared';

SET client_min_messages = error;
DROP OWNED BY regress_streamiter_owner CASCADE;
DROP ROLE regress_streamiter_owner, regress_streamiter_other;
DELETE FROM streamiter.callback c
WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = c.owner);
