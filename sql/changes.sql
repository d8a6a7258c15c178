--
-- What changes between two runs of a job is noticed, and called by its name
--
CREATE SCHEMA siter_changes;
SET search_path = siter_changes;
CREATE TABLE visited (value text);
SELECT streamiter.register_statement('visit',
	'INSERT INTO siter_changes.visited SELECT unnest($1)::text');
CREATE TYPE level AS ENUM ('low', 'high');
CREATE TABLE ticket (id int, level level, place text, note text,
	PRIMARY KEY (level, place, id));
INSERT INTO ticket SELECT row_number() OVER (), l, place
FROM generate_series(1, 4) g, unnest(enum_range(NULL::level)) l,
	generate_series(1, 3) place;
SELECT streamiter.create_job('walk', 'TABLE ticket', 'visit', chunk_size => 2);
CALL streamiter.run('walk', max_rows => 2);

-- The position stays good
ALTER TYPE level ADD VALUE 'medium' BEFORE 'high';
CALL streamiter.run('walk', max_rows => 2);
VACUUM FULL ticket;
CALL streamiter.run('walk', max_rows => 2);
SELECT streamiter.alter_job('walk', acknowledge => true);
CALL streamiter.run('walk', max_rows => 2);

-- It may not be
ALTER TYPE level RENAME VALUE 'low' TO 'lowest';
CALL streamiter.run('walk', max_rows => 2);
SELECT state FROM streamiter.jobs WHERE name = 'walk';
ALTER TYPE level RENAME VALUE 'lowest' TO 'low';
ALTER TABLE ticket ALTER place TYPE varchar COLLATE "C";
CALL streamiter.run('walk', max_rows => 2);
ALTER TABLE ticket ALTER place TYPE text COLLATE "POSIX";
CALL streamiter.run('walk', max_rows => 2);
SELECT streamiter.alter_job('walk', acknowledge => true);
CALL streamiter.run('walk', max_rows => 2);

-- The key is none any more
ALTER TABLE ticket DROP CONSTRAINT ticket_pkey;
CALL streamiter.run('walk', max_rows => 2);
ALTER TABLE ticket ALTER place DROP NOT NULL;
CALL streamiter.run('walk', max_rows => 2);
ALTER TABLE ticket ADD PRIMARY KEY (level, place, id);
ALTER TABLE ticket RENAME id TO number;
CALL streamiter.run('walk', max_rows => 2);
ALTER TABLE ticket RENAME number TO id;

-- The table is none any more, or another
ALTER TABLE ticket RENAME TO old_ticket;
CALL streamiter.run('walk', max_rows => 2);
CREATE TABLE ticket (LIKE old_ticket INCLUDING ALL);
CALL streamiter.run('walk', max_rows => 2);
DROP TABLE ticket;
CREATE VIEW ticket AS SELECT DISTINCT * FROM old_ticket;
SELECT streamiter.alter_job('walk', allow_slow_plan => true);
CALL streamiter.run('walk', max_rows => 2);
DROP VIEW ticket;
ALTER TABLE old_ticket RENAME TO ticket;

-- All is as it was: the rest comes, each row once
CALL streamiter.run('walk');
SELECT count(*), count(DISTINCT value) FROM visited;
SELECT streamiter.drop_job('walk');

-- The order of a collation may change with its version; one that is not the
-- server's stands in for what an upgrade of its library does
SELECT COALESCE(max(collname), 'C') AS collation FROM pg_collation
WHERE collname = 'en-x-icu' \gset
CREATE TABLE word (word text COLLATE :"collation" PRIMARY KEY);
INSERT INTO word VALUES ('a'), ('B'), ('c'), ('D');
SELECT streamiter.create_job('words', 'TABLE word', 'visit', chunk_size => 1);
CALL streamiter.run('words', max_rows => 2);
UPDATE streamiter.job SET source_fingerprint = pg_catalog.replace(
	source_fingerprint, COALESCE(pg_collation_actual_version(oid), 'none'),
	'0.0') FROM pg_collation
WHERE collname = :'collation' AND name = 'words';
\set VERBOSITY terse
CALL streamiter.run('words', max_rows => 2);
\set VERBOSITY default
SELECT state, rows FROM streamiter.jobs WHERE name = 'words';
SELECT streamiter.alter_job('words', acknowledge => true);
CALL streamiter.run('words');
SELECT streamiter.drop_job('words');
SELECT streamiter.unregister_callback('visit');
SET client_min_messages = warning;
DROP SCHEMA siter_changes CASCADE;
