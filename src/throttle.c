/*-------------------------------------------------------------------------
 *
 * throttle.c
 *	  When the next batch may begin, and why not earlier.
 *
 * A rate is kept by spacing batches: one of n rows, begun at time t, lets the
 * next begin at t + n / rate.  There is no store of unused rows or bytes that
 * would be spent in a burst after a pause, but for a tenth of a second, so
 * that what a wait overslept is not lost.  What the last batch did is kept,
 * not when the next may begin: so a changed rate holds at once, also for the
 * wait that is under way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "throttle.h"

/* What a wait may have overslept */
#define SLACK SITER_MS(100)

/* How often to look at replicas and ask the throttle query */
#define CHECK_INTERVAL SITER_MS(500)

const char *const siter_throttle_reason_names[] = {
	[SITER_THROTTLE_NONE] = "none",
	[SITER_THROTTLE_BATCH_PAUSE] = "batch_pause",
	[SITER_THROTTLE_RETRY] = "retry",
	[SITER_THROTTLE_ROWS] = "max_rows_per_second",
	[SITER_THROTTLE_WAL] = "max_wal_rate",
	[SITER_THROTTLE_LAG] = "max_replica_lag",
	[SITER_THROTTLE_QUERY] = "throttle_query",
	[SITER_THROTTLE_WRITERS] = "wait_for_writers",
};

static SiterTime rate_due(const SiterThrottle *throttle, int64 amount,
						  int64 rate);
static void consider(SiterThrottleWait *wait, SiterThrottleReason reason,
					 SiterTime due);

void
siter_throttle_begin_batch(SiterThrottle *throttle,
						   const SiterThrottleSettings *settings,
						   SiterTime now)
{
	SiterTime	due = now - SLACK;

	if (throttle->had_batch)
	{
		due = Max(due, rate_due(throttle, throttle->rows,
								settings->max_rows_per_second));
		due = Max(due, rate_due(throttle, throttle->wal_bytes,
								settings->max_wal_rate));
	}

	/* the first one has overslept nothing */
	throttle->began = throttle->had_batch ? due : now;
}

void
siter_throttle_end_batch(SiterThrottle *throttle, SiterTime now,
						 int64 rows, int64 wal_bytes)
{
	throttle->had_batch = true;
	throttle->ended = now;
	throttle->rows = rows;
	throttle->wal_bytes = wal_bytes;
}

/* When so many rows or bytes since the last batch began keep to the rate */
static SiterTime
rate_due(const SiterThrottle *throttle, int64 amount, int64 rate)
{
	double		share = throttle->share > 0 ? throttle->share : 1;
	double		duration;

	if (rate <= 0)
		return throttle->began;
	duration = (double) amount * SITER_SECOND / (rate * share);

	/* a year will do */
	return throttle->began +
		(SiterTime) Min(duration, (double) SITER_SECOND * 86400 * 366);
}

bool
siter_throttle_must_check(const SiterThrottle *throttle,
						  const SiterThrottleSettings *settings,
						  SiterTime now)
{
	if (settings->max_replica_lag == 0 && settings->throttle_query == NULL)
		return false;
	return now >= throttle->check_at;
}

void
siter_throttle_checked(SiterThrottle *throttle, SiterTime now,
					   bool lagging, bool query_says_wait)
{
	throttle->check_at = now + CHECK_INTERVAL;
	throttle->lagging = lagging;
	throttle->query_says_wait = query_says_wait;
}

void
siter_throttle_ask_again(SiterThrottle *throttle, SiterTime when)
{
	throttle->check_at = when;
	throttle->lagging = false;
	throttle->query_says_wait = true;
}

/* The reason that holds longest is the one to show */
static void
consider(SiterThrottleWait *wait, SiterThrottleReason reason, SiterTime due)
{
	if (due > wait->until)
	{
		wait->reason = reason;
		wait->until = due;
	}
}

SiterThrottleWait
siter_throttle_decide(const SiterThrottle *throttle,
					  const SiterThrottleSettings *settings, SiterTime now)
{
	SiterThrottleWait wait = {SITER_THROTTLE_NONE, now};

	if (throttle->had_batch)
	{
		consider(&wait, SITER_THROTTLE_BATCH_PAUSE,
				 throttle->ended + SITER_MS(settings->batch_pause));
		consider(&wait, SITER_THROTTLE_ROWS,
				 rate_due(throttle, throttle->rows,
						  settings->max_rows_per_second));
		consider(&wait, SITER_THROTTLE_WAL,
				 rate_due(throttle, throttle->wal_bytes,
						  settings->max_wal_rate));
	}
	consider(&wait, SITER_THROTTLE_RETRY, throttle->retry_at);
	if (wait.reason != SITER_THROTTLE_NONE)
		return wait;

	/* how long these hold, nobody knows */
	if (throttle->lagging && settings->max_replica_lag > 0)
		consider(&wait, SITER_THROTTLE_LAG, throttle->check_at);
	if (throttle->query_says_wait && settings->throttle_query != NULL)
		consider(&wait, SITER_THROTTLE_QUERY, throttle->check_at);
	return wait;
}
