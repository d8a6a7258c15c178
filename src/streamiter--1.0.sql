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
--
-- Returns one row: rows walked, batches, rows skipped, rows for which a STRICT
-- callback was not called, time until the first row, time in all, and the
-- most memory that a batch took.
--
-- One statement and one cursor, with the caller's snapshot: each row comes
-- once, whatever the callback does to the table.  After Django's
-- QuerySet.iterator(chunk_size).
CREATE FUNCTION streamiter.for_each(
	query text,
	callback text,
	chunk_size integer DEFAULT NULL,
	args record DEFAULT NULL,
	on_error text DEFAULT 'stop',
	max_skips bigint DEFAULT 10,
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
-- it is closed or its transaction ends.
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
-- Callbacks and their registry
--

-- What a native callback's handler returns; see streamiter.h.
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
