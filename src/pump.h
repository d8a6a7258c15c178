/*-------------------------------------------------------------------------
 *
 * pump.h
 *	  Driving a callback over the batches of a walk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PUMP_H
#define SITER_PUMP_H

#include "callback.h"
#include "prefetch.h"
#include "progress.h"
#include "walk.h"

typedef struct SiterPump
{
	SiterWalk  *walk;
	SiterCallback *callback;
	SiterPrefetch *prefetch;	/* of related rows, or NULL */
	bool		skip_errors;	/* on_error => 'skip' */
	int64		max_skips;
	SiterProgress *progress;	/* where it is shown, or NULL */

	/* results */
	int64		skipped;
	int64		not_called;		/* STRICT, and an argument was NULL */

	/* inside */
	int			subtransactions;
	int			failed_row;		/* row of the batch that raised an error; -1:
								 * not to be told */
	bool		calling;		/* the callback is running, not the source */
	uint64		prefetching;	/* the first row of those; 0: it is not */
} SiterPump;

/* Walk to the end.  Errors: those of the source and of the callback */
extern void siter_pump_run(SiterPump *pump);

#endif							/* SITER_PUMP_H */
