/*-------------------------------------------------------------------------
 *
 * fuse.h
 *	  Putting a callback's call into the plan of the source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_FUSE_H
#define SITER_FUSE_H

#include "nodes/plannodes.h"

/*
 * Let the plan compute "call" as one more column, the last.  The arguments of
 * the call are columns of the source: Vars whose varattno is the number of
 * the column.  Returns false, with the plan as it was, where that cannot be
 * done or would not be faster.
 */
extern bool siter_fuse_call(PlannedStmt *plan, FuncExpr *call);

#endif							/* SITER_FUSE_H */
