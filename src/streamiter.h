/*-------------------------------------------------------------------------
 *
 * streamiter.h
 *	  Public interface of StreamIter for other C modules.
 *
 * Two things are to be had here, and neither needs linking against our
 * library, nor preloading it:
 *
 * 1. Native callbacks.  A module supplies a handler, as PostgreSQL does it
 *	  for index access methods and foreign data wrappers:
 *
 *		PG_FUNCTION_INFO_V1(my_handler);
 *		Datum my_handler(PG_FUNCTION_ARGS)
 *		{
 *			static const StreamIterCallbackRoutine routine = {
 *				STREAMITER_ROUTINE_HEADER,
 *				.row = my_row
 *			};
 *			PG_RETURN_POINTER(&routine);
 *		}
 *
 *		CREATE FUNCTION my_handler(internal)
 *			RETURNS streamiter.callback_handler LANGUAGE c AS '...';
 *		SELECT streamiter.register_callback('mine', 'my_handler(internal)');
 *
 * 2. The walk itself, through a table of functions: streamiter_api() fetches
 *	  it from the server's copy of our library at first use.
 *
 * A module compiled against another version of this interface is refused
 * with an error that names both versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef STREAMITER_H
#define STREAMITER_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "fmgr.h"

/* Raised whenever a struct below changes in a way old modules cannot meet */
#define STREAMITER_API_VERSION 1

#define STREAMITER_ROUTINE_MAGIC 0x53495452 /* "SITR" */

/*
 * What a native callback is told about the walk that calls it.  Everything
 * here is read-only but "private_data", which is the callback's own.
 */
typedef struct StreamIterContext
{
	const char *walk;			/* the query, or the job's name */
	const char *callback;		/* the callback's name, as the user gave it */
	TupleDesc	tupdesc;		/* the source's columns */
	int			chunk_size;		/* rows in a batch, at the most */
	uint64		batch_number;	/* of the batch at hand, from 1 */
	uint64		row_number;		/* of the row (or batch's first row), from 1 */
	MemoryContext walk_context; /* lives until after "end" or "abort" */
	void	   *private_data;	/* the callback's own, NULL at "begin" */
} StreamIterContext;

/*
 * The rows of one batch.  Walk through them with streamiter_batch_row();
 * they live in memory that is freed before the next batch is fetched.
 */
typedef struct StreamIterBatch
{
	int			nrows;
	MinimalTuple *tuples;		/* use streamiter_batch_row() */
	TupleTableSlot *slot;		/* where streamiter_batch_row() shows a row */
} StreamIterBatch;

/*
 * A native callback: either "row" or "batch", the other NULL.  The rest may
 * be NULL too.
 *
 * begin: once, before the first row is fetched.
 * row:	  once per row.  The slot is valid during the call only; it is not a
 *		  copy, so it must not be changed.  CurrentMemoryContext is reset
 *		  after each row.
 * batch: once per batch.  CurrentMemoryContext is reset after each batch.
 * end:	  once, after the last row, unless an error ended the walk.
 * abort: once, when an error ends the walk, be it one that "begin" or "end"
 *		  raised.  It must free what memory contexts and transactions do not
 *		  (files, say), must not touch the database, and must not raise an
 *		  error.
 *
 * An error is raised with ereport(ERROR), as everywhere in PostgreSQL; with
 * on_error => 'skip' the effects in the database are rolled back and the row
 * is set aside, but nobody can roll back "private_data".
 */
typedef struct StreamIterCallbackRoutine
{
	uint32		magic;			/* STREAMITER_ROUTINE_MAGIC */
	uint32		api_version;	/* STREAMITER_API_VERSION */
	Size		size;			/* sizeof(StreamIterCallbackRoutine) */

	void		(*begin) (StreamIterContext *context);
	void		(*row) (StreamIterContext *context, TupleTableSlot *slot);
	void		(*batch) (StreamIterContext *context, StreamIterBatch *batch);
	void		(*end) (StreamIterContext *context);
	void		(*abort) (StreamIterContext *context);
} StreamIterCallbackRoutine;

#define STREAMITER_ROUTINE_HEADER \
	.magic = STREAMITER_ROUTINE_MAGIC, \
	.api_version = STREAMITER_API_VERSION, \
	.size = sizeof(StreamIterCallbackRoutine)

/*
 * Row "i" (from 0) of a batch, in the batch's own slot: the next call shows
 * another row in the same slot.
 */
static inline TupleTableSlot *
streamiter_batch_row(StreamIterBatch *batch, int i)
{
	return ExecStoreMinimalTuple(batch->tuples[i], batch->slot, false);
}

/* A walk that a module pulls rows from; its inside is ours */
typedef struct StreamIterWalk StreamIterWalk;

/* A row callback for walk_run(), with a pointer of the caller's own */
typedef void (*StreamIterRowFunction) (TupleTableSlot *slot, void *arg);

/*
 * The walk, for other modules.
 *
 * walk_open:  starts a walk of "query" in batches of "chunk_size" rows (0:
 *			   the setting streamiter.chunk_size).  $1 to $nargs have the
 *			   types and values given; "nulls" may be NULL.  The walk is
 *			   allocated in CurrentMemoryContext and lives until walk_close(),
 *			   which must come before the transaction commits, or until the
 *			   (sub)transaction it was opened in aborts.  There must be an
 *			   active snapshot; SPI need not be connected.  Raises 42601,
 *			   42P11, 22023 as streamiter.for_each().
 * walk_tupdesc: the columns of its rows.
 * walk_next:  the next row, or NULL at the end.  Valid until the next call.
 * walk_next_batch: the next batch, or NULL at the end.  Valid until the next
 *			   call.  Use either this or walk_next() on one walk.
 * walk_close: ends the walk, at any point.
 * walk_run:   opens a walk, calls "row" for each row while the row is still
 *			   in the executor's hands (no copy), closes it; returns the
 *			   number of rows.
 */
typedef struct StreamIterApi
{
	uint32		api_version;
	Size		size;

	StreamIterWalk *(*walk_open) (const char *query, int chunk_size,
								  int nargs, const Oid *types,
								  const Datum *values, const bool *nulls);
	TupleDesc	(*walk_tupdesc) (StreamIterWalk *walk);
	TupleTableSlot *(*walk_next) (StreamIterWalk *walk);
	StreamIterBatch *(*walk_next_batch) (StreamIterWalk *walk);
	void		(*walk_close) (StreamIterWalk *walk);
	uint64		(*walk_run) (const char *query, int chunk_size,
							 int nargs, const Oid *types,
							 const Datum *values, const bool *nulls,
							 StreamIterRowFunction row, void *arg);
} StreamIterApi;

typedef const StreamIterApi *(*StreamIterGetApi) (uint32 api_version);

/*
 * The table of functions, fetched once per module.  Raises 58P01 when
 * StreamIter is not installed on this server, 0A000 when its interface has
 * another version than this header.
 */
static inline const StreamIterApi *
streamiter_api(void)
{
	static const StreamIterApi *api = NULL;

	if (api == NULL)
	{
		StreamIterGetApi get_api;

		get_api = (StreamIterGetApi)
			load_external_function("$libdir/streamiter", "streamiter_get_api",
								   true, NULL);
		api = get_api(STREAMITER_API_VERSION);
	}
	return api;
}

#endif							/* STREAMITER_H */
