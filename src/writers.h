/*-------------------------------------------------------------------------
 *
 * writers.h
 *	  Waiting for those who are writing to a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_WRITERS_H
#define SITER_WRITERS_H

#include "nodes/pg_list.h"

/*
 * Wait until all transactions that are writing to these tables (a list of
 * OIDs) now have ended.  The caller holds no snapshot and no lock on them,
 * lest it keep others waiting meanwhile.  Can be cancelled; each wait is
 * bounded by lock_timeout.
 */
extern void siter_writers_wait(List *tables);

#endif							/* SITER_WRITERS_H */
