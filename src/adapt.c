/*-------------------------------------------------------------------------
 *
 * adapt.c
 *	  How many rows a batch should have, from how long the last ones took.
 *
 * What a row costs changes along a table, and a batch that takes too long
 * holds its locks all that time, while one that is too short only costs a
 * little more.  So the size falls at once to what the last batch says, and
 * rises by half at the most: from 2000 rows it finds 5 in one step and 50,000
 * in eight.
 *
 * Without a target the size stays what the user said.  Only when a batch has
 * run into batch_timeout it is adapted too, to half of that: else each batch
 * would run into it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "adapt.h"
#include "guc.h"

/* Unless the user sets another; his chunk_size counts for more than it */
#define DEFAULT_MAX_SIZE 100000

static SiterTime target(const SiterAdapt *adapt);
static int	smallest(const SiterAdapt *adapt);
static int	largest(const SiterAdapt *adapt);

void
siter_adapt_set(SiterAdapt *adapt, const SiterAdaptSettings *settings)
{
	SiterAdaptSettings old = adapt->settings;

	adapt->settings = *settings;
	if (settings->batch_timeout == 0)
		adapt->overran = false;

	/* a chunk_size that has been set anew is where to go on from */
	if (adapt->size == 0 || settings->chunk_size != old.chunk_size ||
		target(adapt) == 0)
		adapt->size = settings->chunk_size;
	adapt->size = Min(Max(adapt->size, smallest(adapt)), largest(adapt));
}

int
siter_adapt_size(const SiterAdapt *adapt)
{
	return adapt->size;
}

/* 0: the size is not to be adapted */
static SiterTime
target(const SiterAdapt *adapt)
{
	if (adapt->settings.target_batch_time > 0)
		return SITER_MS(adapt->settings.target_batch_time);
	if (adapt->overran)
		return SITER_MS(adapt->settings.batch_timeout) / 2;
	return 0;
}

static int
smallest(const SiterAdapt *adapt)
{
	const SiterAdaptSettings *settings = &adapt->settings;

	if (settings->target_batch_time > 0)
		return Max(settings->min_chunk_size, 1);
	return 1;
}

static int
largest(const SiterAdapt *adapt)
{
	const SiterAdaptSettings *settings = &adapt->settings;

	if (settings->target_batch_time == 0)
		return settings->chunk_size;
	if (settings->max_chunk_size > 0)
		return settings->max_chunk_size;
	return Max(settings->chunk_size, DEFAULT_MAX_SIZE);
}

void
siter_adapt_batch(SiterAdapt *adapt, int limit, int rows, SiterTime elapsed)
{
	SiterTime	wanted = target(adapt);
	double		fitting;

	if (wanted == 0 || rows <= 0)
		return;
	fitting = (double) rows * wanted / Max(elapsed, 1);

	/* below its old size in any case: the batch may have been a smaller one */
	if (elapsed > wanted)
		adapt->size = (int) Min(fitting, adapt->size);

	/*
	 * Of a batch that was made smaller, or found fewer rows, it is not known
	 * how long a whole one takes.
	 */
	else if (limit >= adapt->size && rows >= limit)
	{
		double		next = Max(floor(adapt->size * 1.5), adapt->size + 1);

		adapt->size = (int) Max(Min(fitting, next), adapt->size);
	}
	adapt->size = Min(Max(adapt->size, smallest(adapt)), largest(adapt));
}

void
siter_adapt_timeout(SiterAdapt *adapt, int limit)
{
	adapt->overran = true;
	adapt->size = Min(adapt->size, Max(limit / 2, smallest(adapt)));
}
