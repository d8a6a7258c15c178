-- The interface for C modules, used by a module that has only its header.
\set VERBOSITY terse
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS streamiter_native;
CREATE EXTENSION streamiter_native;
CREATE TABLE numbers AS SELECT g::bigint AS n, 'number ' || g AS name FROM generate_series(1, 1000) g;

--
-- Callbacks, given by signature
--
SELECT rows, batches, skipped, not_called FROM streamiter.for_each('SELECT n FROM numbers', 'streamiter_native_count(internal)', 300);
SELECT * FROM streamiter_native_result();
SELECT rows, batches, skipped FROM streamiter.for_each('SELECT n, name FROM numbers', 'streamiter_native_count_batch(internal)', 300);
SELECT * FROM streamiter_native_result();
-- no row, and NULLs
SELECT rows, batches FROM streamiter.for_each('SELECT n FROM numbers WHERE false', 'streamiter_native_count(internal)');
SELECT rows, batches FROM streamiter.for_each('SELECT NULL::int, name FROM numbers', 'streamiter_native_count_batch(internal)');
SELECT * FROM streamiter_native_result();

-- and by a registered name
SELECT streamiter.register_callback('counter', 'streamiter_native_count(internal)');
SELECT rows FROM streamiter.for_each('SELECT n::int FROM numbers', 'counter', on_error => 'skip');
SELECT * FROM streamiter_native_result();
SELECT streamiter.unregister_callback('counter');

-- with related rows: n - 1 of each n up to 10, of one batch or several
\set related '''SELECT k, g FROM unnest($1) k, generate_series(2, k) g WHERE k <= 10'''
SELECT rows, batches FROM streamiter.for_each('SELECT n FROM numbers', 'streamiter_native_related(internal)', 300,
	prefetch => :related, prefetch_key => 'n');
SELECT * FROM streamiter_native_result();
SELECT rows, batches FROM streamiter.for_each('SELECT n, name FROM numbers', 'streamiter_native_related_batch(internal)', 300,
	prefetch => :related, prefetch_key => 'n');
SELECT * FROM streamiter_native_result();
-- batches that are cut, as related rows fill the memory
SET streamiter.max_batch_memory = '64kB';
SELECT rows, batches > 10 AS cut FROM streamiter.for_each('SELECT n FROM numbers', 'streamiter_native_related_batch(internal)', 300,
	prefetch => 'SELECT k, repeat(''x'', 1000) AS x FROM unnest($1) k, generate_series(1, 3)', prefetch_key => 'n');
SELECT rows, batches > 10 AS cut, total FROM streamiter_native_result();
RESET streamiter.max_batch_memory;
-- in a job, and skipping
ALTER TABLE numbers ADD PRIMARY KEY (n);
SELECT streamiter.create_job('native', 'SELECT n FROM numbers', 'streamiter_native_related_batch(internal)',
	chunk_size => 300, prefetch => :related, prefetch_key => 'n');
CALL streamiter.run('native');
SELECT rows, batches, state FROM streamiter.jobs;
SELECT * FROM streamiter_native_result();
SELECT streamiter.drop_job('native');
SELECT rows, skipped FROM streamiter.for_each('SELECT n FROM numbers', 'streamiter_native_related(internal)', 300, on_error => 'skip',
	prefetch => 'SELECT k, 1 / (k - 77) AS x FROM unnest($1) k', prefetch_key => 'n');
SELECT rows >= 999 AS rows FROM streamiter_native_result();

--
-- begin, end, abort: once each, whatever happens
--
SELECT rows FROM streamiter.for_each('SELECT n FROM numbers LIMIT 3', 'streamiter_native_recorder(internal)', 2);
SELECT streamiter_native_notes();
SELECT streamiter_native_fail('begin');
SELECT rows FROM streamiter.for_each('SELECT n FROM numbers LIMIT 3', 'streamiter_native_recorder(internal)', 2);
SELECT streamiter_native_notes();
SELECT streamiter_native_fail('row', 2);
SELECT rows FROM streamiter.for_each('SELECT n FROM numbers LIMIT 3', 'streamiter_native_recorder(internal)', 2);
SELECT streamiter_native_notes();
SELECT rows, skipped FROM streamiter.for_each('SELECT n FROM numbers LIMIT 3', 'streamiter_native_recorder(internal)', on_error => 'skip');
SELECT streamiter_native_notes();
SELECT streamiter_native_fail('end');
SELECT rows FROM streamiter.for_each('SELECT n FROM numbers LIMIT 3', 'streamiter_native_recorder(internal)', 2);
SELECT streamiter_native_notes();
SELECT streamiter_native_fail('');
-- an error of the source, in a row and before the first
SELECT rows FROM streamiter.for_each('SELECT 1 / (2 - n) FROM numbers', 'streamiter_native_recorder(internal)', 2);
SELECT streamiter_native_notes();
CREATE ROLE regress_streamiter_native;
GRANT EXECUTE ON FUNCTION streamiter_native_recorder(internal) TO regress_streamiter_native;
SET ROLE regress_streamiter_native;
SELECT rows FROM streamiter.for_each('SELECT n FROM numbers', 'streamiter_native_recorder(internal)');
RESET ROLE;
SELECT streamiter_native_notes();
DROP OWNED BY regress_streamiter_native;
DROP ROLE regress_streamiter_native;
-- the error is caught, the transaction goes on
DO $$
BEGIN
	PERFORM streamiter_native_fail('row', 1);
	PERFORM streamiter.for_each('SELECT n FROM numbers', 'streamiter_native_recorder(internal)');
EXCEPTION WHEN check_violation THEN
	RAISE WARNING 'caught, after: %', streamiter_native_notes();
	PERFORM streamiter_native_fail('');
END
$$;

--
-- Routines and functions that are refused
--
DO $$
DECLARE
	handler text;
	state text;
	message text;
BEGIN
	FOREACH handler IN ARRAY ARRAY[
		'streamiter_native_wrong_version(internal)', 'streamiter_native_wrong_magic(internal)',
		'streamiter_native_wrong_size(internal)', 'streamiter_native_row_and_batch(internal)',
		'streamiter_native_nothing(internal)',
		'bthandler(internal)', 'array_typanalyze(internal)', 'textlike_support(internal)']
	LOOP
		BEGIN
			PERFORM streamiter.for_each('SELECT n FROM numbers', handler);
			RAISE WARNING '% was accepted', handler;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
			RAISE WARNING '% %', state, message;
		END;
	END LOOP;
END
$$;
-- none of the server's own functions from internal can be registered
DO $$
DECLARE
	candidate regprocedure;
	accepted int := 0;
	refused int := 0;
BEGIN
	FOR candidate IN SELECT oid FROM pg_proc
		WHERE pronamespace = 'pg_catalog'::regnamespace AND pronargs = 1
		AND proargtypes[0] = 'internal'::regtype
	LOOP
		BEGIN
			PERFORM streamiter.register_callback('candidate', candidate);
			accepted := accepted + 1;
			RAISE WARNING '% was accepted', candidate;
			PERFORM streamiter.unregister_callback('candidate');
		EXCEPTION WHEN wrong_object_type THEN
			refused := refused + 1;
		END;
	END LOOP;
	RAISE WARNING 'accepted: %, refused some: %', accepted, refused > 40;
END
$$;

-- the type has no values that SQL can see
SELECT 'x'::streamiter.callback_handler;
-- (minor releases differ in what they say)
DO $$
BEGIN
	PERFORM streamiter_native_count(NULL);
	RAISE WARNING 'accepted';
EXCEPTION
	WHEN undefined_function OR feature_not_supported THEN
		RAISE WARNING 'refused';
END
$$;

--
-- Walks of the module's own
--
SELECT streamiter_native_pull('SELECT * FROM numbers', 7);
SELECT streamiter_native_pull('TABLE numbers', 0);
SELECT streamiter_native_pull('SELECT * FROM numbers WHERE false', 7);
SELECT streamiter_native_pull('SELECT * FROM numbers', 7, 10);
SELECT streamiter_native_pull('SELECT * FROM numbers', 7, 0);
SELECT streamiter_native_pull_batches('SELECT * FROM numbers', 300);
SELECT streamiter_native_pull_batches('SELECT * FROM numbers', 500);
SELECT streamiter_native_run('SELECT n FROM numbers WHERE n <= $1', 3, 10);
SELECT streamiter_native_run('SELECT 1 WHERE $1 IS NULL', 3, NULL);
-- one walk in another
SELECT streamiter_native_pull('SELECT streamiter_native_pull(''SELECT 1 FROM numbers LIMIT '' || n, 2) FROM numbers LIMIT 20', 3);

-- bad input
SELECT streamiter_native_pull('SELECT 1', -1);
SELECT streamiter_native_pull('', 1);
SELECT streamiter_native_pull('DELETE FROM numbers', 1);
SELECT streamiter_native_run('SELECT 1', 1, 1);
SELECT streamiter_native_pull('SELECT 1 / (5 - n) FROM numbers', 3);
SELECT streamiter_native_ask_api(4711);

-- nothing is left, but the portal of this very statement
SELECT count(*) FROM pg_cursors;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'streamiter%';

DROP TABLE numbers;
DROP EXTENSION streamiter_native;
