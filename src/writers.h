/*-------------------------------------------------------------------------
 *
 * writers.h
 *	  Waiting for those who are writing to a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_WRITERS_H
#define SITER_WRITERS_H

#include "clock.h"
#include "nodes/pg_list.h"

typedef struct SiterWriters
{
	List	   *transactions;	/* of VirtualTransactionId *: not seen to end */
	SiterTime	since;			/* when the wait for the first began; or 0 */
} SiterWriters;

/*
 * The transactions that are writing to these tables (a list of OIDs) now, in
 * the current memory context.
 */
extern SiterWriters *siter_writers_find(List *tables);

/*
 * Wait until all of them have ended.  The caller holds no snapshot and no lock
 * on the tables, lest it keep others waiting meanwhile.  Can be cancelled, and
 * called again to go on; the wait for each is bounded by lock_timeout (55P03).
 */
extern void siter_writers_wait(SiterWriters *writers);

#endif							/* SITER_WRITERS_H */
