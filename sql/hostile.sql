-- A superuser calls the extension where all that PostgreSQL has is shadowed:
-- every operator, function, relation and type of pg_catalog has a namesake in a
-- schema that comes first, whose use springs a trap, which counts, whether or
-- not its error is caught.

SET client_min_messages = warning;
\set VERBOSITY terse
\getenv abs_builddir PG_ABS_BUILDDIR
\set csv :abs_builddir '/results/hostile.csv'
\set jsonl :abs_builddir '/results/hostile.jsonl'

CREATE ROLE regress_streamiter_walker SUPERUSER LOGIN;
CREATE SCHEMA regress_hostile;
SET search_path = regress_hostile;
CREATE TABLE item (id integer PRIMARY KEY, k text COLLATE "C" NOT NULL UNIQUE, n integer DEFAULT 0);
INSERT INTO item SELECT g, 'k' || g, 0 FROM generate_series(1, 50) g;
CREATE TABLE archived (LIKE item);
CREATE FUNCTION work(integer) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	UPDATE regress_hostile.item SET n = n + 1 WHERE id = $1;
	IF $1 = 20 THEN RAISE EXCEPTION 'bad row'; END IF;
END $$;
CREATE FUNCTION work(integer, jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
-- a key of a type that has casts of its own
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TABLE moody (mood mood PRIMARY KEY);
INSERT INTO moody VALUES ('glad'), ('ok'), ('sad');
CREATE FUNCTION work(mood) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
RESET search_path;

--
-- The traps
--

CREATE SCHEMA regress_evil;
CREATE SEQUENCE regress_evil.sprung MINVALUE 0;
SELECT nextval('regress_evil.sprung');
CREATE FUNCTION regress_evil.trap(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.nextval('regress_evil.sprung');
	RAISE EXCEPTION 'trapped: %', what;
END $$;
CREATE FUNCTION pg_temp.trap(name text, arguments text, result text, what text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE FUNCTION regress_evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', name, arguments, result,
		format('BEGIN PERFORM regress_evil.trap(%L); END', what));
END $$;
CREATE FUNCTION pg_temp.arguments(VARIADIC types oid[]) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(format_type(t, NULL), ', ' ORDER BY n) FROM unnest(types) WITH ORDINALITY u (t, n) WHERE t <> 0 $$;
CREATE TEMP TABLE shadow (kind text, name text);

DO $do$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT o.oid, o.oprname, o.oprleft, o.oprright, pg_temp.arguments(o.oprleft, o.oprright) AS types,
			format_type(o.oprresult, NULL) AS result
		FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprresult <> 0
	LOOP
		PERFORM pg_temp.trap('operator ' || r.oid, r.types, r.result, format('operator %s (%s)', r.oprname, r.types));
		EXECUTE format('CREATE OPERATOR regress_evil.%s (FUNCTION = regress_evil.%I%s, RIGHTARG = %s)', r.oprname, 'operator ' || r.oid,
			', LEFTARG = ' || NULLIF(format_type(NULLIF(r.oprleft, 0), NULL), '-'), format_type(r.oprright, NULL));
		INSERT INTO shadow VALUES ('operator', r.oprname);
	END LOOP;
	-- whatever PL/pgSQL can be called with
	FOR r IN SELECT p.oid, p.proname, pg_temp.arguments(VARIADIC p.proargtypes::oid[]) AS types,
			CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || format_type(p.prorettype, NULL) AS result
		FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.prorettype <> 'record'::regtype
		AND NOT EXISTS (SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype) a JOIN pg_type t ON t.oid = a
			WHERE t.typtype = 'p' AND t.typname !~ '^(any(array|element|nonarray|enum|range|multirange|compatible.*)|record)$' AND NOT (t.typname = 'void' AND a = p.prorettype AND NOT t.oid = ANY (p.proargtypes::oid[])))
		AND (p.prorettype::regtype::text !~ '^any'
			OR EXISTS (SELECT FROM unnest(p.proargtypes::regtype[]) a WHERE a::text ~ '^any'))
	LOOP
		PERFORM pg_temp.trap(r.proname, r.types, r.result, format('function %s(%s)', r.proname, r.types));
		INSERT INTO shadow VALUES ('function', r.proname);
	END LOOP;
	-- tables without the columns that one looks for, and types without values
	FOR r IN SELECT relname, min(relkind) FROM pg_class WHERE relkind IN ('r', 'v')
		AND relnamespace IN ('pg_catalog'::regnamespace, 'streamiter'::regnamespace, 'streamiter_distributed'::regnamespace) GROUP BY 1
	LOOP
		EXECUTE format('CREATE TABLE regress_evil.%I (evil integer)', r.relname);
		INSERT INTO shadow VALUES ('relation', r.relname);
	END LOOP;
	FOR r IN SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typcategory <> 'A'
		AND typname !~ '^pg_'
	LOOP
		EXECUTE format('CREATE DOMAIN regress_evil.%I AS pg_catalog.%1$I CHECK (false)', r.typname);
		INSERT INTO shadow VALUES ('type', r.typname);
	END LOOP;
	-- and casts, which need no search_path; all of them implicit would leave the
	-- type without operators, even PostgreSQL's
	FOR r IN SELECT unnest('{text,integer,bigint,oid,json,jsonb,boolean,regclass,timestamptz,interval,name}'::regtype[])::text AS type
	LOOP
		PERFORM pg_temp.trap('cast to ' || r.type, 'regress_hostile.mood', 'pg_catalog.' || quote_ident(typname), 'cast to ' || r.type)
		FROM pg_type WHERE oid = r.type::regtype;
		EXECUTE format('CREATE CAST (regress_hostile.mood AS %s) WITH FUNCTION regress_evil.%I(regress_hostile.mood) AS %s',
			r.type, 'cast to ' || r.type, CASE r.type WHEN 'json' THEN 'IMPLICIT' ELSE 'ASSIGNMENT' END);
		INSERT INTO shadow VALUES ('cast', r.type);
	END LOOP;
END
$do$;
-- how many differs from one major to the next
SELECT kind, count(*) > 700 AS many, count(*) > 10 AS some FROM shadow GROUP BY kind ORDER BY kind;
GRANT ALL ON ALL TABLES IN SCHEMA regress_evil TO PUBLIC;
CREATE FUNCTION pg_temp.sprung() RETURNS bigint LANGUAGE sql SET search_path = pg_catalog
AS 'SELECT last_value FROM regress_evil.sprung';

--
-- They work
--

SET ROLE regress_streamiter_walker;
SET search_path = regress_evil, pg_catalog;
SELECT 1 = 1;
SELECT now();
SELECT 1::regclass;
SELECT relname FROM pg_class;
SELECT 'sad'::regress_hostile.mood::pg_catalog.text;
SELECT 1 WHERE 'a' IN ('a', 'b');
-- the trap of a function of the session, and of an error that is caught
DO 'BEGIN PERFORM 1 + 1; EXCEPTION WHEN OTHERS THEN NULL; END';
SELECT pg_temp.sprung();

--
-- And nothing of ours springs one
--

SELECT streamiter.register_callback('work', 'regress_hostile.work(pg_catalog.int4)');
SELECT streamiter.register_statement('batch', 'SELECT $1');
SELECT streamiter.register_statement('range', 'SELECT $1, $2', per => 'range');
SELECT name, usable FROM streamiter.callbacks ORDER BY name USING OPERATOR(pg_catalog.<);

-- walks
SELECT rows, skipped FROM streamiter.for_each('SELECT id FROM regress_hostile.item', 'work', on_error => 'skip');
SELECT rows FROM streamiter.for_each('SELECT id FROM regress_hostile.item', 'batch', chunk_size => 7);
SELECT rows FROM streamiter.for_each('SELECT id FROM regress_hostile.item', 'regress_hostile.work(pg_catalog.int4, pg_catalog.jsonb)',
	prefetch => 'SELECT id, n FROM regress_hostile.archived WHERE id OPERATOR(pg_catalog.=) ANY ($1)', prefetch_key => 'id');
BEGIN;
SELECT streamiter.iterator('SELECT id FROM regress_hostile.item') AS it \gset
SELECT pg_catalog.count(*) FROM streamiter.next_batch(:'it', NULL::pg_catalog.int4);
SELECT streamiter.close(:'it');
COMMIT;
SELECT rows FROM streamiter.export('SELECT * FROM regress_hostile.item', :'csv');
SELECT rows FROM streamiter.export('SELECT * FROM regress_hostile.item', :'jsonl', format => 'jsonl');

-- jobs, with all that makes them slower
SELECT streamiter.create_job('paced', 'SELECT id FROM regress_hostile.item', 'work', chunk_size => 7, on_error => 'skip',
	wait_for_writers => true, target_batch_time => '1 s', batch_timeout => '1 min', lock_timeout => '1 min',
	max_rows_per_second => 100000, max_wal_rate => '1 GB', max_replica_lag => '1 min', throttle_query => 'VALUES (false)',
	lock_rows => 'update');
SELECT streamiter.create_job('ranges', 'SELECT id FROM regress_hostile.item', 'range', chunk_size => 7);
SELECT streamiter.create_job('key', 'SELECT k, id FROM regress_hostile.item', 'batch', key => '{k}', chunk_size => 7);
SELECT streamiter.create_job('again', 'SELECT id FROM regress_hostile.item', 'regress_hostile.work(pg_catalog.int4, pg_catalog.jsonb)',
	prefetch => 'SELECT id, n FROM regress_hostile.archived WHERE id OPERATOR(pg_catalog.=) ANY ($1)', prefetch_key => 'id',
	chunk_size => 7, recurrence => 'repeat');
SELECT streamiter.create_job('moody', 'SELECT mood FROM regress_hostile.moody', 'regress_hostile.work(regress_hostile.mood)', chunk_size => 2);
SELECT pg_catalog.count(*) FROM streamiter.dry_run('ranges');
SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 5 AS explained FROM streamiter.explain_job('paced');
CALL streamiter.run('paced', max_rows => 30);
CALL streamiter.run('paced');
SELECT streamiter.retry_skipped('paced');
CALL streamiter.run('paced');
CALL streamiter.run('ranges', workers => 2);
CALL streamiter.run('key', max_rows => 10, max_duration => '1 min');
SELECT streamiter.alter_job('key', chunk_size => 3, unset => '{batch_pause}');
SELECT streamiter.pause('key');
SELECT streamiter.resume('key');
CALL streamiter.run('key', workers => 3);
SELECT streamiter.reset('key'), streamiter.cancel('key');
CALL streamiter.run('again');
CALL streamiter.run('again', workers => 2);
CALL streamiter.run('moody', max_rows => 2);
CALL streamiter.run('moody');
SELECT pg_catalog.count(*) FROM streamiter.dry_run('moody');
SET streamiter.exact_totals = on;
SELECT streamiter.reset('ranges');
CALL streamiter.run('ranges');
RESET streamiter.exact_totals;
CALL streamiter.backfill('regress_hostile.item', set => 'n = n OPERATOR(pg_catalog.+) 1', chunk_size => 11);
CALL streamiter.archive('regress_hostile.item', target => 'regress_hostile.archived', filter => 'id OPERATOR(pg_catalog.>) 30', chunk_size => 11);
CALL streamiter.purge('regress_hostile.item', filter => 'true', chunk_size => 11);

-- a distributed job of one part, here
SELECT streamiter.parts('regress_hostile.item');
SELECT streamiter.distribute('apart', source => 'SELECT 1', statement => 'SELECT $1', servers => '{nowhere}');
SELECT streamiter.store_distributed_job(
	'{"name": "apart", "source": "SELECT id FROM {part}", "callback": "batch", "per": "batch", "settings": {}, "environment": {}}',
	'[{"part": 1, "engine": "local", "node_relation": "regress_hostile.item", "job": "key"}]');
SELECT part, state FROM streamiter.part_states;
SELECT part, state FROM streamiter.pause_parts('apart');
CALL streamiter.run_parts('apart');
SELECT streamiter.drop_parts('apart');

-- the views
SELECT name, state, rows, skipped FROM streamiter.jobs WHERE name OPERATOR(pg_catalog.!~) ' ' ORDER BY name USING OPERATOR(pg_catalog.<);
SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 5 AS runs FROM streamiter.runs;
SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 5 AS slices FROM streamiter.slices;
SELECT position FROM streamiter.slices WHERE name OPERATOR(pg_catalog.=) 'moody';
SELECT name, key, message FROM streamiter.skipped;
SELECT pg_catalog.count(*) FROM streamiter.progress WHERE state OPERATOR(pg_catalog.=) 'running';
SELECT pg_catalog.count(*) FROM streamiter.distributed_jobs;
SELECT pg_catalog.count(streamiter.drop_job(name)) FROM streamiter.jobs WHERE name OPERATOR(pg_catalog.~) '^(paced|moody|again)$';
SELECT streamiter.unregister_callback('work'), streamiter.unregister_callback('batch'), streamiter.unregister_callback('range');

SELECT pg_temp.sprung();
RESET search_path;
RESET ROLE;
SET client_min_messages = error;
DROP SCHEMA regress_hostile, regress_evil CASCADE;
DELETE FROM streamiter.distributed_job;
DELETE FROM streamiter.job;
DELETE FROM streamiter.callback;
DROP ROLE regress_streamiter_walker;
