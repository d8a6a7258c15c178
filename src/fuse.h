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
 * Let the plan compute "call" as its last column.  The arguments of the call
 * are columns of the source: Vars whose varattno is the number of the column.
 *
 * Columns of the source that are copies of others below can be seen by nobody
 * any more, and are left out; with "keep_args" the plan's first columns are the
 * arguments.  Returns false, with the plan as it was, where the call cannot be
 * made there.
 */
extern bool siter_fuse_call(PlannedStmt *plan, FuncExpr *call, bool keep_args);

#endif							/* SITER_FUSE_H */
