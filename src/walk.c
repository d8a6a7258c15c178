/*-------------------------------------------------------------------------
 *
 * walk.c
 *	  The walk: one portal, rows in batches, flat memory.
 *
 * The portal is opened and fetched as SPI cursors are, chunk_size rows at a
 * time, but with a receiver of our own: SPI_cursor_fetch() copies every row
 * into a table first, which costs more than the scan of a narrow row does.
 *
 * The portal is pinned, as PL/pgSQL's FOR loop pins its own, so that CLOSE in
 * a callback cannot pull it away from under us.  An abort of the
 * transaction, or of the subtransaction that opened it, drops it pinned or
 * not.
 *
 * Memory: the walk context lives as long as the walk, the batch context until
 * the next batch is fetched, the row context until the callback has returned.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "executor/executor.h"
#include "tcop/pquery.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
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
	SiterRowConsumer consume;	/* streaming and scanning only */
	void	   *arg;
	int			nrows;			/* received in this batch */
	int			allocated;		/* room in batch.tuples, collecting only */
	Size		bytes;			/* of the rows collected */
} WalkReceiver;

static Portal open_portal(const SiterSource *source, SiterPlanHook hook,
						  void *hook_arg);
static ParamListInfo make_params(const SiterArgs *args);
static bool run_portal(SiterWalk *walk, WalkReceiver *receiver);
static bool stream_row(TupleTableSlot *slot, DestReceiver *self);
static bool scan_row(TupleTableSlot *slot, DestReceiver *self);
static bool collect_row(TupleTableSlot *slot, DestReceiver *self);
static Size packed_bytes(TupleTableSlot *slot, int natts);

/* The number of the last column that could be toasted; 0: there is none */
static int
last_varlena(TupleDesc tupdesc)
{
	int			attno = tupdesc->natts;

	while (attno > 0 && TupleDescAttr(tupdesc, attno - 1)->attlen != -1)
		attno--;
	return attno;
}

SiterWalk *
siter_walk_open(const SiterSource *source, int chunk_size,
				SiterPlanHook hook, void *hook_arg)
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
	walk->last_varlena = last_varlena(walk->tupdesc);
	MemoryContextSwitchTo(oldcontext);

	walk->portal = open_portal(source, hook, hook_arg);
	PinPortal(walk->portal);
	return walk;
}

/*
 * What SPI_cursor_open() does for a read-only plan, with a chance to change
 * the plan in between.  The rows are those of the caller's own snapshot.
 */
static Portal
open_portal(const SiterSource *source, SiterPlanHook hook, void *hook_arg)
{
	Portal		portal = CreateNewPortal();
	CachedPlanSource *plansource;
	CachedPlan *cplan;
	ResourceOwner owner;
	ParamListInfo params;
	PlannedStmt *stmt;
	MemoryContext oldcontext;

	oldcontext = MemoryContextSwitchTo(portal->portalContext);
	params = make_params(&source->args);
	plansource = (CachedPlanSource *)
		linitial(SPI_plan_get_plan_sources(source->plan));
	owner = plansource->is_saved ? CurrentResourceOwner : NULL;
	cplan = GetCachedPlan(plansource, params, owner, NULL);
	stmt = copyObject(linitial_node(PlannedStmt, cplan->stmt_list));
	ReleaseCachedPlan(cplan, owner);
	siter_source_check_plan(stmt);
	if (hook != NULL)
		hook(stmt, hook_arg);

	PortalDefineQuery(portal, NULL, pstrdup(source->query),
					  CMDTAG_SELECT, list_make1(stmt), NULL);
	MemoryContextSwitchTo(oldcontext);

	portal->cursorOptions = CURSOR_OPT_NO_SCROLL;
	PortalStart(portal, params, 0, GetActiveSnapshot());
	return portal;
}

static ParamListInfo
make_params(const SiterArgs *args)
{
	ParamListInfo params;

	if (args->nargs == 0)
		return NULL;
	params = makeParamList(args->nargs);
	for (int i = 0; i < args->nargs; i++)
	{
		ParamExternData *param = &params->params[i];
		int16		typlen;
		bool		typbyval;

		get_typlenbyval(args->types[i], &typlen, &typbyval);
		param->ptype = args->types[i];
		param->pflags = PARAM_FLAG_CONST;
		param->isnull = args->nulls != NULL && args->nulls[i] == 'n';
		param->value = param->isnull ? (Datum) 0 :
			datumCopy(args->values[i], typbyval, typlen);
	}
	return params;
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
siter_walk_scan(SiterWalk *walk, SiterRowConsumer on_null, void *arg)
{
	WalkReceiver receiver = {0};

	receiver.base.dest.receiveSlot = scan_row;
	receiver.consume = on_null;
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

/*
 * Between batches the portal is open to anyone who finds its name in
 * pg_cursors.  Rows that a callback has fetched from it would be missing here.
 */
static void
check_position(SiterWalk *walk)
{
	if (walk->portal->portalPos != walk->rows)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_STATE),
				 errmsg("cursor \"%s\" of the walk was moved by others",
						walk->portal->name),
				 errdetail("It is at row " UINT64_FORMAT ", the walk at row " UINT64_FORMAT ".",
						   walk->portal->portalPos, walk->rows),
				 errhint("Let the callback leave cursors alone that it has not opened.")));
}

static bool
run_portal(SiterWalk *walk, WalkReceiver *receiver)
{
	if (walk->exhausted)
		return false;
	check_position(walk);

	receiver->walk = walk;
	siter_fetch(walk->portal, walk->chunk_size, &receiver->base);

	if (!receiver->base.full)
		walk->exhausted = receiver->nrows < walk->chunk_size;

	return receiver->nrows > 0;
}

/* A batch counts when its first row arrives */
static void
begin_batch(SiterWalk *walk)
{
	if (walk->batches++ == 0)
		INSTR_TIME_SET_CURRENT(walk->first_row);
}

static bool
stream_row(TupleTableSlot *slot, DestReceiver *self)
{
	WalkReceiver *receiver = (WalkReceiver *) self;
	SiterWalk  *walk = receiver->walk;
	MemoryContext oldcontext;

	if (receiver->nrows++ == 0)
		begin_batch(walk);
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
scan_row(TupleTableSlot *slot, DestReceiver *self)
{
	WalkReceiver *receiver = (WalkReceiver *) self;

	if (receiver->nrows++ == 0)
		begin_batch(receiver->walk);
	receiver->walk->rows++;
	if (receiver->consume != NULL)
	{
		slot_getallattrs(slot);
		if (slot->tts_isnull[slot->tts_nvalid - 1])
			receiver->consume(slot, receiver->arg);
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
		begin_batch(walk);
	walk->rows++;
	batch->tuples[batch->nrows++] = tuple;
	receiver->nrows = batch->nrows;
	receiver->bytes += sizeof(MinimalTuple) + GetMemoryChunkSpace(tuple);
	if (walk->last_varlena > 0)
		receiver->bytes += packed_bytes(slot, walk->last_varlena);
	receiver->base.full = (receiver->bytes >= walk->max_batch_memory &&
						   batch->nrows < walk->chunk_size);
	return !receiver->base.full;
}

void
siter_walk_lock_cursor(SiterWalk *walk)
{
	MarkPortalActive(walk->portal);
}

void
siter_walk_unlock_cursor(SiterWalk *walk)
{
	if (walk->portal->status == PORTAL_ACTIVE)
		walk->portal->status = PORTAL_READY;
}

/*
 * What the compressed and toasted values of a row will take once they are
 * unpacked, which is done for all rows of a batch when they go into arrays
 */
static Size
packed_bytes(TupleTableSlot *slot, int natts)
{
	TupleDesc	tupdesc = slot->tts_tupleDescriptor;
	Size		bytes = 0;

	slot_getsomeattrs(slot, natts);
	for (int i = 0; i < natts; i++)
	{
		struct varlena *value;

		if (slot->tts_isnull[i] || TupleDescAttr(tupdesc, i)->attlen != -1)
			continue;
		value = (struct varlena *) DatumGetPointer(slot->tts_values[i]);
		if (VARATT_IS_COMPRESSED(value) || VARATT_IS_EXTERNAL_ONDISK(value))
			bytes += toast_raw_datum_size(PointerGetDatum(value));
	}
	return bytes;
}

void
siter_walk_note_memory(SiterWalk *walk)
{
	Size		used = MemoryContextMemAllocated(walk->batch_context, true);

	used += MemoryContextMemAllocated(walk->row_context, true);
	if (walk->related_context != NULL)
		used += MemoryContextMemAllocated(walk->related_context, true);
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
