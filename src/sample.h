/*-------------------------------------------------------------------------
 *
 * sample.h
 *	  Cutting a range into slices by the data's own distribution.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_SAMPLE_H
#define SITER_SAMPLE_H

#include "range.h"

/*
 * Cut a range into about "nslices" parts of about as many rows each.  Returns
 * the inner bounds, ascending and all different, strictly inside the range:
 * *nbounds of them, at most nslices - 1, fewer (or none, and NULL) where
 * there are too few rows.  Slice i is then (bound[i - 1], bound[i]], the
 * first and last open to the range's own bounds.
 *
 * A big table is sampled by pages; anything else is read once, keys only.
 */
extern SiterKey **siter_sample_bounds(SiterKeyset *keyset,
									  const SiterRange *range, int nslices,
									  int *nbounds);

#endif							/* SITER_SAMPLE_H */
