/* src/test/native/streamiter_native--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION streamiter_native" to load this file. \quit

--
-- Handlers of native callbacks
--

-- Both count the rows and add up the first column, if it is an integer.
CREATE FUNCTION streamiter_native_count(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION streamiter_native_count_batch(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

-- With related rows: these add up how many there are.
CREATE FUNCTION streamiter_native_related(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION streamiter_native_related_batch(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

-- What they found, since the last call of this.
CREATE FUNCTION streamiter_native_result(OUT rows bigint, OUT batches bigint, OUT total numeric)
RETURNS record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

-- Notes in which order it was called, and fails where it was told to.
CREATE FUNCTION streamiter_native_recorder(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

-- place: 'begin', 'row', 'end', or '' for nowhere; at_row: which row.
CREATE FUNCTION streamiter_native_fail(place text, at_row bigint DEFAULT 0)
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

-- The notes since the last call of this.
CREATE FUNCTION streamiter_native_notes()
RETURNS text
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

-- Handlers whose routines must be refused.
CREATE FUNCTION streamiter_native_wrong_version(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION streamiter_native_wrong_magic(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION streamiter_native_wrong_size(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION streamiter_native_row_and_batch(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION streamiter_native_nothing(internal)
RETURNS streamiter.callback_handler
AS 'MODULE_PATHNAME' LANGUAGE C;

--
-- Walks of our own
--

-- Pulls row by row; stops after "stop_after" rows if that is given.
CREATE FUNCTION streamiter_native_pull(query text, chunk_size int, stop_after bigint DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

-- Pulls batch by batch: the size of each.
CREATE FUNCTION streamiter_native_pull_batches(query text, chunk_size int)
RETURNS int[]
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

-- Runs a walk of a query with one argument, adding up the first column.
CREATE FUNCTION streamiter_native_run(query text, chunk_size int, arg bigint)
RETURNS numeric
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

-- Asks for the interface as a module built for another version would.
CREATE FUNCTION streamiter_native_ask_api(version int)
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

--
-- What walks are measured with, and against
--

-- Returns its argument.
CREATE FUNCTION streamiter_native_same(bigint)
RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

-- Runs a query without StreamIter and drops its rows: how many there were.
CREATE FUNCTION streamiter_native_scan(query text)
RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
