/*-------------------------------------------------------------------------
 *
 * fetch.h
 *	  Some rows from a portal, each received while the executor holds it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_FETCH_H
#define SITER_FETCH_H

#include "tcop/dest.h"
#include "utils/portal.h"

/*
 * To be the first member of a receiver that has more to remember.  The owner
 * fills in dest.receiveSlot, which gets a row that is valid during the call
 * only.  It may end the fetch by setting "full" and returning false; the row
 * it got then has been fetched.
 */
typedef struct SiterReceiver
{
	DestReceiver dest;
	bool		full;
} SiterReceiver;

/*
 * Fetch at most "count" rows.  An error of the query, or of the receiver,
 * makes the portal unusable.
 */
extern void siter_fetch(Portal portal, int count, SiterReceiver *receiver);

#endif							/* SITER_FETCH_H */
