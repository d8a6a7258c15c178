/* src/streamiter--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION streamiter" to load this file. \quit

-- Whoever owns the schema could replace what is in it: refuse one that was
-- waiting for us.
DO $$
BEGIN
	IF (SELECT n.nspowner OPERATOR(pg_catalog.<>) r.oid
		FROM pg_catalog.pg_namespace n, pg_catalog.pg_roles r
		WHERE n.nspname OPERATOR(pg_catalog.=) 'streamiter'
		AND r.rolname OPERATOR(pg_catalog.=) CURRENT_USER)
	THEN
		RAISE EXCEPTION 'schema "streamiter" exists and belongs to another role'
			USING ERRCODE = 'duplicate_schema',
				  HINT = 'Drop the schema first; CREATE EXTENSION makes it.';
	END IF;
END
$$;

-- Users see what is granted below, and nothing else.
GRANT USAGE ON SCHEMA streamiter TO PUBLIC;

--
-- Walks
--

-- for_each: walk a query, calling a callback for each row or batch.
--
--	query		one SELECT, VALUES or TABLE
--	callback	a registered name, or a signature: 'f(bigint, text)'
--	chunk_size	rows held at once; NULL: the setting streamiter.chunk_size
--	args		$1, $2 ... of the query: ROW(42, now()); literals of unknown
--				type are text
--	on_error	'stop': the first error ends the walk; 'skip': rows that fail
--				are undone, reported in a WARNING and left out
--	max_skips	how many rows may be skipped; one more fails the walk
--	prefetch	a query of related rows: 'SELECT author_id, b.* FROM book b WHERE
--				author_id = ANY ($1)'.  $1 is an array of the batch's distinct
--				keys that are not null; the first column says which of them a
--				row belongs to.  The callback gets one argument more, the last:
--				a jsonb array of each row's related rows, the other columns as
--				objects, in the order they came in; empty where there are none
--	prefetch_key	the column of "query" whose values are the keys
--
-- Returns one row: rows walked, batches, rows skipped, rows for which a STRICT
-- callback was not called, time until the first row, time in all, and the
-- most memory that a batch took.
--
-- One statement and one cursor, with the caller's snapshot: each row comes
-- once, whatever the callback does to the table.  After Django's
-- QuerySet.iterator(chunk_size).
--
-- The prefetch query runs once for each batch, and sees what the walk sees.  A
-- row function then takes the columns and a jsonb, or a whole row and a jsonb;
-- a batch function or statement takes a jsonb[] after its arrays; a native
-- callback's rows have one column more.  Rows and related rows together stay
-- below streamiter.max_batch_memory: a batch whose related rows do not fit is
-- asked for again in halves, which become batches of their own.  After
-- QuerySet.prefetch_related().
--
-- Errors, before any row is read: 22004 a NULL argument; 22023 no good
-- chunk_size, on_error or max_skips, or more args than $n; 42601 no single
-- statement; 42P11 one that writes or locks; 42P02 too few args; 42704 no such
-- callback; 42883 no such function; 42725 a name that two superusers
-- registered; 42501 no right to execute it; 42809 not a plain function, or a
-- range statement; 42804 it does not fit the columns; 0A000 and 39000 a
-- handler of another version, or none.  For prefetch also 22023 only one of the
-- two given, or no $1 in it; 42703 and 42702 no good key; 42804 a key that
-- cannot be compared with its first column; 42P10 it has no other column;
-- 42701 two of one name.  Then what query and callback raise; 22000 a
-- related row of no key that was asked for; 54000 those of one row do not fit
-- into streamiter.max_batch_memory.
CREATE FUNCTION streamiter.for_each(
	query text,
	callback text,
	chunk_size integer DEFAULT NULL,
	args record DEFAULT NULL,
	on_error text DEFAULT 'stop',
	max_skips bigint DEFAULT 10,
	prefetch text DEFAULT NULL,
	prefetch_key text DEFAULT NULL,
	OUT rows bigint,
	OUT batches bigint,
	OUT skipped bigint,
	OUT not_called bigint,
	OUT first_row interval,
	OUT elapsed interval,
	OUT peak_batch_bytes bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'streamiter_for_each'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

--
-- Pull iteration
--

-- iterator: open a cursor on a query, for code that wants to drive.
--
--	query		one SELECT, VALUES or TABLE
--	chunk_size	rows that next_batch() returns; NULL: the setting
--				streamiter.chunk_size
--	args		$1, $2 ... of the query: ROW(42, now()); literals of unknown
--				type are text
--
-- Returns the cursor's name.  It is an ordinary NO SCROLL cursor, planned to
-- deliver its first rows soon, that sees what the calling statement sees:
-- FETCH and CLOSE work on it, as do drivers.  It goes one way, and lives until
-- it is closed or its transaction ends.  After PL/pgSQL's functions that return
-- a refcursor.
--
-- Errors: 22004 no query; 22023 no good chunk_size; 42601 and 42P11 no good
-- query, as for for_each().
CREATE FUNCTION streamiter.iterator(
	query text,
	chunk_size integer DEFAULT NULL,
	args record DEFAULT NULL)
RETURNS refcursor
AS 'MODULE_PATHNAME', 'streamiter_iterator'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- next_batch: the next chunk_size rows of an iterator, fewer at its end or
-- where they reach streamiter.max_batch_memory; no rows after its end.
--
--	it			what iterator() returned
--	row_type	says what a row is: NULL::users, or NULL::bigint for a single
--				column, or NULL::record and a column definition list
--
-- Errors: 22004 no iterator; 34000 it is closed, or a cursor of another kind;
-- 42804 the query's columns do not fit row_type; 55000 its own query reads
-- it, or has failed; and what its query raises.
CREATE FUNCTION streamiter.next_batch(it refcursor, row_type anyelement)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'streamiter_next_batch'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- close: end an iterator before its transaction does; CLOSE does the same.
--
-- Errors: 22004 no iterator; 34000 as for next_batch(); 24000 it is being
-- read.
CREATE FUNCTION streamiter.close(it refcursor)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_close'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

--
-- Export
--

-- export: write the rows of a query to a file on the server.
--
--	query		one SELECT, VALUES or TABLE
--	path		the file's absolute path; a file that is there is replaced
--	format		'csv', as COPY writes it; 'jsonl', an object as of
--				row_to_json() per line; 'xlsx', a workbook, where the server has
--				libxlsxwriter
--	header		csv: column names first, by default not; xlsx: the same, by
--				default so
--	delimiter, quote, escape, force_quote
--				csv: as of COPY; force_quote => '{*}' means all columns
--	null_string	csv: what COPY calls NULL; xlsx: a text for cells that would be
--				blank
--	encoding	csv: as of COPY, the client's by default; jsonl: UTF8 by default
--
-- Options left out, or NULL, are as the format has them.  Returns one row: rows
-- written, length of the file, time in all.
--
-- The file is written beside its path, as PATH.streamiter, flushed to disk and
-- then renamed: readers see all of it or nothing, and what was there before
-- stays until then.  After an error nothing is left.  After a crash of the
-- server PATH.streamiter may be; the next export to the same path replaces it.
-- A file is not part of the transaction: a rollback leaves it.  It has
-- the permissions of the file that it replaces, else those that COPY gives.
-- The query runs with the rights of the caller.  Works in read-only
-- transactions and on standby servers.  After COPY TO.
--
-- Errors, before any row is read: 22004 a NULL argument; 22023 no such format,
-- or an option that it has not, or no good value for one; 42501 no right to
-- write server files; 42601 and 42P11 no good query, as for for_each(); 42602
-- a relative path, or one among the server's own files; 42809 a path where
-- there is something else than a regular file; 55006 another export writes the
-- same file; 58P01 and others from the system; 0A000 xlsx without
-- libxlsxwriter, or without columns.  Later: 54000 a text that no cell can
-- hold; 53100 the disk is full; and what the query raises.
CREATE FUNCTION streamiter.export(
	query text,
	path text,
	format text DEFAULT 'csv',
	header boolean DEFAULT NULL,
	delimiter text DEFAULT NULL,
	quote text DEFAULT NULL,
	escape text DEFAULT NULL,
	null_string text DEFAULT NULL,
	force_quote text[] DEFAULT NULL,
	encoding text DEFAULT NULL,
	OUT rows bigint,
	OUT bytes bigint,
	OUT elapsed interval)
RETURNS record
AS 'MODULE_PATHNAME', 'streamiter_export'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

--
-- Callbacks and their registry
--

-- What a native callback's handler returns; see streamiter.h.  After
-- index_am_handler: no value of it can be written or read in SQL.
CREATE TYPE streamiter.callback_handler;

CREATE FUNCTION streamiter.callback_handler_in(cstring)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME', 'streamiter_callback_handler_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION streamiter.callback_handler_out(streamiter.callback_handler)
RETURNS cstring
AS 'MODULE_PATHNAME', 'streamiter_callback_handler_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE streamiter.callback_handler (
	INPUT = streamiter.callback_handler_in,
	OUTPUT = streamiter.callback_handler_out,
	LIKE = internal
);

-- Names and nothing else: OIDs of functions survive neither a dump nor
-- pg_upgrade.  owner follows the role's renames.  Rows whose owner has been
-- dropped count for nothing, and go at the next registration.
CREATE TABLE streamiter.callback (
	owner regrole NOT NULL,
	name text COLLATE "C" NOT NULL,
	kind text NOT NULL CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY[
		'row function', 'batch function', 'native',
		'batch statement', 'range statement'])),
	function_schema text,
	function_name text,
	argument_types text[],
	statement text,
	created timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (owner, name),
	CHECK (CASE WHEN statement IS NULL
		   THEN function_schema IS NOT NULL AND function_name IS NOT NULL
				AND argument_types IS NOT NULL
		   ELSE function_schema IS NULL AND function_name IS NULL
				AND argument_types IS NULL END)
);

-- pg_dump reads it as whoever runs pg_dump: a superuser, or the owner of the
-- database.  A dropped role's number could be another role's elsewhere.
REVOKE ALL ON streamiter.callback FROM PUBLIC;
GRANT SELECT ON streamiter.callback TO pg_database_owner;
SELECT pg_catalog.pg_extension_config_dump('streamiter.callback',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r'
	' WHERE r.oid OPERATOR(pg_catalog.=) owner)');

-- register_callback: let a name stand for a function of yours.
--
--	name		what streamiter.for_each() is given; at most 63 bytes, without
--				parentheses; yours alone, unless you are a superuser: what
--				superusers register everyone may use
--	function	'f(bigint, text)'; a plain function that you may execute, or a
--				native callback's handler
--	per			'row': called once per row; 'batch': called once per batch, with
--				an array per column or one array of rows.  A handler decides
--				for itself.
--
-- The function is kept by its names and looked up at the start of each walk.
-- Errors: 22004 a NULL argument; 22023 no good name, or no such "per"; 42883
-- no such function; 42501 no right to execute it; 42809 not a plain function;
-- 42P17 temporary; 42710 you have registered that name.
CREATE FUNCTION streamiter.register_callback(
	name text,
	function regprocedure,
	per text DEFAULT 'row')
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_register_callback'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- register_statement: let a name stand for an SQL statement.
--
--	name		as above
--	statement	one statement, run as whoever walks, under his search_path
--	per			'batch': run once per batch, $1, $2 ... are arrays of the
--				source's columns; 'range': run once per batch of a job, $1 ...
--				are the batch's first and last key
--
-- Errors: 22004, 22023 and 42710 as above; 42601 where it does not parse.
CREATE FUNCTION streamiter.register_statement(
	name text,
	statement text,
	per text DEFAULT 'batch')
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_register_statement'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- unregister_callback: forget a name that you registered.
--
-- Errors: 22004 NULL; 42704 you have registered no such name.
CREATE FUNCTION streamiter.unregister_callback(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_unregister_callback'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- For the view: is there such a function now, and may you call it?
CREATE FUNCTION streamiter.callback_usable(
	function_schema text,
	function_name text,
	argument_types text[])
RETURNS boolean
AS 'MODULE_PATHNAME', 'streamiter_callback_usable'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

-- callbacks: those that you can name, your own and those of superusers; a
-- superuser sees all.
--
--	signature	of a function
--	statement	of a statement
--	usable		whether the function exists and you may call it; NULL for a
--				statement, which is not looked into before a walk starts
CREATE VIEW streamiter.callbacks WITH (security_barrier) AS
SELECT c.name, c.owner, c.kind,
	CASE WHEN c.statement IS NULL THEN
		pg_catalog.format('%I.%I(%s)', c.function_schema, c.function_name,
			pg_catalog.array_to_string(c.argument_types, ', '))
	END AS signature,
	c.statement,
	streamiter.callback_usable(c.function_schema, c.function_name,
		c.argument_types) AS usable,
	c.created
FROM streamiter.callback c
JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) c.owner
JOIN pg_catalog.pg_roles me ON me.rolname OPERATOR(pg_catalog.=) CURRENT_USER
WHERE me.oid OPERATOR(pg_catalog.=) o.oid OR o.rolsuper OR me.rolsuper;

GRANT SELECT ON streamiter.callbacks TO PUBLIC;

--
-- Jobs
--

-- A job's definition, its settings, and what its owner asked for.  The runner
-- only reads it, so an open transaction that has altered a job holds up no
-- batch.  owner follows the role's renames; like those of callbacks, jobs
-- whose owner has been dropped count for nothing.
--
--	revision		counts changes, so that the runner sees at a glance that
--					there is none
--	statement		a range statement of the job's own, made by a one-liner;
--					callback says by which
--	prefetch*		the query of related rows, if there is one, and its key
--	*_fingerprint	what a saved position depends on, as it was at creation
--	last_forgotten_run	what reset has put behind us: runs up to this one say
--					nothing about the job's state
CREATE TABLE streamiter.job (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	owner regrole NOT NULL,
	name text COLLATE "C" NOT NULL,
	source text NOT NULL,
	callback text NOT NULL,
	statement text,
	key text[] NOT NULL,
	chunk_size integer,
	on_error text NOT NULL,
	max_skips bigint NOT NULL,
	recurrence text NOT NULL,
	lock_rows text NOT NULL,
	wait_for_writers boolean NOT NULL,
	allow_slow_plan boolean NOT NULL,
	batch_pause interval NOT NULL,
	lock_timeout interval NOT NULL,
	max_retries integer NOT NULL,
	target_batch_time interval,
	min_chunk_size integer,
	max_chunk_size integer,
	batch_timeout interval,
	max_rows_per_second bigint,
	max_wal_rate bigint,
	max_replica_lag interval,
	throttle_query text,
	search_path text NOT NULL,
	timezone text NOT NULL,
	datestyle text NOT NULL,
	intervalstyle text NOT NULL,
	source_fingerprint text NOT NULL,
	callback_fingerprint text NOT NULL,
	prefetch text,
	prefetch_key text,
	pause_requested boolean NOT NULL DEFAULT false,
	cancel_requested boolean NOT NULL DEFAULT false,
	last_forgotten_run bigint NOT NULL DEFAULT 0,
	revision bigint NOT NULL DEFAULT 1,
	created timestamptz NOT NULL DEFAULT pg_catalog.now(),
	UNIQUE (owner, name)
);

-- A key range of a job in its current pass: (lower, upper], NULL where it is
-- open, and the position in it: at first that is lower.  The position
-- moves by compare-and-set on run and old position, in the transaction that
-- holds the batch's effects.  Counters are the pass's, and move with it;
-- row_rate is in rows/s over the seconds before.
CREATE TABLE streamiter.slice (
	job_id integer NOT NULL REFERENCES streamiter.job ON DELETE CASCADE,
	slice integer NOT NULL,
	pass integer NOT NULL,
	lower text[],
	upper text[],
	position text[],
	done boolean NOT NULL,
	run_id bigint NOT NULL,
	rows bigint NOT NULL DEFAULT 0,
	batches bigint NOT NULL DEFAULT 0,
	skipped bigint NOT NULL DEFAULT 0,
	retries bigint NOT NULL DEFAULT 0,
	not_called bigint NOT NULL DEFAULT 0,
	affected bigint NOT NULL DEFAULT 0,
	wal_bytes bigint NOT NULL DEFAULT 0,
	row_rate double precision,
	updated timestamptz NOT NULL,
	PRIMARY KEY (job_id, slice)
) WITH (fillfactor = 50);

-- One execution of a job.  outcome is NULL while it runs, and after a crash
-- until the next run has found it so; base_* are the pass's counters when it
-- began, since the position and the counters of a batch are one row.
-- total_rows belongs to the pass and is handed on from run to run.
CREATE TABLE streamiter.run (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	job_id integer NOT NULL REFERENCES streamiter.job ON DELETE CASCADE,
	pass integer NOT NULL,
	pid integer NOT NULL,
	run_by text NOT NULL,
	started timestamptz NOT NULL,
	ended timestamptz,
	total_rows bigint,
	total_is_exact boolean NOT NULL DEFAULT false,
	outcome text CHECK (outcome OPERATOR(pg_catalog.=) ANY (ARRAY[
		'finished', 'failed', 'stopped', 'paused', 'cancelled', 'crashed'])),
	rows bigint,
	batches bigint,
	skipped bigint,
	retries bigint,
	not_called bigint,
	affected bigint,
	wait_time jsonb,
	wal_bytes bigint,
	base_rows bigint NOT NULL DEFAULT 0,
	base_batches bigint NOT NULL DEFAULT 0,
	base_skipped bigint NOT NULL DEFAULT 0,
	base_retries bigint NOT NULL DEFAULT 0,
	base_not_called bigint NOT NULL DEFAULT 0,
	base_affected bigint NOT NULL DEFAULT 0,
	base_wal_bytes bigint NOT NULL DEFAULT 0,
	sqlstate text,
	message text,
	detail text,
	hint text,
	context text,
	first_key text[],
	last_key text[]
);

CREATE INDEX run_job_id_idx ON streamiter.run (job_id, id);

-- Rows set aside in the current pass; lower and key are the key range that
-- holds the row, and no other.
CREATE TABLE streamiter.skipped_row (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	job_id integer NOT NULL REFERENCES streamiter.job ON DELETE CASCADE,
	run_id bigint NOT NULL,
	lower text[],
	key text[] NOT NULL,
	row_data jsonb,
	sqlstate text NOT NULL,
	message text,
	detail text,
	hint text,
	context text,
	attempts integer NOT NULL,
	retry_requested boolean NOT NULL DEFAULT false,
	skipped_at timestamptz NOT NULL
);

CREATE INDEX skipped_row_job_id_idx ON streamiter.skipped_row (job_id, id);

-- As streamiter.callback: pg_dump reads them as whoever runs it.
REVOKE ALL ON streamiter.job, streamiter.slice, streamiter.run,
	streamiter.skipped_row FROM PUBLIC;
GRANT SELECT ON streamiter.job, streamiter.slice, streamiter.run,
	streamiter.skipped_row, streamiter.job_id_seq, streamiter.run_id_seq,
	streamiter.skipped_row_id_seq TO pg_database_owner;
SELECT pg_catalog.pg_extension_config_dump('streamiter.job',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r'
	' WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('streamiter.slice',
	'WHERE EXISTS (SELECT FROM streamiter.job j'
	' JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) j.owner'
	' WHERE j.id OPERATOR(pg_catalog.=) job_id)');
SELECT pg_catalog.pg_extension_config_dump('streamiter.run',
	'WHERE EXISTS (SELECT FROM streamiter.job j'
	' JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) j.owner'
	' WHERE j.id OPERATOR(pg_catalog.=) job_id)');
SELECT pg_catalog.pg_extension_config_dump('streamiter.skipped_row',
	'WHERE EXISTS (SELECT FROM streamiter.job j'
	' JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) j.owner'
	' WHERE j.id OPERATOR(pg_catalog.=) job_id)');
SELECT pg_catalog.pg_extension_config_dump('streamiter.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('streamiter.run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('streamiter.skipped_row_id_seq', '');

-- create_job: a durable walk: named, resumable, committed batch by batch.
--
--	name			yours alone; at most 63 bytes
--	source			a query whose rows a key orders uniquely
--	callback		a registered name or a signature, as for for_each; range
--					statements too
--	key				the key's columns; NULL: the primary key
--	chunk_size		rows per batch; NULL: the setting streamiter.chunk_size
--	on_error		'stop': the first error fails the job; 'skip': rows that
--					fail are set aside, see streamiter.skipped
--	max_skips		how many rows a pass may set aside; one more fails the job
--	recurrence		'once', or 'repeat': a run of a finished job starts anew
--	lock_rows		'update': lock a batch's rows before the callback sees them
--	wait_for_writers	a pass waits for transactions that are writing to the
--					source's tables before it fixes where it will end; no
--					longer than lock_timeout for one of them
--	allow_slow_plan	accept a source that no index leads through
--	batch_pause		how long to rest between batches; each process does
--	lock_timeout	how long the callback may wait for a lock; 0: as the
--					session has it
--	max_retries		how often a batch is tried again after a deadlock, a
--					serialization failure or a lock timeout
--
-- and these, which are off when NULL:
--
--	target_batch_time	fit the number of rows to how long a batch should take:
--					fewer at once after one that took longer, up to half as
--					many more after one that took less; chunk_size to begin with
--	min_chunk_size, max_chunk_size	between these; 1 and 100000, or chunk_size
--	batch_timeout	cancel a batch that takes longer, and try it again with half
--					of the rows; a single row that takes longer is an error,
--					for on_error (SQLSTATE 25P04)
--	max_rows_per_second	of all its processes together
--	max_wal_rate	bytes per second that their batches may write: '16 MB'
--	max_replica_lag	wait while a standby server has not replayed what is older,
--					or cannot be asked.  One counts when it was connected during
--					the run, or its replication slot has been used
--	throttle_query	a SELECT of one boolean, asked at most twice a second by
--					each process: true means wait.  Runs as the job's owner,
--					read-only.  After 500 ms without an answer it is cancelled,
--					so that a pause is noticed, and asked again; it has failed
--					(25P04) when that has gone on for 5 seconds.  When it fails,
--					or says NULL or nothing, that is a wait too, with a WARNING
--					and the error as its reason, until it has failed max_retries
--					times in a row after ever longer waits: then the run ends
--					with its error.  It does at once where asking again would
--					not help:
--					SQLSTATE classes 0A, 21, 22, 39, 3D, 3F, 42, and those that
--					on_error never skips
--
-- and prefetch and prefetch_key, a query of related rows, as for for_each: each
-- batch asks it once, and sees by it what it sees of its own rows; with
-- lock_rows, what is there once these are locked.  A range statement has no
-- rows, so there are no related ones.  They cannot be altered later.
--
-- What is waited for is shown in pg_stat_activity, before the statement, and
-- from 17 on as the wait event.  A wait holds no snapshot and no lock on the
-- source, and ends within a second of pause(), cancel() or a change.
--
-- search_path, TimeZone, DateStyle and IntervalStyle are kept as they are
-- now, and apply whenever the job runs.
--
-- Errors: 22004 a NULL; 22023 a bad setting or key; 42710 you have a job of
-- that name; 0A000 and 55000 a source that a walk could not be resumed on, or
-- that each batch would scan whole; and those of callbacks and sources.
CREATE FUNCTION streamiter.create_job(
	name text,
	source text,
	callback text,
	key text[] DEFAULT NULL,
	chunk_size integer DEFAULT NULL,
	on_error text DEFAULT 'stop',
	max_skips bigint DEFAULT 10,
	recurrence text DEFAULT 'once',
	lock_rows text DEFAULT 'none',
	wait_for_writers boolean DEFAULT true,
	allow_slow_plan boolean DEFAULT false,
	batch_pause interval DEFAULT '0',
	lock_timeout interval DEFAULT '0',
	max_retries integer DEFAULT 5,
	target_batch_time interval DEFAULT NULL,
	min_chunk_size integer DEFAULT NULL,
	max_chunk_size integer DEFAULT NULL,
	batch_timeout interval DEFAULT NULL,
	max_rows_per_second bigint DEFAULT NULL,
	max_wal_rate text DEFAULT NULL,
	max_replica_lag interval DEFAULT NULL,
	throttle_query text DEFAULT NULL,
	prefetch text DEFAULT NULL,
	prefetch_key text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_create_job'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- alter_job: change settings; a running job heeds them at its next batch.
--
--	callback ... max_retries	as above; NULL: as it is
--	unset			settings to put back to their defaults
--	acknowledge		the source or the callback has changed, and that is fine
--
-- Errors: 42704 no such job; 22023 a bad setting; 55000 nothing can be
-- acknowledged while the job runs; and those of callbacks.
CREATE FUNCTION streamiter.alter_job(
	name text,
	callback text DEFAULT NULL,
	chunk_size integer DEFAULT NULL,
	on_error text DEFAULT NULL,
	max_skips bigint DEFAULT NULL,
	recurrence text DEFAULT NULL,
	lock_rows text DEFAULT NULL,
	wait_for_writers boolean DEFAULT NULL,
	allow_slow_plan boolean DEFAULT NULL,
	batch_pause interval DEFAULT NULL,
	lock_timeout interval DEFAULT NULL,
	max_retries integer DEFAULT NULL,
	target_batch_time interval DEFAULT NULL,
	min_chunk_size integer DEFAULT NULL,
	max_chunk_size integer DEFAULT NULL,
	batch_timeout interval DEFAULT NULL,
	max_rows_per_second bigint DEFAULT NULL,
	max_wal_rate text DEFAULT NULL,
	max_replica_lag interval DEFAULT NULL,
	throttle_query text DEFAULT NULL,
	unset text[] DEFAULT NULL,
	acknowledge boolean DEFAULT false)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_alter_job'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- What one may ask of a job, by its state; anything else is error 55000.
--
--				ready, stopped,	running		paused		cancelled	finished
--				failed, crashed										(once)
--	run			running			notice		notice		notice		notice
--	pause		paused			paused *	notice		-			-
--	resume		-				stays **	stopped ***	-			-
--	cancel		cancelled		cancelled *	cancelled	notice		-
--	reset		ready			-			ready		ready		ready
--	retry_skipped	ready ***	-			paused		-			ready
--	drop_job	gone			-			gone		gone		gone
--
--	*	when its batch has committed; where that was the last one, too late
--	**	withdraws a pause that was asked for; otherwise an error
--	***	or what else it was
--
-- A job with recurrence 'repeat' that has finished is like one that stopped:
-- a run starts its next pass.  finished_with_skips is like finished.
--
-- A superuser may drop the jobs of a role that has been dropped, too.  DROP
-- OWNED and REASSIGN OWNED know nothing of jobs and callbacks.
CREATE FUNCTION streamiter.pause(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_pause'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION streamiter.resume(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION streamiter.cancel(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_cancel'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- reset: forget the position and the rows set aside; the next run starts over.
CREATE FUNCTION streamiter.reset(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_reset'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- retry_skipped: let the next run try the rows that were set aside again.
-- Returns their number.
CREATE FUNCTION streamiter.retry_skipped(name text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'streamiter_retry_skipped'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION streamiter.drop_job(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_drop_job'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- run: walk a job, from where it stands to its end or until told to stop.
--
--	max_duration	stop after the batch that reaches it; 0 is one batch
--	max_rows		stop after exactly so many rows; at least 1
--	workers			processes in all, this one included: up to 1024 of them share
--					the slices of the pass.  Fewer where there are no free
--					background worker slots, with a NOTICE
--
-- Workers are background workers that connect as the job's owner; before
-- PostgreSQL 17 the owner must be permitted to log in.  They have the settings
-- that the job has recorded, and for the rest those of this session as it
-- calls, SET and custom ones included; but session_user is the owner, and
-- advisory locks, temporary tables and prepared statements of this session are
-- not theirs.  statement_timeout does not count for them.  What their
-- callbacks raise as NOTICE goes to the server's log only.  They stop at once
-- when the CALL fails, is cancelled, or its process ends; one that dies, or is
-- cancelled by itself, leaves its slice to the others.
--
-- Commits after each batch, so it cannot be part of a transaction.  A job that
-- is running already, paused, cancelled or finished is left alone with a
-- NOTICE: schedules that overlap are no errors.
--
-- Errors: 2D000 not at top level; 25006 read-only; 42704 no such job; 42501
-- someone else's; 22023 a bad argument; 55000 what the job depends on has
-- changed; and what ended the walk.
CREATE PROCEDURE streamiter.run(
	name text,
	max_duration interval DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	workers integer DEFAULT 1)
AS 'MODULE_PATHNAME', 'streamiter_run'
LANGUAGE C;

-- start: the same as run, but in background workers and without waiting for
-- them: they go on when this session ends.  Their settings are those of a new
-- session of the owner's, and not this one's.  What comes of it is in
-- streamiter.runs and, errors, in the server's log.  pause and cancel stop it.
--
-- Errors: 42704, 42501, 22023 as for run; 55000 the job was created or altered
-- in this transaction; 53000 no background worker slot is free; 28000 the
-- owner is not permitted to log in (before PostgreSQL 17).
CREATE FUNCTION streamiter.start(
	name text,
	max_duration interval DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	workers integer DEFAULT 1)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_start'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- backfill, purge, archive: a job, made and run in one statement.  Called
-- again they go on with a pass that has not ended, and start another after
-- one that has.
--
--	relation		a table with a primary key
--	set				what an UPDATE has after SET; not a column of the key
--	target			a table that has all of relation's columns
--	filter			what comes after WHERE; it may let few rows through, a batch
--					is still chunk_size keys and no more
--	name			of the job; NULL: derived from the work, so that the same
--					call finds the same job
--	key				columns that are unique and never null; NULL: the primary
--					key
--	chunk_size ... workers	as for create_job and run
--
-- Each batch is one statement; streamiter.jobs shows it.  archive moves each
-- row exactly once, columns by name, identity values as they are; it refuses
-- what could lose something on the way.
--
-- Errors: as create_job and run; 42601 a set or a filter that is something
-- else; 22023 a set that changes the key, or a column from which one of the
-- key is generated; 42710 a job of that name does other work.
--
-- For archive also 42703 and 42804 columns that the target does not have, or
-- not of the same type; 42809 a target that is no table, or has a partition
-- that is none; and 0A000 foreign keys with ON DELETE CASCADE, SET NULL or SET
-- DEFAULT to the table, a partition of it, or what it is a partition of; rules
-- and row triggers BEFORE INSERT of the target and its partitions; a temporary
-- target; and partitions of the table that are foreign tables.  WARNING 01000
-- for an unlogged target.
CREATE PROCEDURE streamiter.backfill(
	relation regclass,
	set text,
	filter text DEFAULT NULL,
	name text DEFAULT NULL,
	key text[] DEFAULT NULL,
	chunk_size integer DEFAULT NULL,
	max_duration interval DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	workers integer DEFAULT 1)
AS 'MODULE_PATHNAME', 'streamiter_backfill'
LANGUAGE C;

CREATE PROCEDURE streamiter.purge(
	relation regclass,
	filter text,
	name text DEFAULT NULL,
	key text[] DEFAULT NULL,
	chunk_size integer DEFAULT NULL,
	max_duration interval DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	workers integer DEFAULT 1)
AS 'MODULE_PATHNAME', 'streamiter_purge'
LANGUAGE C;

CREATE PROCEDURE streamiter.archive(
	relation regclass,
	target regclass,
	filter text,
	name text DEFAULT NULL,
	key text[] DEFAULT NULL,
	chunk_size integer DEFAULT NULL,
	max_duration interval DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	workers integer DEFAULT 1)
AS 'MODULE_PATHNAME', 'streamiter_archive'
LANGUAGE C;

-- dry_run: try a job's next batches, measure them, and undo them.
--
--	batches		how many at the most
--
-- Returns one row: rows and batches tried, the time they took, rows per second,
-- bytes that they wrote to the WAL, the same per row; then an estimate of the
-- rows that are left to do, and the time and the WAL these would take at this
-- rate.  Pauses and throttling are not counted, nor what commits take.
--
-- The batches are those that the next run would begin with; of a job that has
-- finished those of a next pass.  They run in one subtransaction, constraints
-- are checked as at the end of each batch, and then all of it is rolled back,
-- locks included.  It may be called within a transaction.  What remains is
-- what any rollback leaves: dead rows for vacuum, the WAL, numbers taken from
-- sequences, and whatever the callback did outside of the database.
--
-- Errors: 42704 no such job; 42501 someone else's; 22023 no good number;
-- 55000 it is running, or what it depends on has changed; and what the
-- batches raise, on_error => 'skip' or not.
CREATE FUNCTION streamiter.dry_run(
	name text,
	batches integer DEFAULT 5,
	OUT rows bigint,
	OUT batches_tried bigint,
	OUT elapsed interval,
	OUT rows_per_second double precision,
	OUT wal_bytes bigint,
	OUT wal_bytes_per_row double precision,
	OUT estimated_rows bigint,
	OUT estimated_time interval,
	OUT estimated_wal_bytes bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'streamiter_dry_run'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- explain_job: what each batch of a job does: the statement that reads it and
-- its plan, what is called then, with the plan of a statement, and estimates of
-- the rows and batches that are left.  Nothing is called or changed.
--
-- Errors: 42704 no such job; 42501 someone else's; and those of sources and
-- callbacks.
CREATE FUNCTION streamiter.explain_job(name text)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'streamiter_explain_job'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- The state of a job of one's own; see above.  Never stored: it follows from
-- what was asked for, what the last run came to, and whether somebody holds
-- the runner's lock at this moment.
CREATE FUNCTION streamiter.job_state(job_id integer)
RETURNS text
AS 'MODULE_PATHNAME', 'streamiter_job_state'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

-- The views show the jobs of those whose rights one has: one's own, and all to
-- a superuser.

-- jobs: what there is, how it stands, and what its last run came to.
CREATE VIEW streamiter.jobs WITH (security_barrier) AS
SELECT j.name, j.owner, streamiter.job_state(j.id) AS state,
	s.pass, s.rows, s.batches, k.skipped, s.retries, s.not_called,
	s.affected,
	r.started AS last_started, r.ended AS last_ended,
	r.sqlstate, r.message,
	j.source, j.callback, j.statement, j.key, j.chunk_size, j.on_error, j.max_skips,
	j.recurrence, j.lock_rows, j.wait_for_writers, j.allow_slow_plan,
	j.batch_pause, j.lock_timeout, j.max_retries, j.target_batch_time,
	j.min_chunk_size, j.max_chunk_size, j.batch_timeout,
	j.max_rows_per_second, j.max_wal_rate, j.max_replica_lag,
	j.throttle_query, j.prefetch, j.prefetch_key,
	j.search_path, j.timezone, j.datestyle, j.intervalstyle,
	j.pause_requested, j.cancel_requested, j.created
FROM streamiter.job j
CROSS JOIN LATERAL (
	SELECT pg_catalog.max(pass) AS pass,
		COALESCE(pg_catalog.sum(rows), 0)::bigint AS rows,
		COALESCE(pg_catalog.sum(batches), 0)::bigint AS batches,
		COALESCE(pg_catalog.sum(retries), 0)::bigint AS retries,
		COALESCE(pg_catalog.sum(not_called), 0)::bigint AS not_called,
		COALESCE(pg_catalog.sum(affected), 0)::bigint AS affected
	FROM streamiter.slice
	WHERE job_id OPERATOR(pg_catalog.=) j.id) s
CROSS JOIN LATERAL (
	SELECT pg_catalog.count(*) AS skipped
	FROM streamiter.skipped_row
	WHERE job_id OPERATOR(pg_catalog.=) j.id) k
LEFT JOIN LATERAL (
	SELECT * FROM streamiter.run
	WHERE job_id OPERATOR(pg_catalog.=) j.id
	AND id OPERATOR(pg_catalog.>) j.last_forgotten_run
	ORDER BY id DESC LIMIT 1) r ON true
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');

-- slices: where the current pass stands.
CREATE VIEW streamiter.slices WITH (security_barrier) AS
SELECT j.name, j.owner, s.slice, s.pass, s.lower, s.upper, s.position, s.done,
	s.rows, s.batches, s.skipped, s.retries, s.not_called, s.affected,
	s.updated
FROM streamiter.slice s
JOIN streamiter.job j ON j.id OPERATOR(pg_catalog.=) s.job_id
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');

-- runs: one row for each CALL that had work to do.  Counters of a run that is
-- not over, or never got to its end, are those of its last commit.  wait_time
-- is what its waits between batches, and before a pass, came to, in seconds, by
-- the setting that asked for them, and "retry" before attempts made again; a
-- throttle_query that did not answer in time is one; that of several
-- processes is added up.  Not known of a run that is not over or crashed.
-- run_by is the role that had logged in, wal_bytes what its processes wrote to
-- the WAL.  A run that begins deletes the oldest beyond
-- streamiter.history_limit.
CREATE VIEW streamiter.runs WITH (security_barrier) AS
SELECT j.name, j.owner, r.id AS run, r.pass, r.pid, r.run_by, r.started,
	r.ended, r.outcome,
	COALESCE(r.rows, s.rows OPERATOR(pg_catalog.-) r.base_rows, 0) AS rows,
	COALESCE(r.batches, s.batches OPERATOR(pg_catalog.-) r.base_batches, 0)
		AS batches,
	COALESCE(r.skipped, s.skipped OPERATOR(pg_catalog.-) r.base_skipped, 0)
		AS skipped,
	COALESCE(r.retries, s.retries OPERATOR(pg_catalog.-) r.base_retries, 0)
		AS retries,
	COALESCE(r.not_called,
		s.not_called OPERATOR(pg_catalog.-) r.base_not_called, 0) AS not_called,
	COALESCE(r.affected,
		s.affected OPERATOR(pg_catalog.-) r.base_affected, 0) AS affected,
	COALESCE(r.wal_bytes,
		s.wal_bytes OPERATOR(pg_catalog.-) r.base_wal_bytes, 0) AS wal_bytes,
	r.wait_time, r.sqlstate, r.message, r.detail, r.hint, r.context,
	r.first_key, r.last_key
FROM streamiter.run r
JOIN streamiter.job j ON j.id OPERATOR(pg_catalog.=) r.job_id
LEFT JOIN LATERAL (
	SELECT pg_catalog.sum(rows)::bigint AS rows,
		pg_catalog.sum(batches)::bigint AS batches,
		pg_catalog.sum(skipped)::bigint AS skipped,
		pg_catalog.sum(retries)::bigint AS retries,
		pg_catalog.sum(not_called)::bigint AS not_called,
		pg_catalog.sum(affected)::bigint AS affected,
		pg_catalog.sum(wal_bytes)::bigint AS wal_bytes
	FROM streamiter.slice
	WHERE job_id OPERATOR(pg_catalog.=) r.job_id
	AND pass OPERATOR(pg_catalog.=) r.pass) s ON r.outcome IS NULL
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');

-- skipped: rows that the current pass has set aside, and why.
CREATE VIEW streamiter.skipped WITH (security_barrier) AS
SELECT j.name, j.owner, k.key, k.row_data, k.sqlstate, k.message, k.detail,
	k.hint, k.context, k.attempts, k.retry_requested, k.skipped_at,
	k.run_id AS run
FROM streamiter.skipped_row k
JOIN streamiter.job j ON j.id OPERATOR(pg_catalog.=) k.job_id
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');

GRANT SELECT ON streamiter.jobs, streamiter.slices, streamiter.runs,
	streamiter.skipped TO PUBLIC;

--
-- Progress
--

-- For the view: 0 to 100, and 100 only where all rows are done, "over"; it never
-- falls while rows grow and the total stays.  total may be NULL.
CREATE FUNCTION streamiter.progress_percent(
	rows bigint,
	total bigint,
	over boolean)
RETURNS double precision
AS 'MODULE_PATHNAME', 'streamiter_progress_percent'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

-- For the view: '[#####...............]'
CREATE FUNCTION streamiter.progress_bar(percent double precision)
RETURNS text
AS 'MODULE_PATHNAME', 'streamiter_progress_bar'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

-- For the view: calls of for_each() in this database, as of their last batch;
-- those of roles whose rights one has, or all for pg_read_all_stats.  None
-- where there is no shared memory for them.
CREATE FUNCTION streamiter.progress_walks(
	OUT pid integer,
	OUT owner regrole,
	OUT query text,
	OUT callback text,
	OUT started timestamptz,
	OUT updated timestamptz,
	OUT rows bigint,
	OUT skipped bigint,
	OUT total_rows bigint,
	OUT rows_per_second double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'streamiter_progress_walks'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- progress: how far each job and each call of for_each() is, from any session.
-- Jobs are shown as of their last commit, walks as of their last batch; walks
-- only on PostgreSQL 17 and later, or with streamiter in
-- shared_preload_libraries.  Elsewhere pg_stat_activity shows a walk's progress
-- before its statement.
--
--	kind			'job' or 'for_each'
--	name			the job's; of a walk its callback
--	rows			done, those set aside included
--	skipped			set aside at this moment
--	total_rows		of the pass; an estimate, unless streamiter.exact_totals was
--					on when the pass began, which total_is_exact tells
--	percent			0 to 100, and 100 only when each row of the pass is done or
--					set aside; never falls within a pass, even where the
--					estimate was too low, or rows set aside are tried again
--	rows_per_second	over the last seconds, while it runs
--	eta				when it will have finished at that rate
--	wait_reason		what it waits for at this moment
CREATE VIEW streamiter.progress WITH (security_barrier) AS
SELECT p.kind, p.name, p.owner, p.state, p.pid, p.pass, p.rows, p.skipped,
	p.total_rows, p.total_is_exact, p.percent,
	streamiter.progress_bar(p.percent) AS bar,
	pg_catalog.round(p.rows_per_second)::bigint AS rows_per_second,
	CASE WHEN p.rows_per_second OPERATOR(pg_catalog.>) 0
		AND p.total_rows OPERATOR(pg_catalog.>) p.rows
		AND (p.total_rows OPERATOR(pg_catalog.-) p.rows)
			OPERATOR(pg_catalog./) p.rows_per_second
			OPERATOR(pg_catalog.<) 315360000
	THEN pg_catalog.date_trunc('second', p.updated OPERATOR(pg_catalog.+)
		pg_catalog.make_interval(secs =>
			(p.total_rows OPERATOR(pg_catalog.-) p.rows)
			OPERATOR(pg_catalog./) p.rows_per_second))
	END AS eta,
	CASE WHEN a.query OPERATOR(pg_catalog.~) '^waiting for \w+( \(|: )'
		THEN pg_catalog.substring(a.query, '^waiting for (\w+?(?: \(.*?\))?): ')
		WHEN a.wait_event_type OPERATOR(pg_catalog.=) 'Lock'
		THEN 'lock (' OPERATOR(pg_catalog.||) a.wait_event
			OPERATOR(pg_catalog.||) ')'
	END AS wait_reason,
	p.started, p.updated, p.query
FROM (
	SELECT 'job' AS kind, j.name, j.owner, t.state,
		CASE WHEN t.state OPERATOR(pg_catalog.=) 'running' THEN r.pid END AS pid,
		s.pass, s.rows, k.skipped, r.total_rows, r.total_is_exact,
		streamiter.progress_percent(s.rows, r.total_rows, s.done) AS percent,
		CASE WHEN t.state OPERATOR(pg_catalog.=) 'running' THEN s.row_rate END
			AS rows_per_second,
		r.started, s.updated, j.source AS query
	FROM streamiter.job j
	CROSS JOIN LATERAL (
		SELECT streamiter.job_state(j.id) AS state) t
	CROSS JOIN LATERAL (
		SELECT pg_catalog.max(pass) AS pass,
			COALESCE(pg_catalog.sum(rows), 0)::bigint AS rows,
			pg_catalog.bool_and(done) AS done,
			pg_catalog.sum(row_rate) FILTER (WHERE NOT done) AS row_rate,
			pg_catalog.max(updated) AS updated
		FROM streamiter.slice
		WHERE job_id OPERATOR(pg_catalog.=) j.id) s
	CROSS JOIN LATERAL (
		SELECT pg_catalog.count(*) AS skipped
		FROM streamiter.skipped_row
		WHERE job_id OPERATOR(pg_catalog.=) j.id) k
	LEFT JOIN LATERAL (
		SELECT * FROM streamiter.run
		WHERE job_id OPERATOR(pg_catalog.=) j.id
		AND id OPERATOR(pg_catalog.>) j.last_forgotten_run
		ORDER BY id DESC LIMIT 1) r ON true
	WHERE pg_catalog.pg_has_role(j.owner, 'USAGE')
	OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
	UNION ALL
	SELECT 'for_each', w.callback, w.owner, 'running', w.pid, NULL, w.rows,
		w.skipped, w.total_rows, false,
		streamiter.progress_percent(w.rows, w.total_rows, false),
		w.rows_per_second, w.started, w.updated, w.query
	FROM streamiter.progress_walks() w) p
LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) a
	ON a.pid OPERATOR(pg_catalog.=) p.pid;

GRANT SELECT ON streamiter.progress TO PUBLIC;
