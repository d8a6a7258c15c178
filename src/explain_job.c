/*-------------------------------------------------------------------------
 *
 * explain_job.c
 *	  streamiter.explain_job(): what each batch of a job is going to do.
 *
 * Nothing is called or changed.  The SQL function is documented in the
 * install script.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "arrays.h"
#include "compat.h"
#include "job_callback.h"
#include "ledger.h"
#include "options.h"
#include "pace.h"
#include "range.h"
#include "statement.h"

PG_FUNCTION_INFO_V1(streamiter_explain_job);

static char *explain(SiterJob *job);
static SiterRange range_of(SiterKeyset *keyset, const SiterSlice *slice);
static List *slices_of(SiterJob *job);
static void explain_callback(StringInfo buf, const SiterJob *job,
							 const SiterKeyset *keyset,
							 SiterCallbackDef *def);
static void append_indented(StringInfo buf, const char *text);

Datum
streamiter_explain_job(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterJob   *job;
	char	   *line;
	int			nestlevel;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	job = siter_job_get(name);
	nestlevel = siter_job_enter_settings(job);
	PushActiveSnapshot(GetTransactionSnapshot());
	line = explain(job);
	PopActiveSnapshot();
	AtEOXact_GUC(true, nestlevel);

	while (line != NULL)
	{
		char	   *end = strchr(line, '\n');
		Datum		value;
		bool		isnull = false;

		if (end != NULL)
			*end++ = '\0';
		value = CStringGetTextDatum(line);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value,
							 &isnull);
		line = end;
	}
	SPI_finish();
	return (Datum) 0;
}

static char *
explain(SiterJob *job)
{
	SiterKeyset *keyset = siter_keyset_create(job->source, job->key,
											  job->allow_slow_plan);
	SiterCallbackDef *def = siter_job_callback_resolve(job);
	int			limit = siter_pace_first_limit(job);
	List	   *slices = slices_of(job);
	double		rows = 0;
	StringInfoData buf;
	SiterRange	all = {NULL, NULL};
	SiterRange	range = all;
	char	   *sql;
	char	   *plan;
	ListCell   *lc;

	foreach(lc, slices)
	{
		range = range_of(keyset, (SiterSlice *) lfirst(lc));
		rows += siter_range_estimate(keyset, &range);
	}
	if (slices != NIL)
		range = range_of(keyset, (SiterSlice *) linitial(slices));

	/* all batches but the first have both bounds */
	if (range.lower == NULL)
		range.lower = siter_range_first(keyset, &all);
	if (range.upper == NULL)
		range.upper = siter_range_last(keyset, &all);
	siter_range_explain(keyset, &range,
						limit + siter_keyset_lookahead(keyset),
						def->kind == SITER_RANGE_STATEMENT, &sql, &plan);
	initStringInfo(&buf);
	appendStringInfoString(&buf, job->lock_rows ?
						   "Each batch locks its rows, then reads:\n" :
						   "Each batch reads:\n");
	append_indented(&buf, sql);
	appendStringInfoString(&buf, "Plan:\n");
	append_indented(&buf, plan);
	explain_callback(&buf, job, keyset, def);
	appendStringInfo(&buf, "Rows per batch: at most %d\n", limit);
	appendStringInfo(&buf, "Rows to do: about %.0f\n", rows);
	appendStringInfo(&buf, "Batches to do: about %.0f", ceil(rows / limit));
	return buf.data;
}

/* Those that the next run would work on */
static List *
slices_of(SiterJob *job)
{
	List	   *slices = siter_ledger_slices(job);
	SiterJobState state = siter_job_state(job->id);

	if (slices == NIL && (state != SITER_JOB_FINISHED || job->repeat) &&
		(state != SITER_JOB_FINISHED_WITH_SKIPS || job->repeat))
		slices = list_make1(palloc0_object(SiterSlice));
	return slices;
}

/* A slice of a pass that has not begun ends where the source does now */
static SiterRange
range_of(SiterKeyset *keyset, const SiterSlice *slice)
{
	SiterRange	range = {NULL, NULL};

	if (slice->position != (Datum) 0)
		range.lower = siter_key_decode(keyset, slice->position);
	if (slice->upper != (Datum) 0)
		range.upper = siter_key_decode(keyset, slice->upper);
	return range;
}

static void
explain_callback(StringInfo buf, const SiterJob *job,
				 const SiterKeyset *keyset, SiterCallbackDef *def)
{
	static const char *const kinds[] = {
		[SITER_ROW_FUNCTION] = "calls for each row",
		[SITER_BATCH_FUNCTION] = "calls for the batch",
		[SITER_BATCH_STATEMENT] = "runs, with an array of each column",
		[SITER_RANGE_STATEMENT] = "runs, with its first and last key",
		[SITER_NATIVE] = "hands its rows to",
	};
	SiterPrefetch *prefetch = NULL;
	TupleDesc	tupdesc = siter_job_callback_columns(job, keyset, def,
													 &prefetch);
	SiterStatementParam *params;
	SiterStatement *statement;
	int			nparams;

	if (prefetch != NULL)
	{
		appendStringInfo(buf, "Then it prefetches, by the keys in \"%s\":\n",
						 job->prefetch.key);
		append_indented(buf, job->prefetch.query);
		appendStringInfoString(buf, "Plan, whatever the keys:\n");
		append_indented(buf, siter_prefetch_explain(prefetch));
	}
	appendStringInfo(buf, "Then it %s:\n", kinds[def->kind]);
	if (def->statement == NULL)
	{
		append_indented(buf, def->name);
		return;
	}

	nparams = def->kind == SITER_RANGE_STATEMENT ?
		2 * keyset->ncolumns : tupdesc->natts;
	params = palloc0_array(SiterStatementParam, Max(nparams, 1));
	for (int i = 0; i < nparams; i++)
	{
		if (def->kind == SITER_RANGE_STATEMENT)
		{
			const SiterKeyColumn *column =
			&keyset->columns[i % keyset->ncolumns];

			params[i].type = column->param_type;
			params[i].collation = column->collation;
		}
		else
		{
			params[i].type = siter_array_column_type(tupdesc, i + 1);
			params[i].collation = TupleDescAttr(tupdesc, i)->attcollation;
		}
	}
	statement = siter_statement_plan(def->name, def->statement, nparams,
									 params, "");
	if (def->kind == SITER_BATCH_STATEMENT && def->neighbours != NULL)
		siter_statement_set_neighbours(statement, def->neighbours);
	append_indented(buf, def->statement);
	appendStringInfoString(buf, "Plan, whatever the values:\n");
	append_indented(buf, siter_statement_explain(statement));
}

static void
append_indented(StringInfo buf, const char *text)
{
	for (;;)
	{
		const char *end = strchrnul(text, '\n');

		appendStringInfo(buf, "  %.*s\n", (int) (end - text), text);
		if (*end == '\0')
			return;
		text = end + 1;
	}
}
