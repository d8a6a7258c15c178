/*-------------------------------------------------------------------------
 *
 * pump.c
 *	  Driving a callback over the batches of a walk.
 *
 * A row callback whose first error ends the walk is called while the row is
 * still in the executor's hands, or by the executor itself.  All others work
 * on collected batches: those that take a whole batch, those that get related
 * rows, and those whose bad rows are to be skipped, since a batch may then have
 * to be tried again in parts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "compat.h"
#include "failure.h"
#include "pump.h"

/* More subtransactions than a backend can show to the others at once */
#define MANY_SUBTRANSACTIONS 64

/* How many skipped rows are reported one by one */
#define MAX_SKIP_WARNINGS 100

/* How much of a query, or of a row's column, a message shows */
#define MAX_SHOWN_QUERY 100
#define MAX_SHOWN_VALUE 64

static void drain(SiterPump *pump);
static void after_batch(SiterPump *pump);
static void scan_fused(SiterPump *pump);
static void stream(SiterPump *pump);
static void collect(SiterPump *pump);
static void take_row(TupleTableSlot *slot, void *arg);
static void call_rows(SiterPump *pump, int first, int nrows);
static void call_batch(SiterPump *pump, StreamIterBatch *batch, int first,
					   int nrows, int offset);
static void work_off_skipping(SiterPump *pump);
static ErrorData *try_rows(SiterPump *pump, int first, int nrows);
static void skip_row(SiterPump *pump, int row, ErrorData *failure);
static char *describe_row(SiterWalk *walk, int row);
static void pump_error_context(void *arg);

void
siter_pump_run(SiterPump *pump)
{
	SiterCallback *callback = pump->callback;
	ErrorContextCallback errcallback;

	errcallback.callback = pump_error_context;
	errcallback.arg = pump;
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;

	PG_TRY();
	{
		drain(pump);
		if (callback->end != NULL)
			callback->end(callback);
	}
	PG_CATCH();
	{
		siter_walk_unlock_cursor(pump->walk);
		if (callback->abort != NULL)
			callback->abort(callback);
		PG_RE_THROW();
	}
	PG_END_TRY();

	error_context_stack = errcallback.previous;
}

static void
drain(SiterPump *pump)
{
	if (pump->callback->fused)
		scan_fused(pump);
	else if (pump->callback->call_row != NULL && !pump->skip_errors &&
			 pump->prefetch == NULL)
		stream(pump);
	else
		collect(pump);
}

static void
after_batch(SiterPump *pump)
{
	siter_walk_note_memory(pump->walk);
	if (pump->progress != NULL)
		siter_progress_note(pump->progress, pump->walk->rows, pump->skipped);
}

/* The plan calls the callback */
static void
scan_fused(SiterPump *pump)
{
	SiterCallback *callback = pump->callback;

	while (siter_walk_scan(pump->walk, callback->on_null, callback))
	{
		pump->not_called = callback->not_called;
		after_batch(pump);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
stream(SiterPump *pump)
{
	while (siter_walk_stream(pump->walk, take_row, pump))
	{
		after_batch(pump);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
collect(SiterPump *pump)
{
	SiterWalk  *walk = pump->walk;

	while (siter_walk_fetch(walk))
	{
		siter_walk_lock_cursor(walk);
		if (pump->skip_errors)
			work_off_skipping(pump);
		else
			call_rows(pump, 0, walk->batch.nrows);
		siter_walk_unlock_cursor(walk);
		after_batch(pump);
		MemoryContextReset(walk->row_context);
		CHECK_FOR_INTERRUPTS();
	}
}

/* One call of a row callback */
static void
call_row(SiterPump *pump, TupleTableSlot *slot, uint64 row_number)
{
	SiterCallback *callback = pump->callback;

	callback->context.batch_number = pump->walk->batches;
	callback->context.row_number = row_number;

	pump->calling = true;
	if (!callback->call_row(callback, slot))
		pump->not_called++;
	pump->calling = false;
}

/* A row on its way through the executor */
static void
take_row(TupleTableSlot *slot, void *arg)
{
	SiterPump  *pump = (SiterPump *) arg;

	call_row(pump, slot, pump->walk->rows);
}

/* The number of a collected row in the whole walk, from 1 */
static uint64
row_number(SiterWalk *walk, int row)
{
	return walk->rows - walk->batch.nrows + row + 1;
}

/*
 * Rows "first" and following of the walk's batch.  When their related rows are
 * too many for one batch, they become several.
 */
static void
call_rows(SiterPump *pump, int first, int nrows)
{
	StreamIterBatch *batch;
	int			end = first + nrows;

	if (pump->prefetch == NULL)
	{
		call_batch(pump, &pump->walk->batch, first, nrows, 0);
		return;
	}
	while (first < end)
	{
		pump->failed_row = -1;
		pump->prefetching = row_number(pump->walk, first);
		batch = siter_prefetch_rows(pump->prefetch, pump->walk, first,
									end - first);
		pump->prefetching = 0;
		call_batch(pump, batch, 0, batch->nrows, first);
		first += batch->nrows;
		if (first < end)
		{
			siter_walk_note_memory(pump->walk);
			pump->walk->batches++;
		}
	}
}

/*
 * Rows of a batch; row "first" is number first + offset in the walk's.  Runs
 * in the row context.
 */
static void
call_batch(SiterPump *pump, StreamIterBatch *batch, int first, int nrows,
		   int offset)
{
	SiterWalk  *walk = pump->walk;
	SiterCallback *callback = pump->callback;
	MemoryContext oldcontext = MemoryContextSwitchTo(walk->row_context);

	if (callback->call_row != NULL)
	{
		for (int row = first; row < first + nrows; row++)
		{
			CHECK_FOR_INTERRUPTS();
			pump->failed_row = row + offset;
			call_row(pump, streamiter_batch_row(batch, row),
					 row_number(walk, row + offset));
			MemoryContextReset(walk->row_context);
		}
	}
	else
	{
		pump->failed_row = -1;
		callback->context.batch_number = walk->batches;
		callback->context.row_number = row_number(walk, first + offset);
		pump->calling = true;
		callback->call_batch(callback, batch, first, nrows);
		pump->calling = false;
	}
	MemoryContextSwitchTo(oldcontext);
}

/*
 * Work a batch off, setting bad rows aside.  The whole batch is tried first.
 * When a try fails, nothing of it is kept, and a shorter stretch is tried: up
 * to the row that failed, where the callback took rows one by one, else half
 * of it.  "bad_end" is the end of the shortest stretch known to hold a bad
 * row, so that the stretch after a good half is halved as well.
 */
static void
work_off_skipping(SiterPump *pump)
{
	int			nrows = pump->walk->batch.nrows;
	bool		by_row = false;
	int			first = 0;
	int			bad_end = 0;	/* 0: none known */
	int			end = nrows;

	while (first < nrows)
	{
		ErrorData  *failure = try_rows(pump, first, end - first);

		if (failure == NULL)
			first = end;
		else if (end - first == 1)
		{
			skip_row(pump, first, failure);
			FreeErrorData(failure);
			first++;
			bad_end = 0;
		}
		else
		{
			by_row = pump->failed_row >= 0;
			bad_end = by_row ? pump->failed_row + 1 : end;
			FreeErrorData(failure);
		}

		if (bad_end <= first)
			end = nrows;
		else if (bad_end - first == 1)
			end = bad_end;
		else
			end = by_row ? bad_end - 1 : first + (bad_end - first) / 2;
	}
}

/*
 * Call the callback for some rows in a subtransaction.  Returns NULL if that
 * went well, else the error, in the walk context, with nothing done.  Errors
 * that say nothing about a row are passed on.
 */
static ErrorData *
try_rows(SiterPump *pump, int first, int nrows)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	int64		not_called = pump->not_called;
	uint64		batches = pump->walk->batches;
	ErrorData  *volatile failure = NULL;

	if (++pump->subtransactions == MANY_SUBTRANSACTIONS + 1)
		ereport(WARNING,
				(errmsg("this walk takes more than %d subtransactions",
						MANY_SUBTRANSACTIONS),
				 errdetail("While so many are open, other sessions' snapshots cost more."),
				 errhint("A job commits each batch: see streamiter.create_job().")));

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);

	PG_TRY();
	{
		call_rows(pump, first, nrows);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(pump->walk->walk_context);
		failure = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		pump->not_called = not_called;
		pump->walk->batches = batches;
		pump->calling = false;
		pump->prefetching = 0;
	}
	PG_END_TRY();

	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	siter_walk_note_memory(pump->walk);
	MemoryContextReset(pump->walk->row_context);

	if (failure != NULL &&
		siter_failure_classify(failure->sqlerrcode) != SITER_FAILURE_SKIP)
		ReThrowError(failure);
	return failure;
}

static char *
why_not_skipped(SiterPump *pump)
{
	if (pump->max_skips == 0)
		return pstrdup(_("max_skips is 0: no row may be skipped."));
	return psprintf(ngettext("%lld row was skipped before this one; max_skips allows no more.",
							 "%lld rows were skipped before this one; max_skips allows no more.",
							 pump->skipped),
					(long long) pump->skipped);
}

/* Set a row aside, telling the caller all that there is to tell about it */
static void
skip_row(SiterPump *pump, int row, ErrorData *failure)
{
	char	   *values;
	ErrorContextCallback *context_stack = error_context_stack;

	if (pump->skipped == pump->max_skips)
	{
		failure->hint = failure->hint == NULL ? why_not_skipped(pump) :
			psprintf("%s\n%s", failure->hint, why_not_skipped(pump));
		ReThrowError(failure);
	}

	pump->skipped++;
	if (pump->skipped > MAX_SKIP_WARNINGS)
		return;

	/* the failure's context names already what is on the stack */
	values = describe_row(pump->walk, row);
	error_context_stack = NULL;
	ereport(WARNING,
			(errcode(failure->sqlerrcode),
			 errmsg("row " UINT64_FORMAT " skipped: %s",
					row_number(pump->walk, row), failure->message),
			 failure->detail ?
			 errdetail("%s\nThe row is %s.", failure->detail, values) :
			 errdetail("The row is %s.", values),
			 failure->hint ? errhint("%s", failure->hint) : 0,
			 failure->context ? errcontext("%s", failure->context) : 0));
	error_context_stack = context_stack;
	if (pump->skipped == MAX_SKIP_WARNINGS &&
		pump->max_skips > MAX_SKIP_WARNINGS)
		ereport(WARNING,
				(errmsg("further skipped rows are counted, but not reported one by one")));
	MemoryContextReset(pump->walk->row_context);
}

/* "(1, Ann, null)", values clipped */
static char *
describe_row(SiterWalk *walk, int row)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(walk->row_context);
	TupleTableSlot *slot = streamiter_batch_row(&walk->batch, row);
	StringInfoData buf;

	slot_getallattrs(slot);
	initStringInfo(&buf);
	for (int i = 0; i < walk->tupdesc->natts; i++)
	{
		Oid			output;
		bool		is_varlena;
		char	   *value = "null";
		int			shown;

		if (!slot->tts_isnull[i])
		{
			getTypeOutputInfo(TupleDescAttr(walk->tupdesc, i)->atttypid,
							  &output, &is_varlena);
			value = OidOutputFunctionCall(output, slot->tts_values[i]);
		}
		shown = pg_mbcliplen(value, strlen(value), MAX_SHOWN_VALUE);
		appendStringInfo(&buf, "%s%.*s%s", i > 0 ? ", " : "", shown, value,
						 value[shown] != '\0' ? "..." : "");
	}
	MemoryContextSwitchTo(oldcontext);
	return psprintf("(%s)", buf.data);
}

/* Where in the walk an error happened */
static void
pump_error_context(void *arg)
{
	SiterPump  *pump = (SiterPump *) arg;
	SiterWalk  *walk = pump->walk;
	StreamIterContext *context = &pump->callback->context;
	int			shown = pg_mbcliplen(walk->query, strlen(walk->query),
									 MAX_SHOWN_QUERY);
	const char *dots = walk->query[shown] != '\0' ? "..." : "";

	/* one plan does both, and does not say which of them it was */
	if (pump->callback->fused && !pump->calling)
		errcontext("walk of \"%.*s%s\", batch " UINT64_FORMAT ", row "
				   UINT64_FORMAT ", query or callback \"%s\"",
				   shown, walk->query, dots,
				   walk->rows / walk->chunk_size + 1, walk->rows + 1,
				   context->callback);
	else if (pump->prefetching > 0)
		errcontext("walk of \"%.*s%s\", batch " UINT64_FORMAT
				   " from row " UINT64_FORMAT,
				   shown, walk->query, dots, walk->batches,
				   pump->prefetching);
	else if (!pump->calling)
		errcontext("walk of \"%.*s%s\", after row " UINT64_FORMAT,
				   shown, walk->query, dots, walk->rows);
	else if (pump->callback->call_row != NULL)
		errcontext("walk of \"%.*s%s\", batch " UINT64_FORMAT ", row "
				   UINT64_FORMAT ", callback \"%s\"",
				   shown, walk->query, dots, context->batch_number,
				   context->row_number, context->callback);
	else
		errcontext("walk of \"%.*s%s\", batch " UINT64_FORMAT
				   " from row " UINT64_FORMAT ", callback \"%s\"",
				   shown, walk->query, dots, context->batch_number,
				   context->row_number, context->callback);
}
