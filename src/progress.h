/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far walks are, for other sessions to see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PROGRESS_H
#define SITER_PROGRESS_H

#include "datatype/timestamp.h"

/* The walk that this backend shows */
typedef struct SiterProgress SiterProgress;

/* When the library is loaded: ask for shared memory, where that is the time */
extern void siter_progress_init(void);

/*
 * A walk begins, of about "total" rows.  NULL if another one is under way: the
 * outermost is the one that is shown.  siter_progress_end() must be called,
 * whatever happens.
 */
extern SiterProgress *siter_progress_begin(const char *query,
										   const char *callback,
										   double total);

/* After each batch: so many rows are done */
extern void siter_progress_note(SiterProgress *progress, int64 rows,
								int64 skipped);
extern void siter_progress_end(SiterProgress *progress);

#endif							/* SITER_PROGRESS_H */
