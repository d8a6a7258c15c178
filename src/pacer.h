/*-------------------------------------------------------------------------
 *
 * pacer.h
 *	  What a runner remembers to keep its pace.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PACER_H
#define SITER_PACER_H

#include "adapt.h"
#include "replicas.h"
#include "throttle.h"

/* All zeroes but the replicas' context: nothing has been done yet */
typedef struct SiterPacer
{
	SiterAdapt	adapt;
	SiterThrottle throttle;
	SiterReplicas replicas;

	int64		rows_left;		/* that the budget allows; -1: no limit */
	SiterTime	batch_began;
	uint64		wal_before;		/* of the backend, at that time */

	/* the wait that is under way */
	SiterThrottleReason reason;
	SiterTime	slice;			/* how long to wait now */
	char		detail[256];	/* "replica x is ... behind" */

	bool		asking;			/* the throttle query */
	SiterTime	cut_off_since;	/* asked again, since it took too long; 0 */
	int			failed_asks;	/* in a row */
	bool		warned;			/* of replicas that are not there */
} SiterPacer;

#endif							/* SITER_PACER_H */
