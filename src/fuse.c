/*-------------------------------------------------------------------------
 *
 * fuse.c
 *	  Putting a callback's call into the plan of the source.
 *
 * A plan whose top node computes columns anyway can compute one more at less
 * cost than we can call a function from outside, and the planner's inlining of
 * SQL functions comes with it: this is the executor's own SELECT f(x).
 *
 * It is done to the finished plan, so nothing that the planner decided is
 * decided again: every column of the source is still computed, in its place,
 * whatever it is called; a node that sorts or limits stays above or below the
 * call as it was, for only the top node is touched, and only if it is one that
 * computes.  Arguments must be columns that the top node takes unchanged from
 * below: repeating an expression would evaluate it twice, and a constant
 * could be folded into an IMMUTABLE function, which then would be called once
 * or never.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "parser/parsetree.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "failure.h"
#include "fuse.h"

static bool computes_columns(PlannedStmt *stmt, Plan *plan);
static Expr *plan_quietly(Expr *expr);
static Node *replace_columns(Node *node, List *targetlist);

bool
siter_fuse_call(PlannedStmt *stmt, FuncExpr *call)
{
	Plan	   *plan = stmt->planTree;
	ListCell   *lc;
	Expr	   *fused;
	TargetEntry *entry;

	if (!computes_columns(stmt, plan))
		return false;

	foreach(lc, plan->targetlist)
	{
		if (((TargetEntry *) lfirst(lc))->resjunk)
			return false;
	}
	fused = (Expr *) replace_columns((Node *) call, plan->targetlist);
	if (fused != NULL)
		fused = plan_quietly(fused);
	if (fused == NULL)
		return false;

	entry = makeTargetEntry(fused, list_length(plan->targetlist) + 1,
							pstrdup("callback"), false);
	plan->targetlist = lappend(plan->targetlist, entry);
	return true;
}

/*
 * Let the planner inline the call.  It may find an error in the function's
 * body (1/0) that belongs to the first row, and there may be none: then leave
 * the call to where it would have been made otherwise.
 */
static Expr *
plan_quietly(Expr *expr)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	Expr	   *volatile planned = NULL;
	ErrorData  *volatile failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		planned = expression_planner(expr);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(oldcontext);
		failure = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;

	if (failure != NULL &&
		siter_failure_classify(failure->sqlerrcode) != SITER_FAILURE_SKIP)
		ReThrowError(failure);
	return failure == NULL ? planned : NULL;
}

/* A scan that hands on the rows of its table as they are computes nothing */
static bool
hands_on_whole_rows(PlannedStmt *stmt, Scan *scan)
{
	RangeTblEntry *rte = rt_fetch(scan->scanrelid, stmt->rtable);
	HeapTuple	tuple;
	int			natts;
	ListCell   *lc;

	if (rte->rtekind != RTE_RELATION)
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(rte->relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", rte->relid);
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);

	if (list_length(scan->plan.targetlist) != natts)
		return false;
	foreach(lc, scan->plan.targetlist)
	{
		TargetEntry *entry = (TargetEntry *) lfirst(lc);

		if (!IsA(entry->expr, Var) ||
			((Var *) entry->expr)->varattno != entry->resno)
			return false;
	}
	return true;
}

/* Does this node compute its columns, so that one more costs little? */
static bool
computes_columns(PlannedStmt *stmt, Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_BitmapHeapScan:
			return !hands_on_whole_rows(stmt, (Scan *) plan);
		case T_ForeignScan:
		case T_CustomScan:
			return false;		/* may have ideas of their own */
		default:
			return is_projection_capable_plan(plan);
	}
}

typedef struct ReplaceContext
{
	List	   *targetlist;
	bool		failed;
} ReplaceContext;

static Node *
replace_columns_mutator(Node *node, ReplaceContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		int			column = ((Var *) node)->varattno;
		TargetEntry *entry = list_nth_node(TargetEntry, context->targetlist,
										   column - 1);

		if (!IsA(entry->expr, Var))
			context->failed = true;
		return copyObject((Node *) entry->expr);
	}
	return expression_tree_mutator(node, replace_columns_mutator, context);
}

/* The call with its columns as the plan's top node has them, or NULL */
static Node *
replace_columns(Node *node, List *targetlist)
{
	ReplaceContext context = {targetlist, false};

	node = replace_columns_mutator(node, &context);
	return context.failed ? NULL : node;
}
