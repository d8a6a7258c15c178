/*-------------------------------------------------------------------------
 *
 * distributed.c
 *	  Jobs past one machine: what SQL cannot do for them.
 *
 * Everything else is in distributed--1.0.sql.  Here is what has to know who
 * calls and yet write to the extension's tables, and the look at whether the
 * caller may commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "run.h"
#include "table.h"

PG_FUNCTION_INFO_V1(streamiter_store_distributed_job);
PG_FUNCTION_INFO_V1(streamiter_forget_distributed_job);
PG_FUNCTION_INFO_V1(streamiter_check_run_context);

/* $1: owner, $2: definition */
static SiterTableStatement upsert_job = {
	"INSERT INTO streamiter.distributed_job (owner, name, relation, servers,"
	"  source, callback, statement, per, key, settings, environment)"
	" SELECT $1, d.name, d.relation, d.servers, d.source, d.callback,"
	"  d.statement, d.per, d.key, d.settings, d.environment"
	" FROM pg_catalog.jsonb_populate_record("
	"  NULL::streamiter.distributed_job, $2) d"
	" ON CONFLICT (owner, name) DO UPDATE"
	" SET servers = EXCLUDED.servers, settings = EXCLUDED.settings"
	" RETURNING id",
	2, {OIDOID, JSONBOID}
};

static SiterTableStatement delete_parts = {
	"DELETE FROM streamiter.part"
	" WHERE distributed_job_id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

/* $1: distributed job, $2: parts */
static SiterTableStatement insert_parts = {
	"INSERT INTO streamiter.part (distributed_job_id, part, engine, server,"
	"  node_relation, partition, job)"
	" SELECT $1, p.part, p.engine, p.server, p.node_relation, p.partition,"
	"  p.job"
	" FROM pg_catalog.jsonb_populate_recordset(NULL::streamiter.part, $2) p",
	2, {INT4OID, JSONBOID}
};

/* $1: owner, $2: name */
static SiterTableStatement delete_job = {
	"DELETE FROM streamiter.distributed_job"
	" WHERE owner OPERATOR(pg_catalog.=) $1"
	" AND name OPERATOR(pg_catalog.=) $2",
	2, {OIDOID, TEXTOID}
};

Datum
streamiter_store_distributed_job(PG_FUNCTION_ARGS)
{
	SiterTableValue values[2];

	SPI_connect();
	values[0] = SITER_VALUE(ObjectIdGetDatum(GetUserId()));
	values[1] = SITER_VALUE(PG_GETARG_DATUM(0));
	(void) siter_table_execute(&upsert_job, values);

	values[0] = siter_table_value(0, 1);
	(void) siter_table_execute(&delete_parts, values);
	values[1] = SITER_VALUE(PG_GETARG_DATUM(1));
	(void) siter_table_execute(&insert_parts, values);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_forget_distributed_job(PG_FUNCTION_ARGS)
{
	SiterTableValue values[2];

	SPI_connect();
	values[0] = SITER_VALUE(ObjectIdGetDatum(GetUserId()));
	values[1] = SITER_VALUE(PG_GETARG_DATUM(0));
	(void) siter_table_execute(&delete_job, values);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_check_run_context(PG_FUNCTION_ARGS)
{
	siter_run_check_context(fcinfo);
	PG_RETURN_VOID();
}
