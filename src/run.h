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
extern void siter_run(const char *name, SiterBudget *budget);

/*
 * For the procedures that run a job.  Refuse to be called where we could not
 * commit, before anything is done: 2D000, 25006.
 */
extern void siter_run_check_context(FunctionCallInfo fcinfo);

/* Arguments max_duration, max_rows and workers, the first being "argno" */
extern SiterBudget siter_run_budget(FunctionCallInfo fcinfo, int argno);

#endif							/* SITER_RUN_H */
