/*-------------------------------------------------------------------------
 *
 * job_progress.h
 *	  How far the run of a job is: what it writes down, and tells its client.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_JOB_PROGRESS_H
#define SITER_JOB_PROGRESS_H

#include "runner.h"

/* Rows per second of late, with what this attempt has done */
extern double siter_job_progress_rate(SiterRunner *runner);

/* Between transactions: a line for the client, where one is due */
extern void siter_job_progress_tell(SiterRunner *runner);

#endif							/* SITER_JOB_PROGRESS_H */
