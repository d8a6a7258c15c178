/*-------------------------------------------------------------------------
 *
 * writers.c
 *	  Waiting for those who are writing to a table.
 *
 * A row that was inserted before a pass began, but committed after, would lie
 * behind the position by the time it can be seen.  So a pass lets those finish
 * who hold a lock that writers take, as CREATE INDEX CONCURRENTLY does, except
 * that vacuum, whose lock looks like a writer's, is left alone: it adds no
 * rows, and may take hours.
 *
 * Whoever comes later is not waited for, however often the wait is interrupted
 * to look at the job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/guc.h"

#include "writers.h"

static void leave_lock_timeout(SiterTime left);

/*
 * Is it one of "transactions"?  Prepared transactions have no process and so
 * are in nobody's list; they do write.
 */
static bool
is_writer(VirtualTransactionId holder,
		  const VirtualTransactionId *transactions, int ntransactions)
{
	if (VirtualTransactionIdIsRecoveredPreparedXact(holder))
		return true;
	for (int i = 0; i < ntransactions; i++)
	{
		if (VirtualTransactionIdEquals(holder, transactions[i]))
			return true;
	}
	return false;
}

SiterWriters *
siter_writers_find(List *tables)
{
	SiterWriters *writers = palloc0_object(SiterWriters);
	List	   *holders = NIL;	/* of arrays of VirtualTransactionId */
	VirtualTransactionId *transactions;
	int			ntransactions;
	ListCell   *lc;

	foreach(lc, tables)
	{
		LOCKTAG		tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, lfirst_oid(lc));
		holders = lappend(holders, GetLockConflicts(&tag, ShareLock, NULL));
	}

	/* all but those of vacuums; who is gone by now need not be waited for */
	transactions = GetCurrentVirtualXIDs(InvalidTransactionId, false, false,
										 PROC_IN_VACUUM, &ntransactions);
	foreach(lc, holders)
	{
		VirtualTransactionId *holder = lfirst(lc);

		for (; VirtualTransactionIdIsValid(*holder); holder++)
		{
			if (is_writer(*holder, transactions, ntransactions))
				writers->transactions = lappend(writers->transactions, holder);
		}
	}
	return writers;
}

void
siter_writers_wait(SiterWriters *writers)
{
	SiterTime	limit = SITER_MS(LockTimeout);

	while (writers->transactions != NIL)
	{
		SiterTime	now = siter_clock->now();

		CHECK_FOR_INTERRUPTS();
		if (writers->since == 0)
			writers->since = now;
		if (limit > 0)
			leave_lock_timeout(limit - (now - writers->since));
		(void) VirtualXactLock(*(VirtualTransactionId *) linitial(writers->transactions),
							   true);
		writers->transactions = list_delete_first(writers->transactions);
		writers->since = 0;
	}
}

/*
 * Let the server wait no longer than that: it would begin anew with each call,
 * however much of the time is over.  The caller's GUC nest level ends it.
 */
static void
leave_lock_timeout(SiterTime left)
{
	char		ms[32];

	if (left <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("canceling statement due to lock timeout")));
	snprintf(ms, sizeof(ms), INT64_FORMAT, (left + SITER_MS(1) - 1) / SITER_MS(1));
	(void) set_config_option("lock_timeout", ms, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}
