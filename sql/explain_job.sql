--
-- What a job is going to do
--
SET client_min_messages = warning;
CREATE SCHEMA explain_test;
SET search_path = explain_test, public;
RESET client_min_messages;

CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
INSERT INTO item SELECT g FROM generate_series(1, 1000) g;
ANALYZE item;
CREATE FUNCTION work(item) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';

-- a row function; nothing done yet, then some of it, then all
SELECT streamiter.create_job('rows', 'TABLE item', 'work(item)',
	chunk_size => 100);
SELECT * FROM streamiter.explain_job('rows');
CALL streamiter.run('rows', max_rows => 500);
SELECT * FROM streamiter.explain_job('rows') AS line
WHERE line ~ '^(Rows|Batches)';
CALL streamiter.run('rows');
SELECT * FROM streamiter.explain_job('rows') AS line
WHERE line ~ '^(Rows|Batches)';

-- a range statement reads keys only
SELECT streamiter.register_statement('add',
	'UPDATE item SET v = v + 1 WHERE id BETWEEN $1 AND $2', per => 'range');
SELECT streamiter.create_job('range', 'TABLE item', 'add');
SELECT * FROM streamiter.explain_job('range');

-- min_chunk_size is a bound of target_batch_time
SELECT streamiter.alter_job('range', min_chunk_size => 5000);
SELECT * FROM streamiter.explain_job('range') AS line WHERE line ~ '^(Rows|Batches)';
SELECT streamiter.alter_job('range', target_batch_time => '10 s');
SELECT * FROM streamiter.explain_job('range') AS line WHERE line ~ '^(Rows|Batches)';

-- a statement that gets arrays, and rows that are locked
SELECT streamiter.register_statement('set',
	'UPDATE item i
	SET v = u.v FROM unnest($1, $2) u (id, v) WHERE i.id = u.id');
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT streamiter.create_job('arrays', 'SELECT id, v + 1 AS v FROM item',
	'set', lock_rows => 'update', chunk_size => 10);
SELECT * FROM streamiter.explain_job('arrays');
RESET enable_hashjoin;
RESET enable_mergejoin;

-- a source of several tables
CREATE TABLE part (item_id integer, n integer, PRIMARY KEY (item_id, n));
INSERT INTO part SELECT g, n FROM generate_series(1, 1000) g,
	generate_series(1, 3) n;
ANALYZE part;
CREATE FUNCTION count_parts(integer, integer, integer) RETURNS void
	LANGUAGE sql AS '';
SELECT streamiter.create_job('join',
	'SELECT p.item_id, p.n, i.v FROM part p JOIN item i ON i.id = p.item_id',
	'count_parts(integer, integer, integer)', key => '{item_id, n}');
SELECT * FROM streamiter.explain_job('join') AS line
WHERE line !~ '^ ' OR line ~ 'SELECT';

-- an empty source
CREATE TABLE nothing (id integer PRIMARY KEY);
CREATE FUNCTION noop(integer) RETURNS void LANGUAGE sql AS '';
SELECT streamiter.create_job('empty', 'TABLE nothing', 'noop(integer)');
SELECT * FROM streamiter.explain_job('empty') AS line WHERE line !~ '^ ';

-- nothing was done, and only one's own jobs can be looked at
SELECT sum(v) FROM item;
SELECT streamiter.explain_job(NULL);
SELECT streamiter.explain_job('unknown');
CREATE ROLE regress_streamiter_explain;
SET ROLE regress_streamiter_explain;
SELECT streamiter.explain_job('rows');
RESET ROLE;
DROP ROLE regress_streamiter_explain;

SET client_min_messages = warning;
SELECT count(streamiter.drop_job(name)) FROM streamiter.jobs;
SELECT count(streamiter.unregister_callback(name)) FROM streamiter.callbacks;
DROP SCHEMA explain_test CASCADE;
