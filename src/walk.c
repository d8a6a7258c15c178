/*-------------------------------------------------------------------------
 *
 * walk.c
 *	  The walk: one portal, rows in batches, flat memory.
 *
 * The portal is an ordinary SPI cursor, fetched chunk_size rows at a time,
 * but with a receiver of our own: SPI_cursor_fetch() copies every row into a
 * table first, which costs more than the scan of a narrow row does.
 *
 * The portal is pinned, as PL/pgSQL's FOR loop pins its own, so that CLOSE
 * ALL in a callback cannot pull it away from under us.  An abort of the
 * transaction, or of the subtransaction that opened it, drops it pinned or
 * not.
 *
 * Memory: the walk context lives as long as the walk, the batch context until
 * the next batch is fetched, the row context until the callback has returned.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"

#include "compat.h"
#include "fetch.h"
#include "guc.h"
#include "walk.h"

/* First allocation of a batch's row pointers; chunk_size may be far larger */
#define INITIAL_BATCH_ROWS 256

typedef struct WalkReceiver
{
	SiterReceiver base;			/* full: max_batch_memory was reached */
	SiterWalk  *walk;
	SiterRowConsumer consume;	/* streaming only */
	void	   *arg;
	int			nrows;			/* received in this batch */
	int			allocated;		/* room in batch.tuples, collecting only */
	Size		bytes;			/* of the rows collected */
} WalkReceiver;

static bool run_portal(SiterWalk *walk, WalkReceiver *receiver);
static bool stream_row(TupleTableSlot *slot, DestReceiver *self);
static bool collect_row(TupleTableSlot *slot, DestReceiver *self);

SiterWalk *
siter_walk_open(const SiterSource *source, int chunk_size,
				const char *portal_name)
{
	MemoryContext walk_context;
	MemoryContext oldcontext;
	SiterWalk  *walk;

	walk_context = AllocSetContextCreate(CurrentMemoryContext,
										 "streamiter walk",
										 ALLOCSET_SMALL_SIZES);
	oldcontext = MemoryContextSwitchTo(walk_context);

	walk = palloc0_object(SiterWalk);
	walk->query = pstrdup(source->query);
	walk->tupdesc = CreateTupleDescCopy(source->tupdesc);
	walk->chunk_size = chunk_size;
	walk->max_batch_memory = (Size) siter_max_batch_memory * 1024;
	walk->walk_context = walk_context;
	walk->batch_context = AllocSetContextCreate(walk_context,
												"streamiter batch",
												ALLOCSET_DEFAULT_SIZES);
	walk->row_context = AllocSetContextCreate(walk_context,
											  "streamiter row",
											  ALLOCSET_DEFAULT_SIZES);
	walk->batch.slot = MakeSingleTupleTableSlot(walk->tupdesc,
												&TTSOpsMinimalTuple);
	MemoryContextSwitchTo(oldcontext);

	/*
	 * Read-only: the rows are those of the caller's own snapshot, and that
	 * the source does not write is checked once more.
	 */
	walk->portal = SPI_cursor_open(portal_name, source->plan,
								   source->args.values, source->args.nulls,
								   true);
	PinPortal(walk->portal);
	return walk;
}

bool
siter_walk_stream(SiterWalk *walk, SiterRowConsumer consume, void *arg)
{
	WalkReceiver receiver = {0};

	receiver.base.dest.receiveSlot = stream_row;
	receiver.consume = consume;
	receiver.arg = arg;
	return run_portal(walk, &receiver);
}

bool
siter_walk_fetch(SiterWalk *walk)
{
	WalkReceiver receiver = {0};

	ExecClearTuple(walk->batch.slot);
	MemoryContextReset(walk->batch_context);
	walk->batch.nrows = 0;

	receiver.base.dest.receiveSlot = collect_row;
	receiver.allocated = Min(walk->chunk_size, INITIAL_BATCH_ROWS);
	walk->batch.tuples = (MinimalTuple *)
		MemoryContextAlloc(walk->batch_context,
						   sizeof(MinimalTuple) * receiver.allocated);
	return run_portal(walk, &receiver);
}

static bool
run_portal(SiterWalk *walk, WalkReceiver *receiver)
{
	if (walk->exhausted)
		return false;

	receiver->walk = walk;
	siter_fetch(walk->portal, walk->chunk_size, &receiver->base);

	if (!receiver->base.full)
		walk->exhausted = receiver->nrows < walk->chunk_size;

	return receiver->nrows > 0;
}

static bool
stream_row(TupleTableSlot *slot, DestReceiver *self)
{
	WalkReceiver *receiver = (WalkReceiver *) self;
	SiterWalk  *walk = receiver->walk;
	MemoryContext oldcontext;

	if (receiver->nrows++ == 0)
		walk->batches++;
	walk->rows++;

	oldcontext = MemoryContextSwitchTo(walk->row_context);
	receiver->consume(slot, receiver->arg);
	MemoryContextSwitchTo(oldcontext);

	if (!walk->row_context->isReset)
	{
		Size		used = MemoryContextMemAllocated(walk->row_context, true);

		if (used > walk->peak_batch_bytes)
			walk->peak_batch_bytes = used;
		MemoryContextReset(walk->row_context);
	}
	return true;
}

static bool
collect_row(TupleTableSlot *slot, DestReceiver *self)
{
	WalkReceiver *receiver = (WalkReceiver *) self;
	SiterWalk  *walk = receiver->walk;
	StreamIterBatch *batch = &walk->batch;
	MemoryContext oldcontext = MemoryContextSwitchTo(walk->batch_context);
	MinimalTuple tuple;

	if (batch->nrows == receiver->allocated)
	{
		receiver->allocated = Min(receiver->allocated * 2, walk->chunk_size);
		batch->tuples = (MinimalTuple *)
			repalloc(batch->tuples, sizeof(MinimalTuple) * receiver->allocated);
	}
	tuple = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(oldcontext);

	if (batch->nrows == 0)
		walk->batches++;
	walk->rows++;
	batch->tuples[batch->nrows++] = tuple;
	receiver->nrows = batch->nrows;
	receiver->bytes += sizeof(MinimalTuple) + GetMemoryChunkSpace(tuple);
	receiver->base.full = (receiver->bytes >= walk->max_batch_memory &&
						   batch->nrows < walk->chunk_size);
	return !receiver->base.full;
}

void
siter_walk_note_memory(SiterWalk *walk)
{
	Size		used = MemoryContextMemAllocated(walk->batch_context, true) +
		MemoryContextMemAllocated(walk->row_context, true);

	walk->peak_batch_bytes = Max(walk->peak_batch_bytes, used);
}

void
siter_walk_close(SiterWalk *walk)
{
	UnpinPortal(walk->portal);
	SPI_cursor_close(walk->portal);
	ExecDropSingleTupleTableSlot(walk->batch.slot);
	MemoryContextDelete(walk->walk_context);
}
