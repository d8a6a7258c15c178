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
-- callback was not called, time until the first call, time in all, and the
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

--
-- Jobs
--
