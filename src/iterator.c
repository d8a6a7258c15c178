/*-------------------------------------------------------------------------
 *
 * iterator.c
 *	  Pull iteration: a cursor that gives its rows batch by batch.
 *
 * An iterator is an ordinary portal, so that FETCH, MOVE, CLOSE and drivers
 * work on it, and PostgreSQL closes it when its (sub)transaction ends.  What
 * we know about it besides lives in the portal's own memory and goes with it,
 * whoever closes the portal; nothing here outlives a portal or points to one
 * that is gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupconvert.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "fetch.h"
#include "guc.h"
#include "source.h"

typedef struct Iterator
{
	dlist_node	node;			/* in "iterators" */
	Portal		portal;			/* whose memory this is */
	int			chunk_size;
	MemoryContextCallback forget;
} Iterator;

/* One batch, on its way from the portal to the caller of next_batch() */
typedef struct BatchReceiver
{
	SiterReceiver base;			/* full: max_batch_memory was reached */
	Tuplestorestate *tuplestore;
	AttrMap    *map;			/* NULL: columns are as row_type has them */
	TupleTableSlot *mapped;
	Size		bytes;
	Size		max_bytes;
	int			nrows;
	int			max_rows;
} BatchReceiver;

/* Those that are open; few enough to search one by one */
static dlist_head iterators = DLIST_STATIC_INIT(iterators);

PG_FUNCTION_INFO_V1(streamiter_iterator);
PG_FUNCTION_INFO_V1(streamiter_next_batch);
PG_FUNCTION_INFO_V1(streamiter_close);

/* Called when the portal's memory goes */
static void
forget_iterator(void *arg)
{
	dlist_delete(&((Iterator *) arg)->node);
}

static void
remember_iterator(Portal portal, int chunk_size)
{
	Iterator   *iterator = MemoryContextAlloc(portal->portalContext,
											  sizeof(Iterator));

	iterator->portal = portal;
	iterator->chunk_size = chunk_size;
	dlist_push_head(&iterators, &iterator->node);

	iterator->forget.func = forget_iterator;
	iterator->forget.arg = iterator;
	MemoryContextRegisterResetCallback(portal->portalContext,
									   &iterator->forget);
}

/* The iterator that is a function's first argument */
static Iterator *
iterator_arg(FunctionCallInfo fcinfo)
{
	char	   *name;
	Portal		portal;
	dlist_iter	iter;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("iterator must not be NULL")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	portal = GetPortalByName(name);
	if (!PortalIsValid(portal))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_NAME),
				 errmsg("iterator \"%s\" does not exist", name),
				 errhint("An iterator lives until it is closed or its transaction ends: use BEGIN before streamiter.iterator().")));
	dlist_foreach(iter, &iterators)
	{
		Iterator   *iterator = dlist_container(Iterator, node, iter.cur);

		if (iterator->portal == portal)
			return iterator;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_CURSOR_NAME),
			 errmsg("cursor \"%s\" is not an iterator", name),
			 errhint("Use FETCH and CLOSE on it, or open one with streamiter.iterator().")));
	return NULL;				/* keep compiler quiet */
}

/* A name that no portal has, and that needs no quotes in FETCH */
static char *
choose_portal_name(void)
{
	static uint32 last = 0;
	char	   *name;

	do
	{
		name = psprintf("streamiter_iterator_%u", ++last);
	} while (PortalIsValid(GetPortalByName(name)));
	return name;
}

Datum
streamiter_iterator(PG_FUNCTION_ARGS)
{
	char	   *name = choose_portal_name();
	char	   *query;
	int			chunk_size = siter_chunk_size;
	SiterArgs	args = {0};
	SiterSource *source;
	Portal		portal;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query must not be NULL")));
	query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(1))
		chunk_size = siter_guc_check_chunk_size(PG_GETARG_INT32(1));
	if (!PG_ARGISNULL(2))
		args = siter_args_from_record(PG_GETARG_HEAPTUPLEHEADER(2));

	SPI_connect();
	source = siter_source_prepare(query, &args, CURSOR_OPT_FAST_PLAN);
	/* read_only: the snapshot is that of the statement that calls us */
	portal = SPI_cursor_open(name, source->plan, args.values, args.nulls,
							 true);
	remember_iterator(portal, chunk_size);
	SPI_finish();

	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/*
 * Columns and row types
 */

/* The rows that next_batch() is to return; NULL: whatever the query has */
static TupleDesc
expected_columns(FunctionCallInfo fcinfo)
{
	Oid			type;
	TupleDesc	tupdesc;

	switch (get_call_result_type(fcinfo, &type, &tupdesc))
	{
		case TYPEFUNC_COMPOSITE:
			return tupdesc;
		case TYPEFUNC_RECORD:
			return NULL;
		case TYPEFUNC_SCALAR:
			tupdesc = CreateTemplateTupleDesc(1);
			TupleDescInitEntry(tupdesc, 1, "next_batch", type, -1, 0);
			return tupdesc;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("row_type cannot be of type %s",
							format_type_be(type)),
					 errhint("Give a NULL of a table's row type, of a scalar type, or of type record.")));
	}
	return NULL;				/* keep compiler quiet */
}

static int
count_columns(TupleDesc tupdesc)
{
	int			count = 0;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		if (!TupleDescAttr(tupdesc, i)->attisdropped)
			count++;
	}
	return count;
}

/* Do the query's columns fit, one by one?  None of these is dropped. */
static void
check_columns(const char *name, TupleDesc given, TupleDesc expected)
{
	int			column = 0;

	if (count_columns(expected) != given->natts)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("rows of iterator \"%s\" do not fit row_type", name),
				 errdetail("The number of columns is %d in the query and %d in row_type.",
						   given->natts, count_columns(expected)),
				 errhint("NULL::record with a column definition list takes any columns.")));

	for (int i = 0; i < expected->natts; i++)
	{
		Form_pg_attribute want = TupleDescAttr(expected, i);
		Form_pg_attribute have;

		if (want->attisdropped)
			continue;
		have = TupleDescAttr(given, column++);
		if (have->atttypid != want->atttypid ||
			(want->atttypmod >= 0 && have->atttypmod != want->atttypmod))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("rows of iterator \"%s\" do not fit row_type", name),
					 errdetail("Column %d, \"%s\", of the query has type %s, row_type has %s there.",
							   column, NameStr(have->attname),
							   format_type_with_typemod(have->atttypid,
														have->atttypmod),
							   format_type_with_typemod(want->atttypid,
														want->atttypmod)),
					 errhint("Cast the column in the query.")));
	}
}

/*
 * Batches
 */

static bool
store_row(TupleTableSlot *slot, DestReceiver *self)
{
	BatchReceiver *batch = (BatchReceiver *) self;

	slot_getallattrs(slot);
	batch->bytes += MAXALIGN(SizeofMinimalTupleHeader) +
		heap_compute_data_size(slot->tts_tupleDescriptor,
							   slot->tts_values, slot->tts_isnull);
	batch->nrows++;

	if (batch->map != NULL)
		slot = execute_attr_map_slot(batch->map, slot, batch->mapped);
	tuplestore_puttupleslot(batch->tuplestore, slot);

	/* At chunk_size the executor stops by itself */
	batch->base.full = (batch->bytes >= batch->max_bytes &&
						batch->nrows < batch->max_rows);
	return !batch->base.full;
}

/* The server's own refusals would not say what to do */
static void
check_ready(Portal portal)
{
	if (portal->status == PORTAL_ACTIVE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("iterator \"%s\" is being read", portal->name),
				 errhint("A query cannot read its own iterator.")));
	if (portal->status == PORTAL_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("iterator \"%s\" has failed", portal->name),
				 errdetail("Reading it raised an error, which was caught."),
				 errhint("Close it, and start again with another.")));
}

/* What a function must do to return a set in a tuplestore */
static Tuplestorestate *
begin_result(ReturnSetInfo *rsinfo, TupleDesc tupdesc)
{
	bool		random_access = rsinfo->allowedModes & SFRM_Materialize_Random;

	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(random_access, false, work_mem);
	rsinfo->setDesc = BlessTupleDesc(tupdesc);
	return rsinfo->setResult;
}

Datum
streamiter_next_batch(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Iterator   *iterator = iterator_arg(fcinfo);
	BatchReceiver batch = {0};
	TupleDesc	tupdesc;
	MemoryContext query_context;
	MemoryContext old_context;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		!(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	check_ready(iterator->portal);

	query_context = rsinfo->econtext->ecxt_per_query_memory;
	old_context = MemoryContextSwitchTo(query_context);
	tupdesc = expected_columns(fcinfo);
	if (tupdesc == NULL)
		tupdesc = CreateTupleDescCopy(iterator->portal->tupDesc);
	else
		check_columns(iterator->portal->name, iterator->portal->tupDesc,
					  tupdesc);
	batch.tuplestore = begin_result(rsinfo, tupdesc);
	MemoryContextSwitchTo(old_context);

	batch.base.dest.receiveSlot = store_row;
	batch.max_bytes = (Size) siter_max_batch_memory * 1024;
	batch.max_rows = iterator->chunk_size;
	/* A row type with dropped columns has them where the query has none */
	if (tupdesc->natts != iterator->portal->tupDesc->natts)
	{
		batch.map = build_attrmap_by_position(iterator->portal->tupDesc,
											  tupdesc, "row_type");
		batch.mapped = MakeSingleTupleTableSlot(tupdesc, &TTSOpsVirtual);
	}

	siter_fetch(iterator->portal, iterator->chunk_size, &batch.base);

	if (batch.mapped != NULL)
		ExecDropSingleTupleTableSlot(batch.mapped);
	return (Datum) 0;
}

Datum
streamiter_close(PG_FUNCTION_ARGS)
{
	/* Raises 24000 for an iterator that is being read */
	PortalDrop(iterator_arg(fcinfo)->portal, false);
	PG_RETURN_VOID();
}
