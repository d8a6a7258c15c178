/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One run of a job, from start to stop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_RUN_H
#define SITER_RUN_H

#include "runner.h"

/*
 * Run a job of the current user's.  SPI must be connected, non-atomic, and
 * nothing be done yet in the transaction.  Ends with a NOTICE, or with the
 * error that ended the run, which has been written down by then.  A job that
 * is running already, paused, cancelled or finished: NOTICE, nothing done.
 */
extern void siter_run(const char *name, SiterBudget *budget);

#endif							/* SITER_RUN_H */
