-- Settings: defaults, units, bounds, reserved prefix

-- the library defines them when it is loaded, at the first call
\c -
SELECT rows FROM streamiter.for_each($$SELECT 'x'$$, 'length(text)');
SELECT name, unit, vartype, context, min_val, max_val, boot_val
FROM pg_settings
WHERE name LIKE 'streamiter.%'
ORDER BY name;

-- out of bounds, of the wrong kind, unknown
\set VERBOSITY sqlstate
SET streamiter.chunk_size = 0;
SET streamiter.chunk_size = -1;
SET streamiter.chunk_size = 1000001;
SET streamiter.chunk_size = 2147483648;
SET streamiter.chunk_size = '';
SET streamiter.chunk_size = 'many';
SET streamiter.chunk_size = '1kB';
SET streamiter.max_batch_memory = 63;
SET streamiter.max_batch_memory = '63kB';
SET streamiter.max_batch_memory = '1 row';
SET streamiter.max_batch_memory = -1;
SET streamiter.chunksize = 1;
\set VERBOSITY default
SHOW streamiter.chunk_size;
SHOW streamiter.max_batch_memory;
-- the bounds themselves
SET streamiter.chunk_size = 1;
SET streamiter.chunk_size = 1000000;
SET streamiter.max_batch_memory = 64;
SHOW streamiter.max_batch_memory;
SET streamiter.max_batch_memory = '2TB';
RESET streamiter.max_batch_memory;

-- a walk takes the setting where it is given no chunk_size, and NULL is none
CREATE FUNCTION guc_ignore(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$;
SET streamiter.chunk_size = 3;
SELECT rows, batches FROM streamiter.for_each('SELECT generate_series(1, 10)', 'guc_ignore(int)');
SELECT rows, batches FROM streamiter.for_each('SELECT generate_series(1, 10)', 'guc_ignore(int)', NULL);
SELECT rows, batches FROM streamiter.for_each('SELECT generate_series(1, 10)', 'guc_ignore(int)', 4);
BEGIN;
SET LOCAL streamiter.chunk_size = 5;
SELECT rows, batches FROM streamiter.for_each('SELECT generate_series(1, 10)', 'guc_ignore(int)');
COMMIT;
SELECT rows, batches FROM streamiter.for_each('SELECT generate_series(1, 10)', 'guc_ignore(int)');

-- what a callback sets is for later walks: this one has begun
CREATE FUNCTION guc_change(i integer) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN PERFORM set_config('streamiter.chunk_size', '1', false); END $$;
SELECT rows, batches FROM streamiter.for_each('SELECT generate_series(1, 10)', 'guc_change(int)');
SHOW streamiter.chunk_size;
RESET streamiter.chunk_size;

-- with a function's own setting
CREATE FUNCTION guc_walk() RETURNS bigint SET streamiter.chunk_size = 2 LANGUAGE sql
AS $$ SELECT batches FROM streamiter.for_each('SELECT generate_series(1, 10)', 'guc_ignore(int)') $$;
SELECT guc_walk();

-- the byte cap ends batches early: wide rows, handed over as arrays
CREATE TABLE guc_size (n integer);
CREATE FUNCTION guc_note(t text[]) RETURNS void LANGUAGE sql
AS $$ INSERT INTO guc_size SELECT cardinality(t) $$;
SELECT streamiter.register_callback('guc_note', 'guc_note(text[])', per => 'batch');
SET streamiter.max_batch_memory = '64kB';
SELECT rows, batches, peak_batch_bytes < 512 * 1024 AS small
FROM streamiter.for_each($$SELECT repeat('x', 10000) FROM generate_series(1, 20)$$, 'guc_note');
SELECT sum(n), max(n) BETWEEN 2 AND 7 AS few, count(*) >= 3 AS several FROM guc_size;
-- a row beyond the cap is a batch of its own
TRUNCATE guc_size;
SELECT rows, batches
FROM streamiter.for_each($$SELECT repeat('x', 100000) FROM generate_series(1, 3)$$, 'guc_note');
SELECT n FROM guc_size;
RESET streamiter.max_batch_memory;
SELECT streamiter.unregister_callback('guc_note');

-- values set before the library was loaded are checked when it is
\c -
SET client_min_messages = error;
SET streamiter.chunk_size = 'nonsense';
SET streamiter.max_batch_memory = '128kB';
RESET client_min_messages;
SELECT rows, batches FROM streamiter.for_each($$SELECT 'x' FROM generate_series(1, 2001)$$, 'length(text)');
SHOW streamiter.chunk_size;
SHOW streamiter.max_batch_memory;

DROP FUNCTION guc_ignore, guc_change, guc_walk, guc_note;
DROP TABLE guc_size;
