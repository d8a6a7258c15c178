--
-- Engines
--
-- What carries commands to a node.  An engine e is a row of streamiter_distributed.engine
-- and these functions beside it; nothing else knows how a node is
-- reached.  "connection" is a name that the caller has made up.
--
--	e_parts(relation regclass, servers text[])	the parts of what it knows to
--				take apart, no rows for what it does not; only where finds_parts
--	e_open(connection text, server text)		connect
--	e_ask(connection text, command text)		run one statement, which may commit
--				by itself; its one value, or NULL
--	e_start(connection text, job text, max_duration interval, workers integer)
--				start a run of a job, and do not wait for it
--	e_watch(connection text, job text, since timestamptz)	NULL while a run
--				started then goes on; its error, or '', once it has ended
--	e_cancel(connection text, job text)			cancel the run that was started
--	e_close(connection text)					disconnect; no error if there is
--				nothing to close
--
CREATE TABLE streamiter_distributed.engine (
	name text COLLATE "C" PRIMARY KEY,
	finds_parts boolean NOT NULL
);

INSERT INTO streamiter_distributed.engine VALUES ('dblink', true), ('local', false);
GRANT SELECT ON streamiter_distributed.engine TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('streamiter_distributed.engine',
	'WHERE name OPERATOR(pg_catalog.<>) ALL (ARRAY[''dblink'', ''local''])');

CREATE TYPE streamiter_distributed.planned_part AS (
	engine text,
	server text,
	node_relation text,
	partition text
);

-- local: this server; runs are left to background workers

CREATE FUNCTION streamiter_distributed.local_open(connection text, server text)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS '';

CREATE FUNCTION streamiter_distributed.local_ask(connection text, command text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE command INTO answer;
	RETURN answer;
END
$$;

CREATE FUNCTION streamiter_distributed.local_start(
	connection text,
	job text,
	max_duration interval,
	workers integer)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS 'SELECT streamiter.start(job, max_duration, NULL, workers)';

-- A worker may take its time to begin; one that has not within 20 seconds will
-- not.
CREATE FUNCTION streamiter_distributed.local_watch(
	connection text,
	job text,
	since timestamptz)
RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN j.name IS NULL THEN 'the job is gone'
		WHEN j.state = 'running' THEN NULL
		WHEN j.last_started >= since THEN COALESCE(j.message, '')
		WHEN clock_timestamp() < since + interval '20 s' THEN NULL
		ELSE 'no background worker began to work on it'
	END
	FROM (VALUES (1)) one
	LEFT JOIN streamiter.jobs j ON j.name = job
		AND j.owner = quote_ident(CURRENT_USER)::regrole
$$;

CREATE FUNCTION streamiter_distributed.local_cancel(connection text, job text)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_cancel_backend(p.pid) FROM streamiter.progress p
	WHERE p.kind = 'job' AND p.name = job AND p.state = 'running'
	AND p.owner = quote_ident(CURRENT_USER)::regrole
$$;

CREATE FUNCTION streamiter_distributed.local_close(connection text)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS '';

-- dblink: foreign servers and user mappings, as CREATE SERVER and CREATE USER
-- MAPPING made them.  A connection is opened by the server's name, so that
-- dblink looks to rights and passwords, and nobody here sees how it connects.

-- The schema that dblink's functions are in
CREATE FUNCTION streamiter_distributed.dblink_schema()
RETURNS name
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	schema name;
BEGIN
	SELECT n.nspname INTO schema
	FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
	WHERE e.extname = 'dblink';
	IF schema IS NULL THEN
		RAISE EXCEPTION 'extension "dblink" is not installed in this database'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'CREATE EXTENSION dblink; other servers are reached through it.';
	END IF;
	RETURN schema;
END
$$;

CREATE FUNCTION streamiter_distributed.dblink_check_server(server text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM FROM pg_foreign_server s WHERE s.srvname = server;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'server "%" does not exist', server
			USING ERRCODE = 'undefined_object',
				  HINT = 'CREATE SERVER makes one, with dblink_fdw or postgres_fdw; the host and so on are its options.';
	END IF;
	IF NOT has_server_privilege(server, 'USAGE') THEN
		RAISE EXCEPTION 'permission denied for foreign server %', server
			USING ERRCODE = 'insufficient_privilege';
	END IF;
	PERFORM FROM pg_user_mappings m
	WHERE m.srvname = server AND m.usename IN (CURRENT_USER, 'public');
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no user mapping of role "%" for server "%"',
			CURRENT_USER, server
			USING ERRCODE = 'undefined_object',
				  HINT = format('CREATE USER MAPPING FOR %I SERVER %I OPTIONS (user ..., password ...).',
						CURRENT_USER, server);
	END IF;
END
$$;

CREATE FUNCTION streamiter_distributed.dblink_parts(relation regclass, servers text[])
RETURNS SETOF streamiter_distributed.planned_part
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other text;
	s text;
BEGIN
	IF servers IS NOT NULL THEN
		FOREACH s IN ARRAY servers LOOP
			PERFORM streamiter_distributed.dblink_check_server(s);
		END LOOP;
		RETURN QUERY SELECT 'dblink', u.server, NULL::text, NULL::text
		FROM unnest(servers) WITH ORDINALITY u (server, n) ORDER BY u.n;
		RETURN;
	END IF;

	SELECT c.oid::regclass INTO other
	FROM pg_partition_tree(relation) t
	JOIN pg_foreign_table f ON f.ftrelid = t.relid
	JOIN pg_class c ON c.oid = t.relid
	JOIN pg_foreign_server s ON s.oid = f.ftserver
	JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
	LEFT JOIN pg_proc p ON p.oid = w.fdwhandler
	WHERE p.prosrc IS DISTINCT FROM 'postgres_fdw_handler'
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'partition "%" is not a table of another PostgreSQL server', other
			USING ERRCODE = 'wrong_object_type',
				  DETAIL = 'Its foreign data wrapper is not postgres_fdw.';
	END IF;

	RETURN QUERY
	SELECT CASE WHEN s.oid IS NULL THEN 'local' ELSE 'dblink' END,
		s.srvname::text,
		format('%I.%I',
			COALESCE((SELECT option_value FROM pg_options_to_table(f.ftoptions)
				WHERE option_name = 'schema_name'), n.nspname),
			COALESCE((SELECT option_value FROM pg_options_to_table(f.ftoptions)
				WHERE option_name = 'table_name'), c.relname)),
		format('%I.%I', n.nspname, c.relname)
	FROM (SELECT relid FROM pg_partition_tree(relation) WHERE isleaf
		UNION SELECT relation) t
	JOIN pg_class c ON c.oid = t.relid AND c.relkind IN ('r', 'f')
	JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
	LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
	WHERE EXISTS (SELECT FROM pg_partition_tree(relation) x
			JOIN pg_foreign_table y ON y.ftrelid = x.relid)
		OR EXISTS (SELECT FROM pg_foreign_table y WHERE y.ftrelid = relation)
	ORDER BY n.nspname, c.relname;
END
$$;

CREATE FUNCTION streamiter_distributed.dblink_open(connection text, server text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	schema name := streamiter_distributed.dblink_schema();
BEGIN
	PERFORM streamiter_distributed.dblink_check_server(server);
	PERFORM streamiter_distributed.dblink_close(connection);
	EXECUTE format('SELECT %I.dblink_connect($1, $2)', schema)
		USING connection, server;
	-- nobody would read what it has to say: it would go to our server's log
	EXECUTE format('SELECT %I.dblink_exec($1, $2)', schema)
		USING connection, 'SET client_min_messages = error';
	EXECUTE format('SELECT %I.dblink_exec($1, $2)', schema)
		USING connection, 'SET streamiter.progress_interval = 0';
END
$$;

CREATE FUNCTION streamiter_distributed.dblink_ask(connection text, command text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SELECT answer FROM %I.dblink($1, $2) AS (answer text)',
		streamiter_distributed.dblink_schema()) INTO answer USING connection, command;
	RETURN answer;
END
$$;

CREATE FUNCTION streamiter_distributed.dblink_start(
	connection text,
	job text,
	max_duration interval,
	workers integer)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sent integer;
BEGIN
	EXECUTE format('SELECT %I.dblink_send_query($1, $2)', streamiter_distributed.dblink_schema())
		INTO sent
		USING connection, format(
			'CALL streamiter.run(%L, max_duration => %L, workers => %s)',
			job, max_duration, workers);
	IF sent <> 1 THEN
		RAISE EXCEPTION 'the connection was lost'
			USING ERRCODE = 'connection_failure';
	END IF;
END
$$;

-- dblink makes an error that it is not to raise a NOTICE
CREATE FUNCTION streamiter_distributed.dblink_watch(
	connection text,
	job text,
	since timestamptz)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
AS $$
DECLARE
	schema name := streamiter_distributed.dblink_schema();
	busy boolean;
	error text;
BEGIN
	EXECUTE format('SELECT %I.dblink_is_busy($1) <> 0', schema)
		INTO busy USING connection;
	IF busy THEN
		RETURN NULL;
	END IF;
	-- a command's result, or its error, which counts as none; then its end
	FOR i IN 1 .. 2 LOOP
		EXECUTE format('SELECT FROM %I.dblink_get_result($1, false) AS (status text)',
			schema) USING connection;
		IF error IS NULL THEN
			EXECUTE format('SELECT %I.dblink_error_message($1)', schema)
				INTO error USING connection;
			error := split_part(
				regexp_replace(error, '^(ERROR|FATAL|PANIC):  ', ''), E'\n', 1);
			error := NULLIF(error, 'OK');
		END IF;
	END LOOP;
	RETURN COALESCE(error, '');
END
$$;

CREATE FUNCTION streamiter_distributed.dblink_cancel(connection text, job text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('SELECT %I.dblink_cancel_query($1)', streamiter_distributed.dblink_schema())
		USING connection;
END
$$;

CREATE FUNCTION streamiter_distributed.dblink_close(connection text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	is_open boolean;
BEGIN
	EXECUTE format('SELECT $1 = ANY (%I.dblink_get_connections())',
		streamiter_distributed.dblink_schema()) INTO is_open USING connection;
	IF is_open THEN
		EXECUTE format('SELECT %I.dblink_disconnect($1)', streamiter_distributed.dblink_schema())
			USING connection;
	END IF;
END
$$;

--
-- Parts and their nodes
--

-- The functions of an engine, by its name

CREATE FUNCTION streamiter_distributed.engine_open(
	engine text,
	connection text,
	server text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('SELECT streamiter_distributed.%I($1, $2)', engine || '_open')
		USING connection, server;
	PERFORM streamiter_distributed.engine_check_version(engine, connection, server);
END
$$;

CREATE FUNCTION streamiter_distributed.engine_ask(
	engine text,
	connection text,
	command text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SELECT streamiter_distributed.%I($1, $2)', engine || '_ask')
		INTO answer USING connection, command;
	RETURN answer;
END
$$;

CREATE FUNCTION streamiter_distributed.engine_start(
	engine text,
	connection text,
	job text,
	max_duration interval,
	workers integer)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('SELECT streamiter_distributed.%I($1, $2, $3, $4)', engine || '_start')
		USING connection, job, max_duration, workers;
END
$$;

CREATE FUNCTION streamiter_distributed.engine_watch(
	engine text,
	connection text,
	job text,
	since timestamptz)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	outcome text;
BEGIN
	EXECUTE format('SELECT streamiter_distributed.%I($1, $2, $3)', engine || '_watch')
		INTO outcome USING connection, job, since;
	RETURN outcome;
END
$$;

CREATE FUNCTION streamiter_distributed.engine_cancel(
	engine text,
	connection text,
	job text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('SELECT streamiter_distributed.%I($1, $2)', engine || '_cancel')
		USING connection, job;
END
$$;

CREATE FUNCTION streamiter_distributed.engine_close(engine text, connection text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('SELECT streamiter_distributed.%I($1)', engine || '_close')
		USING connection;
END
$$;

-- What jobs are told and say may differ from version to version.
CREATE FUNCTION streamiter_distributed.engine_check_version(
	engine text,
	connection text,
	server text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	query constant text :=
		'SELECT extversion FROM pg_catalog.pg_extension'
		' WHERE extname OPERATOR(pg_catalog.=) ''streamiter''';
	here text;
	there text := streamiter_distributed.engine_ask(engine, connection, query);
BEGIN
	EXECUTE query INTO here;
	IF there IS NULL THEN
		RAISE EXCEPTION 'extension "streamiter" is not installed on server "%"', server
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'CREATE EXTENSION streamiter in the database that it leads to.';
	END IF;
	IF there <> here THEN
		RAISE EXCEPTION 'extension "streamiter" has version % on server "%", and % here',
			there, server, here
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'ALTER EXTENSION streamiter UPDATE brings it up to date.';
	END IF;
END
$$;

-- A part's job, as its node has it at this moment: its row of streamiter.jobs,
-- with its position and the statement that was registered for it; NULL if
-- there is no such job.
CREATE FUNCTION streamiter_distributed.engine_state(
	engine text,
	connection text,
	job text)
RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT streamiter_distributed.engine_ask(engine, connection, format(
		'SELECT pg_catalog.to_jsonb(j) OPERATOR(pg_catalog.||)'
		' pg_catalog.jsonb_build_object('
		' ''position'', (SELECT pg_catalog.string_agg('
		'   COALESCE(s.position::pg_catalog.text, ''-''), '' '' ORDER BY s.slice)'
		'  FROM streamiter.slices s WHERE s.owner OPERATOR(pg_catalog.=) j.owner'
		'  AND s.name OPERATOR(pg_catalog.=) j.name),'
		' ''registered'', (SELECT c.kind OPERATOR(pg_catalog.||) '': '''
		'   OPERATOR(pg_catalog.||) c.statement FROM streamiter.callbacks c'
		'  WHERE c.owner OPERATOR(pg_catalog.=) j.owner'
		'  AND c.name OPERATOR(pg_catalog.=) j.callback))'
		' FROM streamiter.jobs j JOIN pg_catalog.pg_roles r'
		'  ON r.oid OPERATOR(pg_catalog.=) j.owner'
		' WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER'
		' AND j.name OPERATOR(pg_catalog.=) %L', job))::jsonb
$$;

-- How messages call a part
CREATE FUNCTION streamiter_distributed.part_title(server text, relation text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' on ', 'part ' || relation,
		COALESCE('server ' || quote_ident(server), 'this server'))
$$;

-- Raise an error of a node with the part's title before it
CREATE FUNCTION streamiter_distributed.part_error(
	title text,
	code text,
	message text,
	detail text,
	hint text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	full_message constant text := title || ': ' || message;
BEGIN
	IF detail <> '' AND hint <> '' THEN
		RAISE EXCEPTION USING ERRCODE = code, MESSAGE = full_message,
			DETAIL = detail, HINT = hint;
	ELSIF detail <> '' THEN
		RAISE EXCEPTION USING ERRCODE = code, MESSAGE = full_message,
			DETAIL = detail;
	ELSIF hint <> '' THEN
		RAISE EXCEPTION USING ERRCODE = code, MESSAGE = full_message,
			HINT = hint;
	END IF;
	RAISE EXCEPTION USING ERRCODE = code, MESSAGE = full_message;
END
$$;

-- The name of a part's job: the same from whichever server it is distributed,
-- so that nobody works on a table twice.
CREATE FUNCTION streamiter_distributed.part_job(name text, relation text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job text := concat_ws(' of ', name, relation);
	short text := left(job, 46);
BEGIN
	IF octet_length(job) <= 63 THEN
		RETURN job;
	END IF;
	WHILE octet_length(short) > 46 LOOP
		short := left(short, -1);
	END LOOP;
	RETURN short || ' ' || left(md5(job), 16);
END
$$;

-- parts: what a distributed job over a partitioned table, or over some servers,
-- would consist of.
--
--	relation	a partitioned table; its partitions on other servers are parts,
--				and so are those on this one
--	servers		names of foreign servers instead: each is a part
--
--	engine		who carries commands there
--	server		the foreign server; NULL: this one
--	node_relation	the part's table, by its name there
--	partition	its name here
--
-- Errors: 22023 neither or both; 42809 no partitions on other servers, or on
-- servers of another kind; 42704 no such server.
CREATE FUNCTION streamiter.parts(
	relation regclass DEFAULT NULL,
	servers text[] DEFAULT NULL,
	OUT part integer,
	OUT engine text,
	OUT server text,
	OUT node_relation text,
	OUT partition text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finder text;
BEGIN
	IF (relation IS NULL) = (servers IS NULL) THEN
		RAISE EXCEPTION 'either relation or servers must be given'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF array_length(servers, 1) IS DISTINCT FROM
		(SELECT count(DISTINCT u) FROM unnest(servers) u)
		AND servers IS NOT NULL
	THEN
		RAISE EXCEPTION 'servers must name one or more servers, and none twice'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	FOR finder IN SELECT e.name FROM streamiter_distributed.engine e
		WHERE e.finds_parts ORDER BY e.name
	LOOP
		RETURN QUERY EXECUTE format(
			'SELECT row_number() OVER ()::integer, p.engine, p.server, p.node_relation, p.partition'
			' FROM streamiter_distributed.%I($1, $2) p', finder || '_parts')
			USING relation, servers;
		IF FOUND THEN
			RETURN;
		END IF;
	END LOOP;
	RAISE EXCEPTION 'table "%" has no partitions on other servers', relation
		USING ERRCODE = 'wrong_object_type',
			  HINT = 'A job of this server alone is made with streamiter.create_job().';
END
$$;
