/*-------------------------------------------------------------------------
 *
 * job_define.h
 *	  Defining jobs: what has to fit, and what is recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_JOB_DEFINE_H
#define SITER_JOB_DEFINE_H

#include "job.h"

/*
 * Check and insert a job of the current user's, of which name, source, key,
 * callback or statement, and settings are given; the rest is filled in.  SPI
 * must be connected.  Where the name is taken, which is known only after those
 * that are about to take it have committed: 42710, or with "if_not_exists"
 * false is returned and nothing done.
 */
extern bool siter_job_define(SiterJob *job, bool if_not_exists);

/*
 * Match callback and settings with the source again, after a change; with
 * "acknowledge" take the source as it is now.  Does not write.
 */
extern void siter_job_redefine(SiterJob *job, bool acknowledge);

/* Settings as create_job() has them by default, in a job of all zeroes */
extern void siter_job_default_settings(SiterJob *job);

/* Is throttle_query, if there is one, what it should be? */
extern void siter_job_check_throttle_query(const SiterJob *job);

#endif							/* SITER_JOB_DEFINE_H */
