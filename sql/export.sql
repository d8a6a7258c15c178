-- streamiter.export(): CSV as COPY writes it, JSON lines as row_to_json() does,
-- and what is refused.  What happens to files, and workbooks: src/test/t/050_*

SET client_min_messages = warning;
\getenv abs_builddir PG_ABS_BUILDDIR
\set dir :abs_builddir '/results'
SELECT set_config('test.dir', :'dir', false) IS NOT NULL AS folder;
RESET client_min_messages;

-- Values of every built-in type that has values to be written
CREATE TABLE sample (id serial, type regtype, value text);
INSERT INTO sample (type, value) VALUES
	('bool', 't'), ('bool', 'f'),
	('bytea', '\x00ff0a0d2c22'), ('bytea', ''),
	('"char"', 'a'), ('"char"', ','), ('name', 'a "name"'),
	('int2', '-32768'), ('int4', '2147483647'), ('int8', '-9223372036854775808'),
	('float4', '1.5e-30'), ('float4', '3.14'), ('float4', '-0'), ('float4', 'NaN'),
	('float8', '0.1'), ('float8', '1e308'), ('float8', 'Infinity'), ('float8', '-Infinity'), ('float8', 'NaN'),
	('numeric', '1.500'), ('numeric', '-12345678901234567890.123456789'), ('numeric', 'NaN'), ('numeric', 'Infinity'), ('numeric', '1e-300'),
	('money', '-1234.56'),
	('text', ''), ('text', 'NULL'), ('text', '\N'), ('text', '\.'), ('text', 'a,b'), ('text', 'say "yes"'), ('text', ' blanks '),
	('text', E'line\nline\rline\r\nline\ttab'), ('text', E'\u0001\u001f\u007f\u2028\u00e4\u20ac\U0001F600'), ('text', '=1+1'), ('text', E'back\\slash'), ('text', '</script>'),
	('varchar', 'v'), ('bpchar', 'padded   '), ('refcursor', 'c'),
	('date', '2026-02-28'), ('date', '0044-03-15 BC'), ('date', 'infinity'),
	('time', '23:59:59.999999'), ('time', '24:00'), ('timetz', '12:00:00+05:30'),
	('timestamp', '2026-02-28 12:34:56.789'), ('timestamp', '-infinity'), ('timestamp', '0044-03-15 12:00 BC'),
	('timestamptz', '2026-02-28 12:34:56.789+00'), ('timestamptz', 'infinity'), ('timestamptz', '1850-01-01 00:00:00+00'),
	('interval', '1 year -2 days 03:04:05.6'),
	('json', E'{"a" : 1,\n "b": [ ]}'), ('json', 'null'), ('json', '"x"'), ('jsonb', '{"b": [1, null], "a": "x\ny"}'), ('jsonb', '1.0'),
	('jsonpath', '$.a[*] ? (@ > 1)'),
	('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
	('bit', '1'), ('varbit', '10110'),
	('point', '(1,2)'), ('lseg', '[(1,2),(3,4)]'), ('path', '((1,2),(3,4))'), ('box', '(3,4),(1,2)'),
	('polygon', '((1,2),(3,4),(5,6))'), ('line', '{1,2,3}'), ('circle', '<(1,2),3>'),
	('inet', '192.168.0.1/24'), ('cidr', '10.0.0.0/8'), ('macaddr', '08:00:2b:01:02:03'), ('macaddr8', '08:00:2b:01:02:03:04:05'),
	('tsvector', '''a'':1A ''b c'':2'), ('tsquery', '''a'' & !''b'''),
	('int4range', '[1,5)'), ('int8range', 'empty'), ('numrange', '(,1.5]'), ('daterange', '[2026-01-01,)'), ('tsrange', '["2026-01-01 00:00","2026-01-02 00:00")'), ('tstzrange', '(,)'),
	('int4multirange', '{[1,3),[5,7)}'), ('int8multirange', '{}'), ('nummultirange', '{(,1.5]}'), ('datemultirange', '{[2026-01-01,)}'), ('tsmultirange', '{}'), ('tstzmultirange', '{}'),
	('oid', '4294967295'), ('xid', '7'), ('xid8', '18446744073709551615'), ('cid', '1'), ('tid', '(1,2)'), ('pg_lsn', '16/B374D848'),
	('pg_snapshot', '10:20:10,14'), ('txid_snapshot', '10:20:10,14'),
	('int2vector', '1 2'), ('oidvector', '1 2'), ('aclitem', 'pg_read_all_data=r/pg_read_all_data'),
	('regproc', 'now'), ('regprocedure', 'lower(text)'), ('regoper', '||/'), ('regoperator', '+(integer,integer)'), ('regclass', 'pg_class'), ('regcollation', '"C"'),
	('regtype', 'integer'), ('regrole', 'pg_read_all_data'), ('regnamespace', 'pg_catalog'), ('regconfig', 'simple'), ('regdictionary', 'simple');
DO $$
BEGIN
	INSERT INTO sample (type, value) VALUES ('xml', xml '<a b="c">d</a>');
EXCEPTION WHEN feature_not_supported THEN	-- a server built without it
END
$$;

-- what is left has no values that a query could have, or no input
SELECT typname FROM pg_type t
WHERE oid < 16384 AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A' AND typname NOT LIKE 'pg\_toast%'
	AND NOT EXISTS (SELECT FROM sample WHERE type = t.oid)
	AND typname NOT IN ('xml', 'gtsvector') AND typcategory <> 'Z'
ORDER BY 1;

CREATE TYPE pair AS (a integer, "b c" text);
CREATE TYPE colour AS ENUM ('red', 'a "colour", green');
CREATE TABLE colours AS SELECT 1 AS id, 'red'::colour AS colour;
CREATE DOMAIN short AS text CHECK (length(value) < 10);
CREATE DOMAIN whole AS int8;

-- One row with a column for each sample, one with arrays, one with NULLs
CREATE FUNCTION every_type(OUT query text) LANGUAGE sql AS $$
	SELECT format('SELECT %s, ROW(1, %L)::pair AS pair, %L::colour AS colour, %L::short AS short, 7::whole AS whole, ARRAY[ROW(2, NULL)::pair] AS pairs, 1 AS twice, 2 AS twice, 3',
			string_agg(format('%L::%s AS %I', value, type, type || ' ' || id), ', ' ORDER BY id), 'a,"b"', 'a "colour", green', 'x')
	FROM sample
$$;
CREATE FUNCTION every_array(OUT query text) LANGUAGE sql AS $$
	SELECT format('SELECT %s',
			string_agg(format('ARRAY[%L::%s, NULL] AS %I', value, type, type || ' ' || id), ', ' ORDER BY id))
	FROM sample WHERE EXISTS (SELECT FROM pg_type WHERE oid = type AND typarray <> 0)
$$;
CREATE FUNCTION every_null(OUT query text) LANGUAGE sql AS $$
	SELECT format('SELECT %s', string_agg(format('NULL::%s AS %I', type, type || ' ' || id), ', ' ORDER BY id))
	FROM sample
$$;

-- Whether a file has the bytes that COPY makes of the same query.  "options"
-- are a call's, "copy_options" the same for COPY.
CREATE FUNCTION as_copy(query text, options text DEFAULT '', copy_options text DEFAULT '') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	dir text := current_setting('test.dir');
	result record;
	copied bigint;
BEGIN
	EXECUTE format('COPY (%s) TO %L (FORMAT csv%s)', query, dir || '/copy.csv', copy_options);
	GET DIAGNOSTICS copied = ROW_COUNT;
	EXECUTE format('SELECT * FROM streamiter.export(%L, %L, format => %L%s)', query, dir || '/export.csv', 'csv', options) INTO result;
	RETURN format('%s rows%s, %s', result.rows, CASE WHEN result.rows <> copied THEN ' instead of ' || copied END,
		CASE WHEN pg_read_binary_file(dir || '/export.csv') = pg_read_binary_file(dir || '/copy.csv')
			AND result.bytes = (pg_stat_file(dir || '/export.csv')).size THEN 'same bytes' ELSE 'OTHER BYTES' END);
END
$$;

-- Whether a file has the lines that row_to_json() makes; only within a json
-- value they may be broken
CREATE FUNCTION as_json(query text, encoding text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	dir text := current_setting('test.dir');
	result record;
	expected bytea;
BEGIN
	SELECT * INTO result FROM streamiter.export(query, dir || '/export.jsonl', format => 'jsonl', encoding => as_json.encoding);
	EXECUTE format('SELECT coalesce(string_agg(convert_to(translate(row_to_json(t)::text, %L, %L), $1) || %L, %L), %L) FROM (%s) t',
		E'\n\r', '  ', '\x0a'::bytea, ''::bytea, ''::bytea, query) INTO expected USING coalesce(as_json.encoding, 'UTF8');
	RETURN format('%s rows, %s', result.rows,
		CASE WHEN pg_read_binary_file(dir || '/export.jsonl') = expected
			AND result.bytes = length(expected) THEN 'same bytes' ELSE 'OTHER BYTES' END);
END
$$;

-- CSV
SELECT as_copy(every_type()), as_copy(every_array()), as_copy(every_null());
SELECT as_copy(every_type(), ', header => true', ', HEADER');
SELECT as_copy(every_type(), ', header => false', ', HEADER false');
SELECT as_copy(every_type(), $$, delimiter => ';', quote => '''', escape => '!'$$, $$, DELIMITER ';', QUOTE '''', ESCAPE '!'$$);
SELECT as_copy(every_type(), $$, delimiter => E'\t', null_string => 'NULL'$$, $$, DELIMITER E'\t', NULL 'NULL'$$);
SELECT as_copy(every_null(), $$, null_string => 'a null'$$, $$, NULL 'a null'$$);
SELECT as_copy(every_type(), ', force_quote => ''{*}''', ', FORCE_QUOTE *');
SELECT as_copy('SELECT 1 AS a, 2 AS "b c", NULL AS d', ', force_quote => ''{a,b c,d}''', ', FORCE_QUOTE (a, "b c", d)');
SELECT as_copy('SELECT 1 AS a', ', force_quote => ''{}''');
SELECT as_copy('SELECT ''ä€'' AS "ö"', ', header => true, encoding => ''UTF8''', ', HEADER, ENCODING ''UTF8''');
SELECT as_copy('SELECT ''äö'' AS "ö"', ', header => true, encoding => ''LATIN1''', ', HEADER, ENCODING ''LATIN1''');
SET client_encoding = latin1;
SELECT as_copy('SELECT U&''\00E4''');
RESET client_encoding;
SELECT as_copy('SELECT'), as_copy('SELECT FROM generate_series(1, 3)'), as_copy('SELECT WHERE false'), as_copy('SELECT 1 AS a WHERE false', ', header => true', ', HEADER');
SELECT as_copy('VALUES (1, ''a''), (2, NULL)'), as_copy('TABLE colours'), as_copy('WITH a AS (SELECT 1) SELECT * FROM a');
SELECT as_copy('SELECT g, repeat(''x,'', g % 50) FROM generate_series(1, 20000) g');

-- JSON lines
SELECT as_json(every_type()), as_json(every_array()), as_json(every_null());
SET DateStyle = german;
SET IntervalStyle = iso_8601;
SET TimeZone = 'Asia/Kolkata';
SET extra_float_digits = 0;
SET bytea_output = escape;
SELECT as_json(every_type()), as_json(every_array()), as_copy(every_type());
RESET DateStyle;
RESET IntervalStyle;
RESET TimeZone;
RESET extra_float_digits;
RESET bytea_output;
SELECT as_json('SELECT ''ä€'' AS "ö"'), as_json('SELECT U&''\00E4'' AS U&"\00F6"', 'LATIN1');
SET client_encoding = latin1;
SELECT as_json('SELECT U&''\20AC''');
RESET client_encoding;
SELECT as_json('SELECT'), as_json('SELECT FROM generate_series(1, 3)'), as_json('SELECT WHERE false');
SELECT as_json('SELECT * FROM colours AS s(x, y)'), as_json('SELECT s FROM colours s'), as_json('SELECT g, repeat(''"x'', g % 50) AS "a ""b""" FROM generate_series(1, 20000) g');
-- a type of the user's own that is cast to json
CREATE FUNCTION to_list(pair) RETURNS json LANGUAGE sql AS $$SELECT json_build_array($1.a, $1."b c")$$;
CREATE CAST (pair AS json) WITH FUNCTION to_list(pair);
SELECT as_json('SELECT ROW(1, ''x'')::pair AS p, ARRAY[ROW(1, ''x'')::pair] AS ps');
DROP CAST (pair AS json);

-- What is refused, before any row is read
CREATE FUNCTION refused(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT streamiter.export(' || replace(call, 'DIR', current_setting('test.dir')) || ')';
	RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN replace(concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, '')), current_setting('test.dir'), 'DIR');
END
$$;
\pset tuples_only on
\pset format unaligned
SELECT refused($$NULL, 'DIR/x'$$);
SELECT refused($$'SELECT 1', NULL$$);
SELECT refused($$'SELECT 1', 'DIR/x', format => NULL$$);
SELECT refused($$'SELECT 1', 'DIR/x', 'parquet'$$);
SELECT refused($$'SELECT 1', 'DIR/x', 'CSV'$$);
SELECT refused($$'SELECT 1', 'DIR/x', 'jsonl', header => true$$);
SELECT refused($$'SELECT 1', 'DIR/x', 'jsonl', null_string => ''$$);
SELECT refused($$'SELECT 1', 'DIR/x', 'xlsx', delimiter => ';'$$);
SELECT refused($$'SELECT 1', 'DIR/x', 'xlsx', encoding => 'UTF8'$$);
SELECT refused($$'SELECT 1', 'DIR/x', delimiter => ';;'$$);
SELECT refused($$'SELECT 1', 'DIR/x', quote => ','$$);
SELECT refused($$'SELECT 1', 'DIR/x', encoding => 'utf-99'$$) ~ '^22023';
SELECT refused($$'SELECT 1', 'DIR/x', 'jsonl', encoding => 'utf-99'$$);
SELECT refused($$'SELECT 1', 'DIR/x', force_quote => '{b}'$$);
SELECT refused($$'SELECT 1', 'DIR/x', force_quote => '{NULL}'$$);
SELECT refused($$'', 'DIR/x'$$);
SELECT refused($$'SELECT 1; SELECT 2', 'DIR/x'$$);
SELECT refused($$'DELETE FROM sample', 'DIR/x'$$);
SELECT refused($$'SELECT * FROM sample FOR UPDATE', 'DIR/x'$$);
SELECT refused($$'SELECT $1', 'DIR/x'$$);
SELECT refused($$'SELECT * FROM nowhere', 'DIR/x'$$);
SELECT refused($$'SELECT 1', ''$$);
SELECT refused($$'SELECT 1', 'x.csv'$$);
SELECT refused($$'SELECT 1', '../x.csv'$$);
SELECT refused($$'SELECT 1', 'DIR'$$);
SELECT refused($$'SELECT 1', 'DIR/'$$);
SELECT refused($$'SELECT 1', '/'$$);
SELECT refused($$'SELECT 1', '/dev/null'$$);
SELECT refused($$'SELECT 1', 'DIR/nowhere/x'$$);
SELECT refused($$'SELECT 1', 'DIR/$$ || repeat('x', 250) || $$'$$) ~ '^[0-9A-Z]{5} could not (create|stat) file ".*": File name too long';
SELECT refused($$'SELECT 1', 'DIR/$$ || repeat('x/', 1000) || $$'$$) ~ '^42602 path of an export is too long';
SELECT refused($$'SELECT 1', '$$ || current_setting('data_directory') || $$/x.csv'$$) ~ '^42602 cannot export to';
SELECT refused($$'SELECT 1', '$$ || current_setting('data_directory') || $$/pg_wal/../base/../postgresql.conf'$$) ~ '^42602 cannot export to';
CREATE ROLE regress_streamiter_export;
SET ROLE regress_streamiter_export;
SELECT refused($$'SELECT 1', 'DIR/x'$$);
RESET ROLE;
GRANT pg_write_server_files TO regress_streamiter_export;
SET ROLE regress_streamiter_export;
-- more than the right to write there is not given
SELECT refused($$'SELECT * FROM sample', 'DIR/x', 'csv'$$);
SELECT refused($$'SELECT * FROM sample', 'DIR/x', 'jsonl'$$);
SELECT rows FROM streamiter.export('SELECT current_user', current_setting('test.dir') || '/role.csv');
RESET ROLE;
SELECT pg_read_file(current_setting('test.dir') || '/role.csv');
DROP ROLE regress_streamiter_export;
\pset tuples_only off
\pset format aligned

-- What fails on the way leaves what was there
SELECT rows, bytes FROM streamiter.export('SELECT 1', current_setting('test.dir') || '/kept.csv');
SELECT refused($$'SELECT 1 / (5000 - g) FROM generate_series(1, 9999) g', 'DIR/kept.csv'$$);
SELECT refused($$'SELECT 1 / (5000 - g) FROM generate_series(1, 9999) g', 'DIR/kept.csv', 'jsonl'$$);
SELECT pg_read_file(current_setting('test.dir') || '/kept.csv');
SELECT count(*) AS leftovers FROM pg_ls_dir(current_setting('test.dir')) f WHERE f LIKE '%.streamiter';

-- In a read-only transaction, and what it sees
BEGIN READ ONLY;
SELECT rows FROM streamiter.export('SELECT 1', current_setting('test.dir') || '/readonly.csv');
SELECT rows FROM streamiter.export('SELECT 1', current_setting('test.dir') || '/readonly.jsonl', 'jsonl');
COMMIT;
BEGIN;
INSERT INTO sample (type, value) VALUES ('text', 'of this transaction');
SELECT rows FROM streamiter.export('SELECT value FROM sample WHERE value LIKE ''of%''', current_setting('test.dir') || '/own.csv');
SELECT rows FROM streamiter.export('SELECT value FROM sample WHERE value LIKE ''of%''', current_setting('test.dir') || '/own.jsonl', 'jsonl');
ROLLBACK;
-- a file stays, whatever becomes of the transaction
SELECT pg_read_file(current_setting('test.dir') || '/own.jsonl');

DROP FUNCTION every_type, every_array, every_null, as_copy, as_json, refused, to_list(pair);
DROP TABLE sample, colours;
DROP TYPE pair, colour;
DROP DOMAIN short, whole;
