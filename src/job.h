/*-------------------------------------------------------------------------
 *
 * job.h
 *	  Jobs: definition, settings and state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_JOB_H
#define SITER_JOB_H

#include "nodes/pg_list.h"
#include "options.h"
#include "pace_settings.h"
#include "postgres_ext.h"

#define SITER_MAX_BATCH_PAUSE_MS	(24 * 60 * 60 * 1000)
#define SITER_MAX_RETRIES			1000

#define SITER_DEFAULT_MAX_SKIPS		10
#define SITER_DEFAULT_MAX_RETRIES	5

typedef struct SiterJob
{
	MemoryContext context;		/* holds all that is here */
	int32		id;
	Oid			owner;
	char	   *name;
	char	   *source;
	char	   *callback;
	char	   *statement;		/* a range statement of its own, or NULL */
	List	   *key;			/* of char *, column names */
	SiterPrefetchText prefetch; /* of related rows */

	/* settings */
	int			chunk_size;		/* 0: the setting streamiter.chunk_size */
	bool		skip_errors;	/* on_error => 'skip' */
	int64		max_skips;
	bool		repeat;			/* recurrence => 'repeat' */
	bool		lock_rows;		/* lock_rows => 'update' */
	bool		wait_for_writers;
	bool		allow_slow_plan;
	int64		batch_pause;	/* in ms */
	int64		lock_timeout;	/* in ms; 0: as the session has it */
	int			max_retries;
	SiterPaceSettings pace;

	/* of the session that created it */
	char	   *search_path;
	char	   *timezone;
	char	   *datestyle;
	char	   *intervalstyle;

	char	   *source_fingerprint;
	char	   *callback_fingerprint;

	/* what its owner asked for */
	bool		pause_requested;
	bool		cancel_requested;
	int64		last_forgotten_run;
	int64		revision;		/* higher after each change of the above */
} SiterJob;

typedef enum SiterJobState
{
	SITER_JOB_READY,
	SITER_JOB_RUNNING,
	SITER_JOB_FINISHED,
	SITER_JOB_FINISHED_WITH_SKIPS,
	SITER_JOB_FAILED,
	SITER_JOB_CRASHED,
	SITER_JOB_STOPPED,
	SITER_JOB_PAUSED,
	SITER_JOB_CANCELLED
} SiterJobState;

extern const char *const siter_job_state_names[];

/*
 * All functions need SPI connected.  A job is allocated in a context of its
 * own below CurrentMemoryContext.
 */

/* A job of the current user's: 42704 if there is none, 42501 if another's */
extern SiterJob *siter_job_get(const char *name);

/* The same, but NULL if there is none */
extern SiterJob *siter_job_find(const char *name);

/* As siter_job_get(), locked against other changes until the transaction ends */
extern SiterJob *siter_job_get_for_change(const char *name);

/* The same; for a superuser also one whose owner has been dropped */
extern SiterJob *siter_job_get_for_drop(const char *name);

/* NULL if it has been dropped */
extern SiterJob *siter_job_by_id(int32 id);

/*
 * Read the job again if it has changed.  The old one is then freed and
 * *changed set.  Raises 42704 when the job is gone.
 */
extern SiterJob *siter_job_refresh(SiterJob *job, bool *changed);

/* Free one, and all that is in it */
extern void siter_job_free(SiterJob *job);

/* Only what users may set is looked at: 22023 */
extern void siter_job_check_settings(const SiterJob *job);

/* Insert a job and set its id; false if the name is taken */
extern bool siter_job_insert(SiterJob *job);

/* Write settings, fingerprints and requests back; adds 1 to the revision */
extern void siter_job_update(SiterJob *job);

extern void siter_job_delete(const SiterJob *job);

/* Does the job, as it is now, stem from the current transaction? */
extern bool siter_job_is_uncommitted(int32 id);

/*
 * The state as of now: from what was asked for, the last run's outcome, and
 * whether somebody holds the lock.
 */
extern SiterJobState siter_job_state(int32 id);

/* The same, but as if nobody ran it: for those who hold the lock */
extern SiterJobState siter_job_resting_state(int32 id);

/*
 * Apply search_path, TimeZone, DateStyle, IntervalStyle and lock_timeout
 * until AtEOXact_GUC(true, the returned level).
 */
extern int	siter_job_enter_settings(const SiterJob *job);

#endif							/* SITER_JOB_H */
