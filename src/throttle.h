/*-------------------------------------------------------------------------
 *
 * throttle.h
 *	  When the next batch may begin, and why not earlier.
 *
 * Arithmetic only: it knows neither jobs nor tables, and asks no clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_THROTTLE_H
#define SITER_THROTTLE_H

#include "clock.h"

/* In the order in which they are shown, where several hold at once */
typedef enum SiterThrottleReason
{
	SITER_THROTTLE_NONE,
	SITER_THROTTLE_BATCH_PAUSE,
	SITER_THROTTLE_RETRY,		/* before an attempt is made again */
	SITER_THROTTLE_ROWS,		/* max_rows_per_second */
	SITER_THROTTLE_WAL,			/* max_wal_rate */
	SITER_THROTTLE_LAG,			/* max_replica_lag */
	SITER_THROTTLE_QUERY,		/* throttle_query */
	SITER_THROTTLE_WRITERS,		/* wait_for_writers, before a pass */
	SITER_THROTTLE_NREASONS
} SiterThrottleReason;

extern const char *const siter_throttle_reason_names[];

/* As a user sets them; 0 is none */
typedef struct SiterThrottleSettings
{
	int64		batch_pause;	/* in ms */
	int64		max_rows_per_second;
	int64		max_wal_rate;	/* in bytes per second */
	int64		max_replica_lag;	/* in ms */
	char	   *throttle_query; /* NULL: none */
} SiterThrottleSettings;

/* All zeroes: nothing has been done yet */
typedef struct SiterThrottle
{
	/* the last batch */
	bool		had_batch;
	SiterTime	began;			/* or should have, where that was just before */
	SiterTime	ended;
	int64		rows;
	int64		wal_bytes;
	double		share;			/* of the rates that is ours; 0: all */

	SiterTime	retry_at;

	/* what was last found out about the server */
	bool		lagging;
	bool		query_says_wait;
	SiterTime	check_at;		/* when to do so again; 0: at once */
} SiterThrottle;

typedef struct SiterThrottleWait
{
	SiterThrottleReason reason; /* NONE: no need to wait */
	SiterTime	until;			/* when to decide again, at the latest */
} SiterThrottleWait;

extern void siter_throttle_begin_batch(SiterThrottle *throttle,
									   const SiterThrottleSettings *settings,
									   SiterTime now);
extern void siter_throttle_end_batch(SiterThrottle *throttle, SiterTime now,
									 int64 rows, int64 wal_bytes);

/* Must replicas and the throttle query be looked at before going on? */
extern bool siter_throttle_must_check(const SiterThrottle *throttle,
									  const SiterThrottleSettings *settings,
									  SiterTime now);

/* They have been */
extern void siter_throttle_checked(SiterThrottle *throttle, SiterTime now,
								   bool lagging, bool query_says_wait);

/* The query could not be asked: wait, and ask again after a while */
extern void siter_throttle_ask_again(SiterThrottle *throttle, SiterTime when);

extern SiterThrottleWait siter_throttle_decide(const SiterThrottle *throttle,
											   const SiterThrottleSettings *settings,
											   SiterTime now);

#endif							/* SITER_THROTTLE_H */
