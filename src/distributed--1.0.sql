--
-- Jobs past one machine
--
-- A distributed job is a set of ordinary jobs, its parts: one on the node of
-- each partition, or on each of some servers.  A part has its position on its
-- node, in the transaction of its rows, as every job has.  Here is only which
-- parts there are, and who starts and watches them; that a part has finished
-- is what its node says, never what a CALL returned.
--

-- Users call what is in the schema streamiter.  What these functions are made
-- of is in a schema of its own: it runs with the rights of whoever calls it,
-- and gives none.
CREATE SCHEMA streamiter_distributed;
GRANT USAGE ON SCHEMA streamiter_distributed TO PUBLIC;

-- What the caller of distribute() asked for.  Names, as in streamiter.job.
CREATE TABLE streamiter.distributed_job (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	owner regrole NOT NULL,
	name text COLLATE "C" NOT NULL,
	relation text,
	servers text[],
	source text NOT NULL,
	callback text,
	statement text,
	per text NOT NULL,
	key text[],
	settings jsonb NOT NULL,
	environment jsonb NOT NULL,
	created timestamptz NOT NULL DEFAULT pg_catalog.now(),
	UNIQUE (owner, name)
);

-- The parts as of the last distribute(): names of foreign servers, and never
-- how to connect to them.
--
--	engine		who carries commands to the node
--	server		a foreign server; NULL: this one
--	node_relation	the part's table, by its name on the node
--	partition	its name here
--	job			the name of the part's job on the node
CREATE TABLE streamiter.part (
	distributed_job_id integer NOT NULL
		REFERENCES streamiter.distributed_job ON DELETE CASCADE,
	part integer NOT NULL,
	engine text NOT NULL,
	server text,
	node_relation text,
	partition text,
	job text NOT NULL,
	PRIMARY KEY (distributed_job_id, part)
);

REVOKE ALL ON streamiter.distributed_job, streamiter.part FROM PUBLIC;
GRANT SELECT ON streamiter.distributed_job, streamiter.part,
	streamiter.distributed_job_id_seq TO pg_database_owner;
SELECT pg_catalog.pg_extension_config_dump('streamiter.distributed_job',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r'
	' WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('streamiter.part',
	'WHERE EXISTS (SELECT FROM streamiter.distributed_job d'
	' JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) d.owner'
	' WHERE d.id OPERATOR(pg_catalog.=) distributed_job_id)');
SELECT pg_catalog.pg_extension_config_dump(
	'streamiter.distributed_job_id_seq', '');

-- distributed_jobs: those of whose owners one has the rights.
CREATE VIEW streamiter.distributed_jobs WITH (security_barrier) AS
SELECT d.name, d.owner, d.relation, d.servers, d.source, d.callback,
	d.statement, d.per, d.key, d.settings, d.environment, d.created,
	(SELECT pg_catalog.count(*) FROM streamiter.part p
	 WHERE p.distributed_job_id OPERATOR(pg_catalog.=) d.id) AS parts
FROM streamiter.distributed_job d
WHERE pg_catalog.pg_has_role(d.owner, 'USAGE');

-- distributed_parts: where their parts are, without asking the nodes.
CREATE VIEW streamiter.distributed_parts WITH (security_barrier) AS
SELECT d.name, d.owner, p.part, p.engine, p.server, p.node_relation, p.partition,
	p.job
FROM streamiter.part p
JOIN streamiter.distributed_job d
	ON d.id OPERATOR(pg_catalog.=) p.distributed_job_id
WHERE pg_catalog.pg_has_role(d.owner, 'USAGE');

GRANT SELECT ON streamiter.distributed_jobs, streamiter.distributed_parts
	TO PUBLIC;

-- For distribute() and drop_parts(): write down, or forget, a distributed job
-- of the caller's.
CREATE FUNCTION streamiter.store_distributed_job(definition jsonb, parts jsonb)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_store_distributed_job'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

CREATE FUNCTION streamiter.forget_distributed_job(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_forget_distributed_job'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

-- For run_parts(): error 2D000, with what to do about it, unless the caller
-- may commit; 25006 where nothing may be written.
CREATE PROCEDURE streamiter.check_run_context()
AS 'MODULE_PATHNAME', 'streamiter_check_run_context'
LANGUAGE C;
