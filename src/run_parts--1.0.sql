--
-- Running
--

-- A part that run_parts() sees to: what there is to do next, and what is known.
--
--	step		'due': to be started, not before not_before; 'called': a run of
--				ours is under way; 'watched': somebody else's is; 'over'
--	attempts	how often it was started
--	started		when its run began, by its node, before ours
--	repeats		a finished pass is to be followed by another
--	failed		why it is over without having finished, as nobody asked for
--	changed		when the step became what it is
CREATE TYPE streamiter_distributed.part_watch AS (
	part streamiter.part,
	connection text,
	step text,
	attempts integer,
	not_before timestamptz,
	started text,
	repeats boolean,
	state text,
	rows bigint,
	skipped bigint,
	code text,
	error text,
	failed boolean,
	changed timestamptz
);

-- What run_parts() was asked for
CREATE TYPE streamiter_distributed.part_plan AS (
	name text,
	at_once integer,
	max_attempts integer,
	retry_delay interval,
	deadline timestamptz,
	workers integer
);

-- run_parts: run the parts of a distributed job, each on its own node, and wait
-- for them.
--
--	at_once			how many at the same time; NULL: all
--	max_attempts	how often a part is started at the most
--	retry_delay		how long to wait before a part is started again after it has
--					failed; twice as long after each further failure
--	max_duration	stop after the batches that reach it
--	workers			processes for each part, see run()
--
-- Holds no snapshot and no transaction for longer than a look at the nodes.
-- A part that runs already, since somebody else started it, is watched until it
-- ends; one that has finished, is paused or cancelled is left alone.  When
-- this CALL is cancelled, it cancels the runs that it has started.  When its
-- process is killed, they go on to their end: another CALL finds and watches
-- them, and cancel_parts() ends them.
--
-- Ends with a NOTICE; or with an error if a part did not finish and nobody
-- wanted that.  Whether it has finished is asked of its node.  Another CALL
-- goes on with what is left.
--
-- Errors: 22004, 22023 bad arguments; 2D000, 25006 as run(); 42704 no such
-- distributed job; 55000 the partitions are not those of distribute() any more,
-- a job is gone, or another version on a node; 08001 a node cannot be reached;
-- and the error of the first part that failed.
CREATE PROCEDURE streamiter.run_parts(
	name text,
	at_once integer DEFAULT NULL,
	max_attempts integer DEFAULT 3,
	retry_delay interval DEFAULT '1 s',
	max_duration interval DEFAULT NULL,
	workers integer DEFAULT 1)
LANGUAGE plpgsql
AS $$
DECLARE
	plan streamiter_distributed.part_plan;
	parts streamiter_distributed.part_watch[];
BEGIN
	CALL streamiter.check_run_context();
	plan := streamiter_distributed.plan_run(name, at_once, max_attempts, retry_delay,
		max_duration, workers);
	parts := streamiter_distributed.begin_watch(plan);
	LOOP
		COMMIT;
		EXIT WHEN streamiter_distributed.watch_is_over(parts);
		parts := streamiter_distributed.watch(plan, parts);
	END LOOP;
	PERFORM streamiter_distributed.end_watch(plan, parts);
END
$$;

CREATE FUNCTION streamiter_distributed.plan_run(
	name text,
	at_once integer,
	max_attempts integer,
	retry_delay interval,
	max_duration interval,
	workers integer)
RETURNS streamiter_distributed.part_plan
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bad text;
BEGIN
	PERFORM streamiter_distributed.check_distributed(name);
	bad := CASE
		WHEN at_once < 1 THEN 'at_once must be at least 1'
		WHEN max_attempts >= 1 IS NOT TRUE THEN 'max_attempts must be at least 1'
		WHEN retry_delay >= interval '0' IS NOT TRUE THEN 'retry_delay must not be negative'
		WHEN max_duration < interval '0' THEN 'max_duration must not be negative'
		WHEN workers BETWEEN 1 AND 1024 IS NOT TRUE THEN 'workers must be between 1 and 1024'
	END;
	IF bad IS NOT NULL THEN
		RAISE EXCEPTION '%', bad USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN ROW(name, at_once, max_attempts, retry_delay,
		clock_timestamp() + max_duration, workers)::streamiter_distributed.part_plan;
END
$$;

-- What was distributed must be what is there: a partition without a job would
-- not be missed by anyone.
CREATE FUNCTION streamiter_distributed.check_same_parts(name text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changes text;
BEGIN
	SELECT string_agg(concat_ws(' ', change, streamiter_distributed.part_title(server, node_relation)),
		E'\n' ORDER BY change DESC, node_relation, server)
	INTO changes
	FROM (
		(SELECT 'new:' AS change, server, node_relation
		FROM streamiter_distributed.planned_parts(streamiter_distributed.distributed_definition(name))
		EXCEPT SELECT 'new:', server, node_relation FROM streamiter_distributed.known_parts(name))
		UNION ALL
		(SELECT 'gone:', server, node_relation FROM streamiter_distributed.known_parts(name)
		EXCEPT SELECT 'gone:', server, node_relation
		FROM streamiter_distributed.planned_parts(streamiter_distributed.distributed_definition(name)))
	) c;
	IF changes IS NOT NULL THEN
		RAISE EXCEPTION 'the parts of distributed job "%" have changed', name
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  DETAIL = changes,
				  HINT = format('SELECT streamiter.distribute(%L) makes the jobs that are missing, and forgets those that do not belong to it any more.', name);
	END IF;
END
$$;

-- Look at all nodes, before anything is started, so that what will not do is
-- refused.  A node that cannot be reached is not: it may come back.
CREATE FUNCTION streamiter_distributed.begin_watch(plan streamiter_distributed.part_plan)
RETURNS streamiter_distributed.part_watch[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parts streamiter_distributed.part_watch[] := '{}';
	w streamiter_distributed.part_watch;
	p streamiter.part;
	seen jsonb;
BEGIN
	PERFORM streamiter_distributed.check_same_parts(plan.name);
	FOR p IN SELECT * FROM streamiter_distributed.known_parts(plan.name) LOOP
		seen := streamiter_distributed.tell_part(p);
		IF seen ->> 'state' = 'missing' THEN
			RAISE EXCEPTION '%: job "%" does not exist',
				streamiter_distributed.part_title(p.server, p.node_relation), p.job
				USING ERRCODE = 'object_not_in_prerequisite_state',
					  HINT = format('SELECT streamiter.distribute(%L) repairs what can be repaired.', plan.name);
		ELSIF seen ->> 'state' = 'unreachable'
			AND seen ->> 'sqlstate' !~ '^(08|57P)'
		THEN
			PERFORM streamiter_distributed.part_error(
				streamiter_distributed.part_title(p.server, p.node_relation),
				seen ->> 'sqlstate', seen ->> 'message', '', '');
		END IF;
		w := NULL;
		w.part := p;
		w.connection := 'streamiter part ' || p.part;
		w.step := 'due';
		w.attempts := 0;
		w.not_before := '-infinity';
		w.failed := false;
		w.changed := clock_timestamp();
		w := streamiter_distributed.note_state(w, seen);
		w.started := seen ->> 'last_started';
		w.repeats := seen ->> 'recurrence' = 'repeat';
		IF streamiter_distributed.watch_rests(w, seen) THEN
			w.step := 'over';
		END IF;
		parts := parts || w;
	END LOOP;
	RETURN parts;
END
$$;

-- What its node says of a part
CREATE FUNCTION streamiter_distributed.note_state(
	INOUT w streamiter_distributed.part_watch,
	seen jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	w.state := seen ->> 'state';
	IF w.state NOT IN ('unreachable', 'missing') THEN
		w.rows := seen ->> 'rows';
		w.skipped := seen ->> 'skipped';
	END IF;
	w.code := seen ->> 'sqlstate';
	w.error := seen ->> 'message';
END
$$;

-- Is there nothing to be done for a part, by what its node says?  A job that
-- repeats has to have finished anew.
CREATE FUNCTION streamiter_distributed.watch_rests(w streamiter_distributed.part_watch, seen jsonb)
RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN seen ->> 'state' IN ('paused', 'cancelled') THEN true
		WHEN seen ->> 'state' IN ('finished', 'finished_with_skips') THEN
			NOT COALESCE(w.repeats, false)
			OR w.started IS DISTINCT FROM (seen ->> 'last_started')
		ELSE false
	END
$$;

CREATE FUNCTION streamiter_distributed.watch_is_over(parts streamiter_distributed.part_watch[])
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT COALESCE(bool_and(w.step = 'over'), true) FROM unnest(parts) w
$$;

-- One look at all parts, after a nap that is the longer the less has happened
-- of late
CREATE FUNCTION streamiter_distributed.watch(
	plan streamiter_distributed.part_plan,
	parts streamiter_distributed.part_watch[])
RETURNS streamiter_distributed.part_watch[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	active integer;
BEGIN
	PERFORM pg_sleep(LEAST(0.5, GREATEST(0.005, 0.05 * extract(epoch FROM
		clock_timestamp() - (SELECT max(w.changed) FROM unnest(parts) w)))));
	FOR i IN 1 .. cardinality(parts) LOOP
		IF parts[i].step = 'called' THEN
			parts[i] := streamiter_distributed.watch_call(plan, parts[i]);
		ELSIF parts[i].step = 'watched' THEN
			parts[i] := streamiter_distributed.watch_other(plan, parts[i]);
		END IF;
	END LOOP;
	FOR i IN 1 .. cardinality(parts) LOOP
		SELECT count(*) INTO active FROM unnest(parts) w
		WHERE w.step IN ('called', 'watched');
		EXIT WHEN active >= plan.at_once;
		IF parts[i].step = 'due' THEN
			parts[i] := streamiter_distributed.watch_due(plan, parts[i]);
		END IF;
	END LOOP;
	RETURN parts;
EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
	FOR i IN 1 .. cardinality(parts) LOOP
		PERFORM streamiter_distributed.watch_abandon(parts[i]);
	END LOOP;
	RAISE;
END
$$;

-- Cancel what was started; nothing keeps us from cancelling the others
CREATE FUNCTION streamiter_distributed.watch_abandon(w streamiter_distributed.part_watch)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF w.step = 'called' THEN
		PERFORM streamiter_distributed.quietly_cancel((w.part).engine, w.connection, (w.part).job);
	END IF;
	PERFORM streamiter_distributed.quietly_close((w.part).engine, w.connection);
END
$$;

CREATE FUNCTION streamiter_distributed.watch_step(INOUT w streamiter_distributed.part_watch, step text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	w.step := step;
	w.changed := clock_timestamp();
	IF step IN ('due', 'over') THEN
		PERFORM streamiter_distributed.quietly_close((w.part).engine, w.connection);
	END IF;
END
$$;

-- It has ended without having finished: start it again, or give up
CREATE FUNCTION streamiter_distributed.watch_failed(
	plan streamiter_distributed.part_plan,
	INOUT w streamiter_distributed.part_watch)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF w.attempts < plan.max_attempts THEN
		w.not_before := clock_timestamp()
			+ LEAST(plan.retry_delay * 2 ^ LEAST(w.attempts - 1, 20),
				GREATEST(plan.retry_delay, '1 min'));
		w := streamiter_distributed.watch_step(w, 'due');
	ELSE
		w.failed := true;
		w := streamiter_distributed.watch_step(w, 'over');
	END IF;
END
$$;

-- A part whose turn it may be
CREATE FUNCTION streamiter_distributed.watch_due(
	plan streamiter_distributed.part_plan,
	INOUT w streamiter_distributed.part_watch)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p constant streamiter.part := w.part;
	seen jsonb;
	detail text;
BEGIN
	IF clock_timestamp() >= plan.deadline THEN
		w.failed := w.attempts > 0;
		w := streamiter_distributed.watch_step(w, 'over');
		RETURN;
	END IF;
	IF clock_timestamp() < w.not_before THEN
		RETURN;
	END IF;

	w.attempts := w.attempts + 1;
	BEGIN
		PERFORM streamiter_distributed.engine_open(p.engine, w.connection, p.server);
		seen := COALESCE(streamiter_distributed.engine_state(p.engine, w.connection, p.job),
			jsonb_build_object('state', 'missing', 'sqlstate', '55000',
				'message', format('job "%s" does not exist', p.job)));
		w := streamiter_distributed.note_state(w, seen);
		IF seen ->> 'state' = 'missing' THEN
			w.failed := true;
			w := streamiter_distributed.watch_step(w, 'over');
		ELSIF streamiter_distributed.watch_rests(w, seen) THEN
			w := streamiter_distributed.watch_step(w, 'over');
		ELSIF seen ->> 'state' = 'running' THEN
			w := streamiter_distributed.watch_step(w, 'watched');
		ELSE
			w.started := seen ->> 'last_started';
			PERFORM streamiter_distributed.engine_start(p.engine, w.connection, p.job,
				GREATEST(plan.deadline - clock_timestamp(),
					CASE WHEN plan.deadline IS NOT NULL THEN interval '0' END),
				plan.workers);
			w.repeats := seen ->> 'recurrence' = 'repeat';
			w := streamiter_distributed.watch_step(w, 'called');
		END IF;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS w.code = RETURNED_SQLSTATE,
			w.error = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
		w.error := concat_ws(': ', w.error, NULLIF(split_part(detail, E'\n', 1), ''));
		w.state := 'unreachable';
		w := streamiter_distributed.watch_failed(plan, w);
	END;
END
$$;

-- A part that we have started: when the call has ended, its node says what it
-- came to, and only of what the node does not know is the call believed.
CREATE FUNCTION streamiter_distributed.watch_call(
	plan streamiter_distributed.part_plan,
	INOUT w streamiter_distributed.part_watch)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p constant streamiter.part := w.part;
	outcome text;
	seen jsonb;
BEGIN
	BEGIN
		outcome := streamiter_distributed.engine_watch(p.engine, w.connection, p.job, w.changed);
	EXCEPTION WHEN OTHERS THEN
		outcome := SQLERRM;
	END;
	IF outcome IS NULL THEN
		RETURN;
	END IF;

	seen := streamiter_distributed.tell_part(p);
	w := streamiter_distributed.note_state(w, seen);
	IF streamiter_distributed.watch_rests(w, seen) THEN
		w := streamiter_distributed.watch_step(w, 'over');
	ELSIF w.state = 'running' THEN
		w := streamiter_distributed.watch_step(w, 'watched');
	ELSIF w.state = 'stopped' AND outcome = '' AND plan.deadline IS NOT NULL THEN
		w := streamiter_distributed.watch_step(w, 'over');
	ELSE
		IF w.state <> 'unreachable' THEN
			w.error := COALESCE(w.error, NULLIF(outcome, ''), 'its run ended early');
		END IF;
		w := streamiter_distributed.watch_failed(plan, w);
	END IF;
END
$$;

-- A part that somebody else has started: it is not ours to end when our time is up
CREATE FUNCTION streamiter_distributed.watch_other(
	plan streamiter_distributed.part_plan,
	INOUT w streamiter_distributed.part_watch)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p constant streamiter.part := w.part;
	seen jsonb;
BEGIN
	seen := streamiter_distributed.tell_part(p);
	w := streamiter_distributed.note_state(w, seen);
	IF w.state = 'running' AND clock_timestamp() >= plan.deadline THEN
		w := streamiter_distributed.watch_step(w, 'over');
	ELSIF w.state = 'running' THEN
		RETURN;
	ELSIF streamiter_distributed.watch_rests(w, seen) THEN
		w := streamiter_distributed.watch_step(w, 'over');
	ELSE
		w := streamiter_distributed.watch_failed(plan, w);
	END IF;
END
$$;

-- What it came to
CREATE FUNCTION streamiter_distributed.end_watch(
	plan streamiter_distributed.part_plan,
	parts streamiter_distributed.part_watch[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	failures text;
	nfailures integer;
	code text;
	states text;
	counts text;
BEGIN
	SELECT string_agg(format('%s: %s%s',
			streamiter_distributed.part_title((w.part).server, (w.part).node_relation),
			w.state, ': ' || w.error),
			E'\n' ORDER BY (w.part).part),
		count(*), (array_agg(COALESCE(w.code, '55000') ORDER BY (w.part).part))[1]
	INTO failures, nfailures, code FROM unnest(parts) w WHERE w.failed;
	SELECT string_agg(format('%s %s', n, state), ', ' ORDER BY state)
	INTO states
	FROM (SELECT w.state, count(*) AS n FROM unnest(parts) w GROUP BY w.state) s;
	SELECT format('rows %s, skipped %s', COALESCE(sum(w.rows), 0), COALESCE(sum(w.skipped), 0))
	INTO counts FROM unnest(parts) w;

	IF nfailures > 0 THEN
		RAISE EXCEPTION 'distributed job "%" has not finished: % of % parts failed',
			plan.name, nfailures, cardinality(parts)
			USING ERRCODE = code, DETAIL = failures,
				  HINT = 'The others are as streamiter.part_states shows them; CALL streamiter.run_parts() again goes on with what is left.';
	END IF;
	PERFORM streamiter_distributed.check_same_parts(plan.name);
	RAISE NOTICE 'distributed job "%": parts %: %; %',
		plan.name, cardinality(parts), states, counts;
END
$$;
