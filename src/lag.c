/*-------------------------------------------------------------------------
 *
 * lag.c
 *	  How old the WAL is that a replica has not replayed yet.
 *
 * The server's own replay_lag is the age of what was replayed last: while
 * replay is paused it stays as it was, and looks fine.  So we keep when our
 * WAL had got how far, and find the time at which the first WAL was written
 * that the replica has not replayed.  Both ends are our own clock's: clocks
 * that differ between servers do no harm.
 *
 * Between two samples WAL is taken to have been written evenly; where nothing
 * was written for a while, the beginning and the end of that are two samples.
 * When there are too many, the one goes whose neighbours are nearest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lag.h"

/* Samples nearer to the one before the last than this replace the last */
#define SPACING SITER_MS(50)

static void drop_one(SiterLagHistory *history);

void
siter_lag_note(SiterLagHistory *history, SiterTime now, XLogRecPtr lsn)
{
	SiterLagSample *last = &history->samples[history->nsamples - 1];

	if (history->nsamples > 0 && lsn < last->lsn)
		return;
	if (history->nsamples >= 2 &&
		(last[-1].lsn == lsn || now - last[-1].time < SPACING))
	{
		*last = (SiterLagSample)
		{
			now, lsn
		};
		return;
	}
	if (history->nsamples == SITER_LAG_SAMPLES)
		drop_one(history);
	history->samples[history->nsamples++] = (SiterLagSample)
	{
		now, lsn
	};
}

/* Neither the first nor the last */
static void
drop_one(SiterLagHistory *history)
{
	SiterLagSample *samples = history->samples;
	int			best = 1;

	for (int i = 2; i < history->nsamples - 1; i++)
	{
		if (samples[i + 1].time - samples[i - 1].time <
			samples[best + 1].time - samples[best - 1].time)
			best = i;
	}
	history->nsamples--;
	memmove(&samples[best], &samples[best + 1],
			(history->nsamples - best) * sizeof(SiterLagSample));
}

SiterTime
siter_lag_of(const SiterLagHistory *history, SiterTime now,
			 XLogRecPtr replayed, bool *at_least)
{
	const SiterLagSample *sample = history->samples;
	const SiterLagSample *end = sample + history->nsamples;
	SiterTime	age;

	*at_least = false;
	while (sample < end && sample->lsn <= replayed)
		sample++;
	if (sample == end)
		return 0;

	if (sample == history->samples)
	{
		*at_least = true;
		return now - sample->time;
	}
	age = now - sample[-1].time;
	return age - (SiterTime) ((double) (sample->time - sample[-1].time) *
							  (replayed - sample[-1].lsn) /
							  (sample->lsn - sample[-1].lsn));
}

void
siter_lag_forget(SiterLagHistory *history, XLogRecPtr replayed)
{
	int			done = 0;

	/* the last of those is where the first that is not replayed begins */
	while (done + 1 < history->nsamples &&
		   history->samples[done + 1].lsn <= replayed)
		done++;
	if (done == 0)
		return;
	history->nsamples -= done;
	memmove(history->samples, history->samples + done,
			history->nsamples * sizeof(SiterLagSample));
}
