/*-------------------------------------------------------------------------
 *
 * team.h
 *	  What the processes that work on a job have to agree on.
 *
 * A team is one piece of memory without pointers: the leader's own while it
 * works alone, shared when it has helpers.  So there is one way to work,
 * whatever the number of processes.  Nothing in it outlives the run; what
 * must is in the tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_TEAM_H
#define SITER_TEAM_H

#include "datatype/timestamp.h"
#include "ledger.h"
#include "storage/spin.h"
#include "throttle.h"

#define SITER_MAX_WORKERS 1024

/* The leader's number; helpers are 1, 2, ... */
#define SITER_LEADER 0

/* Space for an error on its way to the leader; longer texts are cut */
#define SITER_TEAM_ERROR_SIZE (32 * 1024)

typedef enum SiterOutcome
{
	SITER_OUTCOME_NONE,			/* still at it */
	SITER_OUTCOME_FINISHED,
	SITER_OUTCOME_STOPPED,		/* the budget is used up, or a cancel came */
	SITER_OUTCOME_PAUSED,
	SITER_OUTCOME_CANCELLED,
	SITER_OUTCOME_FAILED
} SiterOutcome;

/* How much may be done */
typedef struct SiterBudget
{
	TimestampTz deadline;		/* 0: none */
	int64		rows;			/* still to be had; -1: no limit */
	int			workers;		/* processes in all */
} SiterBudget;

typedef struct SiterMember
{
	int32		slice;			/* works on it; 0: on none */
	int64		granted;		/* rows of the budget that it may use up */
	bool		asks;			/* has nothing to do */
} SiterMember;

typedef struct SiterTeam
{
	/* these do not change */
	SiterRun	run;
	TimestampTz deadline;		/* 0: none */
	int			nmembers;

	slock_t		mutex;			/* for what follows */
	int64		rows_done;		/* by all, in this run */
	SiterTime	waited[SITER_THROTTLE_NREASONS];	/* by all */
	int			njoined;		/* helpers that have come so far as to work */
	int64		rows_left;		/* not granted to anybody; -1: no limit */
	int32		last_slice;		/* the highest number given to one */
	int64		retries;		/* made by helpers after their last commit */
	SiterOutcome outcome;		/* if not NONE, stop after the batch */
	bool		leader_left;
	bool		has_error;		/* the first one stays */
	char		error[SITER_TEAM_ERROR_SIZE];
	SiterMember members[FLEXIBLE_ARRAY_MEMBER];
} SiterTeam;

extern Size siter_team_size(int nmembers);

/* In CurrentMemoryContext: a team that has no helpers yet */
extern SiterTeam *siter_team_create(const SiterBudget *budget);

/* Into memory of siter_team_size(); nobody else may use either just now */
extern void siter_team_copy(SiterTeam *to, const SiterTeam *from);

/*
 * Rows of the budget.  Ask for some before a batch, tell how many were used
 * after it.  *granted is -1 without a limit.  False if none are left just
 * now; there may be later, unless siter_team_outcome() says STOPPED.
 */
extern bool siter_team_take_rows(SiterTeam *team, int member, int64 wanted,
								 int64 *granted);
extern void siter_team_used_rows(SiterTeam *team, int member, int64 used);

/* Rows that have been committed */
extern void siter_team_add_rows(SiterTeam *team, int64 rows);
extern int64 siter_team_rows_done(SiterTeam *team);

/* Time that a member had to wait, for streamiter.runs */
extern void siter_team_add_wait(SiterTeam *team, SiterThrottleReason reason,
								SiterTime waited);

/* How many work on a slice; at least 1 */
extern int	siter_team_nworking(SiterTeam *team);

/* Numbers of the slices that others work on; returns how many */
extern int	siter_team_taken(SiterTeam *team, int member, int32 *slices);

/* False if somebody has it */
extern bool siter_team_take_slice(SiterTeam *team, int member, int32 slice);
extern void siter_team_release_slice(SiterTeam *team, int member);
extern int32 siter_team_new_slice(SiterTeam *team);

/* Ask for a part of what others have; is there somebody who asks? */
extern void siter_team_ask(SiterTeam *team, int member);
extern bool siter_team_answer(SiterTeam *team);

/* NONE: go on */
extern SiterOutcome siter_team_outcome(SiterTeam *team, int member);

/* Have all others stop too; the first who says so decides why */
extern void siter_team_stop(SiterTeam *team, SiterOutcome outcome);

/* "first" and "last" are text[], or 0.  The first error counts */
extern void siter_team_fail(SiterTeam *team, const ErrorData *error,
							Datum first, Datum last);

/* The error of a helper, allocated in CurrentMemoryContext; or NULL */
extern ErrorData *siter_team_error(SiterTeam *team, Datum *first,
								   Datum *last);

/* A helper begins */
extern void siter_team_join(SiterTeam *team);

/* A member has gone, however that happened */
extern void siter_team_leave(SiterTeam *team, int member, int64 retries);

#endif							/* SITER_TEAM_H */
