/*-------------------------------------------------------------------------
 *
 * planprint.h
 *	  Plans, as EXPLAIN shows them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PLANPRINT_H
#define SITER_PLANPRINT_H

#include "nodes/plannodes.h"

/*
 * EXPLAIN (COSTS OFF) of a plan for any values of its parameters, which
 * EXPLAIN itself would need values for.  Needs an active snapshot.
 */
extern char *siter_planprint(PlannedStmt *stmt, int nparams,
							 const Oid *types);

#endif							/* SITER_PLANPRINT_H */
