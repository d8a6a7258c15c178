/*-------------------------------------------------------------------------
 *
 * crew.h
 *	  Background workers: starting them, and seeing that they end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_CREW_H
#define SITER_CREW_H

#include "job.h"
#include "storage/dsm.h"
#include "team.h"

/* What a background worker is told; it has to fit into bgw_extra */
typedef struct SiterWorkerArgs
{
	Oid			database;
	Oid			owner;			/* of the job: whom it works as */
	int32		job_id;
	SiterBudget budget;			/* of a run to be led */
	int32		member;			/* of the leader's team; 0: leads a run */
	dsm_handle	segment;		/* that holds the team */
} SiterWorkerArgs;

/*
 * Refuse before any work where background workers could not do it, or may not
 * be started: 28000 when the owner cannot log in and the server insists on
 * it, 42501 when another role's rights are at work.
 */
extern void siter_crew_check(const SiterJob *job);

/* Start one worker for a run of its own; 53000 when there is no slot for it */
extern void siter_crew_start_leader(const SiterJob *job,
									const SiterBudget *budget);

/*
 * Start helpers for all members of a team but the leader, as many as there
 * are slots for, with a NOTICE when there are fewer; they get the session's
 * settings.  Returns the team where they see it, too, or the old one when
 * there are none.
 */
extern SiterTeam *siter_crew_launch(const SiterJob *job, SiterTeam *team);

/* The leader's settings, for siter_session_restore() */
extern const char *siter_crew_settings(SiterTeam *team);

/* Wait for them to end, a second at the most; true if all have */
extern bool siter_crew_await(void);

/* Interrupt them */
extern void siter_crew_hurry(void);

/*
 * Give their team's memory back, or, after an error, end them first.  Returns
 * how many helpers there were, those that never began included.
 */
extern int	siter_crew_dismiss(void);

#endif							/* SITER_CREW_H */
