/*-------------------------------------------------------------------------
 *
 * keyshape.c
 *	  The shape of a job's source: what it reads, and whether it can resume.
 *
 * A job reads its source in parts, each under a snapshot of its own and maybe
 * on another day.  That is the same as reading it once only if the parts are
 * cut from one set of rows that the key alone divides: hence no LIMIT or
 * ORDER BY, which are about the whole, and nothing volatile that decides
 * which rows there are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"

#include "keyshape.h"

static void check_clauses(Query *query);
static void check_volatile(Query *query);
static void check_tables(Query *query);
static Oid	the_one_table(Query *query, SiterKeyShape *shape);
static bool collect_tables(Node *node, SiterKeyShape *shape);
static void add_table(SiterKeyShape *shape, RangeTblEntry *rte);

SiterKeyShape *
siter_keyshape_analyze(Query *query)
{
	SiterKeyShape *shape = palloc0_object(SiterKeyShape);

	check_clauses(query);
	check_tables(query);

	shape->only_foreign = true;
	(void) collect_tables((Node *) query, shape);
	if (shape->tables == NIL)
		shape->only_foreign = false;

	check_volatile(query);
	shape->every_row = true;
	shape->table = the_one_table(query, shape);
	return shape;
}

static void
refuse_clause(const char *clause, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the source of a job cannot have %s", clause),
			 errdetail("A job reads its source in parts, each for itself, in the order of the key."),
			 errhint("%s", hint)));
}

static void
check_clauses(Query *query)
{
	if (query->rowMarks != NIL)
		refuse_clause("FOR UPDATE or FOR SHARE",
					  "Use lock_rows => 'update'.");
	if (query->limitCount != NULL)
		refuse_clause("LIMIT",
					  "Use max_rows of streamiter.run() to stop early.");
	if (query->limitOffset != NULL)
		refuse_clause("OFFSET",
					  "Leave rows out with WHERE and a condition on the key.");
	if (query->sortClause != NIL && query->distinctClause == NIL)
		refuse_clause("ORDER BY",
					  "State the order as the job's key: key => '{...}'.");
	if (query->hasTargetSRFs)
		refuse_clause("set-returning functions in its SELECT list",
					  "Call them in FROM, and include in the key what tells their rows apart.");
}

/*
 * What only shows a value may be volatile: it is computed for the rows of one
 * attempt.  What decides which rows there are may not.
 */
static void
check_volatile(Query *query)
{
	Query		decisive;
	Oid			function;

	memcpy(&decisive, query, sizeof(Query));
	if (query->distinctClause == NIL && query->groupClause == NIL &&
		query->setOperations == NULL)
		decisive.targetList = NIL;

	function = siter_keyshape_volatile((Node *) &decisive);
	if (OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the source of a job cannot depend on the volatile function %s",
						format_procedure(function)),
				 errdetail("When a batch is read again, the function could choose other rows."),
				 errhint("Call it in the callback, or declare it STABLE if it is.")));
}

static bool
is_volatile(Oid function, void *context)
{
	if (func_volatile(function) != PROVOLATILE_VOLATILE)
		return false;
	*(Oid *) context = function;
	return true;
}

static bool
volatile_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_volatile, context))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, volatile_walker, context, 0);
	return expression_tree_walker(node, volatile_walker, context);
}

Oid
siter_keyshape_volatile(Node *node)
{
	Oid			function = InvalidOid;

	(void) volatile_walker(node, &function);
	return function;
}

/*
 * Catalogs are not for walking: nobody may lock or change their rows, and
 * some of their keys are not enforced.  A view that reads some may be walked.
 */
static void
check_tables(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->tablesample != NULL)
			refuse_clause("TABLESAMPLE",
						  "Leave rows out with WHERE and a condition that stays the same.");
		if (rte->rtekind == RTE_RELATION && rte->inFromCl &&
			IsCatalogRelationOid(rte->relid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot walk system catalog \"%s\" with a job",
							get_rel_name(rte->relid)),
					 errhint("Use streamiter.for_each().")));
		if (rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_TOASTVALUE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot walk TOAST table \"%s\" with a job",
							get_rel_name(rte->relid))));
	}
}

/*
 * The table, if each row of the source is one row of one table, maybe through
 * simple views: then what the catalog says of the table holds for the source.
 */
static Oid
the_one_table(Query *query, SiterKeyShape *shape)
{
	RangeTblEntry *rte;
	Node	   *from;

	if (query->groupClause != NIL || query->groupingSets != NIL ||
		query->havingQual != NULL || query->distinctClause != NIL ||
		query->setOperations != NULL || query->hasAggs ||
		query->hasWindowFuncs || query->hasTargetSRFs ||
		query->limitCount != NULL || query->limitOffset != NULL ||
		list_length(query->jointree->fromlist) != 1)
		return InvalidOid;

	from = (Node *) linitial(query->jointree->fromlist);
	if (!IsA(from, RangeTblRef))
		return InvalidOid;

	rte = rt_fetch(((RangeTblRef *) from)->rtindex, query->rtable);
	if (query->jointree->quals != NULL || rte->securityQuals != NIL)
		shape->every_row = false;
	if (rte->rtekind == RTE_SUBQUERY)
		return the_one_table(rte->subquery, shape);
	if (rte->rtekind != RTE_RELATION || rte->tablesample != NULL)
		return InvalidOid;

	/* What holds for a parent does not hold for its children */
	if (rte->relkind != RELKIND_PARTITIONED_TABLE && rte->inh &&
		list_length(find_inheritance_children(rte->relid, NoLock)) > 0)
		return InvalidOid;

	shape->relkind = rte->relkind;
	return rte->relid;
}

static bool
collect_tables(Node *node, SiterKeyShape *shape)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION)
			add_table(shape, rte);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_tables, shape,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, collect_tables, shape);
}

static void
add_table(SiterKeyShape *shape, RangeTblEntry *rte)
{
	List	   *members;
	ListCell   *lc;

	/* A rewritten view leaves an entry of its own behind */
	if (rte->relkind != RELKIND_RELATION &&
		rte->relkind != RELKIND_PARTITIONED_TABLE &&
		rte->relkind != RELKIND_MATVIEW &&
		rte->relkind != RELKIND_FOREIGN_TABLE)
		return;

	if (rte->inh)
		members = find_all_inheritors(rte->relid, AccessShareLock, NULL);
	else
		members = list_make1_oid(rte->relid);

	foreach(lc, members)
	{
		Oid			table = lfirst_oid(lc);
		char		persistence = get_rel_persistence(table);

		if (persistence == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot walk temporary table \"%s\" with a job",
							get_rel_name(table)),
					 errdetail("It would be gone before the job can be resumed in another session."),
					 errhint("Use streamiter.for_each().")));
		if (persistence == RELPERSISTENCE_UNLOGGED && shape->unlogged == NULL)
			shape->unlogged =
				quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
										   get_rel_name(table));
		if (get_rel_relkind(table) == RELKIND_FOREIGN_TABLE)
			shape->any_foreign = true;
		else
			shape->only_foreign = false;
	}
	shape->tables = list_concat_unique_oid(shape->tables, members);
}

bool
siter_keyshape_origin(Query *query, Expr *expr, Oid *table, AttrNumber *attno)
{
	Var		   *var = (Var *) expr;
	RangeTblEntry *rte;
	TargetEntry *tle;

	if (!IsA(var, Var) || var->varlevelsup != 0 || var->varattno <= 0 ||
		query->setOperations != NULL)
		return false;

	rte = rt_fetch(var->varno, query->rtable);
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			*table = rte->relid;
			*attno = var->varattno;
			return true;
		case RTE_SUBQUERY:
			tle = get_tle_by_resno(rte->subquery->targetList, var->varattno);
			return tle != NULL &&
				siter_keyshape_origin(rte->subquery, tle->expr, table, attno);
		case RTE_JOIN:
			return siter_keyshape_origin(query,
										 list_nth(rte->joinaliasvars,
												  var->varattno - 1),
										 table, attno);
		default:
			return false;
	}
}
