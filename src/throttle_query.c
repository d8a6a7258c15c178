/*-------------------------------------------------------------------------
 *
 * throttle_query.c
 *	  A query of the user's that says whether to wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/plancache.h"

#include "throttle_query.h"

static SPIPlanPtr prepare(const char *query);
static bool answer(void);

void
siter_throttle_query_check(const char *query)
{
	SPI_freeplan(prepare(query));
}

static SPIPlanPtr
prepare(const char *query)
{
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	CachedPlanSource *source = NULL;
	Query	   *parsed = NULL;

	if (plan == NULL)
		elog(ERROR, "could not prepare throttle_query: %s",
			 SPI_result_code_string(SPI_result));
	if (list_length(SPI_plan_get_plan_sources(plan)) == 1)
		source = linitial(SPI_plan_get_plan_sources(plan));
	if (source != NULL && list_length(source->query_list) == 1)
		parsed = linitial_node(Query, source->query_list);
	if (parsed == NULL || parsed->commandType != CMD_SELECT ||
		parsed->hasModifyingCTE || parsed->rowMarks != NIL ||
		source->resultDesc == NULL || source->resultDesc->natts != 1 ||
		TupleDescAttr(source->resultDesc, 0)->atttypid != BOOLOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("throttle_query must be one SELECT of one column of type boolean"),
				 errhint("Its one row says whether to wait: SELECT count(*) > 10 FROM pg_stat_activity WHERE wait_event_type = 'Lock'.")));
	return plan;
}

bool
siter_throttle_query_ask(const char *query)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	bool		save_read_only = XactReadOnly;
	SPIPlanPtr	plan;
	int			rc;
	bool		wait;

	/* after an error, the end of the subtransaction puts it back */
	XactReadOnly = true;
	plan = prepare(query);
	rc = SPI_execute_plan(plan, NULL, NULL, false, 2);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not execute throttle_query: %s",
			 SPI_result_code_string(rc));
	wait = answer();
	SPI_freetuptable(SPI_tuptable);
	SPI_freeplan(plan);
	XactReadOnly = save_read_only;
	MemoryContextSwitchTo(oldcontext);	/* SPI returns in its own */
	return wait;
}

/* What is neither yes nor no must not be taken for either */
static bool
answer(void)
{
	Datum		value;
	bool		isnull;

	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA),
				 errmsg("throttle_query returned no row")));
	if (SPI_processed > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("throttle_query returned more than one row")));
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA),
				 errmsg("throttle_query returned NULL"),
				 errhint("Say with COALESCE whether to wait then.")));
	return DatumGetBool(value);
}
