/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One run of a job, from start to stop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_RUN_H
#define SITER_RUN_H

#include "fmgr.h"
#include "runner.h"

/*
 * Run a job of the current user's.  SPI must be connected, non-atomic, and
 * nothing be done yet in the transaction.  Ends with a NOTICE, or with the
 * error that ended the run, which has been written down by then.  A job that
 * is running already, paused, cancelled or finished: NOTICE, nothing done.
 */
extern void siter_run(const char *name, const SiterBudget *budget);

/*
 * The same for a helper: work on slices as long as there are some, with the
 * leader's settings.  What came of it, errors too, the team is told.
 */
extern void siter_run_help(int32 job_id, SiterTeam *team, int member,
						   const char *settings);

/*
 * For the procedures that run a job.  Refuse to be called where we could not
 * commit, before anything is done: 2D000, 25006.
 */
extern void siter_run_check_context(FunctionCallInfo fcinfo);

/* Arguments max_duration, max_rows and workers, the first being "argno" */
extern SiterBudget siter_run_budget(FunctionCallInfo fcinfo, int argno);

/* The same in a background worker, without waiting for it */
extern void siter_run_start(const char *name, const SiterBudget *budget);

#endif							/* SITER_RUN_H */
