/*-------------------------------------------------------------------------
 *
 * slices.h
 *	  Which slice to work on, and making more of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_SLICES_H
#define SITER_SLICES_H

#include "runner.h"

/*
 * Before a run with several processes: cut what is left into several slices
 * for each of them, by the data's own distribution, unless there are enough
 * already.
 */
extern void siter_slices_cut(SiterRunner *runner);

/*
 * Work on one slice after the other until all are done, which outcome NONE
 * tells, or there is a reason to stop.  Returns NULL or the error that ended
 * it.
 */
extern ErrorData *siter_slices_work(SiterRunner *runner,
									SiterOutcome *outcome);

/* Give the far half of our slice to one who asks, if it is large */
extern ErrorData *siter_slices_share(SiterRunner *runner);

/* Tell pg_stat_activity which batch a background worker begins */
extern void siter_slices_report_batch(const SiterRunner *runner);

/* Wait a moment for what others do; holds nothing */
extern void siter_slices_nap(SiterRunner *runner);

#endif							/* SITER_SLICES_H */
