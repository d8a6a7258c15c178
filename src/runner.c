/*-------------------------------------------------------------------------
 *
 * runner.c
 *	  Working on a job: transaction after transaction.
 *
 * The only file that ends transactions.  Each piece of work is a transaction
 * of its own with one subtransaction in it: when the work fails, the
 * subtransaction is rolled back, which unwinds whatever SPI levels the error
 * came through, and the empty transaction is committed.  So the transaction
 * as a whole is never aborted by us, and keeps the runner's lock, which an
 * abort would release.  Only an error at commit aborts it; then the lock is
 * taken again at once, and if somebody else was quicker the run is over.
 *
 * When a batch fails and bad rows are to be set aside, the same key range is
 * read again in smaller parts until the bad row stands alone.  There is no
 * list of parts: the position moves over what went well, and only the number
 * of rows that the next attempt takes changes.  Nothing is assumed about the
 * rows of the failed attempt; others may have changed them since.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/pg_prng.h"
#include "executor/instrument.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/pquery.h"
#include "utils/datum.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "batch_timer.h"
#include "compat.h"
#include "failure.h"
#include "guc.h"
#include "hold.h"
#include "job_lock.h"
#include "job_progress.h"
#include "pace.h"
#include "range.h"
#include "runner.h"
#include "slices.h"

/* Before an attempt is made again: this, twice this, ... but not more */
#define MIN_BACKOFF_MS 50
#define MAX_BACKOFF_MS 5000

/* Between the begin and the end of a subtransaction, where none can nest */
static bool at_work = false;

static ErrorData *do_in_subtransaction(SiterRunner *runner, SiterWork work,
									   SiterSnapshot snapshot);
static ErrorData *commit(SiterRunner *runner);
static bool lock_again(SiterRunner *runner);
static ErrorData *take_rows(SiterRunner *runner, int wanted,
							SiterOutcome *outcome);
static void forget_attempt(SiterRunner *runner);
static void after_success(SiterRunner *runner);
static ErrorData *after_failure(SiterRunner *runner, ErrorData *error);
static ErrorData *set_row_aside(SiterRunner *runner, ErrorData *error);
static ErrorData *retry_row(SiterRunner *runner, const SiterSkippedRow *row,
							SiterOutcome *outcome);
static ErrorData *locate_failure(SiterRunner *runner, ErrorData *error);
static void forget_failure(SiterRunner *runner);
static bool is_interrupt(const ErrorData *error);
static bool is_final(SiterRunner *runner, const ErrorData *error);
static bool may_try_again(SiterRunner *runner, const ErrorData *error);
static void move_position(SiterRunner *runner);
static void account(SiterRunner *runner);
static SiterOutcome why_stop(SiterRunner *runner);

void
siter_runner_init(SiterRunner *runner, MemoryContext context, SiterJob *job,
				  SiterTeam *team, int member)
{
	runner->context = context;
	runner->attempt_context = AllocSetContextCreate(context,
													"streamiter attempt",
													ALLOCSET_DEFAULT_SIZES);
	runner->callback.context = AllocSetContextCreate(context,
													 "streamiter callback",
													 ALLOCSET_DEFAULT_SIZES);
	runner->job = job;
	runner->run = team->run;
	runner->team = team;
	runner->member = member;
	runner->budget.deadline = team->deadline;
	runner->budget.rows = -1;
	runner->pacer.replicas.context = context;
	runner->pacer.rows_left = -1;
	runner->wal_counted = pgWalUsage.wal_bytes;
	runner->limit = siter_pace_usual_limit(runner);
}

void
siter_runner_see_present(void)
{
	if (IsolationUsesXactSnapshot())
		SPI_commit();
}

bool
siter_runner_is_at_work(void)
{
	return at_work;
}

ErrorData *
siter_runner_transact(SiterRunner *runner, SiterWork work,
					  SiterSnapshot snapshot)
{
	ErrorData  *error = do_in_subtransaction(runner, work, snapshot);
	ErrorData  *commit_error = commit(runner);

	return error != NULL ? error : commit_error;
}

static ErrorData *
do_in_subtransaction(SiterRunner *runner, SiterWork work,
					 SiterSnapshot snapshot)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		MemoryContextSwitchTo(runner->attempt_context);
		at_work = true;
		CHECK_FOR_INTERRUPTS();

		/* the first snapshot may be the only one: see hold.c */
		if (snapshot == SITER_SNAPSHOT_OF_SOURCE && IsolationUsesXactSnapshot())
			siter_hold_locks(runner);
		if (snapshot != SITER_SNAPSHOT_NONE)
			EnsurePortalSnapshotExists();
		work(runner);
		siter_batch_timer_finish();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(runner->attempt_context);
		error = CopyErrorData();
		FlushErrorState();
		siter_batch_timer_fail(error);

		/* who took the last of the time does not count: it was the rows */
		if (error->sqlerrcode == SITER_ERRCODE_TIMEOUT &&
			runner->attempt.phase == SITER_PHASE_SAVE)
			runner->attempt.phase = SITER_PHASE_CALL;
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();

	at_work = false;
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	return error;
}

/*
 * Commit.  What can still fail here, a serialization failure say, belongs to
 * the batch as much as what failed earlier; and so does what the commit leaves
 * in the current memory context, as it does after a failed subtransaction.
 */
static ErrorData *
commit(SiterRunner *runner)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->attempt_context);
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		SPI_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(runner->attempt_context);
		error = CopyErrorData();
		FlushErrorState();
		runner->attempt.phase = SITER_PHASE_COMMIT;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);

	/* SPI has aborted the transaction and begun another */
	if (error != NULL && !lock_again(runner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another session has taken over job \"%s\"",
						runner->job->name),
				 errdetail("A commit failed: %s", error->message)));
	return error;
}

/* A helper's lock says that it is there; what counts is the leader's */
static bool
lock_again(SiterRunner *runner)
{
	if (runner->member == SITER_LEADER)
		return siter_job_lock(runner->job->id);
	return siter_job_join(runner->job->id) &&
		siter_team_outcome(runner->team, runner->member) !=
		SITER_OUTCOME_STOPPED;
}

ErrorData *
siter_runner_work(SiterRunner *runner, SiterOutcome *outcome)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->attempt_context);
	ErrorData  *error = NULL;

	memset(&runner->trouble, 0, sizeof(SiterTrouble));
	*outcome = SITER_OUTCOME_NONE;

	while (error == NULL && !runner->done && *outcome == SITER_OUTCOME_NONE)
	{
		forget_attempt(runner);
		error = siter_pace_wait(runner, &runner->budget, outcome);
		if (error == NULL && *outcome == SITER_OUTCOME_NONE)
			error = take_rows(runner, siter_pace_usual_limit(runner),
							  outcome);
		if (error != NULL || *outcome != SITER_OUTCOME_NONE)
			break;

		siter_slices_report_batch(runner);
		runner->pacer.rows_left = runner->budget.rows;
		siter_pace_begin_batch(runner);
		error = siter_runner_transact(runner, siter_attempt_batch, SITER_SNAPSHOT_OF_SOURCE);
		siter_pace_end_batch(runner, error == NULL);
		if (error != NULL)
			error = after_failure(runner, error);
		else if (!runner->stop_requested)
			after_success(runner);

		siter_team_used_rows(runner->team, runner->member,
							 runner->attempt.count.rows);
		if (error != NULL || runner->done)
			break;
		siter_job_progress_tell(runner);
		*outcome = why_stop(runner);
		if (*outcome == SITER_OUTCOME_NONE)
			error = siter_slices_share(runner);
	}
	MemoryContextSwitchTo(oldcontext);
	return error;
}

/*
 * Rows of the budget for the next batch.  When others have all that is left,
 * they may give some back.
 */
static ErrorData *
take_rows(SiterRunner *runner, int wanted, SiterOutcome *outcome)
{
	SiterTeam  *team = runner->team;
	ErrorData  *error = NULL;

	while (error == NULL &&
		   !siter_team_take_rows(team, runner->member, wanted,
								 &runner->budget.rows))
	{
		*outcome = siter_team_outcome(team, runner->member);
		if (*outcome != SITER_OUTCOME_NONE)
			break;
		error = siter_runner_transact(runner, siter_slices_nap, SITER_SNAPSHOT_NONE);
		siter_job_progress_tell(runner);
	}
	return error;
}

/*
 * The next attempt may fail before it has begun, and must then not look as if
 * the rows of the last one were at hand, whose memory is gone.
 */
static void
forget_attempt(SiterRunner *runner)
{
	MemoryContextReset(runner->attempt_context);
	memset(&runner->attempt, 0, sizeof(SiterAttempt));
	runner->attempt.row = -1;
}

void
siter_runner_enter_slice(SiterRunner *runner)
{
	SiterSlice *slice = &runner->slice_text;
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);

	runner->slice = slice->number;
	runner->too_small = false;
	runner->upper = runner->position = runner->window = NULL;
	runner->position_text = slice->position;
	runner->done = false;
	if (slice->upper != (Datum) 0)
		runner->upper = siter_key_decode(runner->keyset, slice->upper);
	if (slice->position != (Datum) 0)
		runner->position = siter_key_decode(runner->keyset, slice->position);
	MemoryContextSwitchTo(oldcontext);
}

static void
after_success(SiterRunner *runner)
{
	SiterTrouble *trouble = &runner->trouble;
	int			nrows = runner->attempt.nrows;

	move_position(runner);
	account(runner);
	trouble->retries = 0;
	trouble->attempts = 0;

	/*
	 * Rows that went well are no suspects any more; a last one is tried
	 * alone.  Without suspects attempts grow again, unless the callback tells
	 * which row fails: then it may as well be given all.
	 */
	if (trouble->suspects > nrows)
	{
		trouble->suspects -= nrows;
		trouble->limit = trouble->by_row ?
			trouble->suspects - 1 : trouble->suspects / 2;
		trouble->limit = Max(trouble->limit, 1);
		return;
	}
	trouble->suspects = 0;
	if (trouble->by_row || trouble->limit >= siter_pace_usual_limit(runner) / 2)
		trouble->limit = 0;
	else
		trouble->limit *= 2;
}

/* Prepare the next attempt; or return the error, if it is final */
static ErrorData *
after_failure(SiterRunner *runner, ErrorData *error)
{
	SiterAttempt *attempt = &runner->attempt;
	SiterTrouble *trouble = &runner->trouble;
	int			nrows;

	/* before the callback had any, the batch is what was asked for */
	nrows = attempt->phase <= SITER_PHASE_KEY ? runner->limit : attempt->nrows;
	memset(&attempt->count, 0, sizeof(SiterCounters));
	if (nrows <= 1)
		trouble->attempts++;

	if (error->sqlerrcode == SITER_ERRCODE_TIMEOUT && nrows > 1)
	{
		/* too many rows, or one that takes for ever: halves tell */
		siter_pace_timed_out(runner, nrows);
		trouble->by_row = false;
		trouble->suspects = nrows;
		trouble->limit = nrows / 2;
		runner->retries++;
		FreeErrorData(error);
		return NULL;
	}
	if (may_try_again(runner, error))
	{
		FreeErrorData(error);
		return NULL;
	}
	if (is_final(runner, error))
	{
		(void) locate_failure(runner, error);
		return error;
	}
	if (nrows <= 1)
		return set_row_aside(runner, error);

	trouble->by_row = attempt->row >= 0;
	trouble->suspects = trouble->by_row ? attempt->row + 1 : nrows;
	trouble->limit = trouble->by_row ? attempt->row : nrows / 2;
	trouble->limit = Max(trouble->limit, 1);
	FreeErrorData(error);
	return NULL;
}

/*
 * Set the one row of the last attempt aside.  If the row could not be read,
 * its key is found first and the row tried alone: where fetches look one row
 * ahead, it may have been the next one's fault.
 */
static ErrorData *
set_row_aside(SiterRunner *runner, ErrorData *error)
{
	SiterTrouble *trouble = &runner->trouble;
	ErrorData  *skip_error;

	runner->bad_row_unreadable = runner->attempt.phase == SITER_PHASE_READ;
	if (runner->bad_row_unreadable && runner->window == NULL)
	{
		skip_error = siter_runner_transact(runner, siter_attempt_find_window,
										   SITER_SNAPSHOT_OF_SOURCE);
		if (skip_error == NULL && runner->window != NULL)
		{
			FreeErrorData(error);
			return NULL;
		}
		return skip_error != NULL && is_interrupt(skip_error) ?
			skip_error : error;
	}
	skip_error = locate_failure(runner, error);
	if (skip_error != error || runner->failed_last == (Datum) 0)
		return skip_error;

	runner->bad_error = error;
	runner->bad_row.key = runner->failed_last;
	runner->bad_row.attempts = trouble->attempts;
	skip_error = siter_runner_transact(runner, siter_attempt_skip, SITER_SNAPSHOT_OF_SOURCE);
	if (skip_error != NULL && runner->attempt.phase == SITER_PHASE_READ &&
		!is_interrupt(skip_error))
	{
		FreeErrorData(skip_error);
		runner->bad_row_unreadable = true;
		skip_error = siter_runner_transact(runner, siter_attempt_skip, SITER_SNAPSHOT_OF_SOURCE);
	}
	if (skip_error != NULL)
		return skip_error;
	if (runner->too_many_skips)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);

		error->hint = psprintf(_("%s%smax_skips allows no more rows to be set aside than the " INT64_FORMAT " there are."),
							   error->hint ? error->hint : "",
							   error->hint ? "\n" : "",
							   runner->job->max_skips);
		MemoryContextSwitchTo(oldcontext);
		return error;
	}

	FreeErrorData(error);
	move_position(runner);
	account(runner);
	trouble->limit = trouble->by_row ? 0 : 2;
	trouble->suspects = trouble->retries = trouble->attempts = 0;
	forget_failure(runner);
	return NULL;
}

/*
 * Note where it happened, in runner and error.  failed_last is 0 if that
 * cannot be had, as for an error before any key was read.  Returns the error,
 * or the interrupt that came meanwhile: where the run would go on otherwise,
 * it must not be lost.
 */
static ErrorData *
locate_failure(SiterRunner *runner, ErrorData *error)
{
	ErrorData  *locate_error;

	forget_failure(runner);
	runner->bad_error = error;
	locate_error = siter_runner_transact(runner, siter_attempt_locate_failure,
										 SITER_SNAPSHOT_ANY);
	if (locate_error == NULL)
		return error;
	if (is_interrupt(locate_error))
		return locate_error;
	FreeErrorData(locate_error);
	return error;
}

static void
forget_failure(SiterRunner *runner)
{
	if (runner->failed_first != (Datum) 0)
		pfree(DatumGetPointer(runner->failed_first));
	if (runner->failed_last != (Datum) 0)
		pfree(DatumGetPointer(runner->failed_last));
	runner->failed_first = runner->failed_last = (Datum) 0;
}

/* Somebody wants the statement or the session to end */
static bool
is_interrupt(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Does the error end the run?  Only what the source, the callback or the
 * commit said can be about a row.
 */
static bool
is_final(SiterRunner *runner, const ErrorData *error)
{
	if (!runner->job->skip_errors ||
		siter_failure_classify(error->sqlerrcode) == SITER_FAILURE_FATAL)
		return true;

	switch (runner->attempt.phase)
	{
		case SITER_PHASE_READ:
		case SITER_PHASE_CALL:
		case SITER_PHASE_COMMIT:
			return false;
		default:
			return true;
	}
}

/* If so, after a while; counted as a retry */
static bool
may_try_again(SiterRunner *runner, const ErrorData *error)
{
	int			retries = runner->trouble.retries;
	int64		backoff;

	if (siter_failure_classify(error->sqlerrcode) != SITER_FAILURE_RETRY ||
		retries >= runner->job->max_retries)
		return false;

	/* between a half and all of it, so that two do not meet again */
	backoff = Min(MAX_BACKOFF_MS, (int64) MIN_BACKOFF_MS << Min(retries, 16));
	backoff -= pg_prng_uint64_range(&pg_global_prng_state, 0, backoff / 2);
	siter_pace_retry_after(runner, backoff);
	runner->trouble.retries++;
	runner->retries++;
	return true;
}

/* What has been committed */
static void
move_position(SiterRunner *runner)
{
	SiterAttempt *attempt = &runner->attempt;
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);

	if (attempt->position != NULL)
	{
		if (runner->position != NULL)
			pfree(runner->position);
		if (runner->position_text != (Datum) 0)
			pfree(DatumGetPointer(runner->position_text));
		runner->position = siter_key_copy(runner->keyset, attempt->position);
		runner->position_text = datumCopy(attempt->position_text, false, -1);
	}
	runner->done = attempt->done;
	if (runner->window != NULL)
		pfree(runner->window);
	runner->window = NULL;
	MemoryContextSwitchTo(oldcontext);
}

static void
account(SiterRunner *runner)
{
	SiterCounters *count = &runner->attempt.count;

	runner->total.rows += count->rows;
	runner->total.batches += count->batches;
	runner->total.skipped += count->skipped;
	runner->total.retries += count->retries;
	runner->total.not_called += count->not_called;
	runner->total.affected += count->affected;
	runner->retries -= count->retries;
	runner->total.wal_bytes += count->wal_bytes;
	siter_team_add_rows(runner->team, count->rows);
	runner->wal_counted += count->wal_bytes;
}

/* Between two batches: is there a reason to stop? */
static SiterOutcome
why_stop(SiterRunner *runner)
{
	if (runner->stop_requested)
		return runner->job->cancel_requested ?
			SITER_OUTCOME_CANCELLED : SITER_OUTCOME_PAUSED;

	/* an attempt that has come to nothing is no batch yet */
	if (runner->budget.deadline != 0 && runner->attempt.count.rows > 0 &&
		GetCurrentTimestamp() >= runner->budget.deadline)
		return SITER_OUTCOME_STOPPED;
	return siter_team_outcome(runner->team, runner->member);
}

ErrorData *
siter_runner_retry_rows(SiterRunner *runner, List *rows,
						SiterOutcome *outcome)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->attempt_context);
	ErrorData  *error = NULL;
	ListCell   *lc;

	*outcome = SITER_OUTCOME_NONE;
	memset(&runner->trouble, 0, sizeof(SiterTrouble));
	foreach(lc, rows)
	{
		forget_attempt(runner);
		error = take_rows(runner, 1, outcome);
		if (error == NULL && *outcome == SITER_OUTCOME_NONE)
			error = retry_row(runner, (SiterSkippedRow *) lfirst(lc),
							  outcome);
		if (error != NULL || *outcome != SITER_OUTCOME_NONE)
			break;
		runner->retried++;
		runner->attempt.count.rows = 1;
		siter_team_used_rows(runner->team, runner->member, 1);
		siter_job_progress_tell(runner);
		*outcome = why_stop(runner);
		if (*outcome != SITER_OUTCOME_NONE)
			break;
	}
	MemoryContextSwitchTo(oldcontext);
	return error;
}

/*
 * NULL if it went well, is set aside again, or there was no time for it,
 * which *outcome says; else a final error.
 */
static ErrorData *
retry_row(SiterRunner *runner, const SiterSkippedRow *row,
		  SiterOutcome *outcome)
{
	ErrorData  *error;
	ErrorData  *locate_error;

	runner->bad_row = *row;
	runner->trouble.retries = 0;
	for (;;)
	{
		error = siter_pace_wait(runner, &runner->budget, outcome);
		if (error != NULL || *outcome != SITER_OUTCOME_NONE)
			return error;
		siter_pace_begin_batch(runner);
		error = siter_runner_transact(runner, siter_attempt_retry, SITER_SNAPSHOT_OF_SOURCE);
		siter_pace_end_batch(runner, false);
		if (error == NULL)
		{
			account(runner);
			if (runner->stop_requested)
				*outcome = why_stop(runner);
			return NULL;
		}
		runner->bad_row.attempts++;
		if (!may_try_again(runner, error))
			break;
		FreeErrorData(error);
	}
	if (siter_failure_classify(error->sqlerrcode) == SITER_FAILURE_FATAL ||
		(runner->attempt.phase != SITER_PHASE_READ &&
		 runner->attempt.phase != SITER_PHASE_CALL &&
		 runner->attempt.phase != SITER_PHASE_COMMIT))
		return error;

	locate_error = locate_failure(runner, error);
	if (locate_error != error)
		return locate_error;
	runner->bad_error = error;
	runner->bad_row_unreadable = runner->attempt.phase == SITER_PHASE_READ;
	error = siter_runner_transact(runner, siter_attempt_skip_again, SITER_SNAPSHOT_OF_SOURCE);
	if (error == NULL)
		account(runner);
	return error;
}

void
siter_runner_try(SiterRunner *runner, const SiterSlice *slice, int batches)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->attempt_context);

	runner->slice_text = *slice;
	siter_runner_enter_slice(runner);
	while (!runner->done && runner->total.batches < batches)
	{
		forget_attempt(runner);
		siter_attempt_batch(runner);
		siter_batch_timer_finish();
		CommandCounterIncrement();
		move_position(runner);
		account(runner);
	}
	MemoryContextSwitchTo(oldcontext);
}

double
siter_runner_estimate(SiterRunner *runner, const SiterSlice *slice)
{
	SiterRange	range;

	runner->slice_text = *slice;
	siter_runner_enter_slice(runner);
	range.lower = runner->position;
	range.upper = runner->upper;
	return siter_range_estimate(runner->keyset, &range);
}
