/*-------------------------------------------------------------------------
 *
 * pace.h
 *	  Waiting between a job's batches, and how large they are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PACE_H
#define SITER_PACE_H

#include "runner.h"

/*
 * Wait until the next batch may begin: transaction after short transaction,
 * none of which holds a snapshot or has an id while it waits.  Ends within
 * half a second of a pause or a cancel that is asked for, and of the budget's
 * deadline; *outcome tells.  Returns NULL, or the error that ended it, be it
 * that of an interrupt.  "budget" may be NULL.
 */
extern ErrorData *siter_pace_wait(SiterRunner *runner,
								  const SiterBudget *budget,
								  SiterOutcome *outcome);

/*
 * Do "work" that waits for something else, until it ends otherwise than by its
 * batch timer: it is done again then, unless the wait has to end as above.
 */
extern ErrorData *siter_pace_wait_for(SiterRunner *runner, SiterWork work,
									  SiterThrottleReason reason,
									  const SiterBudget *budget,
									  SiterOutcome *outcome);

/* The next attempt is not to be made before so many ms have passed */
extern void siter_pace_retry_after(SiterRunner *runner, int64 ms);

/* From the settings that hold now, and the trouble there is: runner->limit */
extern void siter_pace_choose_limit(SiterRunner *runner);

/* The same if there were no trouble and no budget */
extern int	siter_pace_usual_limit(SiterRunner *runner);

/* What that is for the first batch of a run */
extern int	siter_pace_first_limit(const SiterJob *job);

/* Around each attempt, the commit included */
extern void siter_pace_begin_batch(SiterRunner *runner);
extern void siter_pace_end_batch(SiterRunner *runner, bool committed);

/* An attempt at so many rows ran into batch_timeout */
extern void siter_pace_timed_out(SiterRunner *runner, int nrows);

/*
 * Time waited so far by reason, in seconds, as JSON; NULL: not at all.  That
 * of all processes is added up; the helpers must have gone.
 */
extern char *siter_pace_waits(const SiterRunner *runner);

/* Why this process waits at this moment; NULL: it does not */
extern const char *siter_throttle_reason(void);

/*
 * If set, called when the reason changes, in any transaction: "reason" as
 * above, "detail" more about it, or NULL.
 */
extern PGDLLIMPORT void (*siter_throttle_reason_hook) (const char *reason,
													   const char *detail);

#endif							/* SITER_PACE_H */
