-- Distributed jobs, as far as one server without any other can show them

SET client_min_messages = warning;
CREATE ROLE regress_streamiter_distributed;
CREATE SCHEMA regress_distributed;
SET search_path = regress_distributed, public;

--
-- What is not for users runs with their rights, and with a search_path of its
-- own; the two that cannot have one begin with the caller's
--
SELECT p.oid::regproc FROM pg_proc p
WHERE p.pronamespace = 'streamiter_distributed'::regnamespace
AND (p.prosecdef OR p.proconfig[1] IS DISTINCT FROM 'search_path=pg_catalog, pg_temp');
SELECT p.oid::regproc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'streamiter'::regnamespace AND l.lanname IN ('sql', 'plpgsql')
AND p.proconfig IS NULL ORDER BY 1;
SELECT privilege, has_table_privilege('regress_streamiter_distributed', 'streamiter_distributed.engine', privilege)
FROM unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE}'::text[]) privilege;
-- each engine has all of its functions
SELECT e.name, f FROM streamiter_distributed.engine e,
	unnest('{open, ask, start, watch, cancel, close}'::text[]) f
WHERE to_regproc(format('streamiter_distributed.%I', e.name || '_' || f)) IS NULL
OR e.finds_parts AND to_regproc(format('streamiter_distributed.%I', e.name || '_parts')) IS NULL;

--
-- Names of jobs: two tables never have one, and none is too long
--
SELECT streamiter_distributed.part_job('emails', NULL);
SELECT streamiter_distributed.part_job('emails', 'public.users');
SELECT relation, job, octet_length(job) FROM (VALUES
	(repeat('x', 50)), (repeat('x', 51)), (repeat('x', 99)), (repeat('x', 98) || 'y'), (repeat(U&'\00E9', 60))) r (relation),
	streamiter_distributed.part_job('emails', relation) job;

--
-- Bad input
--
CREATE TABLE plain (id integer PRIMARY KEY);
CREATE TABLE apart (id integer) PARTITION BY RANGE (id);
CREATE TABLE apart_1 PARTITION OF apart FOR VALUES FROM (0) TO (10);
CREATE FOREIGN DATA WRAPPER regress_distributed_fdw;
CREATE SERVER regress_s1 FOREIGN DATA WRAPPER regress_distributed_fdw;
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_s1;
CREATE FOREIGN TABLE apart_2 PARTITION OF apart FOR VALUES FROM (10) TO (20) SERVER regress_s1;

\set SHOW_CONTEXT never
SELECT * FROM streamiter.parts();
SELECT * FROM streamiter.parts('plain', '{regress_s1}');
SELECT * FROM streamiter.parts('plain');
SELECT * FROM streamiter.parts('apart');
DROP FOREIGN TABLE apart_2;
SELECT * FROM streamiter.parts('apart');
SELECT * FROM streamiter.parts('apart_1');
SELECT * FROM streamiter.parts(servers => '{}');
SELECT * FROM streamiter.parts(servers => '{regress_s1, regress_s1}');
SELECT * FROM streamiter.parts(servers => '{NULL}');
SELECT * FROM streamiter.parts(servers => '{"host=localhost"}');
SELECT * FROM streamiter.parts(servers => '{regress_s1}');

SELECT streamiter.distribute(NULL);
SELECT streamiter.distribute('');
SELECT streamiter.distribute(repeat('x', 64));
SELECT streamiter.distribute('job');
SELECT streamiter.distribute('job', callback => 'f()', statement => 'SELECT $1');
SELECT streamiter.distribute('job', callback => 'f()');
SELECT streamiter.distribute('job', servers => '{regress_s1}', callback => 'f()');
SELECT streamiter.distribute('job', 'plain', 'f()', settings => '[1]');
SELECT streamiter.distribute('job', 'plain', 'f()', settings => '{"nosuch": 1}');
SELECT streamiter.distribute('job', 'plain', 'f()', settings => '{"source": 1}');
SELECT streamiter.distribute('job', servers => '{regress_s1}', callback => 'f()', source => 'TABLE plain');
SELECT count(*) FROM streamiter.distributed_jobs;

CALL streamiter.run_parts(NULL);
CALL streamiter.run_parts('nosuch');
BEGIN;
CALL streamiter.run_parts('nosuch');
ROLLBACK;
SELECT * FROM streamiter.cancel_parts('nosuch');
SELECT streamiter.drop_parts('nosuch');
SELECT * FROM streamiter.part_states;

-- Others
SET ROLE regress_streamiter_distributed;
SELECT * FROM streamiter.parts(servers => '{regress_s1}');
RESET ROLE;

DROP SERVER regress_s1 CASCADE;
DROP FOREIGN DATA WRAPPER regress_distributed_fdw;
DROP SCHEMA regress_distributed CASCADE;
DROP ROLE regress_streamiter_distributed;
