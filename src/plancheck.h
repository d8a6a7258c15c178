/*-------------------------------------------------------------------------
 *
 * plancheck.h
 *	  Making sure that a batch is read through the key's index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PLANCHECK_H
#define SITER_PLANCHECK_H

#include "keysql.h"
#include "nodes/params.h"
#include "nodes/plannodes.h"

/*
 * Between the two, the planner is led to the key's index: on a table of a
 * hundred rows, or one never analyzed, it would rather sort.  Only planning
 * belongs in between, not execution, lest functions of the source cache
 * plans made so.  An error in between needs no clean-up: the
 * (sub)transaction's abort restores the settings.
 */
extern int	siter_plancheck_enter(const SiterKeyset *keyset);
extern void siter_plancheck_leave(int nestlevel);

/*
 * Plan the batch query of a keyset (both bounds, ordered, limited) and
 * refuse it, with the plan and the index to create, if each batch would sort
 * or scan everything: 55000, unless the keyset allows it.  Decides
 * keyset->order_inside.
 */
extern void siter_plancheck_keyset(SiterKeyset *keyset);

/*
 * The same for the plan that is about to be executed, in case the index was
 * dropped between two batches.  Cheap.
 */
extern void siter_plancheck_stmt(const SiterKeyset *keyset,
								 PlannedStmt *plan);

/*
 * Plan a statement on the source without executing it.  "params" may be NULL:
 * then the plan is for any values.
 */
extern PlannedStmt *siter_plancheck_plan(const SiterKeyset *keyset,
										 const SiterKeySelect *select,
										 ParamListInfo params);

/* What EXPLAIN (COSTS OFF) would say of the plan that a batch gets */
extern char *siter_plancheck_explain(const SiterKeyset *keyset,
									 const SiterKeySelect *select,
									 ParamListInfo params);

#endif							/* SITER_PLANCHECK_H */
