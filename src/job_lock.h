/*-------------------------------------------------------------------------
 *
 * job_lock.h
 *	  Who may run a job, and who helps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_JOB_LOCK_H
#define SITER_JOB_LOCK_H

/*
 * The runner's lock.  Sessions hold it, not transactions, and it is of the
 * ordinary lock method, out of reach of pg_advisory_unlock_all().  An abort
 * of the whole transaction releases it nevertheless.  Returns false if it is
 * not to be had at once.
 */
extern bool siter_job_lock(int32 id);
extern void siter_job_unlock(int32 id);

/*
 * Helpers of a runner show that they are there, so that no other runner
 * begins before the last of them has gone: a lock in the same manner, which
 * does not keep helpers apart.  siter_job_await_helpers() is for those who
 * hold the runner's lock, and waits.
 */
extern bool siter_job_join(int32 id);
extern void siter_job_leave(int32 id);
extern void siter_job_await_helpers(int32 id);

/* Until the transaction ends, nobody else sets a row of the job aside */
extern void siter_job_lock_skips(int32 id);

/*
 * Keep runners out until the transaction ends, for those who take a job
 * apart; false if somebody runs it, the session itself included.
 */
extern bool siter_job_exclude_runners(int32 id);

/* The process that holds the runner's lock, or 0 */
extern int	siter_job_runner_pid(int32 id);

#endif							/* SITER_JOB_LOCK_H */
