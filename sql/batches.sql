-- Batches: batch functions and batch statements, what they are given and when

SET client_min_messages = warning;
CREATE SCHEMA regress_batches;
SET search_path = regress_batches, public;

\i src/test/lib/error_of.sql

CREATE TABLE item (id integer PRIMARY KEY, name text, tags text[], x integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT i, CASE WHEN i % 5 > 0 THEN 'n' || i END, ARRAY['a', 'b' || i]
FROM generate_series(1, 23) i;
CREATE TABLE log (n serial, what text);
CREATE FUNCTION pg_temp.logged() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT what FROM log ORDER BY n;
	DELETE FROM log;
END
$$;

-- a name for each function, as batch function
CREATE FUNCTION pg_temp.register(signature regprocedure) RETURNS void LANGUAGE sql
AS $$ SELECT streamiter.register_callback(proname, oid, per => 'batch') FROM pg_proc WHERE oid = signature $$;
CREATE FUNCTION pg_temp.walk(query text, callback text, chunk_size integer DEFAULT 10) RETURNS text LANGUAGE sql
AS $$ SELECT rows || ' rows, ' || batches || ' batches' FROM streamiter.for_each(query, callback, chunk_size) $$;

--
-- One array for each column
--

CREATE FUNCTION two(bigint[], text[]) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES (format('%s %s', $1, $2)); END $$;
SELECT pg_temp.register('two(bigint[], text[])');
\pset format unaligned
\pset tuples_only on
-- full batches, and what is left; NULLs
SELECT pg_temp.walk('SELECT id, name FROM item ORDER BY id', 'two');
SELECT * FROM pg_temp.logged();
-- implicit casts are made inside the arrays
SELECT pg_temp.walk('SELECT id::smallint, name::varchar FROM item WHERE id < 4 ORDER BY id', 'two');
SELECT * FROM pg_temp.logged();
-- nothing at all: not called
SELECT pg_temp.walk('SELECT id, name FROM item WHERE id > 99', 'two');
SELECT * FROM pg_temp.logged();
-- just full: not called with empty arrays
SELECT pg_temp.walk('SELECT id, name FROM item WHERE id < 5 ORDER BY id', 'two', 2);
SELECT * FROM pg_temp.logged();

-- polymorphic parameters, defaults
CREATE FUNCTION poly(anyarray, anyarray, d text DEFAULT 'def') RETURNS anyelement LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES (format('%s %s %s %s', pg_typeof($1), $1, $2, d)); RETURN $1[1]; END $$;
CREATE FUNCTION compatible(anycompatiblearray, anycompatiblearray, d date DEFAULT now(), e int DEFAULT 3) RETURNS anycompatible LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES (format('%s %s %s %s', pg_typeof($1), $1, $2, e)); RETURN $1[1]; END $$;
CREATE SEQUENCE counter;
CREATE FUNCTION counted(int[], n bigint DEFAULT nextval('counter')) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES (format('%s %s', $1, $2)); END $$;
SELECT pg_temp.register(f) FROM unnest('{"poly(anyarray,anyarray,text)","compatible(anycompatiblearray,anycompatiblearray,date,int)","counted(int[],bigint)"}'::regprocedure[]) f;
SELECT pg_temp.walk('SELECT id, id + 1 FROM item WHERE id < 3 ORDER BY id', 'poly');
SELECT pg_temp.walk('SELECT id, 1.5 FROM item WHERE id < 3 ORDER BY id', 'compatible');
SELECT pg_temp.walk('SELECT id FROM item WHERE id < 5 ORDER BY id', 'counted', 2);
SELECT * FROM pg_temp.logged();
-- the collation of the column; a VARIADIC array takes the column's array
CREATE FUNCTION collated(text[]) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES (pg_collation_for($1)); END $$;
CREATE FUNCTION variadic_array(VARIADIC int[]) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1::text); END $$;
SELECT pg_temp.register(f) FROM unnest('{collated(text[]),variadic_array(int[])}'::regprocedure[]) f;
SELECT pg_temp.walk('SELECT ''a'' COLLATE "C"', 'collated');
SELECT pg_temp.walk('SELECT ''a'' COLLATE "POSIX"', 'collated');
SELECT pg_temp.walk('SELECT generate_series(1, 3)', 'variadic_array', 2);
SELECT * FROM pg_temp.logged();
-- a domain over an array is checked when the batch is handed over
CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 5);
CREATE FUNCTION take_few(few) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1::text); END $$;
SELECT pg_temp.register('take_few(few)');
SELECT pg_temp.walk('SELECT generate_series(1, 6)', 'take_few', 4);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT generate_series(1, 6)', 'take_few', 5)$$);
SELECT * FROM pg_temp.logged();
-- no columns: called all the same, once per batch
CREATE FUNCTION bare() RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ('bare'); END $$;
SELECT pg_temp.register('bare()');
SELECT pg_temp.walk('SELECT FROM item', 'bare');
SELECT * FROM pg_temp.logged();
-- in language SQL, of several statements
CREATE FUNCTION set_x(ids int[]) RETURNS bigint LANGUAGE sql
AS $$ UPDATE item SET x = x + 1 WHERE id = ANY (ids); SELECT count(*) FROM item $$;
SELECT pg_temp.register('set_x(int[])');
SELECT pg_temp.walk('SELECT id FROM item', 'set_x', 7);
SELECT sum(x), min(x), max(x) FROM item;
-- an IMMUTABLE SQL function is called for each batch as well, and may fail
CREATE FUNCTION immutable_batch(int[]) RETURNS int IMMUTABLE LANGUAGE sql
AS $$ SELECT 1 / (3 - cardinality($1)) $$;
SELECT pg_temp.register('immutable_batch(int[])');
SELECT pg_temp.walk('SELECT 1 FROM item', 'immutable_batch', 22);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT 1 FROM item', 'immutable_batch')$$);

--
-- One array of rows
--

CREATE TYPE row3 AS (gone int, id bigint, name varchar(12), tags text[]);
ALTER TYPE row3 DROP ATTRIBUTE gone;
CREATE FUNCTION rows3(row3[]) RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1::text); END $$;
CREATE DOMAIN drow AS row3 CHECK ((VALUE).id < 3);
CREATE FUNCTION drows(drow[], more text DEFAULT 'and more') RETURNS void LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO log (what) VALUES ($1::text || more); END $$;
CREATE FUNCTION items(item[]) RETURNS void LANGUAGE sql
AS $$ INSERT INTO log (what) SELECT id || coalesce(name, '?') FROM unnest($1) $$;
SELECT pg_temp.register(f) FROM unnest('{rows3(row3[]),"drows(drow[],text)",items(item[])}'::regprocedure[]) f;
SELECT pg_temp.walk('SELECT id, name, tags FROM item WHERE id IN (1, 5) ORDER BY id', 'rows3');
SELECT pg_temp.walk('SELECT id, name, tags FROM item WHERE id < 3 ORDER BY id', 'drows');
SELECT * FROM pg_temp.logged();
-- type modifiers and constraints are those of the composite type
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id, ''longer than twelve'', tags FROM item', 'rows3')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id, name, tags FROM item ORDER BY id', 'drows')$$);
SELECT pg_temp.walk('SELECT * FROM item WHERE id > 20 ORDER BY id', 'items', 2);
SELECT * FROM pg_temp.logged();

--
-- What does not fit
--

SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id FROM item', 'two')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id, id, name FROM item', 'two')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id, id, name FROM item', 'rows3')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id, tags FROM item', 'two')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT FROM item', 'two')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT 1.5, name FROM item', 'two')$$);
-- a batch function given by its signature is called for each row
SELECT pg_temp.walk('SELECT ARRAY[1::bigint], ARRAY[name] FROM item WHERE id < 3 ORDER BY id', 'two(bigint[], text[])');
SELECT * FROM pg_temp.logged();

--
-- Batch statements: $n is the array of column n
--

CREATE FUNCTION pg_temp.statement(sql text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamiter.unregister_callback('stmt') FROM streamiter.callbacks WHERE name = 'stmt';
	PERFORM streamiter.register_statement('stmt', sql);
END
$$;
SELECT pg_temp.statement('UPDATE item SET x = x * 10 WHERE id = ANY ($1)');
SELECT pg_temp.walk('SELECT id FROM item', 'stmt');
SELECT sum(x), min(x), max(x) FROM item;
-- columns that are not used are left alone, whatever their type
SELECT pg_temp.statement('INSERT INTO log (what) SELECT format(''%s %s'', i, n) FROM unnest($1, $3) x (i, n) ORDER BY i');
SELECT pg_temp.walk('SELECT id, tags, name FROM item WHERE id > 20 ORDER BY id', 'stmt', 2);
SELECT * FROM pg_temp.logged();
-- no parameter: executed once per batch; rows that it returns go nowhere
SELECT pg_temp.statement('INSERT INTO log (what) VALUES (''batch'') RETURNING *');
SELECT pg_temp.walk('SELECT id FROM item', 'stmt');
SELECT * FROM pg_temp.logged();
-- WITH, MERGE, SELECT, TABLE
SELECT pg_temp.statement('WITH d AS (SELECT unnest($1) AS id) INSERT INTO log (what) SELECT id FROM d WHERE id > 20 ORDER BY 1');
SELECT pg_temp.walk('SELECT id FROM item', 'stmt');
SELECT pg_temp.statement('MERGE INTO item USING unnest($1) i ON item.id = i WHEN MATCHED THEN UPDATE SET x = -1');
SELECT pg_temp.walk('SELECT id FROM item', 'stmt');
SELECT pg_temp.statement('SELECT two($1, $2)');
SELECT pg_temp.walk('SELECT id::bigint, name FROM item WHERE id < 3 ORDER BY id', 'stmt');
SELECT pg_temp.statement('TABLE item');
SELECT pg_temp.walk('SELECT id FROM item', 'stmt');
SELECT * FROM pg_temp.logged();
SELECT sum(x), min(x), max(x) FROM item;
-- it runs under the search_path of whoever walks, and with triggers and rules
CREATE TABLE public.regress_batches_log (what text);
SELECT pg_temp.statement('INSERT INTO regress_batches_log SELECT unnest($1)');
SELECT pg_temp.walk('SELECT ''public''', 'stmt');
CREATE TABLE regress_batches_log (what text);
SELECT pg_temp.walk('SELECT ''nearer''', 'stmt');
SELECT tableoid::regclass, what FROM public.regress_batches_log UNION ALL
SELECT tableoid::regclass, what FROM regress_batches.regress_batches_log;
DROP TABLE regress_batches_log;
DROP TABLE public.regress_batches_log;

-- $n that there are not, or that cannot be; objects that there are not
SELECT pg_temp.statement('SELECT $4');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id, tags, name FROM item', 'stmt')$$);
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT FROM item', 'stmt')$$);
SELECT pg_temp.statement('SELECT $0');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id FROM item', 'stmt')$$);
-- (arrays of arrays: a column that is an array has no array of its values)
SELECT pg_temp.statement('SELECT $2');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id, tags, name FROM item', 'stmt')$$);
SELECT pg_temp.statement('SELECT $1 + 1');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id FROM item', 'stmt')$$);
SELECT pg_temp.statement('DELETE FROM nowhere WHERE id = ANY ($1)');
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT id FROM item', 'stmt')$$);
-- before a row is read: this source would raise another error
SELECT pg_temp.error_of($$SELECT pg_temp.walk('SELECT 1 / (id - 1) FROM item', 'stmt')$$);

-- the plan follows what happens to its table between two batches
CREATE TABLE changing (id integer);
CREATE FUNCTION change(i integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER TABLE changing ADD COLUMN c%s integer DEFAULT 7', i);
	RETURN i;
END
$$;
SELECT pg_temp.statement('INSERT INTO changing SELECT unnest($1)');
SELECT pg_temp.walk('SELECT change(i) FROM generate_series(1, 4) i', 'stmt', 1);
SELECT * FROM changing ORDER BY id;
-- which it may not change itself
CREATE FUNCTION change_more() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM change(99); RETURN NULL; END $$;
CREATE TRIGGER change_more AFTER INSERT ON changing FOR EACH STATEMENT EXECUTE FUNCTION change_more();
SELECT left(pg_temp.error_of($$SELECT pg_temp.walk('SELECT 5', 'stmt')$$), 5);

--
-- Large batches
--

-- every row of a large batch arrives once
CREATE TABLE seen (id integer);
SELECT pg_temp.statement('INSERT INTO seen SELECT unnest($1)');
SELECT pg_temp.walk('SELECT generate_series(1, 50000)', 'stmt', 49999);
SELECT count(*), count(DISTINCT id), min(id), max(id) FROM seen;

-- nothing stays in the session: plans, cursors, contexts
SELECT count(*) FROM pg_backend_memory_contexts
WHERE name IN ('CachedPlanSource', 'CachedPlan') AND ident LIKE '%INSERT INTO seen%' OR name LIKE 'streamiter%';
SELECT count(*) FROM pg_cursors;
\pset format aligned
\pset tuples_only off

SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks WHERE owner::text = current_user;
SET client_min_messages = error;
DROP SCHEMA regress_batches CASCADE;
