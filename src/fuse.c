/*-------------------------------------------------------------------------
 *
 * fuse.c
 *	  Putting a callback's call into the plan of the source.
 *
 * A plan whose top node computes columns can compute a call at less cost than
 * we can call a function from outside, and the planner's inlining of SQL
 * functions comes with it: this is the executor's own SELECT f(x).
 *
 * It is done to the finished plan, so nothing that the planner decided is
 * decided again: every column that is more than a copy of one below is still
 * computed, and before the call; a node that sorts or limits stays above or
 * below the call as it was, for only the top node is touched, and only if it is
 * one that computes.  Arguments must be columns that the top node takes
 * unchanged from below: repeating an expression would evaluate it twice, and a
 * constant could be folded into an IMMUTABLE function, which then would be
 * called once or never.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "utils/resowner.h"

#include "failure.h"
#include "fuse.h"

static bool computes_columns(Plan *plan);
static Expr *plan_quietly(Expr *expr);
static List *add_column(List *targetlist, Expr *expr);
static Node *replace_columns(Node *node, List *targetlist);

bool
siter_fuse_call(PlannedStmt *stmt, FuncExpr *call, bool keep_args)
{
	Plan	   *plan = stmt->planTree;
	FuncExpr   *replaced;
	Expr	   *fused;
	List	   *targetlist = NIL;
	ListCell   *lc;

	if (!computes_columns(plan))
		return false;
	replaced = (FuncExpr *) replace_columns((Node *) call, plan->targetlist);
	if (replaced == NULL)
		return false;
	fused = plan_quietly((Expr *) replaced);
	if (fused == NULL)
		return false;

	if (keep_args)
	{
		foreach(lc, replaced->args)
			targetlist = add_column(targetlist, lfirst(lc));
	}
	foreach(lc, plan->targetlist)
	{
		Expr	   *column = ((TargetEntry *) lfirst(lc))->expr;

		if (!IsA(column, Var))
			targetlist = add_column(targetlist, column);
	}
	plan->targetlist = add_column(targetlist, fused);
	return true;
}

static List *
add_column(List *targetlist, Expr *expr)
{
	TargetEntry *entry = makeTargetEntry(expr, list_length(targetlist) + 1,
										 NULL, false);

	return lappend(targetlist, entry);
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

/* Does this node compute its columns, and all of them for the walk? */
static bool
computes_columns(Plan *plan)
{
	ListCell   *lc;

	/* these may have ideas of their own */
	if (IsA(plan, ForeignScan) || IsA(plan, CustomScan))
		return false;

	foreach(lc, plan->targetlist)
	{
		if (((TargetEntry *) lfirst(lc))->resjunk)
			return false;
	}
	return is_projection_capable_plan(plan);
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
