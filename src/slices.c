/*-------------------------------------------------------------------------
 *
 * slices.c
 *	  Which slice to work on, and making more of them.
 *
 * A slice is cut by whoever works on it, between two of its batches, or by
 * the leader before anybody does: its upper bound comes down and a new slice
 * begins there, in one transaction and under the same condition on run and
 * position as a batch.  So a process knows its own bounds, and no row is ever
 * in two slices or in none.
 *
 * Several slices per process even out most of what is uneven; when one has
 * nothing left to do all the same, it asks, and the next of the others to
 * finish a batch gives away the far half of what it has left.  So all are
 * busy up to the last few batches, however keys and work are distributed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/datum.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "failure.h"
#include "job_progress.h"
#include "pace.h"
#include "range.h"
#include "sample.h"
#include "slices.h"

#define SLICES_PER_MEMBER 8

/* A slice of fewer batches than this is not worth cutting */
#define MIN_BATCHES_TO_SHARE 3

/* How long to wait before looking again for something to do */
#define NAP_MS 20

static void cut(SiterRunner *runner, const SiterSlice *slice, int parts);
static void claim(SiterRunner *runner);
static ErrorData *work_on_claimed(SiterRunner *runner, SiterOutcome *outcome);

/* The far part of a slice, from "bound" on, becomes a slice of its own */
static void
cut_at(SiterRunner *runner, int32 slice, Datum position, Datum bound)
{
	if (!siter_ledger_shrink_slice(runner->job, &runner->run, slice, position,
								   bound))
		siter_attempt_refuse_moved(runner);
}

void
siter_slices_cut(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);
	List	   *slices = siter_ledger_slices(runner->job);
	int			nmembers = runner->team->nmembers;
	ListCell   *lc;

	runner->attempt.phase = SITER_PHASE_READ;
	if (list_length(slices) < nmembers)
	{
		foreach(lc, slices)
			cut(runner, (SiterSlice *) lfirst(lc),
				SLICES_PER_MEMBER * nmembers / list_length(slices));
	}
	siter_attempt_leave(runner, nestlevel);
}

/* Into so many parts, fewer where there are few rows */
static void
cut(SiterRunner *runner, const SiterSlice *slice, int parts)
{
	SiterKeyset *keyset = runner->keyset;
	int			limit = siter_pace_usual_limit(runner);
	SiterRange	range = {NULL, NULL};
	SiterKey  **bounds;
	Datum		lower = (Datum) 0;
	int			nbounds;
	double		batches;

	if (slice->position != (Datum) 0)
		range.lower = siter_key_decode(keyset, slice->position);
	if (slice->upper != (Datum) 0)
		range.upper = siter_key_decode(keyset, slice->upper);

	/* one batch for each is what parallel work is about, at the least */
	if (siter_range_nth(keyset, &range, (int64) limit + 1) == NULL)
		return;
	batches = siter_range_estimate(keyset, &range) / limit;
	parts = (int) Min(parts, Max(batches, runner->team->nmembers));
	bounds = siter_sample_bounds(keyset, &range, parts, &nbounds);

	for (int i = 0; i < nbounds; i++)
	{
		Datum		bound = siter_key_encode(keyset, bounds[i]);

		if (i == 0)
			cut_at(runner, slice->number, slice->position, bound);
		else
			siter_ledger_add_slice(runner->job, &runner->run,
								   siter_team_new_slice(runner->team),
								   lower, bound);
		lower = bound;
	}
	if (nbounds > 0)
		siter_ledger_add_slice(runner->job, &runner->run,
							   siter_team_new_slice(runner->team),
							   lower, slice->upper);
}

/* Cut our own slice in half, if it is worth it */
static void
share(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);
	SiterKeyset *keyset = runner->keyset;
	SiterRange	range = {runner->position, runner->upper};
	int64		limit = siter_pace_usual_limit(runner);
	SiterKey  **bounds = NULL;
	int			nbounds;

	runner->attempt.phase = SITER_PHASE_READ;
	if (siter_range_nth(keyset, &range, limit * MIN_BATCHES_TO_SHARE) != NULL)
		bounds = siter_sample_bounds(keyset, &range, 2, &nbounds);
	if (bounds != NULL)
	{
		Datum		bound = siter_key_encode(keyset, bounds[0]);

		runner->attempt.phase = SITER_PHASE_SAVE;
		cut_at(runner, runner->slice, runner->position_text, bound);
		siter_ledger_add_slice(runner->job, &runner->run,
							   siter_team_new_slice(runner->team),
							   bound, runner->slice_text.upper);
		runner->attempt.position = bounds[0];
		runner->attempt.position_text = bound;
	}
	siter_attempt_leave(runner, nestlevel);
}

ErrorData *
siter_slices_share(SiterRunner *runner)
{
	SiterAttempt *attempt = &runner->attempt;
	ErrorData  *error;
	MemoryContext oldcontext;

	/* with a bad row about, the key range is to stay what it is */
	if (runner->too_small || runner->trouble.limit > 0 ||
		runner->window != NULL || !siter_team_answer(runner->team))
		return NULL;

	error = siter_runner_transact(runner, share, SITER_SNAPSHOT_OF_SOURCE);
	if (error != NULL && siter_failure_classify(error->sqlerrcode) == SITER_FAILURE_RETRY)
	{
		/* nothing came of it; whoever asked will ask again */
		FreeErrorData(error);
		return NULL;
	}
	if (error != NULL)
		return error;
	if (attempt->position == NULL)
	{
		runner->too_small = true;
		return NULL;
	}
	oldcontext = MemoryContextSwitchTo(runner->context);
	runner->upper = siter_key_copy(runner->keyset, attempt->position);
	runner->slice_text.upper = datumCopy(attempt->position_text, false, -1);
	MemoryContextSwitchTo(oldcontext);
	return NULL;
}

/*
 * Take a slice that is nobody's.  Its row is read again once it is ours: who
 * had it before may have moved on until the last moment.
 */
static void
claim(SiterRunner *runner)
{
	SiterTeam  *team = runner->team;
	int32	   *taken = palloc_array(int32, team->nmembers);
	MemoryContext oldcontext;

	siter_attempt_refresh(runner);
	for (;;)
	{
		int			ntaken = siter_team_taken(team, runner->member, taken);
		int32		number;
		bool		found;

		/* those before our last one are done, mostly: do not read them all */
		number = siter_ledger_next_slice(runner->job, runner->slice, taken,
										 ntaken);
		if (number == 0 && runner->slice > 0)
			number = siter_ledger_next_slice(runner->job, 0, taken, ntaken);
		runner->claim = number != 0 ? SITER_CLAIM_MADE :
			ntaken > 0 ? SITER_CLAIM_LATER : SITER_CLAIM_NEVER;
		if (number == 0)
			return;
		if (!siter_team_take_slice(team, runner->member, number))
			continue;

		oldcontext = MemoryContextSwitchTo(runner->context);
		found = siter_ledger_get_slice(runner->job, number,
									   &runner->slice_text);
		MemoryContextSwitchTo(oldcontext);
		if (found)
		{
			siter_runner_enter_slice(runner);
			return;
		}
		siter_team_release_slice(team, runner->member);
	}
}

void
siter_slices_nap(SiterRunner *runner)
{
	static uint32 event = 0;

	if (event == 0)
		event = siter_wait_event("StreamIterSlice");
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 NAP_MS, event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* What pg_stat_activity says of a worker; a CALL speaks for itself */
static void
report_activity(const SiterRunner *runner, const char *what)
{
	char		line[2 * NAMEDATALEN + 64];

	if (!AmBackgroundWorkerProcess())
		return;
	snprintf(line, sizeof(line), "job \"%s\": %s", runner->job->name, what);
	pgstat_report_activity(STATE_RUNNING, line);
}

void
siter_slices_report_batch(const SiterRunner *runner)
{
	char		line[64];

	if (!AmBackgroundWorkerProcess())
		return;
	snprintf(line, sizeof(line), "slice %d, batch " INT64_FORMAT,
			 runner->slice, runner->total.batches + 1);
	report_activity(runner, line);
}

ErrorData *
siter_slices_work(SiterRunner *runner, SiterOutcome *outcome)
{
	SiterTeam  *team = runner->team;
	ErrorData  *error = NULL;

	report_activity(runner, "begins");
	while ((*outcome = siter_team_outcome(team, runner->member)) ==
		   SITER_OUTCOME_NONE)
	{
		MemoryContextReset(runner->attempt_context);
		error = siter_runner_transact(runner, claim, SITER_SNAPSHOT_ANY);
		if (error != NULL || runner->claim == SITER_CLAIM_NEVER)
			break;
		if (runner->claim == SITER_CLAIM_LATER)
		{
			siter_team_ask(team, runner->member);
			report_activity(runner, "waits for work");
			error = siter_runner_transact(runner, siter_slices_nap, SITER_SNAPSHOT_NONE);
			siter_job_progress_tell(runner);
		}
		else
			error = work_on_claimed(runner, outcome);
		if (error != NULL)
			break;
		if (*outcome != SITER_OUTCOME_NONE)
			siter_team_stop(team, *outcome);
	}
	return error;
}

static ErrorData *
work_on_claimed(SiterRunner *runner, SiterOutcome *outcome)
{
	ErrorData  *error = siter_runner_work(runner, outcome);

	siter_team_release_slice(runner->team, runner->member);
	return error;
}
