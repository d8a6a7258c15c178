-- STRICT callbacks: not called for a row with a NULL argument, and counted

SET client_min_messages = warning;
CREATE SCHEMA regress_strict;
SET search_path = regress_strict, public;

CREATE TABLE item (id integer, name text);
INSERT INTO item VALUES (1, 'one'), (NULL, 'two'), (3, NULL), (NULL, NULL), (5, 'five');
CREATE TABLE log (n serial, what text);

-- each way of calling: directly, inlined, in the plan, and one that may fail
CREATE FUNCTION direct(integer, text) RETURNS void STRICT LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1 || $2); END $$;
CREATE FUNCTION sql_inlined(integer, text) RETURNS text STRICT LANGUAGE sql AS $$ SELECT $1 || $2 $$;
CREATE FUNCTION sql_called(integer, text) RETURNS void STRICT LANGUAGE sql AS $$ INSERT INTO log (what) VALUES ($1 || $2) $$;
CREATE FUNCTION not_strict(integer, text) RETURNS text LANGUAGE sql AS $$ SELECT $1 || $2 $$;
CREATE FUNCTION returns_null(integer, text) RETURNS text STRICT LANGUAGE sql AS $$ SELECT NULL::text || $1 || $2 $$;
CREATE FUNCTION no_args() RETURNS integer STRICT LANGUAGE sql AS $$ SELECT 1 $$;

\pset format unaligned
\pset tuples_only on
CREATE FUNCTION pg_temp.walk(query text, callback text, on_error text, chunk_size integer DEFAULT 2) RETURNS text LANGUAGE sql
AS $$ SELECT rows || ' rows, ' || not_called || ' not called' FROM streamiter.for_each(query, callback, chunk_size, on_error => on_error) $$;
-- the first source hands on whole rows, the second computes its columns, the third sorts on top
SELECT callback, on_error, pg_temp.walk('TABLE item', callback, on_error) AS whole,
	pg_temp.walk('SELECT id, name FROM item WHERE ctid IS NOT NULL', callback, on_error) AS columns,
	pg_temp.walk('SELECT id, name FROM item ORDER BY 1, 2', callback, on_error, 2000) AS sorted,
	pg_temp.walk('SELECT id + 1, lower(name) FROM item', callback, on_error, 1) AS expressions,
	pg_temp.walk('TABLE item LIMIT 0', callback, on_error) AS none
FROM unnest('{stop,skip}'::text[]) on_error,
	unnest(ARRAY['direct(integer, text)', 'sql_inlined(integer, text)', 'sql_called(integer, text)', 'not_strict(integer, text)', 'returns_null(integer, text)'])
	WITH ORDINALITY c (callback, n)
ORDER BY on_error, n;
SELECT what, count(*) FROM log GROUP BY what ORDER BY what COLLATE "C";
TRUNCATE log;
SELECT pg_temp.walk('SELECT FROM item', 'no_args()', 'stop');

-- all rows, and the last of a batch
SELECT pg_temp.walk('SELECT NULL::integer, name FROM item', 'direct(integer, text)', 'stop');
SELECT pg_temp.walk('VALUES (1, ''x''), (NULL, ''y''), (2, ''z'')', 'direct(integer, text)', 'stop', 2);
-- more columns than the function looks at, the NULL in one that it ignores
CREATE FUNCTION ignores(integer, text) RETURNS integer STRICT LANGUAGE sql AS $$ SELECT $1 $$;
SELECT pg_temp.walk('SELECT id, name FROM item WHERE ctid IS NOT NULL', 'ignores(integer, text)', 'stop');
SELECT pg_temp.walk('TABLE item', 'ignores(integer, text)', 'stop');
-- the same column twice
SELECT pg_temp.walk('SELECT id, id::text FROM item', 'ignores(integer, text)', 'stop');
-- a whole row is not NULL, whatever is in it; a NULL of a row type is
CREATE FUNCTION whole(item) RETURNS void STRICT LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1::text); END $$;
TRUNCATE log;
SELECT pg_temp.walk('TABLE item', 'whole(item)', 'stop');
SELECT pg_temp.walk('SELECT i FROM item i', 'whole(item)', 'stop');
SELECT pg_temp.walk('SELECT NULL::item', 'whole(item)', 'stop');
SELECT count(*) FROM log;
-- a default that is NULL; one that is evaluated whether or not the call is made, as in SELECT f(x)
CREATE SEQUENCE counter;
CREATE FUNCTION null_default(integer, text DEFAULT NULL) RETURNS void STRICT LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
CREATE FUNCTION next_default(integer, bigint DEFAULT nextval('counter')) RETURNS void STRICT LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1 || ' ' || $2); END $$;
SELECT pg_temp.walk('SELECT id FROM item', 'null_default(integer, text)', 'stop');
TRUNCATE log;
SELECT pg_temp.walk('SELECT id FROM item', 'next_default(integer, bigint)', 'stop');
SELECT what FROM log ORDER BY n;
ALTER SEQUENCE counter RESTART;
TRUNCATE log;
SELECT next_default(id) FROM item;
SELECT what FROM log ORDER BY n;
-- a domain's constraint is checked before
CREATE DOMAIN positive AS integer CHECK (VALUE > 0 OR VALUE IS NULL);
CREATE FUNCTION constrained(integer, positive) RETURNS void STRICT LANGUAGE plpgsql AS $$ BEGIN END $$;
SELECT pg_temp.walk('SELECT NULL::integer, 1', 'constrained(integer, positive)', 'stop');
\set VERBOSITY terse
SELECT pg_temp.walk('SELECT NULL::integer, -1', 'constrained(integer, positive)', 'stop');
\set VERBOSITY default

-- skipped rows and rows not called are counted apart; a batch tried again counts once
CREATE FUNCTION fails(integer) RETURNS void STRICT LANGUAGE plpgsql
AS $$ BEGIN IF $1 = 3 THEN RAISE 'three'; END IF; END $$;
SET client_min_messages = error;
SELECT chunk, rows, skipped, not_called FROM generate_series(1, 6) chunk,
	streamiter.for_each('SELECT id FROM item', 'fails(integer)', chunk, on_error => 'skip');
RESET client_min_messages;

-- batch functions: arrays are never NULL, and NULLs in them are the function's business
CREATE FUNCTION batch(integer[], text[], text DEFAULT 'x') RETURNS void STRICT LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1::text || $2::text || $3); END $$;
SELECT streamiter.register_callback('strict batch', 'batch(integer[], text[], text)', per => 'batch');
TRUNCATE log;
SELECT pg_temp.walk('TABLE item', 'strict batch', 'stop', 3);
SELECT what FROM log ORDER BY n;

-- one that would never be called is refused
CREATE FUNCTION never(integer[], text[], text DEFAULT NULL) RETURNS void STRICT LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ('called'); END $$;
SELECT streamiter.register_callback('strict batch never', 'never(integer[], text[], text)', per => 'batch');
SELECT rows, not_called FROM streamiter.for_each('TABLE item', 'strict batch never');
\pset format aligned
\pset tuples_only off

SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks WHERE name LIKE 'strict batch%';
SET client_min_messages = error;
DROP SCHEMA regress_strict CASCADE;
