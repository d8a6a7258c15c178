/*-------------------------------------------------------------------------
 *
 * pace.c
 *	  Tests of what paces a job, with a clock that they turn themselves.
 *
 * A program without a server: adapt.c, throttle.c and lag.c are arithmetic
 * and are linked into it.  Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>

#include "adapt.h"
#include "clock.h"
#include "lag.h"
#include "throttle.h"

/* what it prints with must be the C library's */
#undef printf
#undef vprintf

static int	ntests;
static int	nfailed;

static void ok(bool good, const char *format,...) pg_attribute_printf(2, 3);

static void
ok(bool good, const char *format,...)
{
	va_list		args;

	printf("%sok %d - ", good ? "" : "not ", ++ntests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!good)
		nfailed++;
}

/*
 * The clock
 */

static SiterTime clock_time = SITER_SECOND;
static SiterTime oversleep;

static SiterTime
test_now(void)
{
	return clock_time;
}

static void
test_wait(SiterTime duration, uint32 wait_event)
{
	clock_time += duration + oversleep;
}

static const SiterClock test_clock = {test_now, test_wait};

const SiterClock *siter_clock = &test_clock;

/* The same numbers each time */
static double
random_fraction(void)
{
	static uint64 state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double) (state >> 11) / (double) (UINT64CONST(1) << 53);
}

/*
 * Sizes of batches
 */

/* Rows 1 .. total, walked with whatever size comes out */
typedef struct Walk
{
	SiterAdapt	adapt;
	int64		position;
	int64		total;
	SiterTime	per_row;
	SiterTime	per_batch;
	SiterTime	elapsed;		/* of the last batch */
	int			limit;			/* of the last batch */
	bool		grew_too_fast;
	bool		lost;			/* a row skipped or repeated */
	int			smallest;
	int			largest;
} Walk;

static void
walk_batch(Walk *walk)
{
	int			size = siter_adapt_size(&walk->adapt);
	int64		first = walk->position + 1;
	int64		last = Min(walk->position + size, walk->total);
	int			next;

	walk->limit = size;
	walk->smallest = Min(walk->smallest, size);
	walk->largest = Max(walk->largest, size);
	walk->elapsed = walk->per_batch + (last - first + 1) * walk->per_row;
	test_wait(walk->elapsed, 0);
	siter_adapt_batch(&walk->adapt, size, (int) (last - first + 1),
					  walk->elapsed);
	walk->lost = walk->lost || first != walk->position + 1 || last < first;
	walk->position = last;

	next = siter_adapt_size(&walk->adapt);
	if (next > Max(size * 1.5, size + 1))
		walk->grew_too_fast = true;
}

static Walk
new_walk(SiterAdaptSettings settings, SiterTime per_row, SiterTime per_batch)
{
	Walk		walk = {.total = INT64CONST(1) << 40,.per_row = per_row,
	.per_batch = per_batch,.smallest = INT_MAX};

	siter_adapt_set(&walk.adapt, &settings);
	return walk;
}

static void
test_finds_size(SiterTime per_row, SiterTime per_batch, int64 target)
{
	SiterAdaptSettings settings = {.chunk_size = 2000,.target_batch_time = target};
	Walk		walk = new_walk(settings, per_row, per_batch);
	int			found = 0;
	bool		kept = true;

	for (int i = 1; i <= 100; i++)
	{
		bool		fits;

		walk_batch(&walk);
		fits = walk.elapsed <= SITER_MS(target) &&
			walk.elapsed >= SITER_MS(target) * 2 / 3;
		if (fits && found == 0)
			found = i;
		kept = kept && (found == 0 || fits);
	}
	ok(found > 0 && found <= 10 && kept,
	   "rows of " INT64_FORMAT " us, batches of " INT64_FORMAT " us more: "
	   INT64_FORMAT " ms found in batch %d, and kept",
	   per_row, per_batch, target, found);
	ok(!walk.grew_too_fast, "grew by half at the most");
	ok(!walk.lost, "no row skipped or repeated");
}

static void
test_adapt(void)
{
	SiterAdaptSettings settings = {.chunk_size = 2000,.target_batch_time = 100};
	Walk		walk;
	int			before;

	test_finds_size(1, 0, 50);
	test_finds_size(1, 0, 1);
	test_finds_size(10000, 0, 50);
	test_finds_size(10000, 1000, 50);
	test_finds_size(100, 0, 250);
	test_finds_size(100, 5000, 250);
	test_finds_size(25, 0, 50);

	/* what a row costs changes on the way */
	walk = new_walk(settings, 10, 0);
	for (int i = 0; i < 50; i++)
		walk_batch(&walk);
	ok(walk.limit == 10000, "10 us a row: %d rows in 100 ms", walk.limit);
	walk.per_row = 1000;
	walk_batch(&walk);
	walk_batch(&walk);
	ok(walk.limit == 100, "100 times as slow: %d rows at once", walk.limit);
	walk.per_row = 10;
	before = walk.limit;
	walk_batch(&walk);
	walk_batch(&walk);
	ok(walk.limit == 150, "fast again: from %d to %d rows", before, walk.limit);

	/* there are bounds */
	walk = new_walk(settings, 0, 0);
	for (int i = 0; i < 50; i++)
		walk_batch(&walk);
	ok(walk.largest == 100000, "rows that cost nothing: %d", walk.largest);
	settings.max_chunk_size = 3000;
	settings.min_chunk_size = 500;
	walk = new_walk(settings, 0, 0);
	for (int i = 0; i < 50; i++)
		walk_batch(&walk);
	ok(walk.largest == 3000, "max_chunk_size: %d", walk.largest);
	walk.per_row = SITER_SECOND;
	for (int i = 0; i < 50; i++)
		walk_batch(&walk);
	ok(walk.smallest == 500, "min_chunk_size: %d", walk.smallest);
	settings.max_chunk_size = 600;
	settings.chunk_size = 550;
	siter_adapt_set(&walk.adapt, &settings);
	ok(siter_adapt_size(&walk.adapt) == 550, "a new chunk_size counts at once");

	/* a row longer than the target, and back from there */
	settings = (SiterAdaptSettings) {.chunk_size = 2000,.target_batch_time = 10};
	walk = new_walk(settings, SITER_SECOND * 60, 0);
	for (int i = 0; i < 5; i++)
		walk_batch(&walk);
	ok(walk.limit == 1, "rows longer than the target come one by one");
	walk.per_row = 1;
	for (int i = 0; i < 30; i++)
		walk_batch(&walk);
	ok(walk.limit == 10000, "and not for ever: %d", walk.limit);
	ok(!walk.grew_too_fast && !walk.lost, "with no leap, and no row lost");

	/* the last batch, and those that were made smaller, say little */
	before = siter_adapt_size(&walk.adapt);
	siter_adapt_batch(&walk.adapt, before, 3, 1);
	siter_adapt_batch(&walk.adapt, 10, 10, 1);
	siter_adapt_batch(&walk.adapt, before, 0, SITER_SECOND);
	ok(siter_adapt_size(&walk.adapt) == before, "small batches do not make it grow");
	siter_adapt_batch(&walk.adapt, 10, 10, SITER_SECOND);
	ok(siter_adapt_size(&walk.adapt) == 1, "but shrink");
}

static void
test_batch_timeout(void)
{
	SiterAdaptSettings settings = {.chunk_size = 2000};
	Walk		walk = new_walk(settings, 1000, 0);

	for (int i = 0; i < 5; i++)
		walk_batch(&walk);
	ok(walk.smallest == 2000 && walk.largest == 2000,
	   "without a target the size stays");

	/* 1 ms a row, and 400 of them fit */
	settings.batch_timeout = 400;
	siter_adapt_set(&walk.adapt, &settings);
	for (int limit = 2000; limit > 400; limit /= 2)
		siter_adapt_timeout(&walk.adapt, limit);
	ok(siter_adapt_size(&walk.adapt) == 250, "batch_timeout halves: %d",
	   siter_adapt_size(&walk.adapt));
	walk.largest = 0;
	for (int i = 0; i < 50; i++)
		walk_batch(&walk);
	ok(walk.largest <= 250 && walk.limit == 200,
	   "and what is left fits into half of it: %d", walk.limit);

	walk.per_row = 1;
	for (int i = 0; i < 50; i++)
		walk_batch(&walk);
	ok(walk.limit == 2000, "up to chunk_size again");
	settings.batch_timeout = 0;
	walk.per_row = 10000;
	siter_adapt_set(&walk.adapt, &settings);
	for (int i = 0; i < 5; i++)
		walk_batch(&walk);
	ok(walk.limit == 2000, "no timeout, no change");
}

/*
 * Rates and waits
 */

typedef struct Pace
{
	SiterThrottle throttle;
	SiterThrottleSettings settings;
	SiterTime	waited[SITER_THROTTLE_NREASONS];
} Pace;

/* As a runner does; answers to checks are always "go on" */
static void
wait_turn(Pace *pace)
{
	for (;;)
	{
		SiterTime	now = siter_clock->now();
		SiterThrottleWait wait = siter_throttle_decide(&pace->throttle,
													   &pace->settings, now);

		if (wait.reason == SITER_THROTTLE_NONE)
			break;
		siter_clock->wait(Min(wait.until - now, SITER_MS(500)), 0);
		pace->waited[wait.reason] += siter_clock->now() - now;
	}
}

static void
do_batch(Pace *pace, int64 rows, int64 wal_bytes, SiterTime elapsed)
{
	wait_turn(pace);
	siter_throttle_begin_batch(&pace->throttle, &pace->settings,
							   siter_clock->now());
	clock_time += elapsed;
	siter_throttle_end_batch(&pace->throttle, siter_clock->now(), rows,
							 wal_bytes);
}

/* Rows that get done in so long */
static int64
rows_within(Pace *pace, SiterTime duration, int64 rows, SiterTime elapsed)
{
	SiterTime	end = clock_time + duration;
	int64		done = 0;

	for (;;)
	{
		wait_turn(pace);
		if (clock_time >= end)
			return done;
		do_batch(pace, rows, rows * 100, elapsed);
		done += rows;
	}
}

static void
test_rates(void)
{
	Pace		pace = {.settings.max_rows_per_second = 1000};
	SiterTime	began = clock_time;
	int64		rows;

	do_batch(&pace, 100, 0, SITER_MS(10));
	ok(clock_time - began == SITER_MS(10), "the first batch does not wait");

	rows = rows_within(&pace, 100 * SITER_SECOND, 100, SITER_MS(10));
	ok(rows >= 99900 && rows <= 100100,
	   "1000 rows/s in batches of 100: " INT64_FORMAT " in 100 s", rows);
	ok(pace.waited[SITER_THROTTLE_ROWS] > 85 * SITER_SECOND,
	   "that was max_rows_per_second's doing");
	oversleep = 3000;
	rows = rows_within(&pace, 100 * SITER_SECOND, 100, SITER_MS(10));
	ok(rows >= 99700 && rows <= 100100,
	   "the same where waits take 3 ms longer: " INT64_FORMAT, rows);
	oversleep = 0;

	/* what was not used is not made up for */
	clock_time += 3600 * SITER_SECOND;
	rows = rows_within(&pace, SITER_SECOND, 100, SITER_MS(10));
	ok(rows <= 1200, "no burst after a pause: " INT64_FORMAT " in a second", rows);
	rows = rows_within(&pace, SITER_SECOND * 10, 100, SITER_MS(200));
	rows = rows_within(&pace, SITER_SECOND, 100, SITER_MS(10));
	ok(rows <= 1200, "nor after slow batches: " INT64_FORMAT, rows);

	/* a large batch is paid for before the next */
	began = clock_time;
	do_batch(&pace, 60000, 0, SITER_MS(10));
	wait_turn(&pace);
	ok(clock_time - began >= 59 * SITER_SECOND, "60000 rows at once: a minute");

	pace.throttle.share = 0.25;
	wait_turn(&pace);
	rows = rows_within(&pace, 100 * SITER_SECOND, 10, SITER_MS(1));
	ok(rows >= 24900 && rows <= 25200, "a quarter is ours: " INT64_FORMAT, rows);
	pace.throttle.share = 0;

	pace.settings.max_wal_rate = 50000;
	rows = rows_within(&pace, 100 * SITER_SECOND, 100, SITER_MS(10));
	ok(rows >= 49900 && rows <= 50300,
	   "100 bytes a row, 50 kB/s: " INT64_FORMAT " rows in 100 s", rows);
	ok(pace.waited[SITER_THROTTLE_WAL] > 90 * SITER_SECOND,
	   "that was max_wal_rate's doing");

	/* attempts that come to nothing write WAL too */
	began = clock_time;
	for (int i = 0; i < 10; i++)
		do_batch(&pace, 0, 50000, SITER_MS(10));
	wait_turn(&pace);
	ok(clock_time - began >= 9 * SITER_SECOND, "failed attempts count");
}

static void
test_changes(void)
{
	Pace		pace = {.settings.batch_pause = 1000};
	SiterThrottleWait wait;
	SiterTime	began;

	began = clock_time;
	for (int i = 0; i < 5; i++)
		do_batch(&pace, 100, 0, SITER_MS(100));
	ok(clock_time - began == SITER_MS(4500), "batch_pause: four pauses in five batches");

	/* the longest reason is shown; a change holds for the wait under way */
	pace.settings.max_rows_per_second = 10;
	wait = siter_throttle_decide(&pace.throttle, &pace.settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_ROWS, "the longest wait is shown");
	began = clock_time;
	clock_time += SITER_SECOND;
	pace.settings.max_rows_per_second = 100;
	wait = siter_throttle_decide(&pace.throttle, &pace.settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_NONE, "ten times the rate, and no more to wait for");
	pace.settings.max_rows_per_second = 0;
	pace.settings.batch_pause = 5000;
	wait = siter_throttle_decide(&pace.throttle, &pace.settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_BATCH_PAUSE &&
	   wait.until == began + SITER_SECOND * 5, "a longer pause");

	pace.throttle.retry_at = clock_time + 10 * SITER_SECOND;
	wait = siter_throttle_decide(&pace.throttle, &pace.settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_RETRY, "an attempt to be made again waits");

	/* the greatest and the smallest that can be asked for */
	pace = (Pace) {.settings.max_rows_per_second = 1,.settings.max_wal_rate = 1};
	do_batch(&pace, PG_INT64_MAX / 2, PG_INT64_MAX / 2, 1);
	wait = siter_throttle_decide(&pace.throttle, &pace.settings, clock_time);
	ok(wait.until > clock_time, "no overflow");
	pace.settings.max_rows_per_second = pace.settings.max_wal_rate = PG_INT64_MAX;
	wait = siter_throttle_decide(&pace.throttle, &pace.settings,
								 clock_time + SITER_SECOND * 2);
	ok(wait.reason == SITER_THROTTLE_NONE, "nor with endless rates");
}

static void
test_checks(void)
{
	Pace		pace = {0};
	SiterThrottle *throttle = &pace.throttle;
	SiterThrottleSettings *settings = &pace.settings;
	SiterThrottleWait wait;

	ok(!siter_throttle_must_check(throttle, settings, clock_time),
	   "nothing to check");
	settings->max_replica_lag = 1000;
	ok(siter_throttle_must_check(throttle, settings, clock_time),
	   "replicas are looked at before the first batch");
	siter_throttle_checked(throttle, clock_time, true, false);
	wait = siter_throttle_decide(throttle, settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_LAG && wait.until == clock_time + SITER_MS(500),
	   "they lag: wait, and look again");
	ok(!siter_throttle_must_check(throttle, settings, clock_time + SITER_MS(499)),
	   "not too often");
	clock_time = wait.until;
	wait = siter_throttle_decide(throttle, settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_NONE &&
	   siter_throttle_must_check(throttle, settings, clock_time),
	   "what was seen then does not hold for ever");
	siter_throttle_checked(throttle, clock_time, true, false);
	settings->max_replica_lag = 0;
	wait = siter_throttle_decide(throttle, settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_NONE, "unset while waiting");

	settings->throttle_query = "SELECT true";
	siter_throttle_checked(throttle, clock_time, false, true);
	wait = siter_throttle_decide(throttle, settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_QUERY, "the query says wait");
	siter_throttle_checked(throttle, clock_time, false, false);
	wait = siter_throttle_decide(throttle, settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_NONE, "and go on");
	siter_throttle_ask_again(throttle, clock_time + SITER_SECOND * 8);
	wait = siter_throttle_decide(throttle, settings, clock_time);
	ok(wait.reason == SITER_THROTTLE_QUERY && wait.until == clock_time + SITER_SECOND * 8,
	   "not to know is to wait");
}

/*
 * Lag of replicas
 */

static SiterTime
lag(const SiterLagHistory *history, XLogRecPtr replayed)
{
	bool		at_least;

	return siter_lag_of(history, clock_time, replayed, &at_least);
}

static void
test_lag(void)
{
	SiterLagHistory history = {0};
	bool		at_least;

	ok(lag(&history, 0) == 0, "no history, no lag");
	siter_lag_note(&history, clock_time, 1000);
	ok(lag(&history, 1000) == 0, "all is replayed");
	(void) siter_lag_of(&history, clock_time, 999, &at_least);
	ok(at_least, "what is older than the history is known to be no younger");

	/* replay stands still, WAL goes on: 100 bytes a second */
	for (int i = 0; i < 100; i++)
	{
		clock_time += SITER_MS(100);
		siter_lag_note(&history, clock_time, 1000 + (i + 1) * 10);
	}
	ok(lag(&history, 1000) == SITER_SECOND * 10, "paused for 10 s: 10 s");
	ok(llabs(lag(&history, 1500) - SITER_SECOND * 5) < SITER_MS(1),
	   "half of it replayed: 5 s");
	ok(lag(&history, 2000) == 0, "caught up: none");

	/* nothing is written: a replica that has it all is not behind */
	for (int i = 0; i < 1000; i++)
	{
		clock_time += SITER_MS(500);
		siter_lag_note(&history, clock_time, 2000);
	}
	ok(lag(&history, 2000) == 0, "idle: none");
	ok(lag(&history, 1999) > SITER_SECOND * 499, "one that lacks the end is");
	clock_time += SITER_MS(100);
	siter_lag_note(&history, clock_time, 2100);
	ok(lag(&history, 2000) <= SITER_MS(100),
	   "what is new after a long rest is new: " INT64_FORMAT " us",
	   lag(&history, 2000));

	siter_lag_forget(&history, 2050);
	ok(lag(&history, 2050) <= SITER_MS(50) && lag(&history, 2100) == 0,
	   "what is replayed may be forgotten");
	siter_lag_note(&history, clock_time, 1);
	ok(lag(&history, 2100) == 0, "WAL does not run backwards");
}

/* Bursts and rests, for hours; the truth is kept to the millisecond */
static void
test_long_lag(void)
{
	enum
	{
		STEPS = 4 * 3600 * 2
	};
	static SiterTime times[STEPS];
	static XLogRecPtr lsns[STEPS];
	SiterLagHistory history = {0};
	XLogRecPtr	lsn = 1000000;
	double		worst = 0;
	bool		busy = true;

	for (int i = 0; i < STEPS; i++)
	{
		clock_time += SITER_MS(500);
		if (random_fraction() < 0.01)
			busy = !busy;
		if (busy)
			lsn += 1 + (XLogRecPtr) (random_fraction() * 1e6);
		times[i] = clock_time;
		lsns[i] = lsn;
		siter_lag_note(&history, clock_time, lsn);
	}
	for (int i = 1; i < STEPS - 1; i += 17)
	{
		/* replayed up to there: what came next was written until times[next] */
		int			next = i;
		double		truth,
					found;

		while (next < STEPS && lsns[next] <= lsns[i])
			next++;
		if (next == STEPS)
			break;
		truth = (double) (clock_time - times[next - 1]);
		found = (double) lag(&history, lsns[i]);
		worst = Max(worst, fabs(found - truth) / (double) (clock_time - times[0]));
	}
	ok(history.nsamples <= SITER_LAG_SAMPLES && worst < 0.05,
	   "4 hours of lag known to %.1f %%", worst * 100);
}

int
main(void)
{
	test_adapt();
	test_batch_timeout();
	test_rates();
	test_changes();
	test_checks();
	test_lag();
	test_long_lag();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
