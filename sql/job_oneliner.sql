--
-- backfill, purge, archive: a job in one statement
--
SET client_min_messages = warning;
CREATE SCHEMA job_oneliner;
SET search_path = job_oneliner, public;
RESET client_min_messages;

CREATE TABLE users (id integer PRIMARY KEY, email text, n integer DEFAULT 0);
INSERT INTO users SELECT g, CASE WHEN g % 10 = 0 THEN 'A@X' ELSE 'a@x' END
FROM generate_series(1, 1000) g;

-- batches are bounded by keys, not by what the filter lets through
CALL streamiter.backfill('users', set => 'email = lower(email), n = n + 1',
	filter => 'email <> lower(email)', chunk_size => 100);
SELECT email, n, count(*) FROM users GROUP BY email, n ORDER BY n;
SELECT regexp_replace(name, '[0-9a-f]{8}$', 'X') AS name, state, rows, batches,
	affected, source, callback, key, recurrence
FROM streamiter.jobs;
SELECT statement FROM streamiter.jobs;

-- the same call starts another pass, or goes on with one
CALL streamiter.backfill('users', set => 'email = lower(email), n = n + 1',
	filter => 'email <> lower(email)');
UPDATE users SET email = upper(email);
CALL streamiter.backfill('users', set => 'email = lower(email), n = n + 1',
	filter => 'email <> lower(email)', max_rows => 250);
CALL streamiter.backfill('users', set => 'email = lower(email), n = n + 1',
	filter => 'email <> lower(email)', max_duration => '0');
CALL streamiter.backfill('users', set => 'email = lower(email), n = n + 1',
	filter => 'email <> lower(email)');
SELECT email, n, count(*) FROM users GROUP BY email, n ORDER BY n;
SELECT pass, state, rows, affected, chunk_size FROM streamiter.jobs;
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- a name of one's own, no filter, another key
CALL streamiter.backfill('users', set => 'n = -1', name => 'minus');
CALL streamiter.backfill('users', set => 'n = -2', name => 'minus');
SELECT n, count(*) FROM users GROUP BY n;
SELECT streamiter.alter_job('minus', callback => 'f(integer)');
SELECT streamiter.pause('minus');
CALL streamiter.backfill('users', set => 'n = -1', name => 'minus');
SELECT streamiter.drop_job('minus');

-- what the user writes stays where it belongs
CREATE TABLE pair (a integer, b text COLLATE "C", "odd ""name" integer,
	v integer DEFAULT 0, PRIMARY KEY (a, b), UNIQUE ("odd ""name"));
ALTER TABLE pair ALTER "odd ""name" SET NOT NULL;
INSERT INTO pair SELECT g / 3, 'b' || g, g FROM generate_series(1, 30) g;
CALL streamiter.backfill('pair', set => 'v = v + 1 -- one more',
	filter => 'a > 2 OR b < ''b2'' -- most', name => 'p', chunk_size => 4);
SELECT v, count(*) FROM pair GROUP BY v ORDER BY v;
SELECT statement FROM streamiter.jobs;
CALL streamiter.backfill('pair', set => '(v) = ROW (v + 1)', name => 'q',
	key => '{"odd \"name"}', chunk_size => 4);
SELECT statement FROM streamiter.jobs WHERE name = 'q';
SELECT v, count(*) FROM pair GROUP BY v ORDER BY v;
CALL streamiter.backfill('pair', set => 'v = 1', filter => 'true) OR (true');
CALL streamiter.backfill('pair', set => 'v = 1', filter => 'true; DROP TABLE pair');
CALL streamiter.backfill('pair', set => 'v = 1', filter => 'true ORDER BY 1');
CALL streamiter.backfill('pair', set => 'v = 1', filter => '');
CALL streamiter.backfill('pair', set => 'v = 1', filter => 'nothing = 1');
CALL streamiter.backfill('pair', set => 'v = 1 WHERE true');
CALL streamiter.backfill('pair', set => 'v = 1 RETURNING a');
CALL streamiter.backfill('pair', set => 'v = 1; DROP TABLE pair');
CALL streamiter.backfill('pair', set => '');
CALL streamiter.backfill('pair', set => 'a = a + 1');
CALL streamiter.backfill('pair', set => '(v, b) = (1, b)');
CALL streamiter.backfill('pair', set => '"odd ""name" = 1',
	key => '{"odd \"name"}');
CALL streamiter.backfill('pair', set => NULL);
CALL streamiter.backfill(NULL, set => 'v = 1');
CALL streamiter.backfill('pair', set => 'v = 1', chunk_size => 0);
CALL streamiter.backfill('pair', set => 'v = 1', key => '{v}');
CREATE TABLE made (a integer, v integer,
	k integer GENERATED ALWAYS AS (a * 10) STORED NOT NULL PRIMARY KEY);
INSERT INTO made SELECT generate_series(1, 20);
CALL streamiter.backfill('made', set => 'v = 1, a = a + 100', chunk_size => 5);
CALL streamiter.backfill('made', set => '(v, a) = (1, a)');
CALL streamiter.backfill('made', set => 'v = a', name => 'made');
SELECT min(a), max(a), sum(v) FROM made;
SELECT streamiter.drop_job('made');
BEGIN;
CALL streamiter.backfill('pair', set => 'v = 1');
ROLLBACK;
CREATE VIEW pairs AS TABLE pair;
CALL streamiter.backfill('pairs', set => 'v = 1');
CREATE TABLE keyless (v integer);
CALL streamiter.backfill('keyless', set => 'v = 1');
SELECT v, count(*) FROM pair GROUP BY v ORDER BY v;
SELECT name FROM streamiter.jobs ORDER BY name;
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- an error keeps what was committed, and the next call goes on
CALL streamiter.backfill('users', set => 'n = 1 / (id - 500)', name => 'div',
	chunk_size => 100);
SELECT state, rows FROM streamiter.jobs;
SELECT streamiter.alter_job('div', on_error => 'skip');
CALL streamiter.backfill('users', set => 'n = 1 / (id - 500)', name => 'div');
SELECT key, row_data FROM streamiter.skipped;
SELECT streamiter.drop_job('div');

--
-- Purge
--
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL, note text,
	day date GENERATED ALWAYS AS ((at AT TIME ZONE 'UTC')::date) STORED);
INSERT INTO events (at, note)
SELECT '2025-12-01 00:00+00'::timestamptz + g * interval '1 hour', 'n' || g
FROM generate_series(1, 2000) g;
CALL streamiter.purge('events', filter => 'at < ''2025-12-11 00:00+00''',
	chunk_size => 100, max_rows => 150);
CALL streamiter.purge('events', filter => 'at < ''2025-12-11 00:00+00''');
SELECT count(*), min(id), max(id) FROM events;
CALL streamiter.purge('events', filter => NULL);
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

--
-- Archive: each row is in one of the two tables, whole
--
CREATE TABLE events_2025 (note text, at timestamptz, extra integer DEFAULT 7,
	id bigint GENERATED ALWAYS AS IDENTITY, day date);
CREATE TABLE before AS TABLE events;
CALL streamiter.archive('events', target => 'events_2025',
	filter => 'at < ''2026-01-01 00:00+00''', chunk_size => 100,
	max_rows => 333);
SELECT count(*) FROM events_2025;
CALL streamiter.archive('events', target => 'events_2025',
	filter => 'at < ''2026-01-01 00:00+00''');
SELECT count(*), min(at) >= '2026-01-01 00:00+00' AS new FROM events;
SELECT count(*), max(at) < '2026-01-01 00:00+00' AS old, min(extra), max(extra)
FROM events_2025;
(TABLE events UNION ALL SELECT id, at, note, day FROM events_2025)
EXCEPT ALL TABLE before;
TABLE before EXCEPT ALL
(TABLE events UNION ALL SELECT id, at, note, day FROM events_2025);
SELECT statement FROM streamiter.jobs;
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- what could lose something is refused
CALL streamiter.archive('events', target => 'events', filter => 'true');
ALTER TABLE events ADD more integer;
CALL streamiter.archive('events', target => 'events_2025', filter => 'true');
ALTER TABLE events_2025 ADD more smallint;
CALL streamiter.archive('events', target => 'events_2025', filter => 'true');
ALTER TABLE events_2025 ALTER more TYPE integer;
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN RETURN NULL; END';
CREATE TRIGGER swallow BEFORE INSERT ON events_2025
	FOR EACH ROW EXECUTE FUNCTION swallow();
CALL streamiter.archive('events', target => 'events_2025', filter => 'true');
DROP TRIGGER swallow ON events_2025;
CREATE RULE lose AS ON INSERT TO events_2025 DO INSTEAD NOTHING;
CALL streamiter.archive('events', target => 'events_2025', filter => 'true');
DROP RULE lose ON events_2025;
CREATE VIEW view_2025 AS TABLE events_2025;
CALL streamiter.archive('events', target => 'view_2025', filter => 'true');
CREATE TABLE detail (event bigint REFERENCES events ON DELETE CASCADE);
CALL streamiter.archive('events', target => 'events_2025', filter => 'true');
DROP TABLE detail;
CREATE TABLE detail (event bigint REFERENCES events);
INSERT INTO detail SELECT max(id) FROM events;
CALL streamiter.archive('events', target => 'events_2025', filter => 'true',
	chunk_size => 100);
SELECT state, rows, affected, sqlstate FROM streamiter.jobs;
DELETE FROM detail;
CALL streamiter.archive('events', target => 'events_2025', filter => 'true');
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM events_2025);
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- a run looks again whether anything would get lost
CREATE TABLE kept (id integer PRIMARY KEY, v numeric);
INSERT INTO kept SELECT g, g + 0.5 FROM generate_series(1, 20) g;
CREATE TABLE kept_old (LIKE kept);
CALL streamiter.archive('kept', target => 'kept_old', filter => 'true',
	name => 'keep', chunk_size => 5, max_rows => 5);
CREATE TRIGGER swallow BEFORE INSERT ON kept_old
	FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CALL streamiter.run('keep');
DROP TRIGGER swallow ON kept_old;
CREATE TABLE of_kept (id integer REFERENCES kept ON DELETE CASCADE);
CALL streamiter.run('keep');
DROP TABLE of_kept;
ALTER TABLE kept_old ALTER v TYPE integer;
CALL streamiter.run('keep');
ALTER TABLE kept_old ALTER v TYPE numeric;
ALTER TABLE kept ADD note text DEFAULT 'precious';
CALL streamiter.run('keep');
ALTER TABLE kept_old ADD note text;
CALL streamiter.run('keep');
ALTER TABLE kept DROP note;
CALL streamiter.run('keep');
SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM kept_old);
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- what both tables compute must be the same
CREATE TABLE priced (id integer PRIMARY KEY, net numeric,
	gross numeric GENERATED ALWAYS AS (net * 1.19) STORED);
CREATE TABLE priced_old (gross numeric GENERATED ALWAYS AS (net * 1.07) STORED,
	net numeric, id integer PRIMARY KEY);
INSERT INTO priced VALUES (1, 100), (2, 200);
CALL streamiter.archive('priced', target => 'priced_old', filter => 'true');
ALTER TABLE priced_old DROP gross, ADD gross numeric;
CALL streamiter.archive('priced', target => 'priced_old', filter => 'id = 1',
	name => 'as value');
DROP TABLE priced_old;
CREATE TABLE priced_old (gross numeric GENERATED ALWAYS AS (net * 1.19) STORED,
	net numeric, id integer PRIMARY KEY);
CALL streamiter.archive('priced', target => 'priced_old', filter => 'id = 2');
SELECT * FROM priced_old;
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- from and to partitioned tables
CREATE TABLE parted (id integer, day integer, note text,
	PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
CREATE TABLE old (LIKE parted) PARTITION BY HASH (id);
CREATE TABLE old_0 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE old_1 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT g, g % 20, 'x' FROM generate_series(1, 500) g;
CALL streamiter.archive('parted_1', target => 'parted', filter => 'true');
CALL streamiter.archive('parted', target => 'parted_2', filter => 'true');
CALL streamiter.archive('parted', target => 'old', filter => 'day < 15',
	chunk_size => 30);
SELECT (SELECT count(*) FROM parted), (SELECT count(*) FROM old),
	(SELECT count(DISTINCT id) FROM (SELECT id FROM parted
		UNION ALL SELECT id FROM old) u);
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- what refers to one partition refers to its rows in the whole, and back
CREATE TABLE whole (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES FROM (0) TO (100)
	PARTITION BY RANGE (id);
CREATE TABLE whole_1a PARTITION OF whole_1 DEFAULT;
CREATE TABLE whole_2 PARTITION OF whole DEFAULT;
INSERT INTO whole SELECT generate_series(1, 199);
CREATE TABLE whole_old (id integer);
CREATE TABLE child (id integer PRIMARY KEY,
	whole integer REFERENCES whole_1a ON DELETE CASCADE);
INSERT INTO child SELECT g, g FROM generate_series(1, 50) g;
CALL streamiter.archive('whole', target => 'whole_old', filter => 'true');
CALL streamiter.archive('whole_1', target => 'whole_old', filter => 'true');
SELECT (SELECT count(*) FROM child), (SELECT count(*) FROM whole_old);
ALTER TABLE child DROP CONSTRAINT child_whole_fkey;
CALL streamiter.archive('whole', target => 'whole_old', filter => 'true',
	name => 'whole', chunk_size => 10, max_rows => 10);
ALTER TABLE child ADD FOREIGN KEY (whole) REFERENCES whole_1 ON DELETE SET NULL
	NOT VALID;
CALL streamiter.run('whole');
CALL streamiter.archive('whole_1a', target => 'whole_old', filter => 'true');
CALL streamiter.archive('whole_2', target => 'whole_old', filter => 'true',
	name => 'other part');
SELECT (SELECT count(whole) FROM child), (SELECT count(*) FROM whole_old);
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- an archive is to last
CREATE TABLE lasting (id integer PRIMARY KEY);
INSERT INTO lasting SELECT generate_series(1, 5);
CREATE TEMPORARY TABLE fleeting (id integer);
CALL streamiter.archive('lasting', target => 'fleeting', filter => 'true');
DROP TABLE fleeting;
CREATE TEMPORARY TABLE fleeting (id integer) PARTITION BY RANGE (id);
CREATE TEMPORARY TABLE fleeting_1 PARTITION OF fleeting DEFAULT
	ON COMMIT DELETE ROWS;
CALL streamiter.archive('lasting', target => 'fleeting', filter => 'true');
CREATE TABLE mixed (id integer) PARTITION BY RANGE (id);
CREATE UNLOGGED TABLE mixed_1 PARTITION OF mixed DEFAULT;
CALL streamiter.archive('lasting', target => 'mixed', filter => 'id < 3');
CALL streamiter.archive('lasting', target => 'mixed', filter => 'id < 3');
SELECT (SELECT count(*) FROM lasting), (SELECT count(*) FROM mixed);
SELECT streamiter.drop_job(name) FROM streamiter.jobs;

-- no transaction is over two servers
CREATE FOREIGN DATA WRAPPER regress_oneliner_fdw;
CREATE SERVER regress_oneliner FOREIGN DATA WRAPPER regress_oneliner_fdw;
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES FROM (9) TO (10)
	SERVER regress_oneliner;
CALL streamiter.archive('lasting', target => 'mixed_far', filter => 'true');
CALL streamiter.archive('lasting', target => 'mixed', filter => 'true');
DROP FOREIGN DATA WRAPPER regress_oneliner_fdw CASCADE;
SELECT EXISTS (SELECT FROM pg_available_extensions
			   WHERE name = 'postgres_fdw') AS has_fdw \gset
\set SHOW_CONTEXT never
SET client_min_messages = error;
CREATE TABLE far_1 (id integer NOT NULL);
INSERT INTO far_1 SELECT generate_series(10, 19);
CREATE TABLE far (id integer NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE far_0 PARTITION OF far (PRIMARY KEY (id)) DEFAULT;
CREATE TABLE far_old (id integer);
\if :has_fdw
CREATE EXTENSION postgres_fdw SCHEMA job_oneliner;
DO
$$
BEGIN
	EXECUTE format('CREATE SERVER regress_oneliner FOREIGN DATA WRAPPER postgres_fdw'
		' OPTIONS (host %L, port %L, dbname %L)',
		split_part(current_setting('unix_socket_directories'), ',', 1),
		current_setting('port'), current_database());
END
$$;
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_oneliner;
CREATE FOREIGN TABLE far_far PARTITION OF far FOR VALUES FROM (10) TO (20)
	SERVER regress_oneliner
	OPTIONS (schema_name 'job_oneliner', table_name 'far_1');
CALL streamiter.archive('far', target => 'far_old', filter => 'true',
	key => '{id}');
DROP SERVER regress_oneliner CASCADE;
DROP EXTENSION postgres_fdw;
\else
DO
$$
BEGIN
	RAISE feature_not_supported USING
		MESSAGE = 'cannot archive table "far"',
		DETAIL = 'Its partition "far_far" is a foreign table: a crash could lose rows on their way from there.',
		HINT = 'Archive each of its other partitions, and that one where it is.';
END
$$;
\endif
RESET client_min_messages;
SELECT (SELECT count(*) FROM far_1), (SELECT count(*) FROM far_old);

SET client_min_messages = warning;
DROP SCHEMA job_oneliner CASCADE;
