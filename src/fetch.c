/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  Some rows from a portal, each received while the executor holds it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tcop/pquery.h"

#include "fetch.h"

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc tupdesc)
{
}

static void
receiver_shutdown(DestReceiver *self)
{
}

void
siter_fetch(Portal portal, int count, SiterReceiver *receiver)
{
	receiver->dest.rStartup = receiver_startup;
	receiver->dest.rShutdown = receiver_shutdown;
	receiver->dest.rDestroy = receiver_shutdown;
	receiver->dest.mydest = DestNone;
	receiver->full = false;

	(void) PortalRunFetch(portal, FETCH_FORWARD, count, &receiver->dest);

	/*
	 * A receiver that wants no more rows for now looks like the end of the
	 * result to the portal, and the executor has not counted the row at which
	 * it was told to stop.
	 */
	if (receiver->full)
	{
		portal->atStart = false;
		portal->atEnd = false;
		portal->portalPos++;
	}
}
