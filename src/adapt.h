/*-------------------------------------------------------------------------
 *
 * adapt.h
 *	  How many rows a batch should have, from how long the last ones took.
 *
 * Arithmetic only.  The size is where the next batch's LIMIT comes from and
 * nothing else: which rows are read follows from the position, so that a
 * change of size can neither skip a row nor repeat one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_ADAPT_H
#define SITER_ADAPT_H

#include "clock.h"

/* As a user sets them; 0 is none */
typedef struct SiterAdaptSettings
{
	int			chunk_size;		/* where to start, or where to stay */
	int			min_chunk_size;
	int			max_chunk_size;
	int64		target_batch_time;	/* in ms */
	int64		batch_timeout;	/* in ms */
} SiterAdaptSettings;

typedef struct SiterAdapt
{
	SiterAdaptSettings settings;
	int			size;			/* 0: not begun */
	bool		overran;		/* there was a batch_timeout */
} SiterAdapt;

/* Take settings over: they may have changed */
extern void siter_adapt_set(SiterAdapt *adapt,
							const SiterAdaptSettings *settings);

/* Rows that the next batch may have */
extern int	siter_adapt_size(const SiterAdapt *adapt);

/* A batch of "rows" rows took so long; "limit" is what it might have had */
extern void siter_adapt_batch(SiterAdapt *adapt, int limit, int rows,
							  SiterTime elapsed);

/* A batch that might have had "limit" rows ran into batch_timeout */
extern void siter_adapt_timeout(SiterAdapt *adapt, int limit);

#endif							/* SITER_ADAPT_H */
