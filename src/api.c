/*-------------------------------------------------------------------------
 *
 * api.c
 *	  The walk for other modules: the table of functions in streamiter.h.
 *
 * A module's walk is not tied to an SPI level: SPI is needed to plan the
 * source and to open the portal, which then has its own copy of the plan, and
 * is left again before walk_open() returns.  So a module may open walks in
 * one call of its functions and pull from them in another, and use SPI as it
 * likes in between.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"

#include "compat.h"
#include "guc.h"
#include "walk.h"

struct StreamIterWalk
{
	SiterWalk  *walk;
	int			next;			/* row of the batch that walk_next() is at */
};

extern PGDLLEXPORT const StreamIterApi *streamiter_get_api(uint32 api_version);

static SiterWalk *
open_walk(const char *query, int chunk_size, int nargs, const Oid *types,
		  const Datum *values, const bool *nulls)
{
	MemoryContext caller_context = CurrentMemoryContext;
	SiterArgs	args = {0};
	SiterSource *source;
	SiterWalk  *walk;

	if (chunk_size == 0)
		chunk_size = siter_chunk_size;
	chunk_size = siter_guc_check_chunk_size(chunk_size);

	SPI_connect();
	if (nargs > 0)
	{
		args.nargs = nargs;
		args.types = unconstify(Oid *, types);
		args.values = unconstify(Datum *, values);
		args.nulls = palloc_array(char, nargs);
		for (int i = 0; i < nargs; i++)
			args.nulls[i] = (nulls != NULL && nulls[i]) ? 'n' : ' ';
	}
	source = siter_source_prepare(query, &args, 0);
	MemoryContextSwitchTo(caller_context);
	walk = siter_walk_open(source, chunk_size, NULL, NULL);
	SPI_finish();
	return walk;
}

static StreamIterWalk *
walk_open(const char *query, int chunk_size, int nargs, const Oid *types,
		  const Datum *values, const bool *nulls)
{
	StreamIterWalk *result = palloc0_object(StreamIterWalk);

	result->walk = open_walk(query, chunk_size, nargs, types, values, nulls);
	return result;
}

static TupleDesc
walk_tupdesc(StreamIterWalk *walk)
{
	return walk->walk->tupdesc;
}

static StreamIterBatch *
walk_next_batch(StreamIterWalk *walk)
{
	walk->next = 0;
	return siter_walk_fetch(walk->walk) ? &walk->walk->batch : NULL;
}

static TupleTableSlot *
walk_next(StreamIterWalk *walk)
{
	StreamIterBatch *batch = &walk->walk->batch;

	if (walk->next >= batch->nrows && walk_next_batch(walk) == NULL)
		return NULL;
	return streamiter_batch_row(batch, walk->next++);
}

static void
walk_close(StreamIterWalk *walk)
{
	siter_walk_close(walk->walk);
	pfree(walk);
}

static uint64
walk_run(const char *query, int chunk_size, int nargs, const Oid *types,
		 const Datum *values, const bool *nulls,
		 StreamIterRowFunction row, void *arg)
{
	SiterWalk  *walk;
	uint64		rows;

	walk = open_walk(query, chunk_size, nargs, types, values, nulls);
	while (siter_walk_stream(walk, row, arg))
		;
	rows = walk->rows;
	siter_walk_close(walk);
	return rows;
}

/* Called by streamiter_api() in the header, with the caller's version */
const StreamIterApi *
streamiter_get_api(uint32 api_version)
{
	static const StreamIterApi api = {
		.api_version = STREAMITER_API_VERSION,
		.size = sizeof(StreamIterApi),
		.walk_open = walk_open,
		.walk_tupdesc = walk_tupdesc,
		.walk_next = walk_next,
		.walk_next_batch = walk_next_batch,
		.walk_close = walk_close,
		.walk_run = walk_run
	};

	if (api_version != STREAMITER_API_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("module was built for StreamIter interface version %u, this server has %u",
						api_version, STREAMITER_API_VERSION),
				 errhint("Rebuild it with the streamiter.h of this server.")));
	return &api;
}
