/*-------------------------------------------------------------------------
 *
 * neighbours.h
 *	  Statements that look up an array of keys that are next to each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_NEIGHBOURS_H
#define SITER_NEIGHBOURS_H

#include "keyset.h"
#include "utils/plancache.h"

/*
 * The parameter $array of a statement has the values of a key column, in
 * order, of all rows that its table has from the first of them to the last;
 * $(first) and $(first + 1) are these two.
 */
typedef struct SiterNeighbours
{
	Oid			table;
	AttrNumber	attno;
	Oid			opfamily;
	Oid			type;			/* what its operators take */
	Oid			collation;
	int			array;
	int			first;
} SiterNeighbours;

/*
 * Of a key column, for a statement whose $n is the array of column n and whose
 * parameters before "first" are all that it may use itself.  Lives in
 * CurrentMemoryContext and outlives the column.
 */
extern SiterNeighbours *siter_neighbours_make(const SiterKeyColumn *column,
											  int first);

/*
 * Have index scans of a generic plan that look up each element of the array
 * read from the first to the last instead, and see which rows are in the
 * array.  How many such scans the plan has; it may have been changed before.
 */
extern int	siter_neighbours_apply(const SiterNeighbours *neighbours,
								   CachedPlan *cplan);

#endif							/* SITER_NEIGHBOURS_H */
