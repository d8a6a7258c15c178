/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Sources: a query and its arguments, checked before a row is read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "source.h"

static CachedPlanSource *the_one_statement(SPIPlanPtr plan);
static void check_reads_only(CachedPlanSource *plansource);
static void check_uses_args(CachedPlanSource *plansource,
							const SiterArgs *args);
static const char *args_hint(const SiterArgs *args);
static void hint_at_args(void *arg);
static bool row_locks_walker(Node *node, void *context);
static void refuse_row_locks(void);

SiterArgs
siter_args_from_record(HeapTupleHeader record)
{
	SiterArgs	args = {0};
	TupleDesc	tupdesc;
	HeapTupleData tuple;
	bool	   *isnull;

	tupdesc = lookup_rowtype_tupdesc_domain(HeapTupleHeaderGetTypeId(record),
											HeapTupleHeaderGetTypMod(record),
											false);
	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;

	args.nargs = tupdesc->natts;
	args.types = palloc_array(Oid, args.nargs);
	args.values = palloc_array(Datum, args.nargs);
	args.nulls = palloc_array(char, args.nargs);
	isnull = palloc_array(bool, args.nargs);
	heap_deform_tuple(&tuple, tupdesc, args.values, isnull);

	for (int i = 0; i < args.nargs; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		args.types[i] = att->attisdropped ? INT4OID : att->atttypid;
		args.nulls[i] = isnull[i] ? 'n' : ' ';

		/* a bare literal: ROW('x') leaves its type open, and we say text */
		if (args.types[i] == UNKNOWNOID)
		{
			args.types[i] = TEXTOID;
			if (!isnull[i])
				args.values[i] = CStringGetTextDatum(DatumGetCString(args.values[i]));
		}
	}
	ReleaseTupleDesc(tupdesc);
	return args;
}

SiterSource *
siter_source_prepare(const char *query, const SiterArgs *args,
					 int cursor_options)
{
	MemoryContext context = CurrentMemoryContext;
	SiterSource *source = palloc0_object(SiterSource);
	CachedPlanSource *plansource;
	ErrorContextCallback errcallback;

	source->query = pstrdup(query);
	if (args != NULL)
		source->args = *args;

	errcallback.callback = hint_at_args;
	errcallback.arg = args == NULL ? NULL : &source->args;
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;
	source->plan = SPI_prepare_cursor(query, source->args.nargs,
									  source->args.types,
									  cursor_options | CURSOR_OPT_NO_SCROLL);
	if (source->plan == NULL)
		elog(ERROR, "could not prepare source: %s",
			 SPI_result_code_string(SPI_result));
	error_context_stack = errcallback.previous;
	MemoryContextSwitchTo(context); /* SPI returns in its own */

	plansource = the_one_statement(source->plan);
	check_reads_only(plansource);
	check_uses_args(plansource, &source->args);

	source->tupdesc = CreateTupleDescCopy(plansource->resultDesc);
	return source;
}

static CachedPlanSource *
the_one_statement(SPIPlanPtr plan)
{
	List	   *plansources = SPI_plan_get_plan_sources(plan);

	if (plansources == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("the query to walk is empty"),
				 errhint("Give one SELECT, VALUES or TABLE.")));
	if (list_length(plansources) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("cannot walk more than one statement"),
				 errhint("Give one SELECT, VALUES or TABLE.")));
	return (CachedPlanSource *) linitial(plansources);
}

/*
 * A walk reads.  Statements that write would write all their rows before the
 * first batch, and row locks taken by the walking query itself make it pass
 * over rows that the callback has touched.
 */
static void
check_reads_only(CachedPlanSource *plansource)
{
	Query	   *query = NULL;

	if (list_length(plansource->query_list) == 1)
		query = linitial_node(Query, plansource->query_list);

	/*
	 * The tag is that of the statement as it was written; a rule may have
	 * made a SELECT of something else.  SELECT INTO has the tag of a SELECT.
	 */
	if (query == NULL || plansource->commandTag != CMDTAG_SELECT ||
		query->commandType != CMD_SELECT || query->utilityStmt != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
				 errmsg("cannot walk %s",
						plansource->commandTag == CMDTAG_SELECT ? "SELECT INTO" :
						GetCommandTagName(plansource->commandTag)),
				 errhint("Give one SELECT, VALUES or TABLE; what is to be done with each row goes into the callback.")));
	if (query->hasModifyingCTE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
				 errmsg("cannot walk a query with data-modifying statements in WITH"),
				 errhint("What is to be done with each row goes into the callback.")));
	if (row_locks_walker((Node *) query, NULL))
		refuse_row_locks();
}

/* Are rows locked, at whatever level of the query? */
static bool
row_locks_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return ((Query *) node)->rowMarks != NIL ||
			query_tree_walker((Query *) node, row_locks_walker, context, 0);
	return expression_tree_walker(node, row_locks_walker, context);
}

static void
refuse_row_locks(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
			 errmsg("cannot walk a query with FOR UPDATE or FOR SHARE"),
			 errdetail("A row that the callback has changed would be passed over without a word."),
			 errhint("Lock rows in the callback.")));
}

void
siter_source_check_plan(const PlannedStmt *plan)
{
	ListCell   *lc;

	foreach(lc, plan->rowMarks)
	{
		if (((PlanRowMark *) lfirst(lc))->strength != LCS_NONE)
			refuse_row_locks();
	}
}

/* Finds the highest $n of a query */
static bool
highest_param_walker(Node *node, int *highest)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		*highest = Max(*highest, ((Param *) node)->paramid);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, highest_param_walker,
								 highest, 0);
	return expression_tree_walker(node, highest_param_walker, highest);
}

/*
 * Too few arguments are found by parse analysis, which cannot know where the
 * parameters come from, if from anywhere.
 */
static void
hint_at_args(void *arg)
{
	if (arg != NULL && geterrcode() == ERRCODE_UNDEFINED_PARAMETER)
		errhint("%s", args_hint((const SiterArgs *) arg));
}

static const char *
args_hint(const SiterArgs *args)
{
	return args->hint != NULL ? args->hint :
		_("The fields of args are $1, $2 and so on of the query.");
}

/* Too many are a mistake as well */
static void
check_uses_args(CachedPlanSource *plansource, const SiterArgs *args)
{
	int			highest = 0;

	(void) highest_param_walker((Node *) linitial(plansource->query_list),
								&highest);
	if (highest < args->nargs)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg_plural("%d argument given, but the query uses %d",
							   "%d arguments given, but the query uses %d",
							   args->nargs, args->nargs, highest),
				 errhint("%s", args_hint(args))));
}
