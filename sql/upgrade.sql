-- The extension's objects; and that every version, brought up to date, is what
-- a new installation of the default version is

SET client_min_messages = warning;
CREATE SCHEMA regress_upgrade;
SET search_path = regress_upgrade, public;

-- Names of all objects of the extension, each with all there is to say about it
CREATE VIEW object AS
SELECT o.type, o.identity, d.classid, d.objid
FROM pg_extension e
JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e',
	pg_identify_object(d.classid, d.objid, 0) o
WHERE e.extname = 'streamiter'
-- from 17 on, the types that tables and other types bring along are listed too
AND NOT (d.classid = 'pg_type'::regclass AND EXISTS (
	SELECT FROM pg_type t WHERE t.oid = d.objid AND (t.typrelid <> 0 OR t.typelem <> 0)));

CREATE VIEW definition AS
SELECT type, identity, 'is' AS what, NULL AS value FROM object
UNION ALL
SELECT type, identity, 'definition', pg_get_functiondef(objid) FROM object
WHERE classid = 'pg_proc'::regclass
UNION ALL
SELECT type, identity, 'grants', array_to_string(ARRAY(SELECT a::text FROM unnest(proacl) a ORDER BY a::text COLLATE "C"), ' ')
FROM object JOIN pg_proc p ON p.oid = objid WHERE classid = 'pg_proc'::regclass
UNION ALL
SELECT type, identity, 'grants', array_to_string(ARRAY(SELECT a::text FROM unnest(relacl) a ORDER BY a::text COLLATE "C"), ' ')
FROM object JOIN pg_class c ON c.oid = objid WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT type, identity, 'options', array_to_string(reloptions, ' ')
FROM object JOIN pg_class c ON c.oid = objid WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT type, identity, 'query', pg_get_viewdef(objid) FROM object WHERE type = 'view'
UNION ALL
SELECT type, identity, 'column ' || a.attnum, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
	CASE WHEN a.attnotnull THEN 'not null' END, nullif(a.attidentity, ''), pg_get_expr(f.adbin, f.adrelid),
	(SELECT collname FROM pg_collation WHERE oid = a.attcollation))
FROM object JOIN pg_attribute a ON a.attrelid = objid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT type, identity, 'constraint ' || conname, pg_get_constraintdef(c.oid)
FROM object JOIN pg_constraint c ON c.conrelid = objid WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT type, identity, 'index ' || indexrelid::regclass, pg_get_indexdef(indexrelid)
FROM object JOIN pg_index ON indrelid = objid WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT type, identity, 'trigger ' || tgname, pg_get_triggerdef(t.oid)
FROM object JOIN pg_trigger t ON tgrelid = objid AND NOT tgisinternal WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT type, identity, 'policy ' || polname, pg_get_expr(polqual, polrelid)
FROM object JOIN pg_policy ON polrelid = objid WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT 'extension', 'streamiter', 'dumped ' || c::regclass, extcondition[n]
FROM pg_extension, unnest(extconfig) WITH ORDINALITY u (c, n) WHERE extname = 'streamiter'
UNION ALL
SELECT 'schema', nspname, 'grants', array_to_string(ARRAY(SELECT a::text FROM unnest(nspacl) a ORDER BY a::text COLLATE "C"), ' ')
FROM pg_namespace WHERE nspname = 'streamiter';

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

-- each released version, updated; what differs is shown
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
