/*-------------------------------------------------------------------------
 *
 * runner.h
 *	  Working on a job: transaction after transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_RUNNER_H
#define SITER_RUNNER_H

#include "attempt.h"

/*
 * See what others have committed by now, also where a transaction has but one
 * snapshot.
 */
extern void siter_runner_see_present(void);

/* Is a piece of work under way in this process, a batch say? */
extern bool siter_runner_is_at_work(void);

typedef void (*SiterWork) (SiterRunner *runner);

/*
 * Initialize a runner (all zeroes) for a job whose lock is held, be it by this
 * process or, for a helper, by the leader.  "context",
 * in which it lives, must outlive transactions.  SPI must be connected,
 * non-atomic.  Work that has more to remember extends the struct.
 */
extern void siter_runner_init(SiterRunner *runner, MemoryContext context,
							  SiterJob *job, SiterTeam *team,
							  int member);

/* What a piece of work may look at */
typedef enum SiterSnapshot
{
	SITER_SNAPSHOT_NONE,		/* nothing, not even a catalog */
	SITER_SNAPSHOT_ANY,			/* all but the source */
	SITER_SNAPSHOT_OF_SOURCE	/* the source, too */
} SiterSnapshot;

/*
 * Do a piece of work in a transaction of its own and commit it.  Returns NULL
 * or, with nothing done, the error; either way the transaction is a new one.
 */
extern ErrorData *siter_runner_transact(SiterRunner *runner, SiterWork work,
										SiterSnapshot snapshot);

/* Before siter_runner_work(), in a transaction: go to runner->slice_text */
extern void siter_runner_enter_slice(SiterRunner *runner);

/*
 * Work on that slice, committing batch by batch, until it
 * is done, the budget is used up, the job is to be paused or cancelled, or
 * the team stops; *outcome says which.  Returns NULL or the error that ended
 * it; nothing of the last batch is kept then.
 */
extern ErrorData *siter_runner_work(SiterRunner *runner,
									SiterOutcome *outcome);

/*
 * Try rows that were set aside once more, each in a transaction of its own.
 * "rows" are SiterSkippedRow *.  Outcome and result as above; outcome NONE
 * when all have been tried.
 */
extern ErrorData *siter_runner_retry_rows(SiterRunner *runner, List *rows,
										  SiterOutcome *outcome);

/*
 * For a dry run, within the caller's subtransaction: the next batches of a
 * slice, until "batches" have been made in all.  Raises what they raise.
 */
extern void siter_runner_try(SiterRunner *runner, const SiterSlice *slice,
							 int batches);

/* The planner's estimate of the rows that a slice still has */
extern double siter_runner_estimate(SiterRunner *runner,
									const SiterSlice *slice);

#endif							/* SITER_RUNNER_H */
