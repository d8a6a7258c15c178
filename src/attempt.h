/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  One attempt at a batch: what happens within one transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_ATTEMPT_H
#define SITER_ATTEMPT_H

#include "job_callback.h"
#include "ledger.h"
#include "pacer.h"
#include "position.h"
#include "progress_line.h"
#include "team.h"

/* What an attempt was doing when an error came */
typedef enum SiterPhase
{
	SITER_PHASE_SETUP,			/* job, settings, callback, plan */
	SITER_PHASE_READ,			/* the source */
	SITER_PHASE_KEY,			/* whether the keys are what they should be */
	SITER_PHASE_CALL,			/* the callback */
	SITER_PHASE_SAVE,			/* position and counters */
	SITER_PHASE_COMMIT
} SiterPhase;

/* One attempt; reset before each */
typedef struct SiterAttempt
{
	SiterPhase	phase;
	int			nrows;			/* read for the callback */
	int			row;			/* called for it, from 0; -1: not row by row */
	SiterKey   *first;			/* keys of the first and the last of them */
	SiterKey   *last;
	StreamIterBatch *batch;		/* to find the failed row's key in */

	/* what is so once it has committed */
	SiterKey   *position;
	Datum		position_text;
	bool		done;			/* the slice */
	SiterCounters count;
} SiterAttempt;

/* The runner's memory of failed attempts, until the bad row is behind it */
typedef struct SiterTrouble
{
	int			limit;			/* rows to try; 0: as many as usual */
	int			suspects;		/* one of the next so many is bad; 0: none */
	bool		by_row;			/* the callback tells which row fails */
	int			retries;		/* made since the position last moved */
	int			attempts;		/* at a row that stands alone */
} SiterTrouble;

/* What came of looking for a slice to work on */
typedef enum SiterClaim
{
	SITER_CLAIM_MADE,
	SITER_CLAIM_LATER,			/* others have all that are left */
	SITER_CLAIM_NEVER			/* all are done */
} SiterClaim;

/* Who works on a slice of a job, and where that stands */
typedef struct SiterRunner
{
	MemoryContext context;		/* lives as long as the run */
	MemoryContext attempt_context;	/* of a batch and its errors; reset before
									 * the next one */

	SiterJob   *job;			/* as of the last attempt */
	SiterRun	run;
	SiterTeam  *team;
	int			member;			/* of the team */
	SiterBudget budget;			/* this process's share of it */
	SiterKeyset *keyset;
	char	   *source_fingerprint; /* as of the last look at the source */
	uint64		source_changes; /* of tables, heard of up to then */
	SiterJobCallback callback;

	/* the slice */
	SiterClaim	claim;
	int32		slice;
	bool		too_small;		/* to be shared */
	SiterKey   *upper;			/* NULL: open */
	SiterKey   *position;		/* NULL: nothing done yet */
	Datum		position_text;	/* the same as text[]; 0 */
	SiterKey   *window;			/* if not NULL, go no further for now */
	bool		done;

	int			limit;			/* rows that the next attempt may take */
	int64		retries;		/* to be counted with the next commit */
	uint64		wal_counted;	/* of the backend's WAL bytes */
	SiterCounters total;		/* of this run */
	SiterMeter	meter;			/* of these rows; all zeroes: not started */
	SiterMeter	team_meter;		/* of all processes' rows, for the leader */
	int64		retried;		/* rows tried again that had been set aside */
	bool		stop_requested; /* the job is to be paused or cancelled */

	SiterAttempt attempt;
	SiterTrouble trouble;
	SiterSlice	slice_text;		/* as it came from the table */
	SiterPacer	pacer;

	/* where the last attempt failed, as text[]; 0 */
	Datum		failed_first;
	Datum		failed_last;

	/* a row that stands alone and failed */
	SiterSkippedRow bad_row;
	ErrorData  *bad_error;		/* also the one to be located */
	bool		bad_row_unreadable; /* no row_data then */
	bool		too_many_skips; /* it was not set aside */
} SiterRunner;

/*
 * These run within one subtransaction and leave the transaction ready to
 * commit; nothing in *runner but the job, the callback and the attempt
 * changes.
 */

/* Read the job again: all the others do that too */
extern void siter_attempt_refresh(SiterRunner *runner);

/*
 * For other work within a subtransaction: the job as of now, its settings
 * and a snapshot, until siter_attempt_leave().
 */
extern int	siter_attempt_enter(SiterRunner *runner);
extern void siter_attempt_leave(SiterRunner *runner, int nestlevel);

/* 55000: somebody else has moved the slice on */
extern void siter_attempt_refuse_moved(const SiterRunner *runner);

/* Find and compare what the job depends on; for the start of a run */
extern void siter_attempt_validate(SiterRunner *runner);

/* The next batch; sets runner->limit to the rows that it may have */
extern void siter_attempt_batch(SiterRunner *runner);

/* Set runner->bad_row aside, for runner->bad_error */
extern void siter_attempt_skip(SiterRunner *runner);

/* Try runner->bad_row once more, and forget it */
extern void siter_attempt_retry(SiterRunner *runner);

/* That went wrong again, with runner->bad_error */
extern void siter_attempt_skip_again(SiterRunner *runner);

/*
 * After an error: where it happened.  Sets failed_first and failed_last, and
 * adds a line to the error's context.
 */
extern void siter_attempt_locate_failure(SiterRunner *runner);

/* The first key that is left becomes the window; NULL if there is none */
extern void siter_attempt_find_window(SiterRunner *runner);

#endif							/* SITER_ATTEMPT_H */
