/*-------------------------------------------------------------------------
 *
 * progress_line.h
 *	  How far a walk is, in numbers and in a line of text.
 *
 * Arithmetic only: who uses it says what time it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PROGRESS_LINE_H
#define SITER_PROGRESS_LINE_H

#include "datatype/timestamp.h"

/* Rows by the time at which they were done; flat, so that it may be shared */
typedef struct SiterMeter
{
	TimestampTz mark_at[2];		/* the older one first */
	int64		mark_rows[2];
} SiterMeter;

extern void siter_meter_start(SiterMeter *meter, int64 rows, TimestampTz now);

/* So many rows are done; cheap enough for each batch */
extern void siter_meter_note(SiterMeter *meter, int64 rows, TimestampTz now);

/* Rows per second over the last five to ten seconds, or since the start */
extern double siter_meter_rate(const SiterMeter *meter, int64 rows,
							   TimestampTz now);

/*
 * Between 0 and 100, and 100 only where all rows are done, "over".  It never
 * falls while rows grow, though the total, an estimate, may turn out to be too
 * low.
 */
extern double siter_progress_percent(int64 rows, int64 total, bool over);

/* Seconds that are left; < 0: not known */
extern double siter_progress_seconds_left(int64 rows, int64 total,
										  double rate);

/* "[#####...............]" */
extern char *siter_progress_bar(double percent);

/* "25.0% [#####...............] 500 of about 2000 rows, 100 rows/s, 15 s left" */
extern char *siter_progress_line(int64 rows, int64 total, bool over,
								 double rate);

#endif							/* SITER_PROGRESS_LINE_H */
