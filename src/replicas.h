/*-------------------------------------------------------------------------
 *
 * replicas.h
 *	  How far the standby servers of this one are behind.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_REPLICAS_H
#define SITER_REPLICAS_H

#include "lag.h"
#include "nodes/pg_list.h"

/* What a run has seen of them; all zeroes but the context: nothing */
typedef struct SiterReplicas
{
	MemoryContext context;		/* lives as long as the run */
	SiterLagHistory history;
	List	   *known;			/* of SiterReplica * */
} SiterReplicas;

typedef struct SiterReplica
{
	char	   *name;
	XLogRecPtr	replayed;
	bool		connected;
	SiterTime	lag;
} SiterReplica;

/* Remember how far our WAL has got: the oftener, the more exact are lags */
extern void siter_replicas_note(SiterReplicas *replicas);

/*
 * Look at all of them.  SPI must be connected.  Returns the one that is
 * farthest behind, NULL if there is none.
 *
 * Errors: 42501 if the extension's owner may not read pg_stat_replication.
 */
extern const SiterReplica *siter_replicas_look(SiterReplicas *replicas);

#endif							/* SITER_REPLICAS_H */
