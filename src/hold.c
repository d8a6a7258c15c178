/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  Keeping the source of a job as it is, for a transaction.
 *
 * Between two batches nothing locks the source.  It may be rewritten: ALTER
 * TABLE writes rows anew under its own transaction id, and a snapshot that is
 * older sees none of them, an empty table, which would look like the end of
 * the slice.  Hence the tables are locked before the snapshot is taken.  It
 * may be renamed and another one be put in its place, be given children, or
 * lose its key: hence the source is analyzed again after each change of a
 * table's definition that we hear of, and we hear of all by the time the
 * locks are there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "hold.h"

static void note_change(Datum arg, Oid table);
static void look_again(SiterRunner *runner);
static void compare(SiterRunner *runner, const char *then, const char *now);
static void remember(SiterRunner *runner, const char *fingerprint);

static uint64 table_changes = 1;

static void
note_change(Datum arg, Oid table)
{
	table_changes++;
}

uint64
siter_table_changes(void)
{
	static bool watching = false;

	if (!watching)
		CacheRegisterRelcacheCallback(note_change, (Datum) 0);
	watching = true;
	return table_changes;
}

void
siter_hold_begin(SiterRunner *runner)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);
	SiterJob   *job = runner->job;
	char	   *current;

	runner->source_changes = siter_table_changes();
	runner->keyset = siter_keyset_create(job->source, job->key,
										 job->allow_slow_plan);
	MemoryContextSwitchTo(oldcontext);

	current = siter_keyset_fingerprint(runner->keyset);
	compare(runner, job->source_fingerprint, current);
	remember(runner, current);
}

void
siter_hold(SiterRunner *runner)
{
	if (runner->keyset == NULL)
		return;
	siter_hold_locks(runner);
	if (runner->source_changes != siter_table_changes())
		look_again(runner);
}

/* Partitions that came meanwhile included; other children we hear of */
void
siter_hold_locks(const SiterRunner *runner)
{
	ListCell   *lc;

	if (runner->keyset == NULL)
		return;
	foreach(lc, runner->keyset->tables)
	{
		Oid			table = lfirst_oid(lc);

		LockRelationOid(table, AccessShareLock);
		if (get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE)
			(void) find_all_inheritors(table, AccessShareLock, NULL);
	}
}

static void
look_again(SiterRunner *runner)
{
	SiterJob   *job = runner->job;
	uint64		changes = siter_table_changes();
	SiterKeyset *now = siter_keyset_create(job->source, job->key,
										   job->allow_slow_plan);
	char	   *current = siter_keyset_fingerprint(now);
	MemoryContext oldcontext;

	compare(runner, runner->source_fingerprint, current);
	if (runner->keyset->proven_unique && !now->proven_unique)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of job \"%s\" is no longer proven unique",
						job->name),
				 errhint("Run the job again: each batch will then be looked at for keys that are not.")));

	oldcontext = MemoryContextSwitchTo(runner->keyset->context);
	list_free(runner->keyset->tables);
	runner->keyset->tables = list_copy(now->tables);
	MemoryContextSwitchTo(oldcontext);

	remember(runner, current);
	runner->source_changes = changes;
	MemoryContextDelete(now->context);
}

static void
compare(SiterRunner *runner, const char *then, const char *now)
{
	const char *name = runner->job->name;
	char	   *what;
	SiterKeyChange change = siter_keyset_compare(then, now, &what);

	if (change == SITER_KEY_BROKEN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the source of job \"%s\" is not what it was", name),
				 errdetail_internal("%s", what),
				 errhint("Reset the job to start over, or let it go on with streamiter.alter_job(%s, acknowledge => true).",
						 quote_literal_cstr(name))));
	if (change == SITER_KEY_TOLD)
		ereport(NOTICE,
				(errmsg("the source of job \"%s\" has changed, and the position is still good",
						name),
				 errdetail_internal("%s", what)));
}

static void
remember(SiterRunner *runner, const char *fingerprint)
{
	if (runner->source_fingerprint != NULL)
		pfree(runner->source_fingerprint);
	runner->source_fingerprint = MemoryContextStrdup(runner->context,
													 fingerprint);
}
