--
-- Related rows: one query per batch
--
SET client_min_messages = warning;
CREATE SCHEMA prefetch;
SET search_path = prefetch, public;
RESET client_min_messages;

CREATE TABLE author (id bigint PRIMARY KEY, name text, editor bigint);
INSERT INTO author SELECT g, 'author ' || g, nullif(g % 10, 3)
FROM generate_series(1, 100) g;

-- none, one, some or many books
CREATE TABLE book (id integer PRIMARY KEY, author_id integer, title text,
	price numeric, tags text[], printed timestamptz);
INSERT INTO book
SELECT row_number() OVER (), a.id, repeat('x', g % 7), nullif(g % 5, 0) + 0.10,
	ARRAY['a', NULL, g::text], '2026-01-01'::timestamptz + g * interval '1 h'
FROM author a, generate_series(1, CASE WHEN a.id = 50 THEN 100 ELSE a.id::integer % 4 END) g;
CREATE INDEX ON book (author_id);
ANALYZE author, book;
CREATE TABLE got (id bigint, related jsonb);

-- rows that got something else than these, byte by byte
CREATE FUNCTION check_got() RETURNS TABLE (calls bigint, authors bigint, books bigint, wrong bigint)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT count(*), count(DISTINCT g.id), sum(jsonb_array_length(related)),
		count(*) FILTER (WHERE NOT record_image_eq(ROW(g.related), ROW(e.expected)))
	FROM got g CROSS JOIN LATERAL (
		SELECT coalesce(jsonb_agg(to_jsonb(b) ORDER BY b.id), '[]') AS expected
		FROM book b WHERE b.author_id = g.id) e;
	TRUNCATE got;
END $$;

-- counts the queries, those that are undone too
CREATE SEQUENCE asked MINVALUE 0;
SELECT setval('asked', 0);
CREATE FUNCTION ask(anyarray) RETURNS anyarray LANGUAGE plpgsql AS $$
BEGIN
	PERFORM nextval('prefetch.asked');
	RETURN $1;
END $$;
CREATE FUNCTION queries() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint := (SELECT last_value FROM asked);
BEGIN
	PERFORM setval('asked', 0);
	RETURN n;
END $$;
\set books '''SELECT author_id, b.* FROM book b WHERE author_id = ANY ($1) ORDER BY b.id'''
\set counted '''WITH a AS MATERIALIZED (SELECT ask($1) AS keys) SELECT author_id, b.* FROM a, book b WHERE author_id = ANY (a.keys) ORDER BY b.id'''

--
-- Kinds of callbacks
--
CREATE FUNCTION take(id bigint, name text, editor bigint, related jsonb) RETURNS void
LANGUAGE plpgsql AS 'BEGIN INSERT INTO prefetch.got VALUES ($1, $4); END';
CREATE FUNCTION take(author, jsonb) RETURNS void
LANGUAGE plpgsql AS 'BEGIN INSERT INTO prefetch.got VALUES ($1.id, $2); END';
CREATE FUNCTION take_record(record, jsonb, extra text DEFAULT 'x') RETURNS void
LANGUAGE plpgsql AS 'BEGIN INSERT INTO prefetch.got VALUES (($1::text::prefetch.author).id, $2); END';
CREATE FUNCTION take_sql(bigint, anyelement, bigint, jsonb) RETURNS void
LANGUAGE sql AS 'INSERT INTO prefetch.got VALUES ($1, $4)';
CREATE FUNCTION take_arrays(bigint[], text[], bigint[], jsonb[]) RETURNS void
LANGUAGE sql AS 'INSERT INTO prefetch.got SELECT a, d FROM unnest($1, $2, $3, $4) u(a, b, c, d)';
CREATE FUNCTION take_rows(author[], jsonb[]) RETURNS void
LANGUAGE sql AS 'INSERT INTO prefetch.got SELECT id, d FROM unnest($1, $2) u(id, name, editor, d)';
SELECT streamiter.register_callback('arrays', 'take_arrays(bigint[], text[], bigint[], jsonb[])', 'batch');
SELECT streamiter.register_callback('rows', 'take_rows(author[], jsonb[])', 'batch');
SELECT streamiter.register_statement('statement', 'INSERT INTO prefetch.got SELECT * FROM unnest($1, $4)');

SELECT streamiter.register_statement('explained', 'SELECT k, r FROM unnest($1, $2) u(k, r)');

DO $$
DECLARE
	callback text;
	on_error text;
	walked record;
	result record;
BEGIN
	FOREACH callback IN ARRAY ARRAY['take(bigint, text, bigint, jsonb)',
		'take(author, jsonb)', 'take_record(record, jsonb, text)',
		'take_sql(bigint, anyelement, bigint, jsonb)', 'arrays', 'rows', 'statement'] LOOP
		FOREACH on_error IN ARRAY ARRAY['stop', 'skip'] LOOP
			SELECT * INTO walked FROM streamiter.for_each('TABLE author', callback,
				on_error => on_error, chunk_size => 30, prefetch_key => 'id', prefetch =>
				'WITH a AS MATERIALIZED (SELECT ask($1) AS keys)'
				' SELECT author_id, b.* FROM a, book b WHERE author_id = ANY (a.keys)'
				' ORDER BY b.id');
			SELECT * INTO result FROM check_got();
			RAISE NOTICE '% %: % rows, % batches, % queries, % calls for %, % books, % wrong',
				callback, on_error, walked.rows, walked.batches, queries(),
				result.calls, result.authors, result.books, result.wrong;
		END LOOP;
	END LOOP;
END $$;

-- one that could be fused into the plan, if there were no related rows
CREATE FUNCTION check_empty(bigint, jsonb) RETURNS integer
LANGUAGE sql AS 'SELECT CASE WHEN $2 = ''[]'' THEN 1 ELSE 1 / ($1 - 7)::integer END';
SELECT streamiter.for_each('SELECT id FROM author ORDER BY id', 'check_empty(bigint, jsonb)',
	prefetch => :books, prefetch_key => 'id');

--
-- Exactly one query a batch, whatever the chunk size
--
DO $$
DECLARE
	chunk integer;
	walked record;
	result record;
BEGIN
	FOREACH chunk IN ARRAY ARRAY[1, 7, 50, 99, 100, 101] LOOP
		SELECT * INTO walked FROM streamiter.for_each('TABLE author', 'take(author, jsonb)',
			chunk_size => chunk, prefetch_key => 'id', prefetch =>
			'WITH a AS MATERIALIZED (SELECT ask($1) AS keys)'
			' SELECT author_id, b.* FROM a, book b WHERE author_id = ANY (a.keys)'
			' ORDER BY b.id');
		SELECT * INTO result FROM check_got();
		RAISE NOTICE '%: % batches, % queries, % authors, % wrong',
			chunk, walked.batches, queries(), result.authors, result.wrong;
	END LOOP;
END $$;

-- keys are distinct and not null; no row, or no key: no query
CREATE FUNCTION show_keys(bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'asked for %', $1; RETURN $1; END $$;
CREATE FUNCTION show(bigint, jsonb) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% has %', $1, $2; END $$;
\set editors '''SELECT k, k * 2 AS double FROM unnest(show_keys($1)) k WHERE k <> 5'''
SELECT rows, batches FROM streamiter.for_each(
	'SELECT x FROM unnest(ARRAY[7, 5, NULL, 7, 1, NULL, NULL, 9]::bigint[]) x',
	'show(bigint, jsonb)', chunk_size => 5, prefetch => :editors, prefetch_key => 'x');
SELECT rows, batches FROM streamiter.for_each('SELECT NULL::bigint AS x',
	'show(bigint, jsonb)', prefetch => :editors, prefetch_key => 'x');
SELECT rows, batches FROM streamiter.for_each('SELECT 1::bigint AS x WHERE false',
	'show(bigint, jsonb)', prefetch => :editors, prefetch_key => 'x');

--
-- Types of keys
--
CREATE DOMAIN author_key AS bigint CHECK (VALUE > 0);
CREATE FUNCTION show_any(anyelement, jsonb) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% has %', $1, $2; END $$;
CREATE FUNCTION try_keys(query text, prefetch text) RETURNS void LANGUAGE sql AS $$
	SELECT streamiter.for_each(query, 'show_any(anyelement, jsonb)',
		prefetch => prefetch, prefetch_key => 'k')
$$;
-- a domain, an array of which is not an array of its base type
SELECT try_keys('SELECT 3::author_key AS k', 'SELECT author_id::author_key, id FROM book WHERE author_id = ANY ($1) ORDER BY id');
SELECT try_keys('SELECT 3::smallint AS k', 'SELECT author_id::numeric, id FROM book WHERE author_id = ANY ($1) AND id < 5');
SELECT try_keys($$SELECT k FROM (VALUES (1.0), (1.00), (2)) v(k)$$, 'SELECT k::integer, k AS numeric FROM unnest($1) k');
SELECT try_keys($$SELECT k::varchar(3) FROM (VALUES ('a'), ('B')) v(k)$$, 'SELECT k::text, lower(k) FROM unnest($1) k');
SELECT try_keys($$SELECT k::char(3) FROM (VALUES ('a'), ('B')) v(k)$$, 'SELECT k, lower(k) FROM unnest($1) k');
SELECT try_keys($$SELECT k::name FROM (VALUES ('a')) v(k)$$, 'SELECT k::text, k FROM unnest($1) k');
SELECT try_keys('SELECT NULL::uuid AS k', 'SELECT k, 1 AS one FROM unnest($1) k');
-- several columns, as one row value
CREATE TYPE pair AS (a integer, b text);
SELECT try_keys($$SELECT ROW(1, 'x')::pair AS k UNION ALL SELECT ROW(1, NULL)::pair$$,
	$$SELECT k, (k).a FROM unnest($1) k WHERE (k).b IS NOT NULL$$);
SELECT try_keys($$SELECT ROW(author_id, id) AS k FROM book WHERE id < 3$$,
	'SELECT ROW(author_id, id), title FROM book WHERE ROW(author_id, id) = ANY ($1)');
-- equal as the linking column sees it
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE word (w text COLLATE caseless, n integer);
INSERT INTO word VALUES ('ONE', 1), ('one', 11), ('two', 2);
SELECT try_keys($$SELECT k FROM (VALUES ('One'), ('onE'), ('TWO')) v(k)$$, 'SELECT w, n FROM word WHERE w = ANY ($1) ORDER BY n');

--
-- Hostile names, and a column named as ours
--
CREATE TABLE "a'b""; --" ("k'; ""DROP" bigint, related text);
INSERT INTO "a'b""; --" VALUES (1, 'x');
CREATE FUNCTION show_three(bigint, text, jsonb) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% % %', $1, $2, $3; END $$;
SELECT rows FROM streamiter.for_each($$TABLE "a'b""; --"$$, 'show_three(bigint, text, jsonb)',
	prefetch => $$SELECT "k'; ""DROP", * FROM "a'b""; --" WHERE "k'; ""DROP" = ANY ($1) -- $$,
	prefetch_key => $$k'; "DROP$$);

--
-- What is refused before any row is read
--
CREATE FUNCTION never() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN RAISE 'too late'; END $$;
CREATE FUNCTION refuse(prefetch text, key text DEFAULT 'id',
	callback text DEFAULT 'take(bigint, text, bigint, jsonb)') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text; context text;
BEGIN
	PERFORM streamiter.for_each('SELECT never() AS id, name, editor FROM author',
		callback, prefetch => prefetch, prefetch_key => key);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
		context = PG_EXCEPTION_CONTEXT;
	RAISE NOTICE E'% %\n  detail: %\n  hint: %\n  context: %', state, message,
		detail, hint, split_part(context, E'\nSQL statement', 1);
END $$;
SELECT refuse('SELECT author_id, id FROM book WHERE author_id = ANY ($1)', NULL);
SELECT refuse(NULL, 'id');
SELECT refuse(:books, 'no_such');
SELECT refuse(:books, 'ID');
SELECT refuse('');
SELECT refuse('SELECT 1; SELECT 2');
SELECT refuse('DELETE FROM book WHERE author_id = ANY ($1) RETURNING *');
SELECT refuse('SELECT author_id, id FROM book WHERE author_id = ANY ($1) FOR UPDATE');
SELECT refuse('SELECT author_id, id FROM book');
SELECT refuse('SELECT author_id, id FROM book WHERE author_id = ANY ($2)');
SELECT refuse('SELECT author_id, id FROM book WHERE author_id = $1');
SELECT refuse('SELECT author_id FROM book WHERE author_id = ANY ($1)');
SELECT refuse('SELECT FROM book WHERE author_id = ANY ($1)');
SELECT refuse('SELECT author_id, b.*, a.* FROM book b JOIN author a ON true WHERE author_id = ANY ($1)');
SELECT refuse('SELECT title, id FROM book WHERE author_id = ANY ($1)');
SELECT refuse('SELECT tags, id FROM book WHERE author_id = ANY ($1)');
SELECT refuse('SELECT author_id, id FROM no_such WHERE author_id = ANY ($1)');
SELECT refuse(:books, callback => 'show(bigint, jsonb)');
SELECT refuse(:books, callback => 'take_arrays(bigint[], text[], bigint[], jsonb[])');
SELECT streamiter.register_callback('one array', 'take_rows(author[], jsonb[])', 'batch');
SELECT streamiter.register_statement('$5', 'SELECT $5');
SELECT refuse('SELECT author_id, id FROM book WHERE author_id = ANY ($1)', callback => '$5');
CREATE FUNCTION take_related_as_text(author, text) RETURNS void LANGUAGE sql AS '';
SELECT refuse(:books, callback => 'take_related_as_text(author, text)');
SELECT streamiter.register_callback('short', 'array_ndims(anyarray)', 'batch');
SELECT refuse(:books, callback => 'short');
SELECT streamiter.for_each('SELECT 1 AS a, 2 AS a', 'never()', prefetch => :books, prefetch_key => 'a');
SELECT streamiter.for_each('SELECT tags FROM book', 'never()', prefetch => :books, prefetch_key => 'tags');
SELECT streamiter.for_each('SELECT ''(1,1)''::point AS p', 'never()', prefetch =>
	'SELECT p, 1 AS one FROM unnest($1) p', prefetch_key => 'p');
-- an ordinary callback has no place for related rows
SELECT streamiter.for_each('SELECT id FROM author', 'abs(bigint)', prefetch => :books, prefetch_key => 'id');

--
-- Errors in the query
--
SELECT streamiter.for_each('SELECT id FROM author ORDER BY id', 'show(bigint, jsonb)', chunk_size => 3,
	prefetch => 'SELECT author_id, CASE author_id WHEN 5 THEN 1 / (author_id - 5) END AS x FROM book WHERE author_id = ANY ($1)',
	prefetch_key => 'id');
-- a row that belongs nowhere would be lost: here the first column is book.id
SELECT streamiter.for_each('SELECT id FROM author WHERE id > 5', 'show(bigint, jsonb)',
	prefetch => 'SELECT b.* FROM book b WHERE author_id = ANY ($1) ORDER BY id', prefetch_key => 'id');
SELECT streamiter.for_each('SELECT id FROM author WHERE id > 5', 'show(bigint, jsonb)',
	prefetch => 'SELECT NULL::bigint, b.* FROM book b WHERE author_id = ANY ($1)', prefetch_key => 'id');
-- skip: the query fails for one row only, which is found in halves
SELECT rows, batches, skipped FROM streamiter.for_each('TABLE author', 'take(author, jsonb)',
	on_error => 'skip', chunk_size => 50, prefetch_key => 'id',
	prefetch => 'SELECT author_id, b.* FROM book b WHERE CASE WHEN author_id = ANY ($1) THEN author_id <> 37 OR 1 / (author_id - 37) = 0 END ORDER BY id');
SELECT * FROM check_got();
-- skip: the callback fails; each part asks again
CREATE FUNCTION take_or_fail(author, jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM prefetch.take($1, $2);
	IF $1.id IN (20, 21) THEN RAISE 'bad row'; END IF;
END $$;
SELECT rows, batches, skipped FROM streamiter.for_each('TABLE author', 'take_or_fail(author, jsonb)',
	on_error => 'skip', chunk_size => 50, prefetch_key => 'id', prefetch => :counted);
SELECT queries(), * FROM check_got();
-- a batch callback: halves
CREATE FUNCTION take_rows_or_fail(author[], jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM prefetch.take_rows($1, $2);
	IF EXISTS (SELECT FROM unnest($1) WHERE id IN (20, 21)) THEN RAISE 'bad batch'; END IF;
END $$;
SELECT streamiter.register_callback('fail', 'take_rows_or_fail(author[], jsonb[])', 'batch');
SELECT rows, batches, skipped FROM streamiter.for_each('TABLE author', 'fail',
	on_error => 'skip', chunk_size => 50, prefetch_key => 'id', prefetch => :counted);
SELECT queries() > 2 AS again, * FROM check_got();

-- the callback writes to the related table: the walk sees what its statement sees
CREATE FUNCTION take_and_delete(author, jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM prefetch.take($1, $2);
	DELETE FROM prefetch.book;
END $$;
BEGIN;
SELECT rows FROM streamiter.for_each('TABLE author', 'take_and_delete(author, jsonb)',
	chunk_size => 10, prefetch_key => 'id', prefetch => :books);
SELECT (SELECT count(*) FROM book) AS left, sum(jsonb_array_length(related)) AS books FROM got;
ROLLBACK;
-- or changes it so that the query is no longer the same
CREATE FUNCTION alter_book(author, jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF $1.id = 15 THEN ALTER TABLE prefetch.book ADD COLUMN late integer DEFAULT 1; END IF;
END $$;
SELECT rows FROM streamiter.for_each('SELECT * FROM author ORDER BY id', 'alter_book(author, jsonb)',
	chunk_size => 10, prefetch_key => 'id', prefetch => :books);
-- nothing is left behind
SELECT count(*) FROM pg_cursors;

--
-- Memory: a batch is cut where its related rows would fill too much of it
--
CREATE TABLE review (author_id bigint, body text);
INSERT INTO review SELECT 1 + g % 100, repeat(g::text, 200) FROM generate_series(1000, 4999) g;
\set reviews '''WITH a AS MATERIALIZED (SELECT ask($1) AS keys) SELECT author_id, body FROM a, review WHERE author_id = ANY (a.keys)'''
CREATE FUNCTION count_reviews(bigint, jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO prefetch.got SELECT $1, '[]' WHERE jsonb_array_length($2) = 40;
END $$;
SET streamiter.max_batch_memory = '1MB';
SELECT rows, batches BETWEEN 10 AND 40 AS cut, peak_batch_bytes <= 1024 * 1024 AS bounded,
	queries() - batches BETWEEN 1 AND 10 AS few_in_vain
FROM streamiter.for_each('SELECT id FROM author', 'count_reviews(bigint, jsonb)',
	prefetch => :reviews, prefetch_key => 'id');
SELECT count(*), count(DISTINCT id) FROM got;
TRUNCATE got;
-- many rows of one key: each gets its own copy
SELECT rows, batches BETWEEN 4 AND 15 AS cut, peak_batch_bytes <= 1024 * 1024 AS bounded
FROM streamiter.for_each('SELECT 7::bigint AS id FROM generate_series(1, 60)', 'count_reviews(bigint, jsonb)',
	prefetch => :reviews, prefetch_key => 'id');
SELECT count(*) FROM got;
TRUNCATE got;
-- many small rows
SELECT rows, batches > 4 AS cut, peak_batch_bytes <= 1024 * 1024 AS bounded
FROM streamiter.for_each('SELECT g::bigint AS id FROM generate_series(1, 30000) g', 'count_reviews(bigint, jsonb)',
	prefetch => 'SELECT k, 1 AS one FROM unnest($1) k', prefetch_key => 'id', chunk_size => 30000);
-- related rows that a single row has no room for: never skipped, never cut
SET streamiter.max_batch_memory = '100kB';
SELECT rows FROM streamiter.for_each('SELECT id FROM author ORDER BY id', 'count_reviews(bigint, jsonb)',
	prefetch => :reviews, prefetch_key => 'id', on_error => 'skip');
RESET streamiter.max_batch_memory;

--
-- Rights are the caller's
--
CREATE ROLE regress_streamiter_prefetch;
GRANT USAGE ON SCHEMA prefetch TO regress_streamiter_prefetch;
GRANT SELECT ON author TO regress_streamiter_prefetch;
SET ROLE regress_streamiter_prefetch;
SELECT rows FROM streamiter.for_each('SELECT id FROM author', 'show(bigint, jsonb)',
	prefetch => :books, prefetch_key => 'id');
RESET ROLE;
GRANT SELECT ON book TO regress_streamiter_prefetch;
ALTER TABLE book ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON book USING (author_id = 1);
SET ROLE regress_streamiter_prefetch;
SELECT rows FROM streamiter.for_each('SELECT id FROM author WHERE id < 4 ORDER BY id', 'show(bigint, jsonb)',
	prefetch => 'SELECT author_id, id FROM book WHERE author_id = ANY ($1)', prefetch_key => 'id');
RESET ROLE;
ALTER TABLE book DISABLE ROW LEVEL SECURITY;

--
-- Jobs
--
SELECT queries() > 0;
CREATE VIEW state AS
SELECT name, state, rows, batches, skipped, sqlstate, message FROM streamiter.jobs;
SELECT streamiter.create_job('books', 'TABLE author', 'take(author, jsonb)', chunk_size => 30,
	prefetch => :counted, prefetch_key => 'id');
SELECT prefetch_key, prefetch LIKE 'WITH%' AS prefetch FROM streamiter.jobs;
SELECT rows, batches_tried FROM streamiter.dry_run('books', batches => 2);
SELECT queries();
CALL streamiter.run('books');
SELECT * FROM state;
SELECT queries(), * FROM check_got();
SELECT streamiter.drop_job('books');

-- every kind of callback, the rows locked or not, with look-ahead or without
DO $$
DECLARE
	callback text;
BEGIN
	FOREACH callback IN ARRAY ARRAY['take(bigint, text, bigint, jsonb)',
		'take_record(record, jsonb, text)', 'take_sql(bigint, anyelement, bigint, jsonb)',
		'arrays', 'rows', 'statement'] LOOP
		PERFORM streamiter.create_job(callback, 'TABLE author', callback, chunk_size => 30,
			prefetch_key => 'id', prefetch =>
			'WITH a AS MATERIALIZED (SELECT ask($1) AS keys)'
			' SELECT author_id, b.* FROM a, book b WHERE author_id = ANY (a.keys)'
			' ORDER BY b.id');
	END LOOP;
END $$;
CREATE PROCEDURE run_all() LANGUAGE plpgsql AS $$
DECLARE
	job text;
	result record;
BEGIN
	FOR job IN SELECT name FROM streamiter.jobs ORDER BY name COLLATE "C" LOOP
		CALL streamiter.run(job);
		SELECT * INTO result FROM prefetch.check_got();
		RAISE NOTICE '%: % queries, % calls for %, % books, % wrong', job, prefetch.queries(),
			result.calls, result.authors, result.books, result.wrong;
		PERFORM streamiter.drop_job(job);
	END LOOP;
END $$;
SET client_min_messages = notice;
CALL run_all();
SELECT streamiter.create_job('locked', 'TABLE author', 'take(author, jsonb)', chunk_size => 30,
	lock_rows => 'update', prefetch => :counted, prefetch_key => 'id');
SELECT streamiter.create_job('key not proven', 'SELECT a.* FROM author a JOIN author e ON e.id = a.id',
	'take(author, jsonb)', key => '{id}', chunk_size => 30, allow_slow_plan => true,
	prefetch => :counted, prefetch_key => 'id');
CALL run_all();

-- related rows fill the memory: batches are cut, and nothing is lost
SELECT streamiter.create_job('large', 'SELECT id FROM author', 'count_reviews(bigint, jsonb)',
	prefetch => :reviews, prefetch_key => 'id');
SELECT streamiter.create_job('large locked', 'SELECT id FROM author', 'count_reviews(bigint, jsonb)',
	lock_rows => 'update', prefetch => :reviews, prefetch_key => 'id');
SET streamiter.max_batch_memory = '1MB';
CALL streamiter.run('large');
SELECT count(*), count(DISTINCT id) FROM got;
CALL streamiter.run('large locked');
SELECT count(*), count(DISTINCT id) FROM got;
SELECT name, state, rows, batches BETWEEN 10 AND 40 AS cut FROM streamiter.jobs ORDER BY name;
TRUNCATE got;
SELECT streamiter.reset('large');
SELECT streamiter.alter_job('large', on_error => 'skip');
SET streamiter.max_batch_memory = '100kB';
CALL streamiter.run('large');
SELECT state, rows, skipped, sqlstate, message FROM streamiter.jobs WHERE name = 'large';
RESET streamiter.max_batch_memory;
CALL streamiter.run('large');
SELECT * FROM state WHERE name = 'large';
SELECT count(*), count(DISTINCT id) FROM got;
TRUNCATE got;
SELECT streamiter.drop_job(name) FROM streamiter.jobs;
SELECT queries() > 0;

-- skip: a callback that fails, and a query that does
SELECT streamiter.create_job('bad rows', 'TABLE author', 'take_or_fail(author, jsonb)', chunk_size => 50,
	on_error => 'skip', prefetch_key => 'id', prefetch =>
	'SELECT author_id, b.* FROM book b WHERE CASE WHEN author_id = ANY ($1) THEN author_id <> 37 OR 1 / (author_id - 37) = 0 END ORDER BY b.id');
CALL streamiter.run('bad rows');
SELECT * FROM state;
SELECT key, row_data, sqlstate, message, context FROM streamiter.skipped ORDER BY key;
SELECT * FROM check_got();
DELETE FROM book WHERE author_id = 37;
CREATE OR REPLACE FUNCTION take_or_fail(author, jsonb) RETURNS void LANGUAGE sql AS
	'INSERT INTO prefetch.got VALUES ($1.id, $2)';
SELECT streamiter.alter_job('bad rows', acknowledge => true);
SELECT streamiter.retry_skipped('bad rows');
CALL streamiter.run('bad rows');
SELECT * FROM state;
SELECT * FROM check_got();

SELECT streamiter.create_job('explained', 'SELECT id FROM author', 'explained', chunk_size => 10,
	prefetch => 'SELECT k, k * 2 AS double FROM unnest($1) k', prefetch_key => 'id');
SELECT streamiter.explain_job('explained');
SELECT streamiter.drop_job('explained');

-- stop, and on with another run; what the query is about has changed meanwhile
SELECT streamiter.create_job('stop', 'TABLE author', 'take(author, jsonb)', chunk_size => 30, prefetch_key => 'id',
	prefetch => 'SELECT author_id, b.* FROM book b WHERE CASE WHEN author_id = ANY ($1) THEN author_id <> 39 OR 1 / (author_id - 39) = 0 END ORDER BY b.id');
CALL streamiter.run('stop');
SELECT name, state, rows, batches, message FROM state WHERE name = 'stop';
ALTER TABLE book RENAME TO volume;
CALL streamiter.run('stop');
ALTER TABLE volume RENAME TO book;
ALTER TABLE book ADD COLUMN pages integer DEFAULT 100;
UPDATE book SET author_id = 41 WHERE author_id = 39;
CALL streamiter.run('stop');
SELECT name, state, rows, batches, message FROM state WHERE name = 'stop';
SELECT calls, authors FROM check_got();
-- several processes
SELECT streamiter.reset('stop');
CALL streamiter.run('stop', workers => 2);
SELECT name, state, rows FROM state WHERE name = 'stop';
SELECT * FROM check_got();

-- what jobs refuse
SELECT streamiter.register_statement('range', 'SELECT $1, $2', per => 'range');
SELECT streamiter.create_job('x', 'TABLE author', 'range', prefetch => :books, prefetch_key => 'id');
SELECT streamiter.create_job('x', 'TABLE author', 'take(author, jsonb)', prefetch => :books);
SELECT streamiter.create_job('x', 'TABLE author', 'take(author, jsonb)', prefetch_key => 'id');
SELECT streamiter.create_job('x', 'TABLE author', 'take(author, jsonb)', prefetch => 'SELECT $1', prefetch_key => 'id');
SELECT streamiter.create_job('x', 'TABLE author', 'take_rows(author[], jsonb[])', prefetch => :books, prefetch_key => 'id');
SELECT streamiter.alter_job('stop', callback => 'range');
SELECT streamiter.alter_job('stop', callback => 'abs(bigint)');
SELECT count(*) FROM streamiter.jobs;

SELECT streamiter.drop_job(name) FROM streamiter.jobs;
SELECT streamiter.unregister_callback(name) FROM streamiter.callbacks;
SET client_min_messages = warning;
DROP SCHEMA prefetch CASCADE;
DROP ROLE regress_streamiter_prefetch;
