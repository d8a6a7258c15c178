/*-------------------------------------------------------------------------
 *
 * batch_timer.h
 *	  A time limit for a piece of work that is not the whole statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_BATCH_TIMER_H
#define SITER_BATCH_TIMER_H

#include "utils/elog.h"

/* What a work that took too long ends with: transaction_timeout, in 17 */
#define SITER_ERRCODE_TIMEOUT MAKE_SQLSTATE('2', '5', 'P', '0', '4')

/*
 * From now on the work is cancelled after so many milliseconds; 0: never.
 * "message" says so, and must outlive the work's subtransaction.
 */
extern void siter_batch_timer_start(int64 ms, const char *message);

/*
 * The work is done: before its subtransaction ends.  Raises 25P04 if it took
 * longer.  Harmless, as is the next one, if no timer runs.
 */
extern void siter_batch_timer_finish(void);

/*
 * The work has failed.  If that was the timer's doing, "error" becomes a
 * 25P04; a cancel of the user's stays what it is.
 */
extern void siter_batch_timer_fail(ErrorData *error);

#endif							/* SITER_BATCH_TIMER_H */
