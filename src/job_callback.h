/*-------------------------------------------------------------------------
 *
 * job_callback.h
 *	  The callback of a job, from batch to batch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_JOB_CALLBACK_H
#define SITER_JOB_CALLBACK_H

#include "callback.h"
#include "job.h"
#include "oneliner_sql.h"
#include "prefetch.h"
#include "range_statement.h"
#include "storage/itemptr.h"

/* The callback as it was last made, and what of it was checked */
typedef struct SiterJobCallback
{
	MemoryContext context;		/* of what outlives a batch */
	SiterCallback *callback;
	SiterRangeStatement *range; /* instead, for range statements */
	SiterPrefetch *prefetch;	/* of the rows' related ones, or NULL */
	bool		keep;			/* it may be used again */

	/* what the fingerprint was last compared for */
	int64		revision;		/* of the job */
	uint64		registry_version;
	Oid			function;
	TransactionId function_xmin;
	ItemPointerData function_tid;
	char	   *statement;
	SiterOneLinerCheck check;	/* of a statement of the job's own */
} SiterJobCallback;

/* What the job calls: a statement of its own, or what its callback names */
extern SiterCallbackDef *siter_job_callback_resolve(const SiterJob *job);

/*
 * The columns that the callback is given: the source's, and the related rows
 * where there is a prefetch, which then is prepared as well.
 */
extern TupleDesc siter_job_callback_columns(const SiterJob *job,
											const SiterKeyset *keyset,
											SiterCallbackDef *def,
											SiterPrefetch **prefetch);

/*
 * The callback for this batch, of at most "limit" rows.  A function is looked
 * up, locked and checked anew each time, as dropping it or taking the right to
 * call it must take effect; it is allocated in CurrentMemoryContext.  The
 * plans of statements take care of that by themselves, and a native callback
 * has begun its walk and goes on with it: they stay in their own context, and
 * so does the prefetch.
 *
 * Errors: those of siter_callback_resolve() and siter_callback_prepare();
 * 55000 when it is not what it was when the job was created.
 */
extern void siter_job_callback_make(SiterJobCallback *cb, const SiterJob *job,
									const SiterKeyset *keyset, int limit);

/* Forget one that is kept, calling its end or else its abort */
extern void siter_job_callback_drop(SiterJobCallback *cb, bool end);

#endif							/* SITER_JOB_CALLBACK_H */
