/*-------------------------------------------------------------------------
 *
 * for_each.c
 *	  streamiter.for_each(): walk a query, call a callback.
 *
 * The SQL function is documented in the install script.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "options.h"
#include "pump.h"

PG_FUNCTION_INFO_V1(streamiter_for_each);

/* Microseconds as an interval: never months nor days, as now() - now() has */
static Datum
interval_datum(instr_time since, instr_time until)
{
	Interval   *interval = palloc0_object(Interval);

	INSTR_TIME_SUBTRACT(until, since);
	interval->time = (TimeOffset) INSTR_TIME_GET_MICROSEC(until);
	return IntervalPGetDatum(interval);
}

/* Gives the callback a look at the source's plan */
static void
fuse_callback(PlannedStmt *plan, void *arg)
{
	SiterCallback *callback = (SiterCallback *) arg;

	if (callback->fuse != NULL)
		callback->fused = callback->fuse(callback, plan);
}

static SiterWalk *
open_walk(const SiterSource *source, int chunk_size, SiterPump *pump)
{
	bool		may_fuse = !pump->skip_errors && pump->prefetch == NULL;
	SiterWalk  *walk;

	walk = siter_walk_open(source, chunk_size,
						   may_fuse ? fuse_callback : NULL, pump->callback);
	if (pump->prefetch != NULL)
		siter_prefetch_make_room(walk);
	return walk;
}

/* Other sessions may look on */
static void
run_shown(SiterPump *pump, const char *callback)
{
	PlannedStmt *stmt = PortalGetPrimaryStmt(pump->walk->portal);

	pump->progress = siter_progress_begin(pump->walk->query, callback,
										  stmt->planTree->plan_rows);
	PG_TRY();
	{
		siter_pump_run(pump);
	}
	PG_FINALLY();
	{
		if (pump->progress != NULL)
			siter_progress_end(pump->progress);
	}
	PG_END_TRY();
}

static Datum
for_each_result(FunctionCallInfo fcinfo, const SiterPump *pump,
				instr_time start)
{
	TupleDesc	tupdesc;
	Datum		values[7];
	bool		nulls[7] = {0};
	instr_time	end;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	INSTR_TIME_SET_CURRENT(end);
	values[0] = Int64GetDatum(pump->walk->rows);
	values[1] = Int64GetDatum(pump->walk->batches);
	values[2] = Int64GetDatum(pump->skipped);
	values[3] = Int64GetDatum(pump->not_called);
	values[4] = interval_datum(start, pump->walk->first_row);
	values[5] = interval_datum(start, end);
	values[6] = Int64GetDatum(pump->walk->peak_batch_bytes);
	nulls[4] = INSTR_TIME_IS_ZERO(pump->walk->first_row);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
											 values, nulls));
}

Datum
streamiter_for_each(PG_FUNCTION_ARGS)
{
	char	   *query = siter_option_text(fcinfo, 0, "query");
	char	   *callback = siter_option_text(fcinfo, 1, "callback");
	int			chunk_size = siter_option_chunk_size(fcinfo, 2);
	SiterPrefetchText related = siter_option_prefetch(fcinfo, 6);
	char	   *on_error = siter_option_text(fcinfo, 4, "on_error");
	SiterArgs	args = {0};
	SiterPump	pump = {0};
	SiterSource *source;
	SiterCallbackDef *def;
	TupleDesc	tupdesc;
	instr_time	start;
	Datum		result;
	MemoryContext oldcontext = CurrentMemoryContext;

	INSTR_TIME_SET_CURRENT(start);
	pump.skip_errors = siter_option_on_error(on_error);
	pump.max_skips = siter_option_max_skips(fcinfo, 5);
	if (!PG_ARGISNULL(3))
		args = siter_args_from_record(PG_GETARG_HEAPTUPLEHEADER(3));

	SPI_connect();
	source = siter_source_prepare(query, &args, 0);
	def = siter_callback_resolve(callback);
	tupdesc = source->tupdesc;
	if (related.query != NULL)
	{
		pump.prefetch = siter_prefetch_prepare(related.query, related.key,
											   tupdesc);
		tupdesc = siter_prefetch_tupdesc(pump.prefetch);
		def->related = true;
	}
	pump.callback = siter_callback_prepare(def, tupdesc, chunk_size,
										   source->query);
	pump.walk = open_walk(source, chunk_size, &pump);
	run_shown(&pump, callback);

	/* the result must outlive what SPI_finish() frees */
	MemoryContextSwitchTo(oldcontext);
	result = for_each_result(fcinfo, &pump, start);
	siter_walk_close(pump.walk);
	SPI_finish();
	return result;
}
