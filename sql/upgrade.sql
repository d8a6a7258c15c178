-- The extension's objects; and that every version, brought up to date, is what
-- a new installation of the default version is

SET client_min_messages = warning;
CREATE SCHEMA regress_upgrade;
SET search_path = regress_upgrade, public;

\i src/test/lib/definition.sql

\pset format unaligned
\pset tuples_only on
-- DROP EXTENSION leaves the schema, as for every extension that has one of its
-- own, and nothing in it
DROP EXTENSION streamiter;
SELECT relname FROM pg_class WHERE relnamespace = 'streamiter'::regnamespace
UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'streamiter'::regnamespace
UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'streamiter'::regnamespace;
-- a new installation, there and in a schema that it makes
CREATE EXTENSION streamiter;
DROP EXTENSION streamiter;
DROP SCHEMA streamiter;
CREATE EXTENSION streamiter;
SELECT extversion, extrelocatable, extnamespace::regnamespace FROM pg_extension WHERE extname = 'streamiter';
CREATE TABLE fresh AS TABLE definition;
SELECT type, identity FROM object ORDER BY type COLLATE "C", identity COLLATE "C";

-- each version that has been released, updated; what differs is shown
CREATE TABLE updated (version text, LIKE fresh);
DO $$
DECLARE
	released text[] := '{1.0}';
	version text;
BEGIN
	FOREACH version IN ARRAY released LOOP
		DROP EXTENSION streamiter;
		EXECUTE format('CREATE EXTENSION streamiter VERSION %L', version);
		PERFORM rows FROM streamiter.for_each('SELECT ''works''', 'length(text)');
		ALTER EXTENSION streamiter UPDATE;
		PERFORM rows FROM streamiter.for_each('SELECT ''works''', 'length(text)');
		INSERT INTO updated SELECT version, d.* FROM definition d;
	END LOOP;
END
$$;
SELECT version, count(*) = (SELECT count(*) FROM fresh) AS as_many FROM updated GROUP BY version ORDER BY string_to_array(version, '.')::integer[];
SELECT v.version, 'missing' AS problem, f.* FROM (SELECT DISTINCT version FROM updated) v, fresh f
WHERE NOT EXISTS (SELECT FROM updated u WHERE (u.version, u.type, u.identity, u.what) = (v.version, f.type, f.identity, f.what)
	AND u.value IS NOT DISTINCT FROM f.value)
UNION ALL
SELECT u.version, 'different', u.type, u.identity, u.what, u.value FROM updated u
WHERE NOT EXISTS (SELECT FROM fresh f WHERE (u.type, u.identity, u.what) = (f.type, f.identity, f.what)
	AND u.value IS NOT DISTINCT FROM f.value)
ORDER BY 1, 3, 4, 5;
\pset format aligned
\pset tuples_only off

SET client_min_messages = error;
DROP SCHEMA regress_upgrade CASCADE;
