/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Statements as callbacks: prepared once, executed once per batch.
 *
 * Parameters are resolved by a parser hook rather than from a list of types:
 * so we learn which of them the statement uses, and only those have to be
 * made for each batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/resowner.h"

#include "compat.h"
#include "planprint.h"
#include "statement.h"

static void report_parse_position(void *arg);
static bool is_select_into(const SelectStmt *statement);
static void set_up_parser(ParseState *pstate, void *arg);
static Node *resolve_param(ParseState *pstate, ParamRef *pref);
static void release_plan(void *arg);
static CachedPlan *generic_plan(SiterStatement *statement);
static void choose_plan(SiterStatement *statement);

void
siter_statement_check(const char *name, const char *sql)
{
	List	   *statements = siter_statement_parse(sql, RAW_PARSE_DEFAULT);
	Node	   *statement;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 statements == NIL ?
				 errmsg("statement of callback \"%s\" is empty", name) :
				 errmsg("callback \"%s\" has more than one statement", name),
				 errhint("A callback is one statement; use WITH, or a function, to do more.")));

	statement = linitial_node(RawStmt, statements)->stmt;
	switch (nodeTag(statement))
	{
		case T_SelectStmt:
			if (!is_select_into((SelectStmt *) statement))
				return;
			break;
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			return;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("callback \"%s\" cannot be a %s statement", name,
					IsA(statement, SelectStmt) ? "SELECT INTO" :
					CreateCommandName(statement)),
			 errhint("Use SELECT, INSERT, UPDATE, DELETE or MERGE, or register a function.")));
}

List *
siter_statement_parse(const char *sql, RawParseMode mode)
{
	ErrorContextCallback context;
	List	   *statements;

	context.callback = report_parse_position;
	context.arg = unconstify(char *, sql);
	context.previous = error_context_stack;
	error_context_stack = &context;
	statements = raw_parser(sql, mode);
	error_context_stack = context.previous;
	return statements;
}

static void
report_parse_position(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
}

/* The grammar has INTO at the first SELECT of a set operation */
static bool
is_select_into(const SelectStmt *statement)
{
	while (statement->op != SETOP_NONE)
		statement = statement->larg;
	return statement->intoClause != NULL;
}

static bool
param_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, ParamRef))
		return true;
	return raw_expression_tree_walker(node, param_walker, context);
}

bool
siter_statement_has_params(const char *sql)
{
	List	   *statements = siter_statement_parse(sql, RAW_PARSE_DEFAULT);

	return param_walker(linitial_node(RawStmt, statements)->stmt, NULL);
}

SiterStatement *
siter_statement_plan(const char *name, const char *sql, int nparams,
					 const SiterStatementParam *params,
					 const char *params_hint)
{
	MemoryContext context = CurrentMemoryContext;
	SiterStatement *statement = palloc0_object(SiterStatement);
	SPIPrepareOptions options = {0};

	statement->name = name;
	statement->nparams = nparams;
	statement->params = params;
	statement->params_hint = params_hint;
	statement->used = palloc0_array(bool, Max(nparams, 1));

	siter_statement_check(name, sql);

	/*
	 * Whether a plan is made for each batch or for all is left to the plan
	 * cache.  Planning for an array of 2000 elements costs next to nothing
	 * beside looking them up, and = ANY($1) without an index is hashed only
	 * in a plan that knows the array: forced to the generic plan, such a
	 * statement took more than a hundred times as long.  Where batches are
	 * small and an index is there, the cache soon settles for the generic
	 * plan, which then saves half of the time.
	 */
	options.parserSetup = set_up_parser;
	options.parserSetupArg = statement;
	statement->plan = SPI_prepare_extended(sql, &options);
	if (statement->plan == NULL)
		elog(ERROR, "SPI_prepare_extended failed for callback \"%s\": %s",
			 name, SPI_result_code_string(SPI_result));
	MemoryContextSwitchTo(context); /* SPI returns in its own */

	/*
	 * Only a saved plan is told when an object in it changes, and what runs
	 * in a batch may well change one.  Saved plans belong to the session, so
	 * have it go with our memory, whichever way that goes.
	 */
	SPI_keepplan(statement->plan);
	statement->release.func = release_plan;
	statement->release.arg = statement;
	MemoryContextRegisterResetCallback(context, &statement->release);
	return statement;
}

static void
release_plan(void *arg)
{
	SPI_freeplan(((SiterStatement *) arg)->plan);
}

static void
set_up_parser(ParseState *pstate, void *arg)
{
	((SiterStatement *) arg)->nuses = 0;
	pstate->p_ref_hook_state = arg;
	pstate->p_paramref_hook = resolve_param;
}

static Node *
resolve_param(ParseState *pstate, ParamRef *pref)
{
	SiterStatement *statement = pstate->p_ref_hook_state;
	const SiterStatementParam *declared;
	Param	   *param;

	if (pref->number <= 0 || pref->number > statement->nparams)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", pref->number),
				 errhint("%s", statement->params_hint),
				 parser_errposition(pstate, pref->location)));

	declared = &statement->params[pref->number - 1];
	if (declared->unusable != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("parameter $%d cannot be used", pref->number),
				 errdetail("%s", declared->unusable),
				 errhint("Cast the column in the source, or use a batch function of one array of rows."),
				 parser_errposition(pstate, pref->location)));
	statement->used[pref->number - 1] = true;
	statement->nuses++;

	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = pref->number;
	param->paramtype = declared->type;
	param->paramtypmod = -1;
	param->paramcollid = declared->collation;
	param->location = pref->location;
	return (Node *) param;
}

void
siter_statement_set_neighbours(SiterStatement *statement,
							   const SiterKeyColumn *column)
{
	if (statement->used[column->attno - 1])
		statement->neighbours = siter_neighbours_make(column,
													  statement->nparams + 1);
}

/* Planned for any values; to be released */
static CachedPlan *
generic_plan(SiterStatement *statement)
{
	CachedPlan *cplan;

	/* without values it can be no other */
	cplan = GetCachedPlan(linitial(SPI_plan_get_plan_sources(statement->plan)),
						  NULL, CurrentResourceOwner, NULL);
	if (statement->neighbours != NULL)
		statement->by_range = siter_neighbours_apply(statement->neighbours,
													 cplan) == statement->nuses;
	return cplan;
}

/*
 * A range is read by the generic plan, which is the one that was changed for
 * that.  The plan cache may have made another since the last batch.  What else
 * a statement does with arrays can take far longer in a plan that knows none
 * of them, see above, so then the choice is left to the plan cache.
 */
static void
choose_plan(SiterStatement *statement)
{
	CachedPlanSource *source;

	ReleaseCachedPlan(generic_plan(statement), CurrentResourceOwner);
	source = linitial(SPI_plan_get_plan_sources(statement->plan));
	source->cursor_options &= ~CURSOR_OPT_GENERIC_PLAN;
	if (statement->by_range)
		source->cursor_options |= CURSOR_OPT_GENERIC_PLAN;
}

uint64
siter_statement_execute(SiterStatement *statement,
						const Datum *values, const bool *nulls)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	int			nbounds = statement->neighbours != NULL ? 2 : 0;
	ParamListInfo params = makeParamList(statement->nparams + nbounds);
	SPIExecuteOptions options = {0};
	int			rc;

	for (int i = 0; i < params->numParams; i++)
	{
		ParamExternData *param = &params->params[i];
		bool		bound = i >= statement->nparams;

		param->isnull = !bound &&
			(!statement->used[i] || (nulls != NULL && nulls[i]));
		param->value = param->isnull ? (Datum) 0 : values[i];
		param->ptype = bound ? statement->neighbours->type :
			statement->params[i].type;
		param->pflags = PARAM_FLAG_CONST;
	}
	if (nbounds > 0)
		choose_plan(statement);

	options.params = params;
	options.dest = None_Receiver;
	rc = SPI_execute_plan_extended(statement->plan, &options);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan_extended failed for callback \"%s\": %s",
			 statement->name, SPI_result_code_string(rc));
	MemoryContextSwitchTo(oldcontext);	/* SPI returns in its own */
	return SPI_processed;
}

char *
siter_statement_explain(SiterStatement *statement)
{
	int			nparams = statement->nparams;
	Oid		   *types = palloc_array(Oid, nparams + 2);
	StringInfoData buf;
	CachedPlan *cplan;
	ListCell   *lc;

	for (int i = 0; i < nparams; i++)
		types[i] = statement->params[i].type;
	if (statement->neighbours != NULL)
	{
		types[nparams++] = statement->neighbours->type;
		types[nparams++] = statement->neighbours->type;
	}

	cplan = generic_plan(statement);
	initStringInfo(&buf);
	foreach(lc, cplan->stmt_list)
	{
		PlannedStmt *stmt = lfirst_node(PlannedStmt, lc);

		if (stmt->commandType == CMD_UTILITY)
			continue;
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? "\n" : "",
						 siter_planprint(stmt, nparams, types));
	}
	ReleaseCachedPlan(cplan, CurrentResourceOwner);
	return buf.data;
}
