/*-------------------------------------------------------------------------
 *
 * pass.h
 *	  The beginning and the end of a pass over a job's source.
 *
 * Both run within one subtransaction, as attempts at batches do, and leave the
 * transaction ready to commit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PASS_H
#define SITER_PASS_H

#include "attempt.h"

/* The largest key, where the new pass is going to end */
extern void siter_pass_begin(SiterRunner *runner);

/* NULL keys that came in meanwhile; after the last batch */
extern void siter_pass_end(SiterRunner *runner);

#endif							/* SITER_PASS_H */
