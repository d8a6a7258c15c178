-- View "object": what belongs to the extension; view "definition": all there is to
-- say about it, so that one installation can be compared with another
CREATE VIEW object AS
SELECT o.type, o.identity, d.classid, d.objid
FROM pg_extension e
JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e',
	pg_identify_object(d.classid, d.objid, 0) o
WHERE e.extname = 'streamiter'
-- from 17 on, the types that tables and other types bring along are listed too
AND NOT (d.classid = 'pg_type'::regclass AND EXISTS (
	SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
	WHERE t.oid = d.objid AND (c.relkind <> 'c' OR t.typelem <> 0)));

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
FROM object LEFT JOIN pg_type t ON classid = 'pg_type'::regclass AND t.oid = objid
JOIN pg_attribute a ON a.attrelid = coalesce(t.typrelid, objid) AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE classid = 'pg_class'::regclass OR t.typrelid <> 0
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
