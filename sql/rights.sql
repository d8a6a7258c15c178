-- Who may do what: every function, table, view and sequence of the extension,
-- tried by every kind of user; what is tried comes from the catalogs, so that a
-- new object is in the matrix, or the matrix fails.

SET client_min_messages = warning;
\set VERBOSITY sqlstate
\getenv abs_builddir PG_ABS_BUILDDIR
\set path :abs_builddir '/results/rights.csv'
SELECT set_config('test.path', :'path', false) IS NOT NULL AS path;
SELECT set_config('test.definition', '{"name": "ours", "per": "batch", "source": "SELECT id FROM {part}", "statement": "SELECT $1", "settings": {}, "environment": {"timezone": "UTC"}}', false) IS NOT NULL AS definition;

CREATE ROLE regress_streamiter_super SUPERUSER;
CREATE ROLE regress_streamiter_owner LOGIN;
CREATE ROLE regress_streamiter_member IN ROLE regress_streamiter_owner;
CREATE ROLE regress_streamiter_stranger;
SET ROLE regress_streamiter_super;
CREATE SCHEMA regress_rights AUTHORIZATION regress_streamiter_owner;
SET search_path = regress_rights, public;

-- What the owner has: a table, a registered function, a job, each "theirs"
SET ROLE regress_streamiter_owner;
GRANT USAGE ON SCHEMA regress_rights TO PUBLIC;
CREATE TABLE theirs (id integer PRIMARY KEY, n integer DEFAULT 0);
INSERT INTO theirs SELECT generate_series(1, 10);
CREATE TABLE archived (LIKE theirs);
CREATE FUNCTION work(integer) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN UPDATE regress_rights.theirs SET n = n + 1 WHERE id = $1; END $$;
SELECT streamiter.register_callback('theirs', 'work(integer)');
SELECT streamiter.create_job('theirs', 'SELECT id FROM theirs', 'theirs', chunk_size => 3);
CALL streamiter.run('theirs', max_rows => 4);
-- so that nothing starts in the background
SELECT streamiter.pause('theirs');
RESET ROLE;

-- Where the extension has something
CREATE TEMP TABLE schema AS
SELECT DISTINCT p.pronamespace AS oid FROM pg_proc p
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'streamiter';
SELECT oid::regnamespace FROM schema ORDER BY oid::regnamespace::text COLLATE "C";
-- The kinds of users, in the order of the matrix
CREATE TEMP TABLE role AS
SELECT name, ('regress_streamiter_' || name)::regrole, n
FROM unnest('{super,owner,member,stranger}'::text[]) WITH ORDINALITY u (name, n);
CREATE TEMP TABLE attempt (n serial, what text, role text, outcome text);
GRANT ALL ON role, attempt, attempt_n_seq TO PUBLIC;

-- What injected statements drop is a bait, and is never gone: they spring a trap,
-- which counts, whether or not its error is caught
SET ROLE regress_streamiter_owner;
CREATE TABLE bait ();
CREATE SEQUENCE sprung MINVALUE 0;
SELECT nextval('sprung');
RESET ROLE;
CREATE FUNCTION trap() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE object_identity = 'regress_rights.bait') THEN
		PERFORM nextval('regress_rights.sprung');
		RAISE 'injected' USING ERRCODE = 'ZZZZ1';
	END IF;
END
$$;
CREATE EVENT TRIGGER regress_rights ON sql_drop EXECUTE FUNCTION trap();

-- Tries a statement as each of them; nothing of it stays
CREATE FUNCTION pg_temp.try(statement text, role regrole) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	sprung constant bigint := (SELECT last_value FROM regress_rights.sprung);
BEGIN
	EXECUTE format('SET LOCAL ROLE %s', role);
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE EXCEPTION USING ERRCODE = 'ZZZZZ', MESSAGE = n;
EXCEPTION
	WHEN OTHERS THEN RETURN CASE
		WHEN sprung <> (SELECT last_value FROM regress_rights.sprung) THEN 'injected'
		WHEN SQLSTATE <> 'ZZZZZ' THEN SQLSTATE
		WHEN SQLERRM = '0' THEN 'nothing'
		ELSE 'done' END;
END
$$;

--
-- Functions: called with what belongs to the owner
--

-- Arguments without a default, by their names
CREATE TEMP TABLE argument (name text PRIMARY KEY, value text);
INSERT INTO argument VALUES
	('name', '''theirs'''),
	('source', '''SELECT id FROM regress_rights.theirs'''),
	('callback', '''theirs'''),
	('function', '''regress_rights.work(integer)'''),
	('statement', '''SELECT $1'''),
	('row_type', 'NULL::integer'),
	('it', '''theirs'''),
	('relation', '''regress_rights.theirs'''),
	('set', '''n = n + 1'''),
	('target', '''regress_rights.archived'''),
	('filter', '''n = 0'''),
	('signature', '''regress_rights.work(integer)'''),
	('engine', '''local'''),
	('connection', '''theirs'''),
	('command', '''SELECT streamiter.pause(''''theirs'''')'''),
	('job', '''theirs'''),
	('node_relation', '''regress_rights.theirs'''),
	('view', '''jobs'''),
	('workers', '1'),
	('since', 'now()'),
	('definition', 'current_setting(''test.definition'')::jsonb'),
	('asked', 'current_setting(''test.definition'')::jsonb'),
	('p', 'ROW(NULL, 1, ''local'', NULL, ''regress_rights.theirs'', NULL, ''ours'')::streamiter.part'),
	('job_id', 'currval(''streamiter.job_id_seq'')::integer'),
	('path', 'current_setting(''test.path'')'),
	('query', '''SELECT id FROM regress_rights.theirs'''),
	('percent', '50'),
	('total', '100'),
	('rows', '50');

-- Each with a name that is taken and one that is free, where it has a name
CREATE FUNCTION pg_temp.calls(kind "char") RETURNS TABLE (call text)
LANGUAGE sql AS $$
	SELECT format('%s(%s)', p.oid::regproc, string_agg(CASE
			WHEN a.name = 'name' THEN quote_literal(given.name)
			WHEN a.type IN ('cstring'::regtype, 'streamiter.callback_handler') THEN format('NULL::%s', a.type)
			ELSE coalesce(v.value, format('NULL::%s', a.type)) END, ', ' ORDER BY a.n))
	FROM pg_proc p
	CROSS JOIN (VALUES ('theirs'), ('ours')) given (name)
	CROSS JOIN LATERAL unnest(p.proargnames[1:p.pronargs - p.pronargdefaults], p.proargtypes[0:p.pronargs - p.pronargdefaults - 1]::regtype[])
		WITH ORDINALITY a (name, type, n)
	LEFT JOIN argument v ON v.name = a.name
	WHERE p.pronamespace IN (TABLE schema) AND p.prokind = kind
	AND (given.name = 'theirs' OR 'name' = ANY (p.proargnames[1:p.pronargs - p.pronargdefaults]))
	AND NOT p.proname IN ('callback_handler_in', 'callback_handler_out')
	GROUP BY p.oid, given.name
	ORDER BY p.oid::regproc::text COLLATE "C", given.name DESC
$$;
INSERT INTO attempt (what, role, outcome)
SELECT c.call, r.name, pg_temp.try('SELECT ' || c.call, r.regrole)
FROM pg_temp.calls('f') WITH ORDINALITY c (call, n), role r ORDER BY c.n, r.n;
SELECT what, role, outcome FROM attempt ORDER BY n \crosstabview

--
-- Tables, views and sequences
--

TRUNCATE attempt;
INSERT INTO attempt (what, role, outcome)
SELECT format(c.statement, o.oid::regclass, a.attname), r.name,
	pg_temp.try(format(c.statement, o.oid::regclass, a.attname), r.regrole)
FROM pg_class o
LEFT JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = 1
CROSS JOIN (VALUES
	(1, 'SELECT FROM %1$s'), (2, 'LOCK TABLE ONLY %1$s IN ACCESS SHARE MODE'), (3, 'INSERT INTO %1$s DEFAULT VALUES'),
	(4, 'UPDATE %1$s SET %2$I = DEFAULT'), (5, 'DELETE FROM %1$s'), (6, 'TRUNCATE %1$s'),
	(7, 'SELECT nextval(''%1$s'')'), (8, 'SELECT setval(''%1$s'', 1)')) c (n, statement)
CROSS JOIN role r
WHERE o.relnamespace IN (TABLE schema) AND r.name <> 'super'
AND CASE o.relkind WHEN 'S' THEN c.n IN (1, 7, 8) WHEN 'r' THEN c.n < 7 WHEN 'v' THEN c.n IN (1, 3, 4, 5) END
ORDER BY o.relnamespace::regnamespace::text COLLATE "C", o.relkind, o.relname COLLATE "C", c.n, r.n;
CREATE FUNCTION pg_temp.shows(what text) RETURNS boolean LANGUAGE sql AS
$$ SELECT what ~ '^SELECT FROM streamiter\.(\w+s|skipped|progress)$|^(SELECT FROM|LOCK TABLE ONLY) streamiter_distributed\.engine\M' $$;
-- none of it, but for the views, and what engines there are
SELECT count(*), array_agg(DISTINCT outcome) AS outcomes FROM attempt WHERE NOT pg_temp.shows(what);
-- and these show what is one's own, jobs also to members of their owner
SELECT what, role, outcome FROM attempt WHERE pg_temp.shows(what) ORDER BY n \crosstabview
-- what nobody has tried, there is not
SELECT relname, relkind FROM pg_class WHERE relnamespace IN (TABLE schema)
AND relkind NOT IN ('r', 'v', 'S', 'i', 't', 'c');
SELECT typname FROM pg_type WHERE typnamespace IN (TABLE schema) AND typtype IN ('d', 'e', 'r', 'm');

--
-- Procedures: these commit, so that each call is a statement of its own
--

SELECT streamiter.resume('theirs') FROM set_config('role', 'regress_streamiter_owner', false);
RESET ROLE;
\set ECHO queries
SELECT c.statement
FROM pg_temp.calls('p') WITH ORDINALITY p (call, n), role r
CROSS JOIN LATERAL (VALUES (1, format('SET ROLE %s', r.regrole)), (2, 'CALL ' || p.call)) c (n, statement)
WHERE r.name <> 'owner'
ORDER BY r.n, p.n, c.n \gexec
\set ECHO all
RESET ROLE;
SELECT sum(n) FROM theirs;

--
-- Hostile text in every argument that takes some: a clear error, or plain text
--

CREATE FUNCTION pg_temp.calls_with(kind "char", texts text[])
RETURNS TABLE (proc regproc, arg text, text text, call text)
LANGUAGE sql AS $$
	SELECT p.oid::regproc, a.name, h.text, format('%s(%I => %s%s)', p.oid::regproc, a.name,
			CASE a.type::text
				WHEN 'text' THEN quote_literal(h.text)
				WHEN 'text[]' THEN format('ARRAY[%L]', h.text)
				WHEN 'jsonb' THEN quote_literal(jsonb_build_object('name', 'ours', 'per', h.text, 'source', h.text, 'statement', h.text,
					'key', ARRAY[h.text], 'state', h.text, 'settings', jsonb_build_object(h.text, h.text), 'environment', jsonb_build_object(h.text, h.text)))
				ELSE format('ROW(NULL, 1, ''local'', %1$L, %1$L, %1$L, %1$L)::%2$s', h.text, a.type) END, (
				SELECT string_agg(format(', %I => %s', o.name, coalesce(v.value, format('NULL::%s', o.type))), '' ORDER BY o.n)
				FROM unnest(p.proargnames[1:p.pronargs - p.pronargdefaults], p.proargtypes[0:p.pronargs - p.pronargdefaults - 1]::regtype[])
					WITH ORDINALITY o (name, type, n)
				LEFT JOIN argument v ON v.name = o.name WHERE o.name <> a.name))
	FROM pg_proc p
	CROSS JOIN LATERAL unnest(p.proargnames, p.proargtypes[0:p.pronargs - 1]::regtype[]) WITH ORDINALITY a (name, type, n)
	CROSS JOIN LATERAL (
		-- jobs are made of names that are not taken, and run by those that are
		SELECT t.text || CASE WHEN kind = 'p' AND a.name = 'name' AND t.text <> ''
			THEN CASE p.proname WHEN 'run' THEN ' purge' ELSE ' ' || p.proname END ELSE '' END, t.n
		FROM unnest(texts) WITH ORDINALITY t (text, n)) h (text, n)
	WHERE (p.pronamespace IN (TABLE schema) OR p.pronamespace = 'regress_rights'::regnamespace)
	AND p.prokind = kind AND a.type IN ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype, 'streamiter.part'::regtype)
	ORDER BY p.oid::regproc::text COLLATE "C", a.n, h.n
$$;
-- some that are not careful, so as to see that such are found
CREATE FUNCTION careless(name text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format('SELECT ''%s''', name); END $$;
CREATE FUNCTION careless_quietly(name text, it text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format('SELECT 1 AS "%s"', it); EXCEPTION WHEN OTHERS THEN NULL; END $$;
CREATE PROCEDURE careless_call(name text) LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format('SELECT ''%s''', name); END $$;

CREATE TEMP TABLE hostile AS
SELECT text FROM unnest(ARRAY['', ' ', '"', '''', '\', E'\n', '%s%n', '$1', '$$', '{', 'NULL', '-1', 'pg_temp.x', 'a.b.c.d.e',
	'(', 'f(', 'f()', 'f(")', 'f(nosuch)', 'f(integer,)', repeat('x', 64), repeat('y', 100000), repeat('(', 20000), U&'\+01F600']) text
UNION ALL
SELECT format('%s%s; DROP TABLE regress_rights.bait; --', quote, closing)
FROM unnest('{"","''","id\"","\\''","$$","SELECT 1","theirs"}'::text[]) quote, unnest('{"",")","))"}'::text[]) closing;
TRUNCATE attempt;
INSERT INTO attempt (what, role, outcome)
SELECT format('%s(%s): %s', c.proc, c.arg, left(c.text, 50)), r.name, pg_temp.try('SELECT ' || c.call, r.regrole)
FROM pg_temp.calls_with('f', ARRAY(SELECT text FROM hostile)) c
-- what is exported becomes a file of the server's
JOIN role r ON r.name = CASE c.proc WHEN 'streamiter.export'::regproc THEN 'super' ELSE 'owner' END
-- a command is a statement, and who starts a run has a worker start
WHERE NOT (c.arg = 'command' OR c.arg = 'connection' AND c.proc::text LIKE '%\_start');
SELECT what, role, outcome FROM attempt WHERE outcome !~ '^(done|nothing|22|23502|34|42|54|0A|55|3F)' ORDER BY n \crosstabview
SELECT count(*) > 1000 AS many FROM attempt;
-- procedures
\set ECHO queries
SELECT 'CALL ' || call
FROM pg_temp.calls_with('p', ARRAY['', '''; DROP TABLE regress_rights.bait; --', 'id"; DROP TABLE regress_rights.bait; --', 'f(")', '$1'])
WHERE NOT (proc = 'streamiter.run'::regproc AND arg <> 'name') \gexec
\set ECHO all
SELECT count(*) FROM theirs;
DROP EVENT TRIGGER regress_rights;

--
-- Hostile names of what is walked, of whose it is, and of the job
--

CREATE ROLE "regress_streamiter_""; DROP ROLE postgres; --";
CREATE SCHEMA "regress_rights""; DROP TABLE t; --" AUTHORIZATION "regress_streamiter_""; DROP ROLE postgres; --";
SET ROLE "regress_streamiter_""; DROP ROLE postgres; --";
SET search_path = "regress_rights""; DROP TABLE t; --";
CREATE TABLE "t""$1; --" ("$1" integer, "k'""\" text, "now()" integer DEFAULT 0, PRIMARY KEY ("k'""\", "$1"));
INSERT INTO "t""$1; --" SELECT g, '''; DROP TABLE t; --' || g % 3 FROM generate_series(1, 20) g;
CREATE FUNCTION "f(); --"(key integer, name text) RETURNS void LANGUAGE plpgsql AS
$$
#variable_conflict use_column
BEGIN UPDATE "t""$1; --" SET "now()" = "now()" + 1 WHERE "$1" = key AND "k'""\" = name; END
$$;
SELECT streamiter.create_job('job"; --''', 'SELECT "$1", "k''""\" FROM "t""$1; --"', '"f(); --"(integer, text)', chunk_size => 3);
CALL streamiter.run('job"; --''');
SELECT streamiter.dry_run('job"; --''') IS NOT NULL AS dry_run_of_what_is_done;
CALL streamiter.backfill('"t""$1; --"', set => '"now()" = "now()" + 1', chunk_size => 3, key => ARRAY['k''"\', '$1']);
CREATE TABLE archived (LIKE "t""$1; --" INCLUDING ALL);
CALL streamiter.archive('"t""$1; --"', target => 'archived', filter => '"$1" > 10', chunk_size => 3);
SELECT "now()", count(*) FROM "t""$1; --" GROUP BY 1;
SELECT "now()", count(*) FROM archived GROUP BY 1;
SELECT name, state, rows FROM streamiter.jobs ORDER BY name COLLATE "C";
RESET ROLE;
SET search_path = regress_rights, public;

--
-- A job and row-level security: it sees and changes what its owner may
--

SET ROLE regress_streamiter_owner;
UPDATE theirs SET n = 0;
CREATE POLICY odd ON theirs USING (id % 2 = 1);
ALTER TABLE theirs ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON theirs TO regress_streamiter_stranger;
SET ROLE regress_streamiter_stranger;
SELECT streamiter.create_job('odd', 'SELECT id FROM regress_rights.theirs', 'regress_rights.work(integer)', chunk_size => 2);
CALL streamiter.run('odd');
CALL streamiter.backfill('regress_rights.theirs', set => 'n = n + 10', chunk_size => 2);
SELECT name, rows FROM streamiter.jobs ORDER BY name COLLATE "C";
SET ROLE regress_streamiter_owner;
SELECT array_agg(n ORDER BY id) FROM theirs;

--
-- What a job calls is looked up for each run, among what its owner may call
--

SELECT streamiter.reset('theirs');
-- somebody else's callback of that name is not his
SET ROLE regress_streamiter_stranger;
SELECT streamiter.register_callback('theirs', 'abs(integer)');
SET ROLE regress_streamiter_owner;
UPDATE theirs SET n = 0;
CALL streamiter.run('theirs');
SELECT array_agg(n ORDER BY id) FROM theirs;
-- nor what a superuser registers later
SELECT streamiter.unregister_callback('theirs');
SET ROLE regress_streamiter_super;
SELECT streamiter.register_callback('theirs', 'abs(integer)');
SET ROLE regress_streamiter_owner;
SELECT streamiter.reset('theirs');
CALL streamiter.run('theirs');
SELECT array_agg(n ORDER BY id) FROM theirs;
-- a right that is taken away ends it
SELECT streamiter.alter_job('theirs', callback => 'abs(integer)', acknowledge => true);
SET ROLE regress_streamiter_super;
SELECT streamiter.unregister_callback('theirs');
ALTER FUNCTION work(integer) OWNER TO regress_streamiter_super;
REVOKE ALL ON FUNCTION work(integer) FROM PUBLIC;
SET ROLE regress_streamiter_owner;
SELECT streamiter.alter_job('theirs', callback => 'regress_rights.work(integer)', acknowledge => true);
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA regress_rights, "regress_rights""; DROP TABLE t; --" CASCADE;
DELETE FROM streamiter.job;
DELETE FROM streamiter.callback;
DROP ROLE regress_streamiter_super, regress_streamiter_owner, regress_streamiter_member,
	regress_streamiter_stranger, "regress_streamiter_""; DROP ROLE postgres; --";
