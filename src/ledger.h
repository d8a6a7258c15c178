/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  What the runner writes down: runs, slices, rows set aside.
 *
 * Keys are text[] here, as siter_key_encode() makes them; 0 stands for no
 * key.  All functions need SPI connected, and change nothing but in the
 * current transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_LEDGER_H
#define SITER_LEDGER_H

#include "job.h"

/* What a pass, a run or a batch comes to */
typedef struct SiterCounters
{
	int64		rows;			/* those set aside included */
	int64		batches;
	int64		skipped;
	int64		retries;		/* attempts made again */
	int64		not_called;
	int64		affected;		/* by range statements, as they say */
	int64		wal_bytes;		/* that the process wrote for it */
} SiterCounters;

typedef struct SiterRun
{
	int64		id;
	int32		pass;
	bool		new_pass;		/* it still has to be started */
	int64		base_rows;		/* done when it began */
	bool		rows_done;		/* all were: it has others to try again */
	int64		total_rows;		/* of the pass, an estimate; 0: not known */
} SiterRun;

/*
 * Insert the run's row, take over the slices, note a last run that crashed as
 * such, and forget those that history_limit leaves no room for.  The lock must
 * be held.
 */
extern void siter_ledger_begin_run(const SiterJob *job, SiterRun *run);

/* How many rows the pass will come to, known exactly or not */
extern void siter_ledger_set_total(SiterRun *run, int64 rows, bool exact);

/* Forget the last pass; the first slice of the new one */
extern void siter_ledger_begin_pass(const SiterJob *job, const SiterRun *run,
									Datum upper, bool done);

typedef struct SiterSlice
{
	int32		number;
	Datum		upper;
	Datum		position;
} SiterSlice;

/* Slices that are not done, of SiterSlice * */
extern List *siter_ledger_slices(const SiterJob *job);

/*
 * Move a slice's position on, and count; row_rate is in rows/s of late.
 * False if somebody else has moved it, or has begun a run since: then this
 * transaction must not commit.
 */
extern bool siter_ledger_checkpoint(const SiterJob *job, const SiterRun *run,
									int32 slice, Datum from, Datum to,
									bool done, const SiterCounters *count,
									double row_rate);

/*
 * Count without moving a position: what was done for a row set aside, wherever
 * that was.  False as above.
 */
extern bool siter_ledger_count(const SiterJob *job, const SiterRun *run,
							   const SiterCounters *count);

/* The highest number of a slice */
extern int32 siter_ledger_last_slice(const SiterJob *job);

/*
 * The first slice with a higher number than "after" that is neither done nor
 * among "taken", as of now; 0: there is none.
 */
extern int32 siter_ledger_next_slice(const SiterJob *job, int32 after,
									 const int32 *taken, int ntaken);

/* False if it is done */
extern bool siter_ledger_get_slice(const SiterJob *job, int32 number,
								   SiterSlice *slice);

/* A slice that begins after the key "lower" */
extern void siter_ledger_add_slice(const SiterJob *job, const SiterRun *run,
								   int32 number, Datum lower, Datum upper);

/* Let it end at "upper".  False as for siter_ledger_checkpoint() */
extern bool siter_ledger_shrink_slice(const SiterJob *job,
									  const SiterRun *run, int32 number,
									  Datum position, Datum upper);

/* A row that stands alone in the key range (lower, key] */
typedef struct SiterSkippedRow
{
	int64		id;
	Datum		lower;
	Datum		key;
	Datum		row_data;		/* jsonb, or 0 */
	int32		attempts;
} SiterSkippedRow;

extern int64 siter_ledger_count_skipped(const SiterJob *job);
extern void siter_ledger_skip(const SiterJob *job, const SiterRun *run,
							  const SiterSkippedRow *row,
							  const ErrorData *error);

/* Mark all to be tried again; returns their number */
extern int64 siter_ledger_request_retries(const SiterJob *job);

/* Those marked, of SiterSkippedRow * */
extern List *siter_ledger_retries(const SiterJob *job);

/* The row is done, false if by somebody else; or it has failed once more */
extern bool siter_ledger_unskip(const SiterSkippedRow *row);
extern void siter_ledger_skip_again(const SiterRun *run,
									const SiterSkippedRow *row,
									const ErrorData *error);

/*
 * "error", and the keys it happened at, may be NULL and 0.  "retries" are
 * those after the last checkpoint; "waits" is JSON, or NULL.
 * Sets what the run came to in *total.
 */
extern void siter_ledger_end_run(const SiterJob *job, const SiterRun *run,
								 const char *outcome, const ErrorData *error,
								 Datum first_key, Datum last_key,
								 int64 retries, const char *waits,
								 SiterCounters *total);

/* Forget position and rows set aside */
extern void siter_ledger_forget(SiterJob *job);

#endif							/* SITER_LEDGER_H */
