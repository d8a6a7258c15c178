/*-------------------------------------------------------------------------
 *
 * plancheck.c
 *	  Making sure that a batch is read through the key's index.
 *
 * A batch must cost what its rows cost, wherever in the source it is.  So the
 * batch query's plan must walk down, through nodes that keep the order and
 * stop when they have enough, to index scans that begin where the position
 * is.  Anything on that way that needs all its input first, or that compares
 * rows with the position one by one, makes each batch cost as much as the
 * whole source.  Beside that way, on the inner side of joins and in
 * subqueries, it is enough that nothing big is read from end to end.
 *
 * What is checked is a plan for any values, as then the parameters are still
 * there to be found: in an index condition they are welcome, in a filter not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "storage/bufmgr.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "keyindex.h"
#include "plancheck.h"
#include "planprint.h"

/* A table of up to so many pages may be read whole in each batch */
#define TINY_PAGES 64

/* The LIMIT of the plan that is looked at when a job is created */
#define USUAL_BATCH 1000

typedef struct PlanCheck
{
	PlannedStmt *stmt;
	char	   *culprit;		/* as EXPLAIN names the node; NULL: none yet */
	const char *reason;
} PlanCheck;

static const SiterKeySelect usual_batch = {
	.has_lower = true,
	.has_upper = true,
	.order = SITER_ORDER_ASC,
	.limit = USUAL_BATCH
};

static PlannedStmt *plan_usual_batch(const SiterKeyset *keyset);
static bool find_culprit(PlannedStmt *plan, PlanCheck *check);
static void refuse(const SiterKeyset *keyset, PlanCheck *check);
static void check_spine(Plan *plan, PlanCheck *check);
static void check_beside(Plan *plan, PlanCheck *check);
static void check_scan(Plan *plan, PlanCheck *check);
static void check_filter(Plan *plan, PlanCheck *check);
static List *children(Plan *plan);
static void blame(PlanCheck *check, char *culprit, const char *reason);
static char *scan_name(const char *kind, Plan *plan, PlanCheck *check);
static char *explain(const SiterKeyset *keyset, PlannedStmt *stmt);
static char *index_hint(const SiterKeyset *keyset);

int
siter_plancheck_enter(const SiterKeyset *keyset)
{
	/* jit: the price of a disabled node would set it off */
	static const char *const settings[][2] = {
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_sort", "off"},
		{"enable_incremental_sort", "off"},
		{"jit", "off"}
	};
	int			nestlevel = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1],
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);

	/* A plain table has but one good plan; for others, values may matter */
	(void) set_config_option("plan_cache_mode",
							 OidIsValid(keyset->table) &&
							 keyset->table_relkind == RELKIND_RELATION ?
							 "force_generic_plan" : "force_custom_plan",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

void
siter_plancheck_leave(int nestlevel)
{
	AtEOXact_GUC(true, nestlevel);
}

PlannedStmt *
siter_plancheck_plan(const SiterKeyset *keyset, const SiterKeySelect *select,
					 ParamListInfo params)
{
	char	   *sql = siter_keysql_select(keyset, select);
	Oid		   *types = palloc_array(Oid, 2 * keyset->ncolumns);
	int			ntypes = siter_keysql_param_types(keyset, select, types);
	RawStmt    *raw = linitial_node(RawStmt,
									raw_parser(sql, RAW_PARSE_DEFAULT));
	List	   *queries;

	queries = pg_analyze_and_rewrite_fixedparams(raw, sql, types, ntypes, NULL);
	return pg_plan_query(linitial_node(Query, queries), sql,
						 CURSOR_OPT_NO_SCROLL, params);
}

static PlannedStmt *
plan_usual_batch(const SiterKeyset *keyset)
{
	int			nestlevel = siter_plancheck_enter(keyset);
	PlannedStmt *stmt = siter_plancheck_plan(keyset, &usual_batch, NULL);

	siter_plancheck_leave(nestlevel);
	return stmt;
}

char *
siter_plancheck_explain(const SiterKeyset *keyset,
						const SiterKeySelect *select, ParamListInfo params)
{
	int			nestlevel = siter_plancheck_enter(keyset);
	PlannedStmt *stmt = siter_plancheck_plan(keyset, select, params);

	siter_plancheck_leave(nestlevel);
	return explain(keyset, stmt);
}

/*
 * The planner does not let the order we ask for into a subquery that it
 * cannot dissolve (one with WITH, say, or with a volatile column); so if the
 * plan is no good, try the order as part of the source.
 */
void
siter_plancheck_keyset(SiterKeyset *keyset)
{
	PlanCheck	outside = {0};
	PlanCheck	inside = {0};

	keyset->order_inside = false;
	if (!find_culprit(plan_usual_batch(keyset), &outside))
		return;

	keyset->order_inside = true;
	if (!find_culprit(plan_usual_batch(keyset), &inside))
		return;

	keyset->order_inside = false;
	if (!keyset->allow_slow_plan)
		refuse(keyset, &outside);
}

void
siter_plancheck_stmt(const SiterKeyset *keyset, PlannedStmt *plan)
{
	PlanCheck	check = {0};

	if (!keyset->allow_slow_plan && find_culprit(plan, &check))
		refuse(keyset, &check);
}

static bool
find_culprit(PlannedStmt *plan, PlanCheck *check)
{
	ListCell   *lc;

	check->stmt = plan;
	check_spine(plan->planTree, check);
	foreach(lc, plan->subplans)
		check_beside((Plan *) lfirst(lc), check);
	return check->culprit != NULL;
}

static void
refuse(const SiterKeyset *keyset, PlanCheck *check)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("each batch would read more of the source than its rows"),
			 errdetail("\"%s\" %s. The plan of a batch:\n%s",
					   check->culprit, check->reason,
					   explain(keyset, check->stmt)),
			 errhint("%s", index_hint(keyset))));
}

/* Nodes that have no place on the way from the top to the rows */
static const struct
{
	NodeTag		tag;
	const char *name;
	const char *reason;
}			blocking_nodes[] = {
	{T_Sort, "Sort", "needs all rows before the first"},
	{T_IncrementalSort, "Incremental Sort", "sorts by part of the key"},
	{T_SetOp, "SetOp", "needs all rows before the first"},
	{T_RecursiveUnion, "Recursive Union", "begins anew in each batch"},
	{T_FunctionScan, "Function Scan", "begins anew in each batch"},
	{T_TableFuncScan, "Table Function Scan", "begins anew in each batch"},
	{T_CteScan, "CTE Scan", "begins anew in each batch"},
};

/*
 * The way from the top to the rows: everything here keeps the key's order and
 * stops with the LIMIT, or is blamed.
 */
static void
check_spine(Plan *plan, PlanCheck *check)
{
	ListCell   *lc;

	if (plan == NULL || check->culprit != NULL)
		return;

	/* A sort of nothing: the planner saw that the range is empty */
	if (IsA(plan, Sort) && IsA(outerPlan(plan), Result) &&
		children(outerPlan(plan)) == NIL)
		return;

	for (int i = 0; i < lengthof(blocking_nodes); i++)
		if (nodeTag(plan) == blocking_nodes[i].tag)
			blame(check, pstrdup(blocking_nodes[i].name),
				  blocking_nodes[i].reason);
	if (IsA(plan, Agg) && ((Agg *) plan)->aggstrategy != AGG_SORTED)
		blame(check, "Aggregate", "needs all rows before the first");
	check_scan(plan, check);
	check_filter(plan, check);

	if (IsA(plan, NestLoop) || IsA(plan, HashJoin))
	{
		check_spine(outerPlan(plan), check);
		check_beside(innerPlan(plan), check);
		return;
	}
	foreach(lc, children(plan))
		check_spine((Plan *) lfirst(lc), check);
}

/* Beside it: only reading something big from end to end is blamed */
static void
check_beside(Plan *plan, PlanCheck *check)
{
	ListCell   *lc;

	if (plan == NULL || check->culprit != NULL)
		return;

	check_scan(plan, check);
	foreach(lc, children(plan))
		check_beside((Plan *) lfirst(lc), check);
}

static List *
children(Plan *plan)
{
	List	   *list = NIL;

	switch (nodeTag(plan))
	{
		case T_Append:
			return ((Append *) plan)->appendplans;
		case T_MergeAppend:
			return ((MergeAppend *) plan)->mergeplans;
		case T_SubqueryScan:
			return list_make1(((SubqueryScan *) plan)->subplan);
		default:
			break;
	}
	if (outerPlan(plan) != NULL)
		list = lappend(list, outerPlan(plan));
	if (innerPlan(plan) != NULL)
		list = lappend(list, innerPlan(plan));
	return list;
}

static bool
is_tiny(Plan *plan, PlanCheck *check)
{
	Scan	   *scan = (Scan *) plan;
	RangeTblEntry *rte = rt_fetch(scan->scanrelid, check->stmt->rtable);
	Relation	rel = relation_open(rte->relid, AccessShareLock);
	BlockNumber pages = RelationGetNumberOfBlocks(rel);

	relation_close(rel, NoLock);
	return pages <= TINY_PAGES;
}

static void
check_scan(Plan *plan, PlanCheck *check)
{
	char	   *name = NULL;

	switch (nodeTag(plan))
	{
		case T_SeqScan:
			name = "Seq Scan";
			break;
		case T_SampleScan:
			name = "Sample Scan";
			break;
		case T_IndexScan:
			if (((IndexScan *) plan)->indexqual == NIL)
				name = "Index Scan";
			break;
		case T_IndexOnlyScan:
			if (((IndexOnlyScan *) plan)->indexqual == NIL)
				name = "Index Only Scan";
			break;
		default:
			break;
	}
	if (name != NULL && !is_tiny(plan, check))
		blame(check, scan_name(name, plan, check), "reads everything");
}

/* Is there one of our parameters in the expressions? */
static bool
has_parameter(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXTERN;
	return expression_tree_walker(node, has_parameter, context);
}

/*
 * A condition on the key that is only a filter lets the node below read all
 * rows from the first on.
 */
static void
check_filter(Plan *plan, PlanCheck *check)
{
	const char *kind;

	if (check->culprit != NULL || !has_parameter((Node *) plan->qual, NULL))
		return;

	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_ValuesScan:
			return;				/* tiny, as check_scan() has seen */
		case T_IndexScan:
			kind = scan_name("Index Scan", plan, check);
			break;
		case T_IndexOnlyScan:
			kind = scan_name("Index Only Scan", plan, check);
			break;
		case T_ForeignScan:
			kind = scan_name("Foreign Scan", plan, check);
			break;
		case T_SubqueryScan:
			kind = scan_name("Subquery Scan", plan, check);
			break;
		default:
			kind = "Filter";
			break;
	}
	blame(check, pstrdup(kind), "compares row by row with the position");
}

static void
blame(PlanCheck *check, char *culprit, const char *reason)
{
	if (check->culprit != NULL)
		return;
	check->culprit = culprit;
	check->reason = reason;
}

static char *
scan_name(const char *kind, Plan *plan, PlanCheck *check)
{
	Scan	   *scan = (Scan *) plan;
	RangeTblEntry *rte;

	if (scan->scanrelid == 0)
		return pstrdup(kind);
	rte = rt_fetch(scan->scanrelid, check->stmt->rtable);
	return psprintf("%s on %s", kind,
					OidIsValid(rte->relid) ?
					quote_identifier(get_rel_name(rte->relid)) :
					rte->eref->aliasname);
}

static char *
explain(const SiterKeyset *keyset, PlannedStmt *stmt)
{
	Oid		   *types = palloc_array(Oid, 2 * keyset->ncolumns);
	int			nparams = siter_keysql_param_types(keyset, &usual_batch, types);

	return siter_planprint(stmt, nparams, types);
}

static char *
index_hint(const SiterKeyset *keyset)
{
	Oid			table = keyset->columns[0].origin_table;
	ListCell   *lc;

	for (int i = 0; i < keyset->ncolumns; i++)
		if (keyset->columns[i].origin_table != table)
			table = InvalidOid;

	if (!OidIsValid(table) || get_rel_relkind(table) == RELKIND_FOREIGN_TABLE)
		return "State a key that is the column of one table and has an index there, or use allow_slow_plan => true.";

	/* Children number their columns as they like */
	foreach(lc, find_all_inheritors(table, AccessShareLock, NULL))
	{
		Oid			member = lfirst_oid(lc);
		List	   *attnos = NIL;

		if (get_rel_relkind(member) == RELKIND_FOREIGN_TABLE)
			continue;
		for (int i = 0; i < keyset->ncolumns; i++)
		{
			char	   *name = get_attname(table,
										   keyset->columns[i].origin_attno,
										   false);

			attnos = lappend_int(attnos, get_attnum(member, name));
		}
		if (!siter_keyindex_orders(member, attnos))
			return psprintf("%s, or use allow_slow_plan => true.",
							siter_keyindex_command(member, attnos, false));
	}
	return "There is an index on the key, but this source cannot be read through it; one that was created just now may have to wait for older transactions. Walk the table itself, or use allow_slow_plan => true.";
}
