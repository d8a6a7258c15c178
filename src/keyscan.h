/*-------------------------------------------------------------------------
 *
 * keyscan.h
 *	  The keys of a batch: how many there are, the first and the last.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_KEYSCAN_H
#define SITER_KEYSCAN_H

#include "position.h"
#include "walk.h"

typedef struct SiterKeyScan
{
	int			nrows;
	SiterKey   *first;			/* NULL when there is no row */
	SiterKey   *last;
	bool		exhausted;		/* there are no more rows than these */
} SiterKeyScan;

/*
 * Read the first "limit" keys of a walk that siter_range_open() has opened for
 * keys only, with the look-ahead that it asks for; keys are compared with
 * their neighbours where that is needed.  What is found lives in "context".
 */
extern void siter_keyscan_read(SiterKeyset *keyset, SiterWalk *walk,
							   int limit, MemoryContext context,
							   SiterKeyScan *scan);

#endif							/* SITER_KEYSCAN_H */
