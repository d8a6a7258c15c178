/*-------------------------------------------------------------------------
 *
 * streamiter_native.c
 *	  A module that uses StreamIter from C: callbacks and walks of its own.
 *
 * It sees no header of StreamIter's but the installed one, and does not link
 * against its library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "extension/streamiter/streamiter.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(streamiter_native_count);
PG_FUNCTION_INFO_V1(streamiter_native_count_batch);
PG_FUNCTION_INFO_V1(streamiter_native_result);
PG_FUNCTION_INFO_V1(streamiter_native_related);
PG_FUNCTION_INFO_V1(streamiter_native_related_batch);
PG_FUNCTION_INFO_V1(streamiter_native_recorder);
PG_FUNCTION_INFO_V1(streamiter_native_fail);
PG_FUNCTION_INFO_V1(streamiter_native_notes);
PG_FUNCTION_INFO_V1(streamiter_native_wrong_version);
PG_FUNCTION_INFO_V1(streamiter_native_wrong_magic);
PG_FUNCTION_INFO_V1(streamiter_native_wrong_size);
PG_FUNCTION_INFO_V1(streamiter_native_row_and_batch);
PG_FUNCTION_INFO_V1(streamiter_native_nothing);
PG_FUNCTION_INFO_V1(streamiter_native_pull);
PG_FUNCTION_INFO_V1(streamiter_native_pull_batches);
PG_FUNCTION_INFO_V1(streamiter_native_run);
PG_FUNCTION_INFO_V1(streamiter_native_ask_api);
PG_FUNCTION_INFO_V1(streamiter_native_same);
PG_FUNCTION_INFO_V1(streamiter_native_scan);

/*
 * Counting
 */

typedef struct Count
{
	int64		rows;
	int64		batches;
	int64		total;
} Count;

static Count found;				/* by the callbacks, until read */

static int64
first_integer(TupleTableSlot *slot)
{
	TupleDesc	tupdesc = slot->tts_tupleDescriptor;
	Datum		value;
	bool		isnull;

	if (tupdesc->natts == 0)
		return 0;
	value = slot_getattr(slot, 1, &isnull);
	if (isnull)
		return 0;
	switch (TupleDescAttr(tupdesc, 0)->atttypid)
	{
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		default:
			return 0;
	}
}

/* Counts go to the session when the walk has ended well, not before */
static void
count_begin(StreamIterContext *context)
{
	context->private_data = MemoryContextAllocZero(context->walk_context,
												   sizeof(Count));
}

static void
count_row(StreamIterContext *context, TupleTableSlot *slot)
{
	Count	   *count = (Count *) context->private_data;

	count->rows++;
	count->batches = context->batch_number;
	count->total += first_integer(slot);
}

static void
count_batch(StreamIterContext *context, StreamIterBatch *batch)
{
	Count	   *count = (Count *) context->private_data;

	if (batch->nrows > context->chunk_size)
		elog(ERROR, "batch of %d rows is too large", batch->nrows);
	if (context->row_number != count->rows + 1)
		elog(ERROR, "batch begins at row " UINT64_FORMAT, context->row_number);
	count->rows += batch->nrows;
	count->batches = context->batch_number;
	for (int i = 0; i < batch->nrows; i++)
		count->total += first_integer(streamiter_batch_row(batch, i));
}

static void
count_end(StreamIterContext *context)
{
	found = *(Count *) context->private_data;
}

/* "total" is of the related rows, whose array is the last column */
static int64
related_rows(StreamIterContext *context, TupleTableSlot *slot)
{
	TupleDesc	tupdesc = slot->tts_tupleDescriptor;
	Datum		value;
	bool		isnull;

	if (context->tupdesc->natts != tupdesc->natts ||
		TupleDescAttr(tupdesc, tupdesc->natts - 1)->atttypid != JSONBOID)
		elog(ERROR, "the last column is not that of related rows");
	value = slot_getattr(slot, tupdesc->natts, &isnull);
	if (isnull)
		elog(ERROR, "related rows are null");
	return JB_ROOT_COUNT(DatumGetJsonbP(value));
}

static void
related_row(StreamIterContext *context, TupleTableSlot *slot)
{
	Count	   *count = (Count *) context->private_data;

	count_row(context, slot);
	count->total += related_rows(context, slot) - first_integer(slot);
}

static void
related_batch(StreamIterContext *context, StreamIterBatch *batch)
{
	Count	   *count = (Count *) context->private_data;

	count_batch(context, batch);
	for (int i = 0; i < batch->nrows; i++)
	{
		TupleTableSlot *slot = streamiter_batch_row(batch, i);

		count->total += related_rows(context, slot) - first_integer(slot);
	}
}

Datum
streamiter_native_count(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.begin = count_begin,
		.row = count_row,
		.end = count_end
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_related(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.begin = count_begin,
		.row = related_row,
		.end = count_end
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_related_batch(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.begin = count_begin,
		.batch = related_batch,
		.end = count_end
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_count_batch(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.begin = count_begin,
		.batch = count_batch,
		.end = count_end
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_result(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[3];
	bool		nulls[3] = {0};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(found.rows);
	values[1] = Int64GetDatum(found.batches);
	values[2] = NumericGetDatum(int64_to_numeric(found.total));
	memset(&found, 0, sizeof(found));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}

/*
 * Recording
 */

static char notes[1024];		/* truncated where that is too short */
static char fail_place[16];
static int64 fail_row;

static void
note(const char *what)
{
	strlcat(notes, notes[0] != '\0' ? " " : "", sizeof(notes));
	strlcat(notes, what, sizeof(notes));
}

static void
fail_at(const char *place)
{
	if (strcmp(place, fail_place) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("failed in %s, as told", place)));
}

static void
recorder_begin(StreamIterContext *context)
{
	note("begin");
	if (context->private_data != NULL)
		note("not-fresh");
	context->private_data = notes;
	fail_at("begin");
}

static void
recorder_row(StreamIterContext *context, TupleTableSlot *slot)
{
	char		row[32];

	snprintf(row, sizeof(row), UINT64_FORMAT, context->row_number);
	note(row);
	if (context->row_number == fail_row)
		fail_at("row");
}

static void
recorder_end(StreamIterContext *context)
{
	note("end");
	fail_at("end");
}

static void
recorder_abort(StreamIterContext *context)
{
	note(context->private_data == notes ? "abort" : "abort-without-begin");
}

Datum
streamiter_native_recorder(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.begin = recorder_begin,
		.row = recorder_row,
		.end = recorder_end,
		.abort = recorder_abort
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_fail(PG_FUNCTION_ARGS)
{
	strlcpy(fail_place, text_to_cstring(PG_GETARG_TEXT_PP(0)),
			sizeof(fail_place));
	fail_row = PG_GETARG_INT64(1);
	PG_RETURN_VOID();
}

Datum
streamiter_native_notes(PG_FUNCTION_ARGS)
{
	text	   *result = cstring_to_text(notes);

	notes[0] = '\0';
	PG_RETURN_TEXT_P(result);
}

/*
 * Routines that must be refused
 */

Datum
streamiter_native_wrong_version(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		.magic = STREAMITER_ROUTINE_MAGIC,
		.api_version = 4711,
		.size = sizeof(StreamIterCallbackRoutine),
		.row = count_row
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_wrong_magic(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		.magic = 0,
		.api_version = STREAMITER_API_VERSION,
		.size = sizeof(StreamIterCallbackRoutine),
		.row = count_row
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_wrong_size(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		.magic = STREAMITER_ROUTINE_MAGIC,
		.api_version = STREAMITER_API_VERSION,
		.size = 16,
		.row = count_row
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_row_and_batch(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.row = count_row,
		.batch = count_batch
	};

	PG_RETURN_POINTER(&routine);
}

Datum
streamiter_native_nothing(PG_FUNCTION_ARGS)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
	};

	PG_RETURN_POINTER(&routine);
}

/*
 * Walks
 */

Datum
streamiter_native_pull(PG_FUNCTION_ARGS)
{
	const StreamIterApi *api = streamiter_api();
	StreamIterWalk *walk;
	int64		rows = 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();

	walk = api->walk_open(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						  PG_GETARG_INT32(1), 0, NULL, NULL, NULL);
	while ((PG_ARGISNULL(2) || rows < PG_GETARG_INT64(2)) &&
		   api->walk_next(walk) != NULL)
		rows++;

	/* the end is the end, however often one asks */
	if (PG_ARGISNULL(2) && api->walk_next(walk) != NULL)
		elog(ERROR, "a row after the last");
	api->walk_close(walk);
	PG_RETURN_INT64(rows);
}

Datum
streamiter_native_pull_batches(PG_FUNCTION_ARGS)
{
	const StreamIterApi *api = streamiter_api();
	StreamIterWalk *walk;
	StreamIterBatch *batch;
	ArrayBuildState *sizes = initArrayResult(INT4OID, CurrentMemoryContext,
											 false);

	walk = api->walk_open(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						  PG_GETARG_INT32(1), 0, NULL, NULL, NULL);
	while ((batch = api->walk_next_batch(walk)) != NULL)
		sizes = accumArrayResult(sizes, Int32GetDatum(batch->nrows), false,
								 INT4OID, CurrentMemoryContext);
	api->walk_close(walk);
	PG_RETURN_DATUM(makeArrayResult(sizes, CurrentMemoryContext));
}

static void
add_row(TupleTableSlot *slot, void *arg)
{
	*(int64 *) arg += first_integer(slot);
}

Datum
streamiter_native_run(PG_FUNCTION_ARGS)
{
	Oid			type = INT8OID;
	Datum		value = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	bool		isnull = PG_ARGISNULL(2);
	int64		total = 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	(void) streamiter_api()->walk_run(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									  PG_GETARG_INT32(1), 1, &type, &value,
									  &isnull, add_row, &total);
	PG_RETURN_NUMERIC(int64_to_numeric(total));
}

Datum
streamiter_native_ask_api(PG_FUNCTION_ARGS)
{
	StreamIterGetApi get_api;

	get_api = (StreamIterGetApi)
		load_external_function("$libdir/streamiter", "streamiter_get_api",
							   true, NULL);
	(void) get_api((uint32) PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

/*
 * For measuring
 */

/* The least that a row function in C can do */
Datum
streamiter_native_same(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/* The least that reading rows takes: nobody receives them */
Datum
streamiter_native_scan(PG_FUNCTION_ARGS)
{
	SPIExecuteOptions options = {0};
	uint64		rows;
	int			rc;

	options.read_only = true;
	options.dest = CreateDestReceiver(DestNone);
	SPI_connect();
	rc = SPI_execute_extended(text_to_cstring(PG_GETARG_TEXT_PP(0)), &options);
	if (rc < 0)
		elog(ERROR, "SPI_execute_extended failed: %s",
			 SPI_result_code_string(rc));
	rows = SPI_processed;
	SPI_finish();
	PG_RETURN_INT64(rows);
}
