/*-------------------------------------------------------------------------
 *
 * replicas.c
 *	  How far the standby servers of this one are behind.
 *
 * A replica is whatever receives our WAL whole and tells how much of it it
 * has replayed, and each physical replication slot that somebody has used,
 * for it is somebody's who will want what he missed.  Subscribers of logical
 * replication are none: how far they say they are is often only how far they
 * had something to do.
 *
 * That a replica cannot be reached does not mean that it is not behind.  One
 * that was seen, or whose slot is there, counts while it is away too: it has
 * replayed what it had when it was seen last, or what its slot says, and gets
 * older from there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

#include "replicas.h"
#include "table.h"

/*
 * The first row tells whether we may see positions; where we may not, they
 * are NULL, as are those of clients that replay nothing, base backups say.
 */
static SiterTableStatement look_at_replicas = {
	"SELECT NULL::text, NULL::pg_lsn, NULL::bigint,"
	"  pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')"
	" UNION ALL"
	" (SELECT COALESCE(s.slot_name::text, pg_catalog.concat(r.application_name,"
	"   ' at '::text OPERATOR(pg_catalog.||) pg_catalog.host(r.client_addr))),"
	"  r.replay_lsn,"
	"  (EXTRACT(epoch FROM r.replay_lag) OPERATOR(pg_catalog.*) 1000000)"
	"   ::bigint, true"
	" FROM pg_catalog.pg_stat_replication r"
	" LEFT JOIN pg_catalog.pg_replication_slots s"
	"  ON s.active_pid OPERATOR(pg_catalog.=) r.pid"
	" WHERE s.slot_type IS DISTINCT FROM 'logical'"
	" AND r.replay_lsn IS NOT NULL)"
	" UNION ALL"
	" (SELECT slot_name::text, restart_lsn, NULL, false"
	" FROM pg_catalog.pg_replication_slots"
	" WHERE slot_type OPERATOR(pg_catalog.=) 'physical'"
	" AND active_pid IS NULL AND restart_lsn IS NOT NULL)",
	0
};

enum
{
	REPLICA_NAME = 1, REPLICA_REPLAYED, REPLICA_REPORTED_LAG,
	REPLICA_CONNECTED
};

static SiterReplica *find(SiterReplicas *replicas, const char *name);
static void update_from_row(SiterReplicas *replicas, uint64 row);

void
siter_replicas_note(SiterReplicas *replicas)
{
	siter_lag_note(&replicas->history, siter_clock->now(),
				   GetFlushRecPtr(NULL));
}

const SiterReplica *
siter_replicas_look(SiterReplicas *replicas)
{
	const SiterReplica *slowest = NULL;
	XLogRecPtr	replayed = PG_UINT64_MAX;
	SiterTime	now;
	ListCell   *lc;
	uint64		nrows;

	siter_replicas_note(replicas);
	foreach(lc, replicas->known)
		((SiterReplica *) lfirst(lc))->connected = false;

	nrows = siter_table_execute(&look_at_replicas, NULL);
	if (!siter_table_bool(0, REPLICA_CONNECTED))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("max_replica_lag cannot be heeded: replicas are not to be seen"),
				 errhint("The owner of extension streamiter needs the rights of the role pg_read_all_stats.")));
	for (uint64 i = 1; i < nrows; i++)
		update_from_row(replicas, i);
	SPI_freetuptable(SPI_tuptable);

	now = siter_clock->now();
	foreach(lc, replicas->known)
	{
		SiterReplica *replica = (SiterReplica *) lfirst(lc);
		SiterTime	reported = replica->lag;
		bool		at_least;

		replica->lag = siter_lag_of(&replicas->history, now,
									replica->replayed, &at_least);
		if (at_least)
			replica->lag = Max(replica->lag, reported);
		replayed = Min(replayed, replica->replayed);
		if (slowest == NULL || replica->lag > slowest->lag)
			slowest = replica;
	}
	if (slowest != NULL)
		siter_lag_forget(&replicas->history, replayed);
	return slowest;
}

/*
 * Replicas may share a name.  Then each row finds one of that name that none
 * has found yet, and what is left over is one that is away.
 */
static SiterReplica *
find(SiterReplicas *replicas, const char *name)
{
	MemoryContext oldcontext;
	SiterReplica *replica;
	ListCell   *lc;

	foreach(lc, replicas->known)
	{
		replica = (SiterReplica *) lfirst(lc);
		if (!replica->connected && strcmp(replica->name, name) == 0)
			return replica;
	}

	oldcontext = MemoryContextSwitchTo(replicas->context);
	replica = palloc0_object(SiterReplica);
	replica->name = pstrdup(name);
	replicas->known = lappend(replicas->known, replica);
	MemoryContextSwitchTo(oldcontext);
	return replica;
}

static void
update_from_row(SiterReplicas *replicas, uint64 row)
{
	SiterReplica *replica = find(replicas, siter_table_text(row, REPLICA_NAME));
	XLogRecPtr	replayed =
	DatumGetLSN(siter_table_value(row, REPLICA_REPLAYED).value);

	replica->connected = siter_table_bool(row, REPLICA_CONNECTED);

	/* what a slot has received need not be replayed */
	if (replica->connected || replica->replayed == InvalidXLogRecPtr)
		replica->replayed = replayed;
	replica->lag = siter_table_int64(row, REPLICA_REPORTED_LAG);
}
