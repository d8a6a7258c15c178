-- The property that all rests on: whatever the chunk_size, the way of calling
-- and the types, a walk delivers the rows of one plain SELECT, in its order

-- skipped rows and many subtransactions are expected
SET client_min_messages = error;
CREATE SCHEMA regress_property;
SET search_path = regress_property, public;

--
-- Sizes: tables of 0, 1, 107 and 10,000 rows, walked in each way
--

CREATE TABLE source (id integer, v text);
-- (rows stand in the order in which they came)
CREATE TEMP TABLE copy (id integer, v text);
CREATE FUNCTION row_plpgsql(integer, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO copy VALUES ($1, $2); END $$;
CREATE FUNCTION row_whole(source) RETURNS void LANGUAGE sql AS $$ INSERT INTO copy VALUES ($1.id, $1.v) $$;
CREATE FUNCTION batch_columns(integer[], text[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO copy SELECT * FROM unnest($1, $2) $$;
CREATE FUNCTION batch_rows(source[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO copy SELECT * FROM unnest($1) $$;
SELECT streamiter.register_callback('property columns', 'batch_columns(integer[], text[])', per => 'batch'),
	streamiter.register_callback('property rows', 'batch_rows(source[])', per => 'batch'),
	streamiter.register_statement('property statement', 'INSERT INTO copy SELECT * FROM unnest($1, $2)');

CREATE FUNCTION pg_temp.walk_iterator(query text, chunk integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	it refcursor := streamiter.iterator(query, chunk);
	n bigint;
	total bigint := 0;
BEGIN
	LOOP
		INSERT INTO copy SELECT * FROM streamiter.next_batch(it, NULL::source);
		GET DIAGNOSTICS n = ROW_COUNT;
		EXIT WHEN n = 0;
		ASSERT n <= chunk;
		total := total + n;
	END LOOP;
	PERFORM streamiter.close(it);
	RETURN total;
END
$$;

-- Walks in each way with each chunk_size, and compares; how many walks that were
CREATE FUNCTION pg_temp.check_sizes(size integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	query text := 'SELECT id, v FROM source ORDER BY id';
	chunk integer;
	way text;
	result record;
	walks integer := 0;
	expected text;
BEGIN
	INSERT INTO source SELECT i, nullif('v' || i, 'v7') FROM generate_series(1, size) i;
	expected := (SELECT md5(string_agg(id || coalesce(v, 'null'), ' ' ORDER BY id)) FROM source);
	FOR chunk IN SELECT DISTINCT c FROM unnest(ARRAY[1, 2, 3, 7, size - 1, size, size + 1, 2000]) c WHERE c > 0 ORDER BY c LOOP
		FOREACH way IN ARRAY '{row_plpgsql(integer\,text),row_whole(source),property columns,property rows,property statement,skip,iterator}'::text[] LOOP
			-- (of ten thousand calls, one way of each sort will do)
			CONTINUE WHEN size / chunk > 1000 AND way IN ('row_whole(source)', 'property columns', 'property rows', 'skip');
			CASE
				WHEN way = 'iterator' THEN
					SELECT pg_temp.walk_iterator(query, chunk) AS rows, NULL::bigint AS batches INTO result;
				WHEN way = 'skip' THEN
					SELECT rows, batches INTO result FROM streamiter.for_each(query, 'row_plpgsql(integer, text)', chunk, on_error => 'skip');
				ELSE
					SELECT rows, batches INTO result FROM streamiter.for_each(query, way, chunk);
			END CASE;
			walks := walks + 1;
			ASSERT result.rows = size AND coalesce(result.batches = (size + chunk - 1) / chunk, true),
				format('%s, chunk_size %s: %s', way, chunk, result);
			-- in their order, and each once
			ASSERT (SELECT md5(string_agg(id || coalesce(v, 'null'), ' ')) FROM (SELECT id, v FROM copy ORDER BY ctid) c)
				IS NOT DISTINCT FROM expected, format('%s, chunk_size %s: rows differ', way, chunk);
			TRUNCATE copy;
		END LOOP;
	END LOOP;
	TRUNCATE source;
	RETURN walks;
END
$$;
\pset format unaligned
\pset tuples_only on
SELECT size, pg_temp.check_sizes(size) FROM unnest('{0,1,107}'::int[]) size;
SELECT pg_temp.check_sizes(10000);

--
-- Types
--

-- every base type, range and multirange: a row with values, one with extreme or empty ones, NULLs
CREATE TABLE base (id integer, a_bool bool, a_bytea bytea, a_char "char", a_name name, a_int8 int8, a_int2 int2, a_int2vector int2vector, a_int4 int4,
	a_regproc regproc, a_text text, a_oid oid, a_tid tid, a_xid xid, a_cid cid, a_oidvector oidvector, a_json json, a_xml xml, a_xid8 xid8,
	a_point point, a_lseg lseg, a_path path, a_box box, a_polygon polygon, a_line line, a_float4 float4, a_float8 float8, a_circle circle,
	a_money money, a_macaddr macaddr, a_inet inet, a_cidr cidr, a_macaddr8 macaddr8, a_aclitem aclitem, a_bpchar char(5), a_varchar varchar(10),
	a_date date, a_time time(3), a_timestamp timestamp, a_timestamptz timestamptz, a_interval interval, a_timetz timetz, a_bit bit(5), a_varbit varbit(7),
	a_numeric numeric, a_numeric_5_2 numeric(5, 2), a_refcursor refcursor, a_regprocedure regprocedure, a_regoper regoper, a_regoperator regoperator,
	a_regclass regclass, a_regcollation regcollation, a_regtype regtype, a_regrole regrole, a_regnamespace regnamespace, a_uuid uuid, a_pg_lsn pg_lsn,
	a_tsvector tsvector, a_tsquery tsquery, a_regconfig regconfig, a_regdictionary regdictionary, a_jsonb jsonb, a_jsonpath jsonpath,
	a_txid_snapshot txid_snapshot, a_pg_snapshot pg_snapshot,
	a_int4range int4range, a_numrange numrange, a_tsrange tsrange, a_tstzrange tstzrange, a_daterange daterange, a_int8range int8range,
	a_int4multirange int4multirange, a_nummultirange nummultirange, a_tsmultirange tsmultirange, a_tstzmultirange tstzmultirange,
	a_datemultirange datemultirange, a_int8multirange int8multirange);
-- is one missing? Only those that take no input
SELECT t.typname FROM pg_type t
WHERE t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A' AND t.typnamespace = 'pg_catalog'::regnamespace
	AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'base'::regclass AND atttypid = t.oid)
	AND t.typname NOT IN ('gtsvector', 'pg_node_tree') AND t.typname !~ '^pg_(ndistinct|dependencies|mcv_list|brin_.*)$'
ORDER BY 1;
INSERT INTO base VALUES (1, true, '\xdeadbeef', 'c', 'name', 8, 2, '1 2', 4, 'now', 'text', 7, '(1,2)', '3', '4', '1 2', '{"a": [1, null]}', NULL, '5',
	'(1,2)', '((1,1),(2,2))', '[(1,2),(3,4)]', '((1,1),(3,3))', '((1,2),(3,3),(4,4))', '{1,2,3}', 1.5, 2.5, '<(1,1),2>',
	12.34, '08:00:2b:01:02:03', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03:04:05', (format('%I=r/%I', current_user, current_user))::aclitem, 'ab', 'abc',
	'2024-02-29', '12:34:56.789', '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56.789012+02', '1 mon -2 days 03:04:05.6', '12:34:56+02', '10101', '101',
	'1234.5678900', 12.3, 'cursor', 'now()', '||/', '+(integer,integer)',
	'pg_class', '"C"', 'integer', 'pg_monitor', 'pg_catalog', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '16/B374D848',
	'a fat:2A cat', 'fat & !rat', 'simple', 'simple', '{"b": {"c": 1.50}}', '$.a[*] ? (@ > 2)', '10:20:10,14,15', '10:20:10,14,15',
	'[1,5)', '(1.5,)', '[2024-01-01,2024-02-01)', '[2024-01-01,2024-02-01)', '[2024-01-01,infinity)', 'empty',
	'{[1,2),[5,6)}', '{(1.5,)}', '{[2024-01-01,2024-02-01)}', '{[2024-01-01,2024-02-01)}', '{}', '{(,)}');
INSERT INTO base (id, a_bytea, a_char, a_name, a_int8, a_int2, a_int4, a_text, a_oid, a_float4, a_float8, a_numeric, a_date, a_timestamp, a_timestamptz, a_interval,
	a_json, a_jsonb, a_varchar, a_bpchar, a_varbit, a_inet, a_tsvector, a_int2vector, a_money)
VALUES (2, '', '', '', -9223372036854775808, -32768, -2147483648, '', 4294967295, '-0', 'NaN', 'Infinity', '-infinity', 'infinity', '-infinity', '178000000 years',
	'null', '""', '', '', '', '::1', '', '', '-92233720368547758.08'),
	(3, '\x00', E'\\377', repeat('n', 63), 9223372036854775807, 32767, 2147483647, E'tab\tnew\nline\\ "quote"', 0, 'NaN', '4.9e-324', 'NaN', '5874897-12-31', '294276-12-31', '4714-11-24 BC', '-178000000 years',
	' [1 , 2 ] ', '[]', '         x', '    x', '1111111', '0.0.0.0', '''a b'':1', '-1', 0);
INSERT INTO base (id) SELECT generate_series(4, 5);

-- arrays of all of those, of several dimensions, empty, with NULLs
DO $$
BEGIN
	EXECUTE (SELECT format('CREATE TABLE arrays AS SELECT id, %s FROM base b',
		string_agg(format('CASE id %% 3 WHEN 1 THEN ARRAY[%1$I, NULL, %1$I] WHEN 2 THEN array_fill(%1$I, ARRAY[2, 2], ARRAY[0, -1]) ELSE NULL END AS %1$I', attname), ', ' ORDER BY attnum))
		FROM pg_attribute WHERE attrelid = 'base'::regclass AND attnum > 1);
	EXECUTE (SELECT 'INSERT INTO arrays SELECT 6' || string_agg(', ''{}''', '' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'arrays'::regclass AND attnum > 1);
END
$$;

-- composite types, domains, enums; dropped and generated columns; names that need quotes; values out of line
CREATE TYPE "Mood " AS ENUM ('sad', 'it''s "ok"', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN mood_domain AS "Mood ";
CREATE TYPE inner_pair AS (a integer, "b c" text);
CREATE TYPE nested AS (p inner_pair, ps inner_pair[], r int4range, d positive);
CREATE DOMAIN pair_domain AS inner_pair CHECK ((VALUE).a IS DISTINCT FROM 0);
CREATE DOMAIN array_domain AS integer[];
CREATE TYPE span AS RANGE (subtype = float8, multirange_type_name = span_multirange);
CREATE TABLE "Odd ""table""" (gone integer, id integer, "select" "Mood ", dropped text, "$1" positive, "a ""b"" c" inner_pair, " " nested,
	pairs inner_pair[], domains positive[], gen text GENERATED ALWAYS AS ('g' || id) STORED, pd pair_domain, pds pair_domain[], ad array_domain,
	spans span, many_spans span_multirange, md mood_domain[], wide text, wide_plain text, coll text COLLATE "C", also_gone integer, last_one "Mood "[] DEFAULT '{happy}');
ALTER TABLE "Odd ""table""" ALTER wide SET STORAGE EXTERNAL, DROP COLUMN gone;
INSERT INTO "Odd ""table""" (id, "select", dropped, "$1", "a ""b"" c", " ", pairs, domains, pd, pds, ad, spans, many_spans, md, wide, wide_plain, coll, also_gone)
SELECT i, 'it''s "ok"', 'x', i, ROW(i, 'b,"c')::inner_pair, ROW(ROW(i, NULL)::inner_pair, ARRAY[ROW(1, 'x'), NULL]::inner_pair[], '[1,2]', i)::nested,
	ARRAY[ROW(i, '{}')]::inner_pair[], ARRAY[i, NULL]::positive[], ROW(i, NULL)::inner_pair::pair_domain, ARRAY[ROW(1, 'y')::inner_pair]::pair_domain[], ARRAY[[i, i]], span(i, NULL), '{[1,2],[3,4]}', '{sad}',
	repeat(i::text, 9000), repeat('y', 5000 * i), 'c', 1
FROM generate_series(1, 4) i;
ALTER TABLE "Odd ""table""" DROP COLUMN dropped, DROP COLUMN also_gone, ADD COLUMN added integer DEFAULT 42, ADD COLUMN added_null text;
INSERT INTO "Odd ""table""" (id) VALUES (5);
INSERT INTO "Odd ""table""" (id, "a ""b"" c", " ", pairs, wide) VALUES (6, ROW(NULL, NULL), ROW(NULL, NULL, NULL, NULL), '{}', '');

-- Copies a table in each way with each chunk_size; its rows must be the same to the byte
CREATE FUNCTION pg_temp.check_types(source regclass) RETURNS integer LANGUAGE plpgsql AS $check$
DECLARE
	size integer;
	elements text := (SELECT string_agg(format('($%s)[i]', n), ', ' ORDER BY n)
		FROM (SELECT row_number() OVER (ORDER BY attnum) AS n FROM pg_attribute WHERE attrelid = source AND attnum > 0 AND NOT attisdropped) s);
	has_arrays boolean := EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND t.typarray = 0);
	query text := format('TABLE %s', source);
	chunk integer;
	way text;
	walks integer := 0;
	different integer;
	result record;
BEGIN
	EXECUTE format('SELECT count(*) FROM %s', source) INTO size;
	EXECUTE format('CREATE TEMP TABLE types_copy (LIKE %s)', source);
	EXECUTE format('CREATE FUNCTION types_row(%s) RETURNS void LANGUAGE plpgsql AS %L', source, 'BEGIN INSERT INTO types_copy SELECT ($1).*; END');
	EXECUTE format('CREATE FUNCTION types_sql(%s) RETURNS void LANGUAGE sql AS %L', source, 'INSERT INTO types_copy SELECT ($1).*');
	EXECUTE format('CREATE FUNCTION types_failing(%s) RETURNS void LANGUAGE plpgsql AS %L', source, 'BEGIN INSERT INTO types_copy SELECT ($1).*; IF $1.id = 2 THEN RAISE ''two''; END IF; END');
	EXECUTE format('CREATE FUNCTION types_batch(%s[]) RETURNS void LANGUAGE sql AS %L', source, 'INSERT INTO types_copy SELECT * FROM unnest($1)');
	EXECUTE format('CREATE FUNCTION types_iterator(query text, chunk integer) RETURNS bigint LANGUAGE plpgsql AS %L',
		replace((SELECT prosrc FROM pg_proc WHERE oid = 'pg_temp.walk_iterator'::regproc), 'copy SELECT * FROM streamiter.next_batch(it, NULL::source)',
			format('types_copy SELECT * FROM streamiter.next_batch(it, NULL::%s)', source)));
	EXECUTE format('SELECT streamiter.register_callback(%L, %L, per => %L)', 'property types', format('types_batch(%s[])', source), 'batch');
	PERFORM streamiter.register_statement('property elements', format('INSERT INTO types_copy SELECT %s FROM generate_subscripts($1, 1) i', elements));

	FOR chunk IN SELECT DISTINCT c FROM unnest(ARRAY[1, 2, 3, 7, size - 1, size, size + 1, 2000]) c ORDER BY c LOOP
		FOREACH way IN ARRAY ARRAY['types_row(%s)', 'types_sql(%s)', 'property types', 'property elements', 'skip', 'failing', 'iterator'] LOOP
			CONTINUE WHEN way = 'property elements' AND has_arrays;
			CASE way
				WHEN 'iterator' THEN
					SELECT types_iterator(query, chunk) AS rows INTO result;
				WHEN 'skip', 'failing' THEN
					SELECT rows INTO result FROM streamiter.for_each(query, format('types_%s(%s)', CASE way WHEN 'skip' THEN 'row' ELSE way END, source), chunk, on_error => 'skip');
				ELSE
					SELECT rows INTO result FROM streamiter.for_each(query, format(way, source), chunk);
			END CASE;
			EXECUTE format('SELECT count(*) FROM (SELECT s FROM %s s %s) s FULL JOIN types_copy c ON (s.s).id = c.id WHERE (s.s *= c) IS NOT TRUE',
				source, CASE way WHEN 'failing' THEN 'WHERE id <> 2' ELSE '' END) INTO different;
			ASSERT result.rows = size AND different = 0, format('%s, chunk_size %s: %s of %s rows differ', way, chunk, different, result.rows);
			walks := walks + 1;
			TRUNCATE types_copy;
		END LOOP;
	END LOOP;
	EXECUTE format('DROP FUNCTION types_iterator(text, integer), types_row(%1$s), types_sql(%1$s), types_failing(%1$s), types_batch(%1$s[])', source);
	PERFORM streamiter.unregister_callback('property types'), streamiter.unregister_callback('property elements');
	DROP TABLE types_copy;
	RETURN walks;
END
$check$;
SELECT pg_temp.check_types('base');
SELECT pg_temp.check_types('arrays');
SELECT pg_temp.check_types('"Odd ""table"""');
SELECT count(*) FROM pg_cursors;
\pset format aligned
\pset tuples_only off

SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks WHERE name LIKE 'property %';
DROP SCHEMA regress_property CASCADE;
