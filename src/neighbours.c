/*-------------------------------------------------------------------------
 *
 * neighbours.c
 *	  Statements that look up an array of keys that are next to each other.
 *
 * For "id = ANY ($1)" PostgreSQL descends the index once for each element
 * (until 17, which sees that the next one is on the same page), and this takes
 * longer than to update a row.  But the batch of a job over a whole table has
 * all of its keys from the first to the last.  So the index is read from the
 * one to the other, and a hash table of the array, which the executor makes
 * anyway for arrays that it cannot look up, says of each row whether it is in
 * the batch: one that came in since is not.
 *
 * It is done to the finished plan, as in fuse.c.  The planner would choose by
 * what it believes to know of the range; where statistics are old that may be
 * to read the whole table for each batch.  The plan is the statement's own,
 * made for any values, and nobody else's: it is changed where it is, and again
 * when the plan cache has made another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "neighbours.h"

typedef struct Search
{
	const SiterNeighbours *neighbours;
	PlannedStmt *stmt;
	int			nscans;
} Search;

/* Where an index scan, or one that makes a bitmap, has its conditions */
typedef struct IndexConditions
{
	Scan	   *scan;			/* the node that has the rows */
	Oid			index;
	List	  **index_form;		/* as of the index's columns */
	List	  **row_form;		/* as of the table's */
	List	  **shown;			/* those too, for EXPLAIN; NULL: the same */
} IndexConditions;

static void look_at(Plan *plan, Search *search);
static bool find_conditions(Plan *plan, IndexConditions *conditions);
static bool change_scan(IndexConditions *conditions, Search *search);
static bool was_changed(List *conditions, const SiterNeighbours *neighbours);
static bool is_on_index(const IndexConditions *conditions,
						const Search *search);
static ScalarArrayOpExpr *array_condition(List *conditions,
										  const SiterNeighbours *neighbours);
static Oid	hash_function_of(ScalarArrayOpExpr *condition);
static List *range_conditions(const SiterNeighbours *neighbours, Var *var);
static Expr *compare(const SiterNeighbours *neighbours, Var *var,
					 StrategyNumber strategy, int param);

SiterNeighbours *
siter_neighbours_make(const SiterKeyColumn *column, int first)
{
	SiterNeighbours *neighbours = palloc_object(SiterNeighbours);

	neighbours->table = column->origin_table;
	neighbours->attno = column->origin_attno;
	neighbours->opfamily = column->opfamily;
	neighbours->type = column->opcintype;
	neighbours->collation = column->collation;
	neighbours->array = column->attno;
	neighbours->first = first;
	return neighbours;
}

int
siter_neighbours_apply(const SiterNeighbours *neighbours, CachedPlan *cplan)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(cplan->context);
	Search		search = {.neighbours = neighbours};
	ListCell   *lc;

	foreach(lc, cplan->stmt_list)
	{
		search.stmt = lfirst_node(PlannedStmt, lc);
		if (search.stmt->commandType != CMD_UTILITY)
			look_at(search.stmt->planTree, &search);
	}
	MemoryContextSwitchTo(oldcontext);
	return search.nscans;
}

static void
look_at(Plan *plan, Search *search)
{
	IndexConditions conditions;

	if (plan == NULL)
		return;
	if (find_conditions(plan, &conditions))
	{
		if (change_scan(&conditions, search))
			search->nscans++;
		return;
	}
	look_at(outerPlan(plan), search);
	look_at(innerPlan(plan), search);
}

static bool
find_conditions(Plan *plan, IndexConditions *conditions)
{
	memset(conditions, 0, sizeof(IndexConditions));
	conditions->scan = (Scan *) plan;
	if (IsA(plan, IndexScan))
	{
		IndexScan  *scan = (IndexScan *) plan;

		conditions->index = scan->indexid;
		conditions->index_form = &scan->indexqual;
		conditions->row_form = &scan->indexqualorig;
		return scan->indexorderby == NIL;
	}
	if (IsA(plan, BitmapHeapScan) && IsA(outerPlan(plan), BitmapIndexScan))
	{
		BitmapIndexScan *scan = (BitmapIndexScan *) outerPlan(plan);

		conditions->index = scan->indexid;
		conditions->index_form = &scan->indexqual;
		conditions->row_form = &((BitmapHeapScan *) plan)->bitmapqualorig;
		conditions->shown = &scan->indexqualorig;
		return true;
	}
	return false;
}

static bool
change_scan(IndexConditions *conditions, Search *search)
{
	const SiterNeighbours *neighbours = search->neighbours;
	Plan	   *plan = &conditions->scan->plan;
	ScalarArrayOpExpr *by_index;
	ScalarArrayOpExpr *by_row;
	Var		   *index_var;
	Var		   *row_var;
	Oid			hash_function;

	if (was_changed(*conditions->index_form, neighbours))
		return true;

	by_index = array_condition(*conditions->index_form, neighbours);
	by_row = array_condition(*conditions->row_form, neighbours);
	if (by_index == NULL || by_row == NULL ||
		!is_on_index(conditions, search))
		return false;
	index_var = linitial_node(Var, by_index->args);
	row_var = linitial_node(Var, by_row->args);
	hash_function = hash_function_of(by_row);
	if (index_var->varattno != 1 || row_var->varattno != neighbours->attno ||
		!OidIsValid(hash_function))
		return false;

	/* before conditions of the statement's own, as it was in the index */
	by_row = copyObject(by_row);
	by_row->hashfuncid = hash_function;
	plan->qual = lcons(by_row, plan->qual);
	*conditions->index_form = range_conditions(neighbours, index_var);
	*conditions->row_form = range_conditions(neighbours, row_var);
	if (conditions->shown != NULL)
		*conditions->shown = *conditions->row_form;
	return true;
}

/* No statement has that parameter by itself */
static bool
was_changed(List *conditions, const SiterNeighbours *neighbours)
{
	OpExpr	   *last = conditions == NIL ? NULL : llast(conditions);
	Param	   *param;

	if (last == NULL || !IsA(last, OpExpr))
		return false;
	param = llast(last->args);
	return IsA(param, Param) && param->paramkind == PARAM_EXTERN &&
		param->paramid == neighbours->first + 1;
}

/* Is it the table, and an index that orders it as the key does? */
static bool
is_on_index(const IndexConditions *conditions, const Search *search)
{
	RangeTblEntry *rte = rt_fetch(conditions->scan->scanrelid,
								  search->stmt->rtable);

	return rte->relid == search->neighbours->table &&
		get_opclass_family(get_index_column_opclass(conditions->index, 1)) ==
		search->neighbours->opfamily;
}

/* "key = ANY ($array)", where that is the only condition; else NULL */
static ScalarArrayOpExpr *
array_condition(List *conditions, const SiterNeighbours *neighbours)
{
	ScalarArrayOpExpr *condition;
	Param	   *param;
	Oid			left;
	Oid			right;

	if (list_length(conditions) != 1 ||
		!IsA(linitial(conditions), ScalarArrayOpExpr))
		return NULL;
	condition = linitial_node(ScalarArrayOpExpr, conditions);
	param = lsecond(condition->args);
	op_input_types(condition->opno, &left, &right);
	if (!condition->useOr || left != neighbours->type ||
		right != neighbours->type ||
		condition->inputcollid != neighbours->collation ||
		get_op_opfamily_strategy(condition->opno, neighbours->opfamily) != BTEqualStrategyNumber ||
		!IsA(linitial(condition->args), Var) || !IsA(param, Param) ||
		param->paramkind != PARAM_EXTERN ||
		param->paramid != neighbours->array)
		return NULL;
	return condition;
}

/*
 * What hashes both of its sides; InvalidOid: nothing.  For rows and ranges the
 * operator names a function that fails where what they are made of has none;
 * the type cache knows.
 */
static Oid
hash_function_of(ScalarArrayOpExpr *condition)
{
	TypeCacheEntry *type = lookup_type_cache(exprType(linitial(condition->args)),
											 TYPECACHE_HASH_PROC);
	Oid			left;
	Oid			right;

	if (!get_op_hash_functions(condition->opno, &left, &right) ||
		left != right || left != type->hash_proc)
		return InvalidOid;
	return left;
}

static List *
range_conditions(const SiterNeighbours *neighbours, Var *var)
{
	return list_make2(compare(neighbours, var, BTGreaterEqualStrategyNumber,
							  neighbours->first),
					  compare(neighbours, var, BTLessEqualStrategyNumber,
							  neighbours->first + 1));
}

static Expr *
compare(const SiterNeighbours *neighbours, Var *var, StrategyNumber strategy,
		int param)
{
	Oid			operator = get_opfamily_member(neighbours->opfamily,
											   neighbours->type,
											   neighbours->type, strategy);
	Param	   *bound = makeNode(Param);
	Expr	   *comparison;

	bound->paramkind = PARAM_EXTERN;
	bound->paramid = param;
	bound->paramtype = neighbours->type;
	bound->paramtypmod = -1;
	bound->paramcollid = neighbours->collation;
	bound->location = -1;
	comparison = make_opclause(operator, BOOLOID, false,
							   (Expr *) copyObject(var), (Expr *) bound,
							   InvalidOid, neighbours->collation);
	set_opfuncid((OpExpr *) comparison);
	return comparison;
}
