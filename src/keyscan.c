/*-------------------------------------------------------------------------
 *
 * keyscan.c
 *	  The keys of a batch: how many there are, the first and the last.
 *
 * This is all that a job with a range statement reads, so it is what such a
 * job costs beside its statement.  In general the rows are streamed, and each
 * is looked at.  But where the catalog proves that keys are unique, and the
 * plan is nothing but an index-only scan and a LIMIT, all rows between the
 * first and the last need only be counted.  Then the executor starts the scan
 * and delivers the first row; while it waits for us to take that, we move its
 * scan on by ourselves, as its own node would, but make no row of what is
 * found.  That takes three fifths of the instructions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/itup.h"
#include "access/relscan.h"
#include "access/visibilitymap.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/predicate.h"
#include "utils/rel.h"

#include "keyscan.h"

typedef struct KeyReader
{
	SiterKeyset *keyset;
	SiterKeyScan *scan;
	int			limit;			/* one row more is looked at, not taken */
	MemoryContext context;		/* of the keys that are found */
	bool		in_place;		/* keys are plain values: overwrite the last */
	IndexOnlyScanState *node;	/* NULL: all rows are streamed */
} KeyReader;

static IndexOnlyScanState *countable_node(const SiterKeyset *keyset,
										  const SiterWalk *walk);
static void take_key(TupleTableSlot *slot, void *arg);
static void count_keys(TupleTableSlot *slot, void *arg);
static bool next_visible(IndexOnlyScanState *node);
static TupleTableSlot *row_of(IndexOnlyScanState *node, IndexTuple tuple);

void
siter_keyscan_read(SiterKeyset *keyset, SiterWalk *walk, int limit,
				   MemoryContext context, SiterKeyScan *scan)
{
	KeyReader	reader = {
		.keyset = keyset,
		.scan = scan,
		.limit = limit,
		.context = context,
		.in_place = keyset->proven_unique,
		.node = countable_node(keyset, walk)
	};

	for (int i = 0; i < keyset->ncolumns; i++)
		reader.in_place = reader.in_place && keyset->columns[i].typbyval;

	memset(scan, 0, sizeof(SiterKeyScan));
	if (reader.node == NULL)
	{
		(void) siter_walk_stream(walk, take_key, &reader);
		scan->exhausted = walk->exhausted && walk->rows == scan->nrows;
	}
	else
	{
		walk->chunk_size = 1;
		if (!siter_walk_stream(walk, count_keys, &reader))
			scan->exhausted = true;
	}
}

/* The scan whose rows need only be counted; NULL: the plan is not so simple */
static IndexOnlyScanState *
countable_node(const SiterKeyset *keyset, const SiterWalk *walk)
{
	PlanState  *top = walk->portal->queryDesc->planstate;
	IndexOnlyScanState *node;
	TupleDesc	index;

	if (!keyset->proven_unique || !IsA(top, LimitState) ||
		!IsA(outerPlanState(top), IndexOnlyScanState))
		return NULL;
	node = (IndexOnlyScanState *) outerPlanState(top);
	if (node->ss.ps.qual != NULL || node->ioss_NumOrderByKeys > 0 ||
		node->ioss_RelationDesc->rd_rel->relam != BTREE_AM_OID)
		return NULL;

	/* a "name" is in the index as something else */
	index = RelationGetDescr(node->ioss_RelationDesc);
	for (int i = 0; i < index->natts; i++)
		if (TupleDescAttr(index, i)->atttypid == CSTRINGOID)
			return NULL;
	return node;
}

static void
take_key(TupleTableSlot *slot, void *arg)
{
	KeyReader  *reader = (KeyReader *) arg;
	SiterKeyScan *scan = reader->scan;
	MemoryContext oldcontext;
	SiterKey   *key;

	if (reader->in_place && scan->nrows > 0)
	{
		bool		isnull;

		for (int i = 0; i < reader->keyset->ncolumns; i++)
			scan->last->values[i] = slot_getattr(slot, i + 1, &isnull);
		scan->nrows++;
		return;
	}

	oldcontext = MemoryContextSwitchTo(reader->context);
	key = siter_key_from_slot(reader->keyset, slot, true);
	if (scan->last != NULL && !reader->keyset->proven_unique)
		siter_key_check_order(reader->keyset, scan->last, key);
	if (scan->nrows < reader->limit)
	{
		if (scan->nrows++ == 0)
			scan->first = siter_key_copy(reader->keyset, key);
		if (scan->last != NULL)
			pfree(scan->last);
		scan->last = key;
	}
	MemoryContextSwitchTo(oldcontext);
}

/*
 * "slot" has the first row; the others are counted, and the last one taken.
 * The index keeps things for as long as it is read, so it is read in the
 * query's own memory, not in that of a row.
 */
static void
count_keys(TupleTableSlot *slot, void *arg)
{
	KeyReader  *reader = (KeyReader *) arg;
	IndexOnlyScanState *node = reader->node;
	MemoryContext oldcontext;
	IndexTuple	last;
	int			nrows = 1;

	take_key(slot, reader);

	/* the scan's own tuple goes away when it comes to another page */
	last = palloc(BLCKSZ);
	oldcontext = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);
	while (nrows < reader->limit && next_visible(node))
	{
		IndexTuple	tuple = node->ioss_ScanDesc->xs_itup;

		memcpy(last, tuple, IndexTupleSize(tuple));
		nrows++;
	}
	MemoryContextSwitchTo(oldcontext);

	if (nrows > 1)
		take_key(row_of(node, last), reader);
	reader->scan->nrows = nrows;
	reader->scan->exhausted = nrows < reader->limit;
	pfree(last);
}

/*
 * Move on to the next index entry whose row the snapshot sees: what an
 * index-only scan does for each row, without a lossy condition to check again,
 * which btrees have none of.  An index with DESC is read backward.
 */
static bool
next_visible(IndexOnlyScanState *node)
{
	IndexScanDesc scan = node->ioss_ScanDesc;
	ScanDirection direction = ((IndexOnlyScan *) node->ss.ps.plan)->indexorderdir;
	ItemPointer tid;

	while ((tid = index_getnext_tid(scan, direction)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (VM_ALL_VISIBLE(scan->heapRelation,
						   ItemPointerGetBlockNumber(tid),
						   &node->ioss_VMBuffer))
		{
			/* the heap would have been locked by reading it */
			PredicateLockPage(scan->heapRelation,
							  ItemPointerGetBlockNumber(tid),
							  node->ss.ps.state->es_snapshot);
			return true;
		}
		if (index_fetch_heap(scan, node->ioss_TableSlot))
		{
			ExecClearTuple(node->ioss_TableSlot);
			if (scan->xs_heap_continue)
				elog(ERROR, "non-MVCC snapshots are not supported in index-only scans");
			return true;
		}
	}
	return false;
}

/* The node's result for an index entry */
static TupleTableSlot *
row_of(IndexOnlyScanState *node, IndexTuple tuple)
{
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	ExecClearTuple(slot);
	index_deform_tuple(tuple, node->ioss_ScanDesc->xs_itupdesc,
					   slot->tts_values, slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
	if (node->ss.ps.ps_ProjInfo == NULL)
		return slot;
	econtext->ecxt_scantuple = slot;
	return ExecProject(node->ss.ps.ps_ProjInfo);
}
