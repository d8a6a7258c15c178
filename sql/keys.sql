--
-- Keys of all kinds: each row is visited once, in the key's order, whatever
-- the batch size, and also when the job stops and goes on in between under
-- other settings (a saved position must not depend on the session's)
--
SET client_min_messages = warning;
CREATE SCHEMA siter_keys;
SET search_path = siter_keys;
CREATE TABLE visited (n serial, binary_row text);
SELECT streamiter.register_statement('visit',
	'INSERT INTO siter_keys.visited (binary_row) SELECT unnest($1)');

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE mood ADD VALUE 'so so' BEFORE 'ok';	-- OIDs are out of order now
CREATE DOMAIN odd AS bigint CHECK (VALUE % 2 <> 0);

-- Numbers, both ends included; floats that differ in the last bit only
CREATE TABLE k_int2 (k int2 PRIMARY KEY);
INSERT INTO k_int2 VALUES (-32768), (-1), (0), (1), (7), (100), (32767);
CREATE TABLE k_int4 (k int4 PRIMARY KEY);
INSERT INTO k_int4 VALUES (-2147483648), (-5), (0), (1), (7), (2147483647);
CREATE TABLE k_int8 (k int8 PRIMARY KEY);
INSERT INTO k_int8 VALUES (-9223372036854775808), (-1), (0), (1), (7),
	(9223372036854775806), (9223372036854775807);
CREATE TABLE k_numeric (k numeric PRIMARY KEY);
INSERT INTO k_numeric VALUES ('NaN'), ('Infinity'), ('-Infinity'), (1.5),
	(1.50000000000000000001), (-3e100), (0.000), (1e-50);
CREATE TABLE k_float8 (k float8 PRIMARY KEY);
INSERT INTO k_float8 VALUES ('NaN'), ('Infinity'), ('-Infinity'), (0.1),
	(0.10000000000000002), ('-0'), (1e300), (5e-324);
CREATE TABLE k_float4 (k float4 PRIMARY KEY);
INSERT INTO k_float4 VALUES ('NaN'), ('-Infinity'), (0.1), (0.10000001),
	('-0'), (16777216);
CREATE TABLE k_money (k money PRIMARY KEY);
INSERT INTO k_money VALUES (-3), (1.5), (100000);

-- Text: empty, with blanks, quotes, and what looks like an array
CREATE TABLE texts (t text);
INSERT INTO texts VALUES (''), ('a'), ('A'), ('a '), (' a'), ('b'), ('Z'),
	('a''b'), ('"q"'), ('{x,y}'), ('\'), (E'\n'), ('NULL'), ('a-b'), ('ab'),
	(repeat('x', 2000));
CREATE TABLE k_text (k text PRIMARY KEY);
INSERT INTO k_text SELECT t FROM texts;
CREATE TABLE k_text_c (k text COLLATE "C" PRIMARY KEY);
INSERT INTO k_text_c SELECT t FROM texts;
CREATE TABLE k_varchar (k varchar(3000) COLLATE "POSIX" PRIMARY KEY);
INSERT INTO k_varchar SELECT t FROM texts;
CREATE TABLE k_char (k char(5) PRIMARY KEY);
INSERT INTO k_char VALUES (''), ('a'), ('ab'), ('b'), ('zzzzz');
CREATE TABLE k_name (k name PRIMARY KEY);
INSERT INTO k_name VALUES (''), ('a'), ('B'), ('x y');
SELECT count(*) > 0 AS has_icu FROM pg_collation
WHERE collname = 'und-x-icu' AND getdatabaseencoding() = 'UTF8' \gset
\if :has_icu
CREATE TABLE k_text_icu (k text COLLATE "und-x-icu" PRIMARY KEY);
INSERT INTO k_text_icu SELECT t FROM texts;
-- Equal but not the same: the unique index decides that only one is there
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2',
	deterministic = false);
CREATE TABLE k_text_no_case (k text COLLATE no_case PRIMARY KEY);
INSERT INTO k_text_no_case VALUES ('a'), ('B'), ('c'), ('D'), ('e');
\endif
SELECT coalesce((SELECT collname FROM pg_collation
				 WHERE collprovider = 'c' AND collencoding =
					 pg_char_to_encoding(getdatabaseencoding())
				 ORDER BY collname ~* '^en_' DESC, collname LIMIT 1),
				'C') AS libc_name \gset
CREATE TABLE k_text_libc (k text COLLATE :"libc_name" PRIMARY KEY);
INSERT INTO k_text_libc SELECT t FROM texts;

-- Times, to the microsecond and to both ends
CREATE TABLE k_date (k date PRIMARY KEY);
INSERT INTO k_date VALUES ('-infinity'), ('infinity'), ('0044-03-15 BC'),
	('2020-02-03'), ('2020-03-02');
CREATE TABLE k_timestamp (k timestamp PRIMARY KEY);
INSERT INTO k_timestamp VALUES ('-infinity'), ('infinity'),
	('2020-02-29 12:00:00.000001'), ('2020-02-29 12:00:00.000002'),
	('0044-03-15 BC'), ('294276-12-31 23:59:59.999999');
CREATE TABLE k_timestamptz (k timestamptz PRIMARY KEY);
INSERT INTO k_timestamptz VALUES ('-infinity'), ('infinity'),
	('2020-10-25 01:30+00'), ('2020-10-25 00:30+00'), ('1880-01-01'),
	('2020-02-29 12:00:00.000001+02'), ('2020-02-29 12:00:00.000002+02');
CREATE TABLE k_timetz (k timetz PRIMARY KEY);
INSERT INTO k_timetz VALUES ('10:00+02'), ('10:00+01'), ('24:00-05:30');
CREATE TABLE k_interval (k interval PRIMARY KEY);
INSERT INTO k_interval VALUES ('1 mon'), ('29 days'), ('31 days'),
	('-1 day +02:03:04.000005'), ('1 year -3 days');

-- The rest
CREATE TABLE k_uuid (k uuid PRIMARY KEY);
INSERT INTO k_uuid SELECT md5(g::text)::uuid FROM generate_series(1, 20) g;
CREATE TABLE k_bool (k bool PRIMARY KEY);
INSERT INTO k_bool VALUES (true), (false);
CREATE TABLE k_enum (k mood PRIMARY KEY);
INSERT INTO k_enum SELECT unnest(enum_range(NULL::mood));
CREATE TABLE k_bytea (k bytea PRIMARY KEY);
INSERT INTO k_bytea VALUES (''), ('\x00'), ('\x0001'), ('\xff'), ('\x5c');
CREATE TABLE k_domain (k odd PRIMARY KEY);
INSERT INTO k_domain VALUES (-5), (1), (7), (9);
CREATE TABLE k_inet (k inet PRIMARY KEY);
INSERT INTO k_inet VALUES ('1.2.3.4'), ('10/8'), ('::1');
CREATE TABLE k_array (k int[] PRIMARY KEY);
INSERT INTO k_array VALUES ('{}'), ('{1,2}'), ('[0:1]={1,2}'), ('{NULL,1}');
CREATE TABLE k_range (k int4range PRIMARY KEY);
INSERT INTO k_range VALUES ('empty'), ('[1,5)'), ('[1,)'), ('(,3)');
CREATE TABLE k_jsonb (k jsonb PRIMARY KEY);
INSERT INTO k_jsonb VALUES ('{"a": 1}'), ('[]'), ('1.50'), ('"x"');
CREATE TABLE k_regclass (k regclass PRIMARY KEY);
INSERT INTO k_regclass VALUES ('pg_class'), ('visited'), (4000000000);
CREATE TABLE k_lsn (k pg_lsn PRIMARY KEY);
INSERT INTO k_lsn VALUES ('0/0'), ('16/B374D848');

-- Composite, quoted, and an index that is read backward
CREATE TABLE k_mixed (a mood, "b ""C" timestamptz, c numeric, v int,
	PRIMARY KEY (a, "b ""C", c));
INSERT INTO k_mixed SELECT m, '2020-01-01 00:00+00'::timestamptz + g * interval '1 us',
	CASE WHEN g > 2 THEN 'NaN' ELSE g + 0.50 END, g
FROM unnest(enum_range(NULL::mood)) m, generate_series(1, 5) g;
CREATE TABLE k_two_texts (a text, b text COLLATE "C", PRIMARY KEY (a, b));
INSERT INTO k_two_texts SELECT x.t, y.t FROM texts x, texts y
WHERE length(x.t) < 2 AND length(y.t) < 2;
CREATE TABLE "k_Quoted ""T" ("select" int PRIMARY KEY, "From" text);
INSERT INTO "k_Quoted ""T" SELECT g, '' FROM generate_series(-3, 9) g;
CREATE TABLE k_backward (a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b));
ALTER TABLE k_backward DROP CONSTRAINT k_backward_pkey;
CREATE UNIQUE INDEX ON k_backward (b DESC, a DESC) INCLUDE (a);
INSERT INTO k_backward SELECT g % 3, g FROM generate_series(1, 12) g;
CREATE TABLE k_none (k int PRIMARY KEY);
CREATE TABLE k_one (k int PRIMARY KEY);
INSERT INTO k_one VALUES (5);

CREATE FUNCTION key_of(tab regclass) RETURNS text[] LANGUAGE sql AS
$$
	SELECT array_agg(a.attname::text ORDER BY p.n)
	FROM pg_index i, unnest(i.indkey) WITH ORDINALITY p (attnum, n),
		pg_attribute a
	WHERE i.indrelid = tab AND i.indisunique AND a.attrelid = tab
	AND a.attnum = p.attnum AND p.n <= i.indnkeyatts
$$;

-- Walks a table in four batch sizes, stopping in between; compares what was
-- visited, and in which order, with one plain SELECT.  Rows are told apart by
-- their binary form, since jobs keep no settings that text depends on but
-- search_path, TimeZone, DateStyle and IntervalStyle.
CREATE PROCEDURE compare(tab regclass, lock_rows text DEFAULT 'none')
LANGUAGE plpgsql AS
$$
DECLARE
	expected text[];
	got text[];
	size int;
BEGIN
	EXECUTE format('SELECT array_agg(encode(record_send(t), ''hex'') ORDER BY %s) FROM %s t',
		(SELECT string_agg('t.' || quote_ident(c), ', ' ORDER BY n)
		 FROM unnest(key_of(tab)) WITH ORDINALITY k (c, n)), tab)
		INTO expected;
	FOREACH size IN ARRAY ARRAY[1, 2, 3, 7] LOOP
		TRUNCATE visited;
		PERFORM streamiter.create_job('compare',
			format('SELECT encode(record_send(t), ''hex'') AS shown, t.* FROM %s t', tab), 'visit',
			key => CASE WHEN tab::text ~ 'backward' THEN key_of(tab) END,
			chunk_size => size, lock_rows => lock_rows);
		COMMIT;
		CALL streamiter.run('compare', max_rows => size + 1);
		SET datestyle = 'German';
		SET timezone = 'Asia/Tokyo';
		SET intervalstyle = 'iso_8601';
		SET extra_float_digits = -15;
		SET bytea_output = 'escape';
		SET search_path = pg_catalog;
		CALL streamiter.run('compare', max_rows => 2);
		RESET datestyle;
		RESET timezone;
		RESET intervalstyle;
		RESET extra_float_digits;
		RESET bytea_output;
		SET search_path = siter_keys;
		PERFORM streamiter.alter_job('compare', chunk_size => size + 1);
		COMMIT;
		CALL streamiter.run('compare');
		got := (SELECT array_agg(binary_row ORDER BY n) FROM visited);
		IF got IS DISTINCT FROM expected THEN
			RAISE WARNING '% in batches of %: % instead of %',
				tab, size, got, expected;
		END IF;
		PERFORM streamiter.drop_job('compare');
		COMMIT;
	END LOOP;
END
$$;

DO
$$
DECLARE
	tabs regclass[] := (SELECT array_agg(oid::regclass ORDER BY oid)
						FROM pg_class
						WHERE relnamespace = 'siter_keys'::regnamespace
						AND relkind = 'r' AND relname ~ '^k_');
	tab regclass;
BEGIN
	ASSERT cardinality(tabs) > 35;
	FOREACH tab IN ARRAY tabs LOOP
		CALL compare(tab);
	END LOOP;
END
$$;

-- The same with rows locked first
CALL compare('k_int8', 'update');
CALL compare('k_mixed', 'update');

-- Keys that are only counted, and arrays of them that are looked up: each row
-- is worked on once by either, whatever the batch size
CREATE PROCEDURE count_work(tab regclass) LANGUAGE plpgsql AS
$$
DECLARE
	size int;
	wrong text;
BEGIN
	EXECUTE format('ALTER TABLE %s ADD worked int NOT NULL DEFAULT 0', tab);
	PERFORM streamiter.register_statement('by array',
		format('UPDATE %s SET worked = worked + 1 WHERE k = ANY ($1)', tab));
	PERFORM streamiter.register_statement('by range',
		format('UPDATE %s SET worked = worked + 10 WHERE k BETWEEN $1 AND $2', tab), per => 'range');
	FOREACH size IN ARRAY ARRAY[1, 2, 3, 7] LOOP
		PERFORM streamiter.create_job(callback, format('SELECT k FROM %s', tab),
				callback, chunk_size => size)
		FROM unnest('{by array,by range}'::text[]) callback;
		COMMIT;
		CALL streamiter.run('by array', max_rows => size + 1);
		CALL streamiter.run('by array');
		CALL streamiter.run('by range', max_rows => size + 1);
		CALL streamiter.run('by range');
		PERFORM streamiter.drop_job(name) FROM streamiter.jobs;
		COMMIT;
	END LOOP;
	EXECUTE format('SELECT string_agg(t::text, %L) FROM %s t WHERE worked <> 44', ', ', tab) INTO wrong;
	IF wrong IS NOT NULL THEN
		RAISE WARNING '%: %', tab, wrong;
	END IF;
	PERFORM streamiter.unregister_callback(name) FROM streamiter.callbacks WHERE name ~ '^by ';
END
$$;
DO
$$
DECLARE
	tab regclass;
BEGIN
	FOR tab IN SELECT attrelid FROM pg_attribute, pg_class c
		WHERE attname = 'k' AND c.oid = attrelid AND relkind = 'r'
		AND relnamespace = 'siter_keys'::regnamespace
		AND attrelid <> 'k_array'::regclass	-- there are no arrays of arrays
		ORDER BY 1 LOOP
		CALL count_work(tab);
	END LOOP;
END
$$;

-- Sparse keys cost nothing: from end to end in one batch
SELECT streamiter.create_job('sparse', 'SELECT k::text AS t, k FROM k_int8', 'visit');
CALL streamiter.run('sparse');
SELECT position, rows, batches FROM streamiter.slices WHERE name = 'sparse';
SELECT streamiter.drop_job('sparse');

-- A position is exact
SELECT streamiter.create_job('exact', 'SELECT a::text AS t, * FROM k_mixed', 'visit',
	chunk_size => 4);
CALL streamiter.run('exact', max_rows => 4);
SELECT position, upper FROM streamiter.slices WHERE name = 'exact';
SELECT streamiter.drop_job('exact');

SELECT streamiter.unregister_callback('visit');
DROP SCHEMA siter_keys CASCADE;
