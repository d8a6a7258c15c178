/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  One attempt at a batch: what happens within one transaction.
 *
 * All of it runs in the one subtransaction that the runner opens, since an
 * error that comes from inside nested SPI levels cannot be caught otherwise.
 * Whatever the last batch left behind is looked at again: the job may have
 * been altered, the callback dropped, a right revoked.
 *
 * Memory: the attempt context is reset before each batch.  What a batch makes
 * for the next one lives in contexts of its own: the job's, the keyset's, the
 * callback's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "batch_timer.h"
#include "guc.h"
#include "hold.h"
#include "job_lock.h"
#include "job_progress.h"
#include "keyscan.h"
#include "pace.h"
#include "range.h"

static void start_timer(SiterRunner *runner);
static SiterRange what_is_left(SiterRunner *runner);
static void make_callback(SiterRunner *runner);
static void work_on_keys(SiterRunner *runner);
static void work_on_rows(SiterRunner *runner);
static SiterKey *key_of_row(SiterRunner *runner, int row);
static void check_neighbours(SiterRunner *runner, StreamIterBatch *batch);
static StreamIterBatch *take_related(SiterRunner *runner, SiterWalk *walk);
static void call(SiterRunner *runner, SiterWalk *walk, StreamIterBatch *batch,
				 int nrows);
static void fire_deferred_triggers(void);
static void check_role(SiterRunner *runner);
static void save_position(SiterRunner *runner);
static void save_counters(SiterRunner *runner);
static void count_spent(SiterRunner *runner);
static void work_on_bad_row(SiterRunner *runner, SiterRange *range);
static bool narrow_to_bad_row(SiterRunner *runner, SiterRange *range);
static Datum bad_row_as_jsonb(SiterRunner *runner);

/* The job as of now, and its settings until siter_attempt_leave() */
int
siter_attempt_enter(SiterRunner *runner)
{
	int			nestlevel;

	memset(&runner->attempt, 0, sizeof(SiterAttempt));
	runner->attempt.row = -1;
	runner->attempt.phase = SITER_PHASE_SETUP;
	siter_attempt_refresh(runner);

	nestlevel = siter_job_enter_settings(runner->job);
	siter_hold(runner);
	PushActiveSnapshot(GetTransactionSnapshot());
	return nestlevel;
}

void
siter_attempt_refresh(SiterRunner *runner)
{
	bool		changed;

	runner->job = siter_job_refresh(runner->job, &changed);
	if (changed && runner->keyset != NULL)
		runner->keyset->allow_slow_plan = runner->job->allow_slow_plan;
}

/* From here on the attempt may take as long as batch_timeout says */
static void
start_timer(SiterRunner *runner)
{
	int64		timeout = runner->job->pace.batch_timeout;

	if (timeout > 0)
		siter_batch_timer_start(timeout,
								psprintf(_("a batch took longer than batch_timeout, " INT64_FORMAT " ms"),
										 timeout));
}

/* The slice without what is done, or as much of it as is open now */
static SiterRange
what_is_left(SiterRunner *runner)
{
	SiterRange	range = {runner->position, runner->upper};

	if (runner->window != NULL)
		range.upper = runner->window;
	return range;
}

void
siter_attempt_leave(SiterRunner *runner, int nestlevel)
{
	PopActiveSnapshot();
	AtEOXact_GUC(true, nestlevel);
}

void
siter_attempt_validate(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);

	siter_hold_begin(runner);
	make_callback(runner);
	siter_attempt_leave(runner, nestlevel);
}

static void
make_callback(SiterRunner *runner)
{
	siter_job_callback_make(&runner->callback, runner->job, runner->keyset,
							runner->limit);
}

void
siter_attempt_batch(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);
	SiterAttempt *attempt = &runner->attempt;

	if (runner->job->pause_requested || runner->job->cancel_requested)
		runner->stop_requested = true;
	else
	{
		siter_pace_choose_limit(runner);
		start_timer(runner);
		make_callback(runner);
		if (runner->callback.range != NULL)
			work_on_keys(runner);
		else
			work_on_rows(runner);
		fire_deferred_triggers();

		attempt->phase = SITER_PHASE_SAVE;
		check_role(runner);
		attempt->count.rows = attempt->nrows;
		attempt->count.batches = attempt->nrows > 0 ? 1 : 0;
		save_position(runner);
	}
	siter_attempt_leave(runner, nestlevel);
}

/* A range statement wants to know no more than the first and the last key */
static void
work_on_keys(SiterRunner *runner)
{
	SiterAttempt *attempt = &runner->attempt;
	SiterKeyset *keyset = runner->keyset;
	SiterRange	range = what_is_left(runner);
	SiterKeyScan scan;
	SiterWalk  *walk;

	walk = siter_range_open(keyset, &range,
							runner->limit + siter_keyset_lookahead(keyset),
							true);
	attempt->phase = SITER_PHASE_READ;
	siter_keyscan_read(keyset, walk, runner->limit, runner->attempt_context,
					   &scan);
	siter_walk_close(walk);
	attempt->nrows = scan.nrows;
	attempt->first = scan.first;
	attempt->last = attempt->position = scan.last;
	attempt->done = scan.exhausted && runner->window == NULL;
	if (attempt->nrows == 0)
		return;

	attempt->phase = SITER_PHASE_CALL;
	attempt->count.affected =
		siter_range_statement_execute(runner->callback.range,
									  attempt->first, attempt->last);
}

static void
work_on_rows(SiterRunner *runner)
{
	SiterAttempt *attempt = &runner->attempt;
	SiterKeyset *keyset = runner->keyset;
	SiterRange	range = what_is_left(runner);
	StreamIterBatch *batch;
	SiterKey   *end = NULL;
	SiterWalk  *walk;

	if (runner->job->lock_rows)
	{
		attempt->phase = SITER_PHASE_READ;
		walk = siter_range_open_locked(keyset, &range, runner->limit, &end);
		if (walk == NULL)
		{
			attempt->done = runner->window == NULL;
			return;
		}
	}
	else
		walk = siter_range_open(keyset, &range,
								runner->limit + siter_keyset_lookahead(keyset),
								false);

	attempt->phase = SITER_PHASE_READ;
	if (runner->callback.prefetch != NULL)
		siter_prefetch_make_room(walk);
	(void) siter_walk_fetch(walk);
	batch = attempt->batch = &walk->batch;

	attempt->phase = SITER_PHASE_KEY;
	if (!keyset->proven_unique)
		check_neighbours(runner, batch);
	attempt->nrows = Min(batch->nrows, runner->limit);
	if (attempt->nrows > 0)
	{
		attempt->first = key_of_row(runner, 0);
		attempt->last = key_of_row(runner, attempt->nrows - 1);
	}

	attempt->batch = take_related(runner, walk);
	if (attempt->batch->nrows < attempt->nrows)
	{
		attempt->nrows = attempt->batch->nrows;
		attempt->last = key_of_row(runner, attempt->nrows - 1);
		end = NULL;
	}

	attempt->position = attempt->last;
	if (end == NULL)
		attempt->done = walk->exhausted && batch->nrows == attempt->nrows &&
			runner->window == NULL;
	else if (walk->exhausted)
		attempt->position = end;

	call(runner, walk, attempt->batch, attempt->nrows);
	ExecClearTuple(batch->slot);
	ExecClearTuple(attempt->batch->slot);
	attempt->batch = NULL;
	siter_walk_close(walk);
}

static SiterKey *
key_of_row(SiterRunner *runner, int row)
{
	return siter_key_from_slot(runner->keyset,
							   streamiter_batch_row(runner->attempt.batch,
													row),
							   false);
}

/* Where the catalog does not say that keys are unique, look */
static void
check_neighbours(SiterRunner *runner, StreamIterBatch *batch)
{
	SiterKey   *previous = runner->position;

	for (int i = 0; i < batch->nrows; i++)
	{
		SiterKey   *key = siter_key_from_slot(runner->keyset,
											  streamiter_batch_row(batch, i),
											  false);

		if (previous != NULL)
			siter_key_check_order(runner->keyset, previous, key);
		if (i > 0)
			pfree(previous);
		previous = key;
	}
}

/*
 * The rows of the attempt as the callback gets them: where there is a prefetch,
 * with their related rows.  There may be so many of these that only the first
 * of the rows come with them, to be a batch of their own.
 */
static StreamIterBatch *
take_related(SiterRunner *runner, SiterWalk *walk)
{
	SiterAttempt *attempt = &runner->attempt;
	bool		see_present = runner->job->lock_rows;
	StreamIterBatch *batch;

	if (runner->callback.prefetch == NULL || attempt->nrows == 0)
		return &walk->batch;
	attempt->phase = SITER_PHASE_CALL;
	if (see_present)
		PushActiveSnapshot(GetTransactionSnapshot());
	batch = siter_prefetch_rows(runner->callback.prefetch, walk, 0,
								attempt->nrows);
	if (see_present)
		PopActiveSnapshot();
	return batch;
}

static void
call(SiterRunner *runner, SiterWalk *walk, StreamIterBatch *batch, int nrows)
{
	SiterAttempt *attempt = &runner->attempt;
	SiterCallback *callback = runner->callback.callback;
	uint64		rows_before = runner->total.rows;
	MemoryContext oldcontext;

	if (nrows == 0)
		return;
	attempt->phase = SITER_PHASE_CALL;
	callback->context.batch_number = runner->total.batches + 1;
	callback->context.row_number = rows_before + 1;

	oldcontext = MemoryContextSwitchTo(walk->row_context);
	if (callback->call_row == NULL)
		callback->call_batch(callback, batch, 0, nrows);
	else
	{
		for (attempt->row = 0; attempt->row < nrows; attempt->row++)
		{
			CHECK_FOR_INTERRUPTS();
			callback->context.row_number = rows_before + attempt->row + 1;
			if (!callback->call_row(callback,
									streamiter_batch_row(batch, attempt->row)))
				attempt->count.not_called++;
			MemoryContextReset(walk->row_context);
		}
		attempt->row = -1;
	}
	MemoryContextSwitchTo(oldcontext);
}

/*
 * What the batch deferred to the commit is checked now, while an error can
 * still be traced to the batch and costs no more than it: SET CONSTRAINTS ALL
 * IMMEDIATE.
 */
static void
fire_deferred_triggers(void)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);

	stmt->constraints = NIL;
	stmt->deferred = false;
	AfterTriggerSetState(stmt);
}

/* What a callback SETs stays set: it must not be another role */
static void
check_role(SiterRunner *runner)
{
	if (GetUserId() != runner->job->owner)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the callback of job \"%s\" changed the role to \"%s\"",
						runner->job->name,
						GetUserNameFromId(GetUserId(), false)),
				 errhint("Let the callback put the role back.")));
}

/* Position and counters, in the same transaction as the batch's effects */
static void
save_position(SiterRunner *runner)
{
	SiterAttempt *attempt = &runner->attempt;

	if (attempt->position == NULL)
		attempt->position_text = runner->position_text;
	else
	{
		if (runner->position != NULL &&
			siter_key_compare(runner->keyset, runner->position,
							  attempt->position) >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("the key of job \"%s\" did not advance",
							runner->job->name)));
		if (runner->upper != NULL &&
			siter_key_compare(runner->keyset, attempt->position,
							  runner->upper) >= 0)
			attempt->done = true;
		attempt->position_text = siter_key_encode(runner->keyset,
												  attempt->position);
	}

	count_spent(runner);
	if (!siter_ledger_checkpoint(runner->job, &runner->run, runner->slice,
								 runner->position_text,
								 attempt->position_text,
								 attempt->done, &attempt->count,
								 siter_job_progress_rate(runner)))
		siter_attempt_refuse_moved(runner);
}

/* The same for a row tried again, which moves no position */
static void
save_counters(SiterRunner *runner)
{
	count_spent(runner);
	if (!siter_ledger_count(runner->job, &runner->run,
							&runner->attempt.count))
		siter_attempt_refuse_moved(runner);
}

/* Failed attempts since the last commit included */
static void
count_spent(SiterRunner *runner)
{
	SiterCounters *count = &runner->attempt.count;

	count->retries = runner->retries;
	count->wal_bytes = pgWalUsage.wal_bytes - runner->wal_counted;
}

void
siter_attempt_refuse_moved(const SiterRunner *runner)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("job \"%s\" was moved on by somebody else",
					runner->job->name),
			 errdetail("Its position is no longer where this run left it, so this batch was undone.")));
}

void
siter_attempt_skip(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);
	SiterAttempt *attempt = &runner->attempt;

	/* others may be about to do the same: one after the other */
	siter_job_lock_skips(runner->job->id);
	runner->too_many_skips =
		siter_ledger_count_skipped(runner->job) >= runner->job->max_skips;
	if (!runner->too_many_skips)
	{
		attempt->position = siter_key_decode(runner->keyset,
											 runner->bad_row.key);
		runner->bad_row.lower = runner->position_text;
		runner->bad_row.row_data = runner->bad_row_unreadable ?
			(Datum) 0 : bad_row_as_jsonb(runner);

		attempt->phase = SITER_PHASE_SAVE;
		siter_ledger_skip(runner->job, &runner->run, &runner->bad_row,
						  runner->bad_error);
		attempt->count.rows = 1;
		attempt->count.skipped = 1;
		save_position(runner);
	}
	siter_attempt_leave(runner, nestlevel);
}

void
siter_attempt_retry(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);
	SiterAttempt *attempt = &runner->attempt;
	SiterRange	range;

	if (runner->job->pause_requested || runner->job->cancel_requested)
		runner->stop_requested = true;
	else
	{
		start_timer(runner);
		make_callback(runner);
		attempt->phase = SITER_PHASE_READ;
		if (narrow_to_bad_row(runner, &range))
			work_on_bad_row(runner, &range);
		attempt->phase = SITER_PHASE_SAVE;
		check_role(runner);
		if (!siter_ledger_unskip(&runner->bad_row))
			siter_attempt_refuse_moved(runner);
		save_counters(runner);
	}
	siter_attempt_leave(runner, nestlevel);
}

static void
work_on_bad_row(SiterRunner *runner, SiterRange *range)
{
	SiterAttempt *attempt = &runner->attempt;

	attempt->nrows = 1;
	if (runner->callback.range != NULL)
	{
		attempt->phase = SITER_PHASE_CALL;
		attempt->count.affected =
			siter_range_statement_execute(runner->callback.range,
										  range->upper, range->upper);
	}
	else
	{
		SiterKey   *end;
		SiterWalk  *walk;

		walk = runner->job->lock_rows ?
			siter_range_open_locked(runner->keyset, range, 1, &end) :
			siter_range_open(runner->keyset, range, 1, false);
		if (walk != NULL)
		{
			if (runner->callback.prefetch != NULL)
				siter_prefetch_make_room(walk);
			if (siter_walk_fetch(walk))
				call(runner, walk, take_related(runner, walk), 1);
			siter_walk_close(walk);
		}
	}
	fire_deferred_triggers();
}

void
siter_attempt_skip_again(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);

	if (!runner->bad_row_unreadable)
		runner->bad_row.row_data = bad_row_as_jsonb(runner);
	siter_ledger_skip_again(&runner->run, &runner->bad_row, runner->bad_error);
	save_counters(runner);
	siter_attempt_leave(runner, nestlevel);
}

/*
 * The range that holds the bad row's key and no other.  When it was set
 * aside, (lower, key] was that; rows may have come in between since.  False
 * if the row is gone.
 */
static bool
narrow_to_bad_row(SiterRunner *runner, SiterRange *range)
{
	SiterKeyset *keyset = runner->keyset;
	int			order = -1;

	range->lower = runner->bad_row.lower == (Datum) 0 ? NULL :
		siter_key_decode(keyset, runner->bad_row.lower);
	range->upper = siter_key_decode(keyset, runner->bad_row.key);

	for (;;)
	{
		SiterKey   *next = siter_range_first(keyset, range);

		if (next == NULL)
			return false;
		order = siter_key_compare(keyset, next, range->upper);
		if (order >= 0)
			return order == 0;
		range->lower = next;
		CHECK_FOR_INTERRUPTS();
	}
}

/* The bad row as it is now; 0 if it is gone */
static Datum
bad_row_as_jsonb(SiterRunner *runner)
{
	SiterRange	range;
	SiterWalk  *walk;
	Datum		result = (Datum) 0;

	runner->attempt.phase = SITER_PHASE_READ;
	if (!narrow_to_bad_row(runner, &range))
		return result;
	walk = siter_range_open(runner->keyset, &range, 1, false);
	if (siter_walk_fetch(walk))
	{
		TupleTableSlot *slot = streamiter_batch_row(&walk->batch, 0);
		Datum		row;

		BlessTupleDesc(slot->tts_tupleDescriptor);
		row = DirectFunctionCall1(row_to_json,
								  ExecFetchSlotHeapTupleDatum(slot));
		result = DirectFunctionCall1(jsonb_in,
									 CStringGetDatum(TextDatumGetCString(row)));
	}
	siter_walk_close(walk);
	return result;
}

void
siter_attempt_find_window(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);
	SiterRange	range = what_is_left(runner);
	SiterKey   *key = siter_range_first(runner->keyset, &range);

	if (key != NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);

		runner->window = siter_key_copy(runner->keyset, key);
		MemoryContextSwitchTo(oldcontext);
	}
	siter_attempt_leave(runner, nestlevel);
}

/*
 * The attempt's memory outlives the subtransaction that failed, so the row
 * that was at hand is still there.
 */
void
siter_attempt_locate_failure(SiterRunner *runner)
{
	SiterAttempt *attempt = &runner->attempt;
	SiterKeyset *keyset = runner->keyset;
	ErrorData  *error = runner->bad_error;
	SiterKey   *first = attempt->first;
	SiterKey   *last = attempt->last;
	MemoryContext oldcontext;
	char	   *context = error->context;
	char	   *where = "";
	Datum		first_text = (Datum) 0;
	Datum		last_text = (Datum) 0;

	if (attempt->row >= 0 && attempt->batch != NULL)
		first = last = key_of_row(runner, attempt->row);
	if (first == NULL)
		first = last = runner->window;

	if (first != NULL)
	{
		char	   *shown = siter_key_to_display(keyset, first);

		first_text = siter_key_encode(keyset, first);
		last_text = siter_key_encode(keyset, last);
		if (siter_key_compare(keyset, first, last) == 0)
			where = psprintf(", row %s", shown);
		else
			where = psprintf(", rows %s to %s", shown,
							 siter_key_to_display(keyset, last));
	}

	/* only this is to stay */
	oldcontext = MemoryContextSwitchTo(runner->context);
	if (first != NULL)
	{
		runner->failed_first = datumCopy(first_text, false, -1);
		runner->failed_last = datumCopy(last_text, false, -1);
	}
	error->context = psprintf("%s%sjob \"%s\", batch " INT64_FORMAT "%s",
							  context ? context : "", context ? "\n" : "",
							  runner->job->name, runner->total.batches + 1,
							  where);
	if (context != NULL)
		pfree(context);
	MemoryContextSwitchTo(oldcontext);
}
