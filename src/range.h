/*-------------------------------------------------------------------------
 *
 * range.h
 *	  Reading a key range of a source.
 *
 * A range is all rows with lower < key <= upper.  So a position is the lower
 * bound of what is left, slices meet without overlap, and a batch that failed
 * is read again, whole or in halves, by the range it was read from.
 *
 * All functions need SPI connected and an active snapshot, and read with it
 * (siter_range_open_locked() excepted, which must see what others did while
 * it waited).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_RANGE_H
#define SITER_RANGE_H

#include "position.h"
#include "walk.h"

typedef struct SiterRange
{
	const SiterKey *lower;		/* exclusive; NULL: from the first row on */
	const SiterKey *upper;		/* inclusive; NULL: to the last row */
} SiterRange;

/*
 * Open a walk over the first "limit" rows of a range, in key order; the
 * caller fetches them and closes it.  With keys_only the rows have the key's
 * columns only.  The limit becomes the walk's chunk size, so that one fetch
 * brings all, unless the memory cap cuts it: what is left then is read by
 * the next batch, from the last row that came.
 *
 * Where !keyset->proven_unique, ask for siter_keyset_lookahead() rows more
 * than are worked on and compare each with the one before by
 * siter_key_check_order().
 *
 * Raises 55000 when the source's columns are not what they were when the
 * keyset was made, or the key's index is gone.
 */
extern SiterWalk *siter_range_open(SiterKeyset *keyset,
								   const SiterRange *range, int limit,
								   bool keys_only);

/*
 * The same for lock_rows => 'update': lock the first "limit" rows of a range
 * (FOR UPDATE), then open a walk that reads them as they are now.
 *
 * Waiting for a row's lock, we may find that its key was changed, or that
 * other rows came into the range.  So the end of the batch is fixed first, and
 * rows are locked and counted again until exactly the locked ones are there;
 * they come in order, and none of them can change any more.  Sets *end to the
 * batch's end, which is the new position once all rows have been worked off,
 * even if none is left; NULL (and no walk) when the range is empty.
 *
 * The walk may deliver limit + 1 rows when keys are not unique, so that
 * siter_key_check_order() sees it: no look-ahead is to be asked for here.
 */
extern SiterWalk *siter_range_open_locked(SiterKeyset *keyset,
										  const SiterRange *range, int limit,
										  SiterKey **end);

/*
 * The smallest, the largest and the n-th (from 1) key of a range, each by one
 * descent of the index; NULL when there is none.  The largest of the whole
 * source is what a pass pins as its end, the n-th is where halves part.
 */
extern SiterKey *siter_range_first(SiterKeyset *keyset,
								   const SiterRange *range);
extern SiterKey *siter_range_last(SiterKeyset *keyset,
								  const SiterRange *range);
extern SiterKey *siter_range_nth(SiterKeyset *keyset,
								 const SiterRange *range, int64 n);

/*
 * Where the catalog does not exclude null keys, look for one: 23502 naming
 * the column.  May scan the source, hence only at start and end of a pass.
 */
extern void siter_range_check_nulls(SiterKeyset *keyset);

/* Read all keys of a range, to count them */
extern int64 siter_range_count(SiterKeyset *keyset, const SiterRange *range);

/* The planner may think of more rows than there can be */
#define SITER_MAX_ESTIMATE 1e15

/* The planner's estimate of the number of rows; nothing is read */
extern double siter_range_estimate(SiterKeyset *keyset,
								   const SiterRange *range);

/*
 * The statement that reads a range's first "limit" rows, and its plan as
 * EXPLAIN (COSTS OFF) shows it.
 */
extern void siter_range_explain(SiterKeyset *keyset, const SiterRange *range,
								int limit, bool keys_only,
								char **sql, char **plan);

/*
 * Open a walk over all keys of a range, ascending, with rows of the key's
 * columns only.  "source_text" is read instead of the keyset's own source, unless
 * it is NULL; it must have the key's columns, too.  The planner chooses freely.
 */
extern SiterWalk *siter_range_open_keys(SiterKeyset *keyset,
										const SiterRange *range,
										char *source_text, int chunk_size);

#endif							/* SITER_RANGE_H */
