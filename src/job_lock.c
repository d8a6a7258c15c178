/*-------------------------------------------------------------------------
 *
 * job_lock.c
 *	  Who may run a job, and who helps.
 *
 * The runner's lock is a heavyweight lock on an object that is not in the
 * catalogs: the job's number in the class of our table.  Two modes are used:
 * runners take ExclusiveLock, those who take a job apart
 * AccessExclusiveLock, so that pg_locks tells who does what.
 *
 * Its helpers, and those who set rows aside, lock parts of the same object.
 * With the runner's lock goes one on the extension, so that DROP EXTENSION
 * waits for the end of the run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "job_lock.h"

/* Parts of a job that are locked apart from the right to run it */
#define HELPERS 1
#define SKIPS 2

static void
job_tag(LOCKTAG *tag, int32 id)
{
	Oid			schema = get_namespace_oid("streamiter", false);

	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, get_relname_relid("job", schema),
					   (Oid) id, 0);
}

/* For what is locked apart from the right to run it */
static void
part_tag(LOCKTAG *tag, int32 id, int part)
{
	job_tag(tag, id);
	tag->locktag_field4 = part;
}

/* What DROP EXTENSION locks */
static void
extension_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId,
					   get_extension_oid("streamiter", false), 0);
}

bool
siter_job_lock(int32 id)
{
	LOCKTAG		tag;
	LOCKTAG		extension;

	job_tag(&tag, id);
	extension_tag(&extension);
	switch (LockAcquire(&tag, ExclusiveLock, true, true))
	{
		case LOCKACQUIRE_OK:
			/* it is not to be dropped between two batches */
			if (LockAcquire(&extension, AccessShareLock, true, true) !=
				LOCKACQUIRE_NOT_AVAIL)
				return true;
			LockRelease(&tag, ExclusiveLock, true);
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("extension \"streamiter\" is being dropped by another session")));
			break;
		case LOCKACQUIRE_NOT_AVAIL:
			return false;
		default:
			/* this session runs it already: give back what we got on top */
			LockRelease(&tag, ExclusiveLock, true);
			return false;
	}
}

void
siter_job_unlock(int32 id)
{
	LOCKTAG		tag;

	job_tag(&tag, id);
	LockRelease(&tag, ExclusiveLock, true);
	extension_tag(&tag);
	LockRelease(&tag, AccessShareLock, true);
}

bool
siter_job_exclude_runners(int32 id)
{
	LOCKTAG		tag;

	job_tag(&tag, id);
	if (siter_lock_held_by_me(&tag, ExclusiveLock))
		return false;
	if (LockAcquire(&tag, AccessExclusiveLock, false, true) ==
		LOCKACQUIRE_NOT_AVAIL)
		return false;

	/* they do not stay for long once their leader has gone */
	siter_job_await_helpers(id);
	return true;
}

int
siter_job_runner_pid(int32 id)
{
	LockData   *locks = GetLockStatusData();
	LOCKTAG		tag;

	job_tag(&tag, id);
	for (int i = 0; i < locks->nelements; i++)
	{
		LockInstanceData *instance = &locks->locks[i];

		if (memcmp(&instance->locktag, &tag, sizeof(LOCKTAG)) == 0 &&
			(instance->holdMask & LOCKBIT_ON(ExclusiveLock)) != 0)
			return instance->pid;
	}
	return 0;
}

bool
siter_job_join(int32 id)
{
	LOCKTAG		tag;

	part_tag(&tag, id, HELPERS);
	return LockAcquire(&tag, ShareLock, true, true) !=
		LOCKACQUIRE_NOT_AVAIL;
}

/* A process that ends outside of transactions would leave the lock behind */
void
siter_job_leave(int32 id)
{
	LOCKTAG		tag;

	part_tag(&tag, id, HELPERS);
	LockRelease(&tag, ShareLock, true);
}

void
siter_job_await_helpers(int32 id)
{
	LOCKTAG		tag;

	part_tag(&tag, id, HELPERS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	LockRelease(&tag, ExclusiveLock, false);
}

void
siter_job_lock_skips(int32 id)
{
	LOCKTAG		tag;

	part_tag(&tag, id, SKIPS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}
