/*-------------------------------------------------------------------------
 *
 * prefetch.h
 *	  Related rows: one query per batch, for all of its rows.
 *
 * A walk with prefetch => 'SELECT author_id, b.* FROM book b WHERE author_id
 * = ANY ($1)' and prefetch_key => 'id' runs that query once for each batch.
 * $1 is an array of the batch's distinct keys, the values of column "id" that
 * are not null.  The query's first column says which of them a row belongs
 * to.  Callbacks see one column more, the last: a jsonb array of the related
 * rows' other columns, in the order they came in, empty where there are none.
 *
 * After Django's QuerySet.prefetch_related().
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PREFETCH_H
#define SITER_PREFETCH_H

#include "walk.h"

typedef struct SiterPrefetch SiterPrefetch;

/*
 * Check the query and match it with a source's columns.  SPI must be
 * connected.  All lives in CurrentMemoryContext, the query's plan too, and
 * outlives SPI_finish() and commits.
 *
 * Errors, before a row is read: those of siter_source_prepare(), with $1 as
 * the only argument; 42703 and 42702 when there is no such key column, or
 * more than one; 42804 when the key has a type that there are no arrays of,
 * or that cannot be compared with the query's first column; 42P10 when the
 * query has no second column; 42701 when two of the others have one name;
 * 54011 when the source has as many columns as a row can have.
 */
extern SiterPrefetch *siter_prefetch_prepare(const char *query,
											 const char *key,
											 TupleDesc tupdesc);

/* What a callback is given: the source's columns, and the related rows */
extern TupleDesc siter_prefetch_tupdesc(const SiterPrefetch *prefetch);

/*
 * To be called once for each walk, before its first fetch: its batches end at
 * a quarter of their memory then.  They are held twice, with their related
 * rows and without, and there has to be room for these.
 */
extern void siter_prefetch_make_room(SiterWalk *walk);

/*
 * The "nrows" rows of the walk's batch from row "first" on, with their related
 * rows, as the active snapshot sees these.  They live until the next call or
 * the next batch.  SPI must be connected.
 *
 * It is one query, or none if no row has a key.  But when the related rows do
 * not fit into memory, it is given up and asked again for half of the rows:
 * the batch returned may have fewer rows than were asked for.
 *
 * Errors: those of the query; 22000 when it returns a row for a key that was
 * not asked for; 54000 when the related rows of a single row do not fit; 55000
 * when its columns have changed since it was prepared.
 */
extern StreamIterBatch *siter_prefetch_rows(SiterPrefetch *prefetch,
											SiterWalk *walk,
											int first, int nrows);

/* The query's plan as EXPLAIN (COSTS OFF) shows it */
extern char *siter_prefetch_explain(const SiterPrefetch *prefetch);

#endif							/* SITER_PREFETCH_H */
