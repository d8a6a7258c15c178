/*-------------------------------------------------------------------------
 *
 * walk.h
 *	  The walk: one portal, rows in batches, flat memory.
 *
 * A walk delivers its rows in one of two ways.  siter_walk_stream() hands
 * each row to a function while the row is still in the executor's hands: no
 * copy, one row in memory.  siter_walk_fetch() collects a batch, for those
 * who need its rows together or more than once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_WALK_H
#define SITER_WALK_H

#include "nodes/plannodes.h"
#include "portability/instr_time.h"
#include "source.h"
#include "streamiter.h"
#include "utils/portal.h"

typedef struct SiterWalk
{
	const char *query;
	Portal		portal;			/* pinned while the walk is open */
	TupleDesc	tupdesc;
	int			chunk_size;
	Size		max_batch_memory;	/* in bytes, of rows as they are unpacked */
	int			last_varlena;	/* columns up to this one may be packed */
	MemoryContext walk_context; /* parent of all that follows */
	MemoryContext batch_context;	/* reset before each batch */
	MemoryContext row_context;	/* reset after each row */
	MemoryContext related_context;	/* of prefetch.c; NULL without it */

	uint64		rows;			/* delivered so far, this batch included */
	uint64		batches;		/* begun so far: the number of this batch */
	Size		peak_batch_bytes;	/* of batch and row context together */
	instr_time	first_row;		/* when the first row arrived; zero before */
	bool		exhausted;

	StreamIterBatch batch;		/* what siter_walk_fetch() collected */
} SiterWalk;

/* Takes one row; runs in the walk's row context */
typedef void (*SiterRowConsumer) (TupleTableSlot *slot, void *arg);

/* May change the plan of the source before it is started */
typedef void (*SiterPlanHook) (PlannedStmt *plan, void *arg);

/*
 * Open a walk, as a child of CurrentMemoryContext.  SPI must be connected
 * and an active snapshot set; the walk sees what that snapshot sees,
 * whatever happens later.  If the (sub)transaction aborts, the walk is gone.
 * "hook" may be NULL.
 */
extern SiterWalk *siter_walk_open(const SiterSource *source, int chunk_size,
								  SiterPlanHook hook, void *hook_arg);

/* The next batch, row by row; false when there was no row left */
extern bool siter_walk_stream(SiterWalk *walk, SiterRowConsumer consume,
							  void *arg);

/*
 * The same where the rows need only be counted.  "on_null", if it is not NULL,
 * is given those whose last column is NULL; it must not allocate anything.
 */
extern bool siter_walk_scan(SiterWalk *walk, SiterRowConsumer on_null,
							void *arg);

/*
 * The next batch into walk->batch; false when there was no row left.  It
 * holds chunk_size rows, fewer at the end or at max_batch_memory.
 */
extern bool siter_walk_fetch(SiterWalk *walk);

/*
 * Around the work on a collected batch: meanwhile the cursor, which anyone can
 * find in pg_cursors, counts as running, so that CLOSE ALL passes over it and
 * FETCH fails.  Unlock after an error as well, before the transaction aborts;
 * that does no harm if the cursor was not locked.
 */
extern void siter_walk_lock_cursor(SiterWalk *walk);
extern void siter_walk_unlock_cursor(SiterWalk *walk);

/* To be called when a collected batch has been worked off: notes the peak */
extern void siter_walk_note_memory(SiterWalk *walk);

extern void siter_walk_close(SiterWalk *walk);

#endif							/* SITER_WALK_H */
