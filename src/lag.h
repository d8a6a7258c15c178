/*-------------------------------------------------------------------------
 *
 * lag.h
 *	  How old the WAL is that a replica has not replayed yet.
 *
 * Arithmetic only: it has never seen a replica.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_LAG_H
#define SITER_LAG_H

#include "access/xlogdefs.h"
#include "clock.h"

#define SITER_LAG_SAMPLES 64

/* At "time", all WAL up to "lsn" was there, and no more */
typedef struct SiterLagSample
{
	SiterTime	time;
	XLogRecPtr	lsn;
} SiterLagSample;

/* All zeroes: empty.  Samples ascend in both */
typedef struct SiterLagHistory
{
	int			nsamples;
	SiterLagSample samples[SITER_LAG_SAMPLES];
} SiterLagHistory;

extern void siter_lag_note(SiterLagHistory *history, SiterTime now,
						   XLogRecPtr lsn);

/*
 * How long ago the oldest WAL was written that is not replayed where
 * "replayed" is.  0 when all of it is.  *at_least is set when that is older
 * than the history, which then says no more than that.
 */
extern SiterTime siter_lag_of(const SiterLagHistory *history, SiterTime now,
							  XLogRecPtr replayed, bool *at_least);

/* What is replayed everywhere is not asked for again */
extern void siter_lag_forget(SiterLagHistory *history, XLogRecPtr replayed);

#endif							/* SITER_LAG_H */
