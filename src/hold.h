/*-------------------------------------------------------------------------
 *
 * hold.h
 *	  Keeping the source of a job as it is, for a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_HOLD_H
#define SITER_HOLD_H

#include "attempt.h"

/* At the start of a run: find the source's key, and compare it with the job's */
extern void siter_hold_begin(SiterRunner *runner);

/*
 * In each transaction that reads the source, before it takes a snapshot: lock
 * its tables, and if any table has been changed, look whether the source is
 * what it was.  NOTICE for what keeps the position good; errors: 55000 for
 * what does not, and what siter_keyset_create() raises.
 */
extern void siter_hold(SiterRunner *runner);

/* The locks alone, where the snapshot is one for the whole transaction */
extern void siter_hold_locks(const SiterRunner *runner);

/* Counts the changes of any table's definition that this process has heard of */
extern uint64 siter_table_changes(void);

#endif							/* SITER_HOLD_H */
