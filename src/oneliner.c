/*-------------------------------------------------------------------------
 *
 * oneliner.c
 *	  backfill, purge and archive: a job in one statement.
 *
 * Each finds its job, or defines it, and runs it.  The job walks the bare key;
 * the filter is in the range statement, so that a batch is bounded by the keys
 * it reads and not by how many rows the filter lets through.  The name is
 * derived from the work, so the same CALL finds the same job again: it goes on
 * with a pass that has not ended, and starts another after one that has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "job.h"
#include "job_define.h"
#include "keyset.h"
#include "oneliner_sql.h"
#include "options.h"
#include "run.h"

typedef enum OneLinerKind
{
	BACKFILL,
	PURGE,
	ARCHIVE
} OneLinerKind;

static const char *const kind_names[] = {
	[BACKFILL] = "backfill",
	[PURGE] = "purge",
	[ARCHIVE] = "archive",
};

typedef struct OneLiner
{
	OneLinerKind kind;
	Oid			table;
	Oid			target;			/* of archive */
	char	   *set;			/* of backfill */
	char	   *filter;			/* NULL: all rows */
	List	   *key;			/* of char *; NIL: the primary key */
} OneLiner;

/* The arguments that all have, after their own */
enum
{
	ARG_NAME, ARG_KEY, ARG_CHUNK_SIZE, ARG_BUDGET
};

PG_FUNCTION_INFO_V1(streamiter_backfill);
PG_FUNCTION_INFO_V1(streamiter_purge);
PG_FUNCTION_INFO_V1(streamiter_archive);

static Oid	table_arg(FunctionCallInfo fcinfo, int argno, const char *name);
static void find_and_run(FunctionCallInfo fcinfo, OneLiner *work, int argno);
static char *derive_name(const OneLiner *work);
static SiterJob *make_job(const OneLiner *work, const SiterJob *existing);
static void check_same_work(const SiterJob *job, const SiterJob *existing);

Datum
streamiter_backfill(PG_FUNCTION_ARGS)
{
	OneLiner	work = {BACKFILL};

	siter_run_check_context(fcinfo);
	work.table = table_arg(fcinfo, 0, "relation");
	work.set = siter_option_text(fcinfo, 1, "set");
	if (!PG_ARGISNULL(2))
		work.filter = siter_option_text(fcinfo, 2, "filter");
	find_and_run(fcinfo, &work, 3);
	PG_RETURN_VOID();
}

Datum
streamiter_purge(PG_FUNCTION_ARGS)
{
	OneLiner	work = {PURGE};

	siter_run_check_context(fcinfo);
	work.table = table_arg(fcinfo, 0, "relation");
	work.filter = siter_option_text(fcinfo, 1, "filter");
	find_and_run(fcinfo, &work, 2);
	PG_RETURN_VOID();
}

Datum
streamiter_archive(PG_FUNCTION_ARGS)
{
	OneLiner	work = {ARCHIVE};

	siter_run_check_context(fcinfo);
	work.table = table_arg(fcinfo, 0, "relation");
	work.target = table_arg(fcinfo, 1, "target");
	work.filter = siter_option_text(fcinfo, 2, "filter");
	find_and_run(fcinfo, &work, 3);
	PG_RETURN_VOID();
}

static Oid
table_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	Oid			table;

	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
	table = PG_GETARG_OID(argno);
	switch (get_rel_relkind(table))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			return table;
		case '\0':
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("there is no table %u", table)));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is not a table", get_rel_name(table)),
					 errhint("Use a job with a range statement of your own.")));
	}
	return InvalidOid;			/* keep compiler quiet */
}

static void
find_and_run(FunctionCallInfo fcinfo, OneLiner *work, int argno)
{
	SiterBudget budget = siter_run_budget(fcinfo, argno + ARG_BUDGET);
	SiterJob   *existing;
	SiterJob   *job;
	char	   *name;

	work->key = siter_option_key(fcinfo, argno + ARG_KEY);
	name = PG_ARGISNULL(argno + ARG_NAME) ? derive_name(work) :
		siter_option_text(fcinfo, argno + ARG_NAME, "name");

	SPI_connect_ext(SPI_OPT_NONATOMIC);

	/* again, when another session defines the job after we have looked */
	do
	{
		CHECK_FOR_INTERRUPTS();
		existing = siter_job_find(name);
		job = make_job(work, existing);
		job->name = name;
		if (!PG_ARGISNULL(argno + ARG_CHUNK_SIZE))
			job->chunk_size =
				siter_option_chunk_size(fcinfo, argno + ARG_CHUNK_SIZE);
	} while (existing == NULL && !siter_job_define(job, true));

	if (existing != NULL)
	{
		check_same_work(job, existing);
		if (job->chunk_size != 0 && job->chunk_size != existing->chunk_size)
		{
			existing = siter_job_get_for_change(name);
			existing->chunk_size = job->chunk_size;
			siter_job_update(existing);
		}
	}
	else if (work->kind == ARCHIVE)
		siter_oneliner_warn_unlogged(work->target);
	siter_run(name, &budget);
	SPI_finish();
}

/* "backfill users 1a2b3c4d": the same for the same work */
static char *
derive_name(const OneLiner *work)
{
	StringInfoData buf;
	const char *kind = kind_names[work->kind];
	char	   *table = get_rel_name(work->table);
	int			room = NAMEDATALEN - 1 - strlen(kind) - 10;
	uint32		hash;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s\n%s\n%s\n%s\n%s", kind,
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(work->table)),
												table),
					 work->set ? work->set : "",
					 work->filter ? work->filter : "",
					 OidIsValid(work->target) ?
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(work->target)),
												get_rel_name(work->target)) : "");
	foreach(lc, work->key)
		appendStringInfo(&buf, "\n%s", (char *) lfirst(lc));
	hash = DatumGetUInt32(hash_any((unsigned char *) buf.data, buf.len));

	return psprintf("%s %.*s %08x", kind,
					pg_mbcliplen(table, strlen(table), room), table, hash);
}

/*
 * The job that would do this work.  What key the table had when the job was
 * defined it still has for the job.
 */
static SiterJob *
make_job(const OneLiner *work, const SiterJob *existing)
{
	SiterJob   *job = palloc0_object(SiterJob);
	char	   *table;
	SiterKeyset *keyset;
	StringInfoData source;

	table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(work->table)),
									   get_rel_name(work->table));
	keyset = siter_keyset_create(psprintf("SELECT * FROM %s", table),
								 work->key == NIL && existing != NULL ?
								 existing->key : work->key, false);
	if (keyset->table != work->table)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot %s table \"%s\", which has child tables",
						kind_names[work->kind], get_rel_name(work->table)),
				 errhint("Do it for each of the tables.")));

	initStringInfo(&source);
	for (int i = 0; i < keyset->ncolumns; i++)
	{
		job->key = lappend(job->key, keyset->columns[i].name);
		appendStringInfo(&source, "%s%s", i > 0 ? ", " : "SELECT ",
						 quote_identifier(keyset->columns[i].name));
	}
	appendStringInfo(&source, " FROM %s", table);
	job->source = source.data;
	job->callback = pstrdup(kind_names[work->kind]);

	switch (work->kind)
	{
		case BACKFILL:
			job->statement = siter_oneliner_update(keyset, work->set,
												   work->filter);
			break;
		case PURGE:
			job->statement = siter_oneliner_delete(keyset, work->filter);
			break;
		case ARCHIVE:
			job->statement = siter_oneliner_move(keyset, work->target,
												 work->filter);
			break;
	}

	siter_job_default_settings(job);
	job->repeat = true;
	return job;
}

static void
check_same_work(const SiterJob *job, const SiterJob *existing)
{
	if (existing->statement != NULL &&
		strcmp(existing->statement, job->statement) == 0 &&
		strcmp(existing->source, job->source) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("job \"%s\" exists and does other work", existing->name),
			 existing->statement != NULL ?
			 errdetail("Its statement is:\n%s", existing->statement) : 0,
			 errhint("Give another name, or drop the job with streamiter.drop_job().")));
}
