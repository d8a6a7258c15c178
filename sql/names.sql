-- What the extension calls things

CREATE TEMPORARY VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'streamiter');
SELECT count(*) > 10 AS found FROM member;

-- No parameter, result or column has a reserved keyword for its name
SELECT named.object, named.name COLLATE "C"
FROM (
	SELECT p.oid::regprocedure::text, unnest(p.proargnames)
	FROM pg_proc p JOIN member ON classid = 'pg_proc'::regclass AND objid = p.oid
	UNION ALL
	SELECT attrelid::regclass::text, attname
	FROM pg_attribute JOIN member ON classid = 'pg_class'::regclass AND objid = attrelid
	WHERE attnum > 0
) AS named(object, name)
JOIN pg_get_keywords() k ON k.word = named.name
WHERE k.catcode IN ('R', 'T')
ORDER BY 1, 2;

-- Everything lives in the extension's schema, or in that of what distributed
-- jobs are made of, which is not for users
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" AS elsewhere
FROM member, pg_identify_object(classid, objid, 0) AS object
WHERE object.schema NOT IN ('streamiter', 'streamiter_distributed') AND object.type <> 'schema'
ORDER BY 1;

-- A function's symbol is its name, or that with a version
SELECT p.oid::regprocedure AS function, p.prosrc
FROM pg_proc p JOIN member ON classid = 'pg_proc'::regclass AND objid = p.oid
JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname = 'c' AND p.prosrc !~ ('^streamiter_' || p.proname || '(_[0-9]+)*$')
ORDER BY p.proname COLLATE "C";
