--
-- Distributing
--

-- distribute: create the jobs of a distributed job on all of its nodes, or
-- repair them.
--
--	name		of the distributed job, yours alone; at most 63 bytes
--	relation	a partitioned table: see parts()
--	servers		or foreign servers
--	callback	as for create_job(), by its name on the nodes
--	statement	or a statement, which is registered on each node
--	per			of a statement: 'batch' or 'range', as for register_statement()
--	source		the query that each part walks.  In it, in callback and in
--				statement, {part} is replaced by the name of the part's table;
--				NULL: 'SELECT * FROM {part}'
--	key			as for create_job(); it must be the same for all partitions
--	settings	create_job()'s others: '{"chunk_size": 500, "on_error": "skip"}'
--	acknowledge	a part whose job is gone, or that has moved to another server,
--				shall start over; what the parts depend on has changed, and that
--				is fine
--
-- Returns the number of parts.  Each part is an ordinary job on its node, of
-- the role that the caller's user mapping names, with the caller's
-- search_path, TimeZone, DateStyle and IntervalStyle.  All nodes must be
-- reachable.  When it fails, nothing is changed: jobs made already are
-- dropped again.
--
-- With nothing but the name it repairs what it made before: after partitions
-- have been added or detached, after a node has been restored.  Of what it made
-- before, servers and settings can be changed.
--
-- A job that a part finds on its node goes on from where it is.  A part
-- without one starts at the beginning; if it had one before, or was on another
-- server, that needs acknowledge, since rows could be done twice.
--
-- Errors: 22004 no name, or none of what a new one needs; 22023 a bad setting,
-- or keys that differ; 42710 other work of that name; 42809, 42704 as parts();
-- 55000 a job is gone, a part has moved, an extension is missing, or not the
-- same version as here; 08001 a node that cannot be reached; and what a node
-- says.
CREATE FUNCTION streamiter.distribute(
	name text,
	relation regclass DEFAULT NULL,
	callback text DEFAULT NULL,
	statement text DEFAULT NULL,
	per text DEFAULT NULL,
	source text DEFAULT NULL,
	key text[] DEFAULT NULL,
	settings jsonb DEFAULT NULL,
	servers text[] DEFAULT NULL,
	acknowledge boolean DEFAULT false)
RETURNS integer
LANGUAGE sql VOLATILE PARALLEL UNSAFE
AS $$
	-- here search_path is still the caller's
	SELECT streamiter_distributed.distribute_definition(
		pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
			'name', name, 'relation', relation::pg_catalog.oid,
			'callback', callback, 'statement', statement, 'per', per,
			'source', source, 'key', key, 'servers', servers,
			'environment', pg_catalog.jsonb_build_object(
				'search_path', pg_catalog.current_setting('search_path'),
				'timezone', pg_catalog.current_setting('timezone'),
				'datestyle', pg_catalog.current_setting('datestyle'),
				'intervalstyle', pg_catalog.current_setting('intervalstyle')))),
		settings, acknowledge)
$$;

-- The caller's distributed job of that name, as distribute() was told; NULL if
-- there is none.
CREATE FUNCTION streamiter_distributed.distributed_definition(name text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_strip_nulls(to_jsonb(d)) FROM streamiter.distributed_jobs d
	WHERE d.name = $1 AND d.owner = quote_ident(CURRENT_USER)::regrole
$$;

-- The definition that results from what is asked for now, and what was before;
-- errors where the two do not go together.
CREATE FUNCTION streamiter_distributed.merge_definition(
	asked jsonb,
	settings jsonb,
	before jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	definition jsonb := asked;
	changed text;
	setting text;
BEGIN
	IF asked ->> 'name' IS NULL THEN
		RAISE EXCEPTION 'name must not be NULL'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF octet_length(asked ->> 'name') NOT BETWEEN 1 AND 63 THEN
		RAISE EXCEPTION 'the name of a job must have 1 to 63 bytes'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF definition ? 'relation' THEN
		definition := definition || jsonb_build_object('relation',
			(SELECT format('%I.%I', n.nspname, c.relname)
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.oid = (asked ->> 'relation')::oid));
	END IF;
	definition := definition || jsonb_build_object('settings',
		COALESCE(settings, before -> 'settings', '{}'));

	IF before IS NOT NULL THEN
		SELECT k INTO changed
		FROM unnest('{relation, callback, statement, per, source, key}'::text[]) k
		WHERE definition -> k <> COALESCE(before -> k, 'null') LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION 'distributed job "%" exists with another %',
				definition ->> 'name', changed
				USING ERRCODE = 'duplicate_object',
					  HINT = 'Only servers, settings and acknowledge may differ. Choose another name, or streamiter.drop_parts() first.';
		END IF;
		definition := before || definition
			|| jsonb_build_object('environment', before -> 'environment');
	END IF;

	IF definition ? 'callback' = definition ? 'statement' THEN
		RAISE EXCEPTION 'either callback or statement must be given'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF NOT definition ? 'source' AND definition ? 'servers' THEN
		RAISE EXCEPTION 'a source must be given with servers'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF jsonb_typeof(definition -> 'settings') <> 'object' THEN
		RAISE EXCEPTION 'settings must be an object of names and values'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;

	-- create_job() knows which there are: what comes after the key
	SELECT k INTO setting
	FROM jsonb_object_keys(definition -> 'settings') k, pg_proc p
	WHERE p.oid = (SELECT oid FROM pg_proc WHERE proname = 'create_job'
			AND pronamespace = 'streamiter'::regnamespace)
		AND k <> ALL (p.proargnames[5:]) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'there is no setting "%"', setting
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN '{"per": "batch", "source": "SELECT * FROM {part}"}' || definition;
END
$$;

-- The parts that a definition has now: streamiter.part, numbered, without its
-- distributed_job_id.
CREATE FUNCTION streamiter_distributed.planned_parts(definition jsonb)
RETURNS SETOF streamiter.part
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation regclass := to_regclass(definition ->> 'relation');
BEGIN
	IF relation IS NULL AND definition ? 'relation' THEN
		RAISE EXCEPTION 'table "%" of distributed job "%" does not exist',
			definition ->> 'relation', definition ->> 'name'
			USING ERRCODE = 'undefined_table';
	END IF;
	RETURN QUERY
	SELECT NULL::integer, p.part, p.engine, p.server, p.node_relation, p.partition,
		streamiter_distributed.part_job(definition ->> 'name', p.node_relation)
	FROM streamiter.parts(relation, CASE WHEN definition ? 'servers' THEN
		ARRAY(SELECT jsonb_array_elements_text(definition -> 'servers')) END) p;
END
$$;

-- The parts as of the last distribute()
CREATE FUNCTION streamiter_distributed.known_parts(name text)
RETURNS SETOF streamiter.part
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT NULL::integer, p.part, p.engine, p.server, p.node_relation,
		p.partition, p.job
	FROM streamiter.distributed_parts p
	WHERE p.name = $1 AND p.owner = quote_ident(CURRENT_USER)::regrole
	ORDER BY p.part
$$;

-- What is said of {part}, said of its table
CREATE FUNCTION streamiter_distributed.part_text(template text, node_relation text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT replace(template, '{part}', COALESCE(node_relation, '{part}'))
$$;

-- SQL for a node: what comes after FROM for the row of a view of streamiter's
-- that is about a name of one's own there
CREATE FUNCTION streamiter_distributed.own_row(view text, name text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('streamiter.%I own JOIN pg_catalog.pg_roles me'
		' ON me.oid OPERATOR(pg_catalog.=) own.owner'
		' WHERE me.rolname OPERATOR(pg_catalog.=) CURRENT_USER'
		' AND own.name OPERATOR(pg_catalog.=) %L', view, name)
$$;

-- The command that makes a part's job on its node, with the settings that the
-- caller of distribute() had.  Its statement may be there still, when somebody
-- has dropped the job alone.
CREATE FUNCTION streamiter_distributed.create_part_command(
	definition jsonb,
	node_relation text,
	job text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'SELECT ''created'' FROM (SELECT '
	|| (SELECT string_agg(format('pg_catalog.set_config(%L, %L, true), ', k, v), ''
			ORDER BY k) FROM jsonb_each_text(definition -> 'environment') e (k, v))
	|| CASE WHEN definition ? 'statement' THEN
			format('(SELECT streamiter.register_statement(%L, %L, %L)'
				' WHERE NOT EXISTS (SELECT FROM %s'
				' AND own.kind OPERATOR(pg_catalog.=) %L'
				' AND own.statement OPERATOR(pg_catalog.=) %2$L)), ',
				job,
				streamiter_distributed.part_text(definition ->> 'statement', node_relation),
				definition ->> 'per',
				streamiter_distributed.own_row('callbacks', job),
				(definition ->> 'per') || ' statement')
		ELSE '' END
	|| format('streamiter.create_job(name => %L, source => %L, callback => %L, key => %L',
		job,
		streamiter_distributed.part_text(definition ->> 'source', node_relation),
		COALESCE(streamiter_distributed.part_text(definition ->> 'callback', node_relation), job),
		CASE WHEN definition ? 'key' THEN
			ARRAY(SELECT jsonb_array_elements_text(definition -> 'key')) END)
	|| COALESCE((SELECT string_agg(format(', %I => %L', k, v), '')
			FROM jsonb_each_text(definition -> 'settings') e (k, v)), '')
	|| ') OFFSET 0) AS done'
$$;

-- The command that gives a part's job the settings that are asked for now, and
-- takes away those that are not
CREATE FUNCTION streamiter_distributed.alter_part_command(
	definition jsonb,
	before jsonb,
	job text,
	acknowledge boolean)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('SELECT ''altered'' FROM (SELECT streamiter.alter_job(%L', job)
	|| COALESCE((SELECT string_agg(format(', %I => %L', k, v), '')
			FROM jsonb_each_text(definition -> 'settings') e (k, v)
			WHERE v IS NOT NULL), '')
	|| format(', unset => %L', ARRAY(
			SELECT k FROM jsonb_object_keys(before -> 'settings') k
			WHERE definition -> 'settings' ->> k IS NULL))
	|| CASE WHEN acknowledge THEN ', acknowledge => true' ELSE '' END
	|| ') OFFSET 0) AS done'
$$;

-- A part that has no job on its node: may one be made, that starts at the
-- beginning?  Not where an earlier one may have done some of the rows.
CREATE FUNCTION streamiter_distributed.check_start_over(name text, p streamiter.part)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	advice constant text := 'acknowledge => true lets it start over there: what was done for its rows already is done again.';
	known streamiter.part;
BEGIN
	SELECT k.* INTO known FROM streamiter_distributed.known_parts(name) k
	WHERE k.server IS NOT DISTINCT FROM p.server
	AND k.node_relation IS NOT DISTINCT FROM p.node_relation;
	IF FOUND THEN
		RAISE EXCEPTION 'job "%" is gone', p.job
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  DETAIL = 'It had been made there.', HINT = advice;
	END IF;

	SELECT k.* INTO known FROM streamiter_distributed.known_parts(name) k
	WHERE k.partition = p.partition;
	IF FOUND AND streamiter_distributed.part_state(known.engine, known.server, known.job)
		->> 'state' <> 'ready'
	THEN
		RAISE EXCEPTION 'partition % has moved', p.partition
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  DETAIL = format('Its job had begun as %s; the position is there.',
					streamiter_distributed.part_title(known.server, known.node_relation)),
				  HINT = advice;
	END IF;
END
$$;

-- A job that a part has found on its node must be what would have been made.
CREATE FUNCTION streamiter_distributed.check_same_work(
	definition jsonb,
	p streamiter.part,
	seen jsonb)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF seen ->> 'source' <>
			streamiter_distributed.part_text(definition ->> 'source', p.node_relation)
		OR seen ->> 'callback' <>
			COALESCE(streamiter_distributed.part_text(definition ->> 'callback', p.node_relation), p.job)
		OR definition ? 'statement' AND seen ->> 'registered' IS DISTINCT FROM
			format('%s statement: %s', definition ->> 'per',
				streamiter_distributed.part_text(definition ->> 'statement', p.node_relation))
		OR definition ? 'key' AND definition -> 'key' <> seen -> 'key'
	THEN
		RAISE EXCEPTION 'job "%" does other work', p.job
			USING ERRCODE = 'duplicate_object',
				  HINT = 'Drop it there, or choose another name.';
	END IF;
END
$$;

-- Create or repair one part's job.  Returns the job, and whether it was made.
CREATE FUNCTION streamiter_distributed.distribute_part(
	definition jsonb,
	before jsonb,
	p streamiter.part,
	acknowledge boolean,
	OUT seen jsonb,
	OUT made boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	connection constant text := 'streamiter distribute';
	asked boolean := false;
	message text;
	detail text;
	hint text;
BEGIN
	made := false;
	PERFORM streamiter_distributed.engine_open(p.engine, connection, p.server);
	seen := streamiter_distributed.engine_state(p.engine, connection, p.job);
	IF seen IS NULL THEN
		IF before IS NOT NULL AND NOT acknowledge THEN
			PERFORM streamiter_distributed.check_start_over(definition ->> 'name', p);
		END IF;
		asked := true;
		PERFORM streamiter_distributed.engine_ask(p.engine, connection,
			streamiter_distributed.create_part_command(definition, p.node_relation, p.job));
		made := true;
		seen := streamiter_distributed.engine_state(p.engine, connection, p.job);
	ELSE
		PERFORM streamiter_distributed.check_same_work(definition, p, seen);
		IF acknowledge OR before IS NULL
			OR before -> 'settings' <> definition -> 'settings'
		THEN
			PERFORM streamiter_distributed.engine_ask(p.engine, connection,
				streamiter_distributed.alter_part_command(definition, before, p.job, acknowledge));
		END IF;
	END IF;
	PERFORM streamiter_distributed.engine_close(p.engine, connection);
EXCEPTION WHEN query_canceled OR OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	IF asked AND SQLSTATE = '57014' THEN
		PERFORM streamiter_distributed.quietly_cancel(p.engine, connection, p.job);
		-- the node may have made it, and not said so
		made := true;
	END IF;
	PERFORM streamiter_distributed.quietly_close(p.engine, connection);
	IF made THEN
		PERFORM streamiter_distributed.tell_part(p,
			streamiter_distributed.drop_part_command(definition, p.job));
	END IF;
	PERFORM streamiter_distributed.part_error(
		streamiter_distributed.part_title(p.server, p.node_relation), SQLSTATE, message,
		detail, hint);
END
$$;

CREATE FUNCTION streamiter_distributed.quietly_cancel(engine text, connection text, job text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM streamiter_distributed.engine_cancel(engine, connection, job);
EXCEPTION WHEN query_canceled OR OTHERS THEN
	NULL;
END
$$;

CREATE FUNCTION streamiter_distributed.quietly_close(engine text, connection text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM streamiter_distributed.engine_close(engine, connection);
EXCEPTION WHEN query_canceled OR OTHERS THEN
	NULL;
END
$$;

-- The command that ends a part's job on its node, or what is left of it
CREATE FUNCTION streamiter_distributed.drop_part_command(definition jsonb, job text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('SELECT ''dropped'' FROM (SELECT (SELECT streamiter.drop_job(own.name) FROM %s)',
		streamiter_distributed.own_row('jobs', job))
	|| CASE WHEN definition ? 'statement' THEN
			format(', (SELECT streamiter.unregister_callback(own.name) FROM %s)',
				streamiter_distributed.own_row('callbacks', job))
		ELSE '' END
	|| ' OFFSET 0) AS done'
$$;

-- For distribute(), once called with what search_path was then
CREATE FUNCTION streamiter_distributed.distribute_definition(
	asked jsonb,
	settings jsonb,
	acknowledge boolean)
RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before constant jsonb := streamiter_distributed.distributed_definition(asked ->> 'name');
	definition constant jsonb := streamiter_distributed.merge_definition(asked, settings, before);
	planned constant streamiter.part[] :=
		ARRAY(SELECT n FROM streamiter_distributed.planned_parts(definition) n);
	made streamiter.part[] := '{}';
	first_key jsonb;
	result record;
	p streamiter.part;
BEGIN
	BEGIN
		FOREACH p IN ARRAY planned LOOP
			result := streamiter_distributed.distribute_part(definition, before, p,
				COALESCE(acknowledge, false));
			IF result.made THEN
				made := made || p;
			END IF;
			first_key := COALESCE(first_key, result.seen -> 'key');
			IF result.seen -> 'key' <> first_key AND definition ? 'relation' THEN
				RAISE EXCEPTION '%: its key is %, and that of % is %',
					streamiter_distributed.part_title(p.server, p.node_relation),
					result.seen ->> 'key',
					streamiter_distributed.part_title(planned[1].server, planned[1].node_relation),
					first_key
					USING ERRCODE = 'invalid_parameter_value',
						  HINT = 'Name a key that all of them have: key => ''{...}''.';
			END IF;
		END LOOP;
		PERFORM streamiter.store_distributed_job(definition, to_jsonb(planned));
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		FOREACH p IN ARRAY made LOOP
			PERFORM streamiter_distributed.tell_part(p,
				streamiter_distributed.drop_part_command(definition, p.job));
		END LOOP;
		RAISE;
	END;
	RETURN cardinality(planned);
END
$$;

--
-- Looking at parts, and telling them
--

-- Connect to a part's node, run one command there unless it is NULL, and say
-- what has become of its job: as engine_state(), or {"state": "missing"}, or
-- {"state": "unreachable"} when the node cannot be asked; with "error" if
-- there was one.  Raises nothing but a cancel.
CREATE FUNCTION streamiter_distributed.tell_part(
	p streamiter.part,
	command text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	connection constant text := 'streamiter tell';
	error text;
	code text;
	detail text;
	state jsonb;
BEGIN
	BEGIN
		PERFORM streamiter_distributed.engine_open(p.engine, connection, p.server);
		BEGIN
			IF command IS NOT NULL THEN
				PERFORM streamiter_distributed.engine_ask(p.engine, connection, command);
			END IF;
		EXCEPTION WHEN OTHERS THEN
			error := SQLERRM;
		END;
		state := COALESCE(
			streamiter_distributed.engine_state(p.engine, connection, p.job),
			'{"state": "missing"}');
		PERFORM streamiter_distributed.engine_close(p.engine, connection);
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, error = MESSAGE_TEXT,
			detail = PG_EXCEPTION_DETAIL;
		state := jsonb_build_object('state', 'unreachable', 'sqlstate', code,
			'message', concat_ws(': ', error, NULLIF(split_part(detail, E'\n', 1), '')));
		PERFORM streamiter_distributed.quietly_close(p.engine, connection);
	END;
	RETURN state || jsonb_strip_nulls(jsonb_build_object('error', error));
END
$$;

-- The same without a command, for a view
CREATE FUNCTION streamiter_distributed.part_state(engine text, server text, job text)
RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT streamiter_distributed.tell_part(ROW(NULL, NULL, engine, server, NULL, NULL, job)::streamiter.part)
$$;

-- part_states: the parts of one's own distributed jobs, each as its node has it
-- at this moment: asks the nodes, one after the other.
--
--	state		as in streamiter.jobs; 'missing': the node has no such job;
--				'unreachable': the node could not be asked, which says nothing
--				of what it is doing
--	position	of each slice, '-' for one that has none yet
--	sqlstate, message	the last run's error, or why the node could not be asked
CREATE VIEW streamiter.part_states WITH (security_barrier) AS
SELECT d.name, p.part, p.server, p.node_relation, p.partition, p.job,
	s.state OPERATOR(pg_catalog.->>) 'state' AS state,
	s.state OPERATOR(pg_catalog.->>) 'position' AS position,
	(s.state OPERATOR(pg_catalog.->>) 'rows')::bigint AS rows,
	(s.state OPERATOR(pg_catalog.->>) 'skipped')::bigint AS skipped,
	(s.state OPERATOR(pg_catalog.->>) 'last_started')::timestamptz AS last_started,
	(s.state OPERATOR(pg_catalog.->>) 'last_ended')::timestamptz AS last_ended,
	s.state OPERATOR(pg_catalog.->>) 'sqlstate' AS sqlstate,
	s.state OPERATOR(pg_catalog.->>) 'message' AS message
FROM streamiter.distributed_job d
JOIN pg_catalog.pg_roles me ON me.oid OPERATOR(pg_catalog.=) d.owner
	AND me.rolname OPERATOR(pg_catalog.=) CURRENT_USER
JOIN streamiter.part p ON p.distributed_job_id OPERATOR(pg_catalog.=) d.id
CROSS JOIN LATERAL (
	SELECT streamiter_distributed.part_state(p.engine, p.server, p.job) AS state
	OFFSET 0) s;

GRANT SELECT ON streamiter.part_states TO PUBLIC;

-- Tell the job of each part something: a command in which %L is its name.  What
-- does not take effect is a WARNING.
CREATE FUNCTION streamiter_distributed.tell_parts(name text, command text)
RETURNS TABLE (part integer, server text, node_relation text, state text, error text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	p streamiter.part;
	answer jsonb;
BEGIN
	PERFORM streamiter_distributed.check_distributed(name);
	FOR p IN SELECT * FROM streamiter_distributed.known_parts(name) LOOP
		answer := streamiter_distributed.tell_part(p, format(command, p.job));
		IF answer ? 'error' AND answer ->> 'state' !~ '^finished' THEN
			RAISE WARNING '%: %', streamiter_distributed.part_title(p.server, p.node_relation),
				COALESCE(answer ->> 'message', answer ->> 'error');
		END IF;
		RETURN QUERY SELECT p.part, p.server, p.node_relation, answer ->> 'state',
			answer ->> 'error';
	END LOOP;
END
$$;

CREATE FUNCTION streamiter_distributed.check_distributed(name text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NULL THEN
		RAISE EXCEPTION 'name must not be NULL'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF streamiter_distributed.distributed_definition(name) IS NULL THEN
		RAISE EXCEPTION 'distributed job "%" does not exist', name
			USING ERRCODE = 'undefined_object',
				  HINT = 'streamiter.distribute() makes one; the view streamiter.distributed_jobs shows those that there are.';
	END IF;
END
$$;

-- pause_parts, resume_parts, cancel_parts, reset_parts, retry_skipped_parts: ask
-- it of the job of each part, as pause(), resume() and so on do.
--
-- Returns a row for each part, with its state afterwards and, where it did not
-- take effect, the reason, which is a WARNING too: a node that cannot be
-- reached keeps no other from being told.  cancel_parts() also ends runs whose
-- run_parts() has gone, after their batch.
--
-- Errors: 22004 no name; 42704 no such distributed job.
CREATE FUNCTION streamiter.pause_parts(name text)
RETURNS TABLE (part integer, server text, node_relation text, state text, error text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$SELECT * FROM streamiter_distributed.tell_parts(name, 'SELECT streamiter.pause(%L)')$$;

CREATE FUNCTION streamiter.resume_parts(name text)
RETURNS TABLE (part integer, server text, node_relation text, state text, error text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$SELECT * FROM streamiter_distributed.tell_parts(name, 'SELECT streamiter.resume(%L)')$$;

CREATE FUNCTION streamiter.cancel_parts(name text)
RETURNS TABLE (part integer, server text, node_relation text, state text, error text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$SELECT * FROM streamiter_distributed.tell_parts(name, 'SELECT streamiter.cancel(%L)')$$;

CREATE FUNCTION streamiter.reset_parts(name text)
RETURNS TABLE (part integer, server text, node_relation text, state text, error text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$SELECT * FROM streamiter_distributed.tell_parts(name, 'SELECT streamiter.reset(%L)')$$;

CREATE FUNCTION streamiter.retry_skipped_parts(name text)
RETURNS TABLE (part integer, server text, node_relation text, state text, error text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$SELECT * FROM streamiter_distributed.tell_parts(name, 'SELECT streamiter.retry_skipped(%L)')$$;

-- drop_parts: drop the jobs of all parts and, when none is left, the
-- distributed job.  Parts that could not be dropped are WARNINGs, and stay
-- for another call.  Returns whether all are gone.
--
-- Errors: 22004 no name; 42704 no such distributed job.
CREATE FUNCTION streamiter.drop_parts(name text)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	definition jsonb;
	all_gone boolean := true;
	answer jsonb;
	p streamiter.part;
BEGIN
	PERFORM streamiter_distributed.check_distributed(name);
	definition := streamiter_distributed.distributed_definition(name);
	FOR p IN SELECT * FROM streamiter_distributed.known_parts(name) LOOP
		answer := streamiter_distributed.tell_part(p,
			streamiter_distributed.drop_part_command(definition, p.job));
		IF answer ->> 'state' <> 'missing' THEN
			all_gone := false;
			RAISE WARNING '%: %', streamiter_distributed.part_title(p.server, p.node_relation),
				COALESCE(answer ->> 'message', answer ->> 'error');
		END IF;
	END LOOP;
	IF all_gone THEN
		PERFORM streamiter.forget_distributed_job(name);
	END IF;
	RETURN all_gone;
END
$$;
