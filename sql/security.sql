-- Who may do, see and run what

SET client_min_messages = warning;

-- Runs a statement; returns how it failed
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;

CREATE ROLE regress_streamiter_super SUPERUSER;
CREATE ROLE regress_streamiter_alice;
CREATE ROLE regress_streamiter_bob;
CREATE ROLE regress_streamiter_member IN ROLE regress_streamiter_alice;
SET ROLE regress_streamiter_super;
CREATE SCHEMA regress_alice AUTHORIZATION regress_streamiter_alice;
CREATE SCHEMA regress_bob AUTHORIZATION regress_streamiter_bob;
CREATE SCHEMA regress_shared;
GRANT USAGE ON SCHEMA regress_alice, regress_shared TO PUBLIC;

-- Says who runs it
CREATE FUNCTION regress_shared.who(text) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING '% for %', $1, current_user; END $$;
CREATE FUNCTION regress_alice.who(text) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING 'alice''s code for %', current_user; END $$;
CREATE FUNCTION regress_bob.who(text) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING 'bob''s code for %', current_user; END $$;

--
-- What the extension grants
--

-- nobody but its owner and those who dump has rights on a table
SELECT c.relname, a.grantee::regrole, a.privilege_type
FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
WHERE c.relnamespace = 'streamiter'::regnamespace AND c.relkind IN ('r', 'p', 'm', 'f')
AND a.grantee <> c.relowner
ORDER BY c.relname COLLATE "C", a.grantee::regrole::text, a.privilege_type;
-- views only show, and only behind a barrier
SELECT c.relname, a.grantee::regrole, a.privilege_type, c.reloptions
FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
WHERE c.relnamespace = 'streamiter'::regnamespace AND c.relkind = 'v'
AND a.grantee <> c.relowner AND (a.privilege_type <> 'SELECT'
	OR coalesce(c.reloptions::text, '') NOT LIKE '%security_barrier%');
-- nothing runs with the rights of the extension's owner
SELECT oid::regprocedure FROM pg_proc
WHERE pronamespace = 'streamiter'::regnamespace AND prosecdef;
-- and users make nothing in its schema
SELECT has_schema_privilege('regress_streamiter_alice', 'streamiter', 'CREATE') AS create,
	has_schema_privilege('regress_streamiter_alice', 'streamiter', 'USAGE') AS usage;

SET ROLE regress_streamiter_alice;
SELECT statement, pg_temp.error_of(statement) FROM unnest(ARRAY[
	'SELECT FROM streamiter.callback',
	'LOCK TABLE streamiter.callback IN ACCESS SHARE MODE',
	$$INSERT INTO streamiter.callback VALUES (10, 'x', 'batch statement', NULL, NULL, NULL, 'SELECT')$$,
	$$UPDATE streamiter.callback SET owner = 10$$,
	'DELETE FROM streamiter.callback',
	'TRUNCATE streamiter.callback',
	'INSERT INTO streamiter.callbacks (name) VALUES (1)',
	'UPDATE streamiter.callbacks SET name = 1',
	'DELETE FROM streamiter.callbacks',
	'CREATE TRIGGER t BEFORE INSERT ON streamiter.callback EXECUTE FUNCTION tsvector_update_trigger()',
	'CREATE FUNCTION streamiter.mine() RETURNS void LANGUAGE sql AS $f$$f$'])
	WITH ORDINALITY s (statement, n) ORDER BY n;

--
-- Names: nobody makes another run his code
--

-- alice takes names that others might use
SELECT streamiter.register_callback('nightly', 'regress_alice.who(text)');
SELECT streamiter.register_statement('purge', 'SELECT regress_alice.who(''secret'') WHERE $1 IS NOT NULL');
SELECT rows FROM streamiter.for_each($$SELECT 'x'$$, 'nightly');
SET ROLE regress_streamiter_bob;
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'nightly')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'purge')$$);
-- not even a superuser runs it, nor a member of her role before SET ROLE
SET ROLE regress_streamiter_super;
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'nightly')$$);
SET ROLE regress_streamiter_member;
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'nightly')$$);
SELECT pg_temp.error_of($$SELECT streamiter.unregister_callback('nightly')$$);
SELECT count(*) FROM streamiter.callbacks;
SET SESSION AUTHORIZATION regress_streamiter_member;
SET ROLE regress_streamiter_alice;
SELECT rows FROM streamiter.for_each($$SELECT 'x'$$, 'nightly');
RESET SESSION AUTHORIZATION;
SET ROLE regress_streamiter_super;

-- what a superuser registers is for all, and is theirs to run, not his
SELECT streamiter.register_callback('nightly', 'regress_shared.who(text)');
SELECT rows FROM streamiter.for_each($$SELECT 'shared code'$$, 'nightly');
SET ROLE regress_streamiter_bob;
SELECT rows FROM streamiter.for_each($$SELECT 'shared code'$$, 'nightly');
SELECT pg_temp.error_of($$SELECT streamiter.unregister_callback('nightly')$$);
SET ROLE regress_streamiter_alice;
SELECT rows FROM streamiter.for_each($$SELECT 'shared code'$$, 'nightly');

-- in a function of another role's, names are that one's
CREATE FUNCTION regress_alice.as_alice(name text) RETURNS bigint
SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE sql
AS $$ SELECT rows FROM streamiter.for_each('SELECT ''x''', name) $$;
SET ROLE regress_streamiter_bob;
SELECT regress_alice.as_alice('nightly');

--
-- Rights: a registered name gives none
--

SET ROLE regress_streamiter_bob;
SELECT streamiter.register_callback('mine', 'regress_shared.who(text)');
SET ROLE regress_streamiter_super;
REVOKE EXECUTE ON FUNCTION regress_shared.who(text) FROM PUBLIC;
SET ROLE regress_streamiter_bob;
SELECT name, usable FROM streamiter.callbacks ORDER BY name;
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'mine')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'nightly')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'regress_shared.who(text)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('again', 'regress_shared.who(text)')$$);
SET ROLE regress_streamiter_super;
GRANT EXECUTE ON FUNCTION regress_shared.who(text) TO regress_streamiter_bob;
REVOKE USAGE ON SCHEMA regress_shared FROM PUBLIC;
SET ROLE regress_streamiter_bob;
SELECT name, usable FROM streamiter.callbacks ORDER BY name;
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'mine')$$);
-- a number gets round the schema when registering, but not when walking
SET ROLE regress_streamiter_super;
SELECT 'regress_shared.who(text)'::regprocedure::oid AS who_oid \gset
SET ROLE regress_streamiter_bob;
SELECT streamiter.register_callback('by number', :who_oid);
SELECT pg_temp.error_of($$SELECT streamiter.for_each($q$SELECT 'x'$q$, 'by number')$$);
SET ROLE regress_streamiter_super;
GRANT USAGE ON SCHEMA regress_shared TO regress_streamiter_bob;
SET ROLE regress_streamiter_bob;
SELECT rows FROM streamiter.for_each($$SELECT 'granted'$$, 'mine');
SELECT rows FROM streamiter.for_each($$SELECT 'granted'$$, 'by number');

--
-- The view shows no more than it should, however it is asked
--

CREATE FUNCTION regress_bob.leak(text) RETURNS boolean COST 0.0000001
LANGUAGE plpgsql AS $$
BEGIN
	IF $1 LIKE '%alice%' THEN
		RAISE WARNING 'leak: %', $1;
	END IF;
	RETURN true;
END
$$;
SELECT name FROM streamiter.callbacks
WHERE regress_bob.leak(concat(name, statement, signature)) ORDER BY name;
SET ROLE regress_streamiter_super;
SELECT owner, name FROM streamiter.callbacks ORDER BY owner::text COLLATE "C", name;

--
-- What is walked is read with the walker's rights
--

CREATE TABLE regress_shared.accounts (owner name, amount integer);
INSERT INTO regress_shared.accounts VALUES ('regress_streamiter_alice', 1),
	('regress_streamiter_bob', 2), ('regress_streamiter_bob', 3);
GRANT USAGE ON SCHEMA regress_shared TO regress_streamiter_alice;
SET ROLE regress_streamiter_bob;
SELECT pg_temp.error_of($$SELECT streamiter.iterator('TABLE regress_shared.accounts')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT owner::text FROM regress_shared.accounts', 'mine')$$);
SET ROLE regress_streamiter_super;
GRANT SELECT, UPDATE ON regress_shared.accounts TO regress_streamiter_alice, regress_streamiter_bob;
CREATE POLICY own ON regress_shared.accounts USING (owner = current_user);
ALTER TABLE regress_shared.accounts ENABLE ROW LEVEL SECURITY;
SELECT streamiter.register_statement('double',
	'UPDATE regress_shared.accounts SET amount = amount * 2 WHERE amount = ANY ($1)');
SET ROLE regress_streamiter_bob;
SELECT rows FROM streamiter.for_each('SELECT amount || '' seen'' FROM regress_shared.accounts ORDER BY 1', 'mine');
SELECT * FROM streamiter.next_batch(
	streamiter.iterator('SELECT amount FROM regress_shared.accounts ORDER BY 1'), NULL::integer);
SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 3)', 'double');
SET ROLE regress_streamiter_super;
SELECT * FROM regress_shared.accounts ORDER BY amount;

--
-- A superuser walks with a hostile search_path
--

-- alice waits with whatever our own statements might use
SET ROLE regress_streamiter_alice;
CREATE FUNCTION regress_alice.trap() RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE WARNING 'trapped: %', current_user; END $$;
DO $do$
DECLARE
	type text;
	types text[] := '{oid,regrole,text,name,"char",integer,bigint}';
	other text;
	operator text;
BEGIN
	FOREACH type IN ARRAY types LOOP
		FOREACH other IN ARRAY types LOOP
			EXECUTE format($f$CREATE FUNCTION regress_alice.trap(%s, %s) RETURNS boolean
				LANGUAGE plpgsql AS $$ BEGIN PERFORM regress_alice.trap(); RETURN true; END $$ $f$,
				type, other);
			FOREACH operator IN ARRAY '{=,<>,<,>}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR regress_alice.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = regress_alice.trap)',
					operator, type, other);
			END LOOP;
		END LOOP;
	END LOOP;
END
$do$;
CREATE FUNCTION regress_alice.now() RETURNS timestamptz LANGUAGE plpgsql
AS $$ BEGIN PERFORM regress_alice.trap(); RETURN NULL; END $$;
CREATE FUNCTION regress_alice.format(text, text, text, text) RETURNS text LANGUAGE plpgsql
AS $$ BEGIN PERFORM regress_alice.trap(); RETURN 'trap'; END $$;
CREATE FUNCTION regress_alice.array_to_string(text[], text) RETURNS text LANGUAGE plpgsql
AS $$ BEGIN PERFORM regress_alice.trap(); RETURN 'trap'; END $$;
CREATE TABLE regress_alice.callback AS SELECT 'evil' AS name;
CREATE VIEW regress_alice.pg_roles AS SELECT 10::oid AS oid, true AS rolsuper, 'x'::name AS rolname;
CREATE DOMAIN regress_alice.text AS pg_catalog.text;
CREATE DOMAIN regress_alice.bigint AS pg_catalog.int8;
GRANT SELECT ON ALL TABLES IN SCHEMA regress_alice TO PUBLIC;

SET ROLE regress_streamiter_super;
SET search_path = regress_alice, pg_catalog;
SELECT streamiter.register_callback('trapped', 'regress_shared.who(pg_catalog.text)');
SELECT streamiter.register_statement('trapped too', 'SELECT $1');
SELECT rows FROM streamiter.for_each($$SELECT 'safe'$$, 'trapped');
SELECT signature, usable FROM streamiter.callbacks
WHERE name OPERATOR(pg_catalog.=) 'trapped';
SELECT * FROM streamiter.next_batch(streamiter.iterator($$SELECT 'safe'::pg_catalog.text$$), NULL::pg_catalog.text);
SELECT streamiter.unregister_callback('trapped'), streamiter.unregister_callback('trapped too');
-- temporary objects come before all others, where they are let
SET search_path = pg_temp, pg_catalog;
CREATE TEMP TABLE callback (name text);
CREATE TEMP VIEW pg_roles AS SELECT 10::oid AS oid, true AS rolsuper, 'x'::name AS rolname;
SELECT streamiter.register_callback('trapped', 'regress_shared.who(text)');
SELECT rows FROM streamiter.for_each($$SELECT 'safe'$$, 'trapped');
SELECT streamiter.unregister_callback('trapped');
DROP VIEW pg_roles;
DROP TABLE callback;
RESET search_path;

-- user and settings are as they were, also after an error in the registry
SET ROLE regress_streamiter_bob;
SET search_path = regress_bob;
SELECT pg_temp.error_of($$SELECT streamiter.register_callback('mine', 'regress_shared.who(text)')$$);
SELECT pg_temp.error_of($$SELECT streamiter.for_each('SELECT 1', 'nowhere')$$);
SELECT current_user, current_schemas(false);
RESET search_path;
SET ROLE regress_streamiter_super;

SELECT streamiter.unregister_callback('nightly'), streamiter.unregister_callback('double');
RESET ROLE;
SET client_min_messages = error;
DROP SCHEMA regress_alice, regress_bob, regress_shared CASCADE;
DROP ROLE regress_streamiter_alice, regress_streamiter_bob, regress_streamiter_member,
	regress_streamiter_super;
DELETE FROM streamiter.callback c
WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = c.owner);
