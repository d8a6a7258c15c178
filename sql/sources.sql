--
-- What may be the source of a job, by which key, and by which plan
--
SET client_min_messages = warning;
CREATE SCHEMA siter_sources;
SET search_path = siter_sources;
CREATE TABLE visited (value text);
CREATE TABLE walked (source text, rows int);
SELECT streamiter.register_statement('visit',
	'INSERT INTO siter_sources.visited SELECT unnest($1)::text');

-- Walks a source in three batch sizes, stopping in between; one line when the
-- values of its first column were visited exactly as a SELECT shows them
CREATE PROCEDURE walk(source text, key text[] DEFAULT NULL,
	allow_slow_plan boolean DEFAULT false, lock_rows text DEFAULT 'none')
LANGUAGE plpgsql AS
$$
DECLARE
	expected text[];
	got text[];
	size int;
BEGIN
	EXECUTE format('SELECT array_agg(value::text ORDER BY value::text)'
		' FROM (%s) s (value)', source) INTO expected;
	FOREACH size IN ARRAY ARRAY[1, 3, 1000] LOOP
		TRUNCATE visited;
		PERFORM streamiter.create_job('walk', source || E' -- all of it\n;',
			'visit', key, chunk_size => size, lock_rows => lock_rows,
			allow_slow_plan => allow_slow_plan);
		COMMIT;
		CALL streamiter.run('walk', max_rows => 4);
		CALL streamiter.run('walk');
		got := (SELECT array_agg(value ORDER BY value) FROM visited);
		IF got IS DISTINCT FROM expected THEN
			RAISE WARNING '% in batches of %: % instead of %',
				source, size, got, expected;
		END IF;
		PERFORM streamiter.drop_job('walk');
		COMMIT;
	END LOOP;
	RAISE WARNING '%: % rows', source, cardinality(expected);
	INSERT INTO walked VALUES (source, cardinality(got));
END
$$;

-- Tables: the primary key, or a stated key that the catalog proves
CREATE TABLE person (id int PRIMARY KEY, name text, mail text NOT NULL UNIQUE);
INSERT INTO person SELECT g, 'p' || g % 5, 'm' || g FROM generate_series(1, 30) g;
CREATE TABLE loan (id int PRIMARY KEY, person int NOT NULL, days int);
INSERT INTO loan SELECT g, g % 30 + 1, g FROM generate_series(1, 60) g;
CALL walk('TABLE person');
CALL walk('SELECT * FROM person', '{mail}');
CALL walk('SELECT mail, id AS number FROM person WHERE name <> ''p3''');
CALL walk('SELECT p.*, (SELECT count(*) FROM loan WHERE person = p.id) FROM person p');
CALL walk('SELECT *, random() < 2 AS yes FROM person');
CALL walk('TABLE person', lock_rows => 'update');

-- Partitioned tables
CREATE TABLE ranges (k int PRIMARY KEY, v text) PARTITION BY RANGE (k);
CREATE TABLE ranges_1 PARTITION OF ranges FOR VALUES FROM (MINVALUE) TO (0);
CREATE TABLE ranges_2 PARTITION OF ranges FOR VALUES FROM (0) TO (20)
	PARTITION BY RANGE (k);
CREATE TABLE ranges_2_1 PARTITION OF ranges_2 FOR VALUES FROM (0) TO (7);
CREATE TABLE ranges_2_2 PARTITION OF ranges_2 DEFAULT;
CREATE TABLE ranges_3 PARTITION OF ranges DEFAULT;
INSERT INTO ranges SELECT g FROM generate_series(-10, 40) g;
CALL walk('TABLE ranges');
CREATE TABLE hashes (a int, b text, PRIMARY KEY (a, b)) PARTITION BY HASH (b);
CREATE TABLE hashes_1 PARTITION OF hashes FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashes_2 PARTITION OF hashes FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashes SELECT g % 7, 'x' || g FROM generate_series(1, 40) g;
CALL walk('TABLE hashes');
CREATE TABLE lists (a text, b int, PRIMARY KEY (a, b)) PARTITION BY LIST (a);
CREATE TABLE lists_1 PARTITION OF lists FOR VALUES IN ('a', 'c');
CREATE TABLE lists_2 PARTITION OF lists FOR VALUES IN ('b');
CREATE TABLE lists_3 PARTITION OF lists DEFAULT;
INSERT INTO lists SELECT chr(97 + g % 5), g FROM generate_series(1, 40) g;
CALL walk('TABLE lists');

-- Inheritance: a parent's key says nothing about its children
CREATE TABLE parent (k int PRIMARY KEY);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent VALUES (1), (3);
INSERT INTO child VALUES (2), (4);
CALL walk('TABLE ONLY parent');
\set VERBOSITY terse
CALL walk('TABLE parent');
CALL walk('TABLE parent', '{k}');
ALTER TABLE child ADD PRIMARY KEY (k);
CALL walk('TABLE parent', '{k}');
INSERT INTO child VALUES (3);
CALL walk('TABLE parent', '{k}');
SELECT streamiter.drop_job('walk');

-- Views: a simple one is like its table; for others the key is stated, and
-- checked while walking
CREATE VIEW simple AS SELECT id, upper(name) FROM person WHERE id > 3;
CALL walk('TABLE simple');
CREATE VIEW joined AS SELECT l.id, p.name, p.id AS person
	FROM loan l JOIN person p ON p.id = l.person;
CALL walk('TABLE joined');
CALL walk('TABLE joined', '{id}');
CALL walk('TABLE joined', '{id}', lock_rows => 'update');
CALL walk('TABLE joined', '{person}', true);
SELECT streamiter.drop_job('walk');
CALL walk('SELECT person, count(*) FROM loan GROUP BY person', '{person}');
CALL walk('SELECT person, count(*) FROM loan GROUP BY person', '{person}', true);
CALL walk('SELECT DISTINCT id FROM loan', '{id}');
CALL walk('WITH p AS (SELECT * FROM person) SELECT * FROM p', '{id}');
CALL walk('SELECT id FROM person UNION ALL SELECT -id FROM loan', '{id}', true);
CALL walk('VALUES (1), (3), (2)', '{column1}', true);
CALL walk('SELECT g FROM generate_series(1, 20) g', '{g}', true);
CREATE TABLE nullable (k int);
CREATE INDEX ON nullable (k);
INSERT INTO nullable VALUES (1), (2), (NULL);
CREATE VIEW nullables AS SELECT a.k FROM nullable a LEFT JOIN person ON id = k;
CALL walk('TABLE nullables', '{k}');
SELECT streamiter.drop_job('walk');
CREATE MATERIALIZED VIEW stored AS SELECT id, name FROM person;
CALL walk('TABLE stored');
CREATE INDEX ON stored (id);
CALL walk('TABLE stored', '{id}');

-- Foreign tables
SELECT EXISTS (SELECT FROM pg_available_extensions
			   WHERE name = 'postgres_fdw') AS has_fdw \gset
\if :has_fdw
SET client_min_messages = error;
CREATE EXTENSION postgres_fdw SCHEMA siter_sources;
DO
$$
BEGIN
	EXECUTE format('CREATE SERVER siter_loopback FOREIGN DATA WRAPPER postgres_fdw'
		' OPTIONS (host %L, port %L, dbname %L)',
		split_part(current_setting('unix_socket_directories'), ',', 1),
		current_setting('port'), current_database());
END
$$;
CREATE USER MAPPING FOR CURRENT_USER SERVER siter_loopback;
CREATE FOREIGN TABLE far_person (id int NOT NULL, name text) SERVER siter_loopback
	OPTIONS (schema_name 'siter_sources', table_name 'person');
CREATE FOREIGN TABLE far_hashes (a int, b text) SERVER siter_loopback
	OPTIONS (schema_name 'siter_sources', table_name 'hashes');
CREATE TABLE mixed (id int NOT NULL, name text) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES FROM (1) TO (31)
	SERVER siter_loopback
	OPTIONS (schema_name 'siter_sources', table_name 'person');
CREATE TABLE mixed_near PARTITION OF mixed (PRIMARY KEY (id)) DEFAULT;
INSERT INTO mixed SELECT g, 'near' FROM generate_series(31, 50) g;
CALL walk('TABLE far_person', '{id}');
CALL walk('TABLE far_hashes', '{a,b}');
CALL walk('TABLE mixed', '{id}');
DROP SERVER siter_loopback CASCADE;
DROP EXTENSION postgres_fdw;
SET client_min_messages = warning;
\else
INSERT INTO walked VALUES ('TABLE far_person', 30), ('TABLE far_hashes', 40),
	('TABLE mixed', 50);
\endif
SELECT * FROM walked WHERE source ~ 'far|mixed' ORDER BY rows;

--
-- Refusals, at creation
--
CREATE PROCEDURE refuse(source text, key text[] DEFAULT NULL,
	lock_rows text DEFAULT 'none')
LANGUAGE plpgsql AS
$$
DECLARE
	m text;
	h text;
BEGIN
	PERFORM streamiter.create_job('refused', source, 'visit', key,
		lock_rows => lock_rows);
	RAISE WARNING 'not refused: %', source;
	PERFORM streamiter.drop_job('refused');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, h = PG_EXCEPTION_HINT;
	RAISE WARNING E'%: %\n%', SQLSTATE, m, h;
END
$$;

-- No key, or none to rely on
CREATE TABLE bare (a int NOT NULL, b int, j json);
CALL refuse('TABLE bare');
CALL refuse('TABLE bare', '{a}');
CREATE UNIQUE INDEX bare_a ON bare (a) WHERE b > 0;
CALL refuse('TABLE bare', '{a}');
CREATE UNIQUE INDEX ON bare (a);
CALL refuse('TABLE bare');
CALL refuse('TABLE bare', '{b}');
CALL refuse('TABLE bare', '{b,a}');
CALL refuse('TABLE bare', '{j}');
CALL refuse('TABLE bare', '{c}');
CALL refuse('TABLE bare', '{a,a}');
CALL refuse('SELECT a, b AS a FROM bare', '{a}');
CALL refuse('SELECT name FROM person');
CREATE TABLE late (k int PRIMARY KEY DEFERRABLE);
CALL refuse('TABLE late');
CREATE TABLE other_order (a int NOT NULL, b int NOT NULL, t text NOT NULL,
	n int NOT NULL);
CREATE UNIQUE INDEX ON other_order (a DESC, b);
CALL refuse('TABLE other_order', '{a,b}');
CREATE UNIQUE INDEX ON other_order (n NULLS FIRST);
CALL refuse('TABLE other_order', '{n}');
CREATE UNIQUE INDEX ON other_order (t text_pattern_ops);
CREATE UNIQUE INDEX ON other_order (t COLLATE "C");
CREATE UNIQUE INDEX ON other_order (lower(t));
CALL refuse('TABLE other_order', '{t}');
UPDATE pg_index SET indisvalid = false
WHERE indexrelid = 'person_mail_key'::regclass;
CALL refuse('TABLE person', '{mail}');
UPDATE pg_index SET indisvalid = true
WHERE indexrelid = 'person_mail_key'::regclass;

-- Cannot be read in parts
CALL refuse('SELECT * FROM person LIMIT 5');
CALL refuse('SELECT * FROM person OFFSET 5');
CALL refuse('SELECT * FROM person ORDER BY name');
CALL refuse('SELECT * FROM person FOR UPDATE');
CALL refuse('SELECT *, generate_series(1, 2) FROM person');
CALL refuse('SELECT * FROM person WHERE random() < 2');
CALL refuse('SELECT random() AS id FROM person', '{id}');
CALL refuse('SELECT DISTINCT id, random() FROM person', '{id}');
CALL refuse('SELECT * FROM person TABLESAMPLE SYSTEM (100)', '{id}');
CALL refuse('SELECT id, count(*) FROM person GROUP BY id', '{id}', 'update');
CALL refuse('TABLE stored', '{id}', 'update');
CALL refuse('DELETE FROM person RETURNING *');
CALL refuse('SELECT 1; SELECT 2');
CALL refuse('');

-- Is not there tomorrow, or is not for users
CREATE TEMP TABLE fleeting (k int PRIMARY KEY);
CALL refuse('TABLE fleeting');
CALL refuse('SELECT * FROM person JOIN fleeting ON k = id', '{id}');
CALL refuse('TABLE pg_class', '{oid}');
CREATE UNLOGGED TABLE volatile (k int PRIMARY KEY);
SELECT streamiter.create_job('unlogged', 'TABLE volatile', 'visit');
SELECT streamiter.drop_job('unlogged');

-- Plans: what would read everything for each batch
CREATE TABLE big (id int PRIMARY KEY, v int NOT NULL);
INSERT INTO big SELECT g, g % 3 FROM generate_series(1, 30000) g;
CREATE FUNCTION plan_of(source text, key text[]) RETURNS text
LANGUAGE plpgsql AS
$$
DECLARE
	d text;
	h text;
BEGIN
	PERFORM streamiter.create_job('plan', source, 'visit', key);
	PERFORM streamiter.drop_job('plan');
	RETURN 'good';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN E'\n' || split_part(d, E'\n', 1) || E'\n' || h;
END
$$;
\pset format unaligned
\pset tuples_only on
SELECT plan_of('SELECT b.id, b.v FROM big b JOIN person p ON p.id = b.v', '{v}');
SELECT plan_of('SELECT b.id, b.v FROM big b JOIN person p ON p.id = b.v', '{id}');
SELECT plan_of('SELECT * FROM person p WHERE id < (SELECT avg(v) FROM big)', NULL);
SELECT plan_of('SELECT *, (SELECT count(*) FROM big WHERE v = p.id) FROM person p', NULL);
SELECT plan_of('SELECT id + 1 AS k FROM big', '{k}');
SELECT plan_of('SELECT * FROM (SELECT * FROM big LIMIT 100) b', '{id}');
SELECT plan_of('SELECT id, row_number() OVER (ORDER BY id) FROM big', '{id}');
SELECT plan_of('SELECT g FROM generate_series(1, 20) g', '{g}');
SELECT plan_of('TABLE parent', '{k}');
\pset format aligned
\pset tuples_only off

-- Tiny, and never analyzed: by the index all the same, or it would be refused
CREATE TABLE tiny (k int PRIMARY KEY) WITH (autovacuum_enabled = off);
INSERT INTO tiny SELECT generate_series(1, 107);
CALL walk('TABLE tiny');

SELECT streamiter.unregister_callback('visit');
SET client_min_messages = error;
DROP SCHEMA siter_sources CASCADE;
