/*-------------------------------------------------------------------------
 *
 * row_function.c
 *	  Row functions: an SQL-callable function, called once per row.
 *
 * The call is built as the parser would build it for SELECT f(a, b): implicit
 * casts, default arguments, polymorphic types and collations come out the
 * same.  Then it is made in one of two ways.
 *
 * Directly, through fmgr, with the arguments taken from the row's slot.
 *
 * Or inlined: a function in language SQL whose body is one expression costs
 * more than ten times as much through fmgr as its expression does, so we let
 * the planner inline it, as it does in a query, and evaluate what comes out.
 * The source's own plan is not touched by that: every column is computed,
 * ORDER BY and LIMIT stay as written, whatever the function ignores.
 *
 * In a third way the call is not made here at all: see fuse.h.
 *
 * Inlining waits for the first call, for planning may find errors in the body
 * (1/0), and a source without rows must not raise them.  It is left out where
 * an argument is not a column's own value: a constant default could be folded
 * into the body, and an expression might be evaluated twice or never.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_func.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "callback.h"
#include "columns.h"
#include "compat.h"
#include "fuse.h"

/* Where an argument comes from: a column as it is, or an expression */
typedef struct RowArg
{
	int			attno;			/* 0: expr */
	ExprState  *expr;
} RowArg;

typedef struct RowFunction
{
	SiterCallback pub;
	FuncExpr   *call;			/* as the parser would have built it */
	FmgrInfo	flinfo;
	FunctionCallInfo fcinfo;
	ExprContext *econtext;
	int			last_attno;		/* columns up to this one are needed */
	int			nargs;
	RowArg	   *args;
	bool		may_inline;		/* not tried yet */
	ExprState  *inlined;		/* for row_function_eval() */
} RowFunction;

static bool row_function_call(SiterCallback *callback, TupleTableSlot *slot);
static FuncExpr *build_call(const SiterCallbackDef *def, TupleDesc tupdesc);
static void prepare_args(RowFunction *function);
static bool row_function_eval(SiterCallback *callback, TupleTableSlot *slot);
static bool row_function_fuse(SiterCallback *callback, PlannedStmt *plan);
static bool try_inline(RowFunction *function);

SiterCallback *
siter_row_function_prepare(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	RowFunction *function = palloc0_object(RowFunction);

	function->pub.call_row = row_function_call;
	function->pub.fuse = row_function_fuse;
	function->econtext = CreateStandaloneExprContext();
	function->call = build_call(def, tupdesc);

	fmgr_info(def->function, &function->flinfo);
	fmgr_info_set_expr((Node *) function->call, &function->flinfo);
	function->nargs = list_length(function->call->args);
	function->fcinfo = palloc0(SizeForFunctionCallInfo(function->nargs));
	InitFunctionCallInfoData(*function->fcinfo, &function->flinfo,
							 function->nargs, function->call->inputcollid,
							 NULL, NULL);
	prepare_args(function);
	return &function->pub;
}

static bool
row_function_call(SiterCallback *callback, TupleTableSlot *slot)
{
	RowFunction *function = (RowFunction *) callback;
	FunctionCallInfo fcinfo = function->fcinfo;
	PgStat_FunctionCallUsage usage;
	bool		any_null = false;

	slot_getsomeattrs(slot, function->last_attno);
	function->econtext->ecxt_scantuple = slot;

	for (int i = 0; i < function->nargs; i++)
	{
		NullableDatum *value = &fcinfo->args[i];
		RowArg	   *arg = &function->args[i];

		if (arg->attno > 0)
		{
			value->value = slot->tts_values[arg->attno - 1];
			value->isnull = slot->tts_isnull[arg->attno - 1];
		}
		else
			value->value = ExecEvalExpr(arg->expr, function->econtext,
										&value->isnull);
		any_null |= value->isnull;
	}

	/* not before all arguments have been evaluated, as the executor does it */
	if (any_null && function->flinfo.fn_strict)
		return false;
	if (function->may_inline && try_inline(function))
		return function->pub.call_row(callback, slot);

	pgstat_init_function_usage(fcinfo, &usage);
	fcinfo->isnull = false;
	(void) FunctionCallInvoke(fcinfo);
	pgstat_end_function_usage(&usage, true);
	return true;
}

/* To be asked only where all arguments are plain columns */
static bool
any_arg_is_null(RowFunction *function, TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, function->last_attno);
	for (int i = 0; i < function->nargs; i++)
	{
		if (slot->tts_isnull[function->args[i].attno - 1])
			return true;
	}
	return false;
}

/*
 * The same for an inlined function: the expression fetches its columns itself.
 */
static bool
row_function_eval(SiterCallback *callback, TupleTableSlot *slot)
{
	RowFunction *function = (RowFunction *) callback;
	bool		isnull;

	if (function->flinfo.fn_strict && any_arg_is_null(function, slot))
		return false;
	function->econtext->ecxt_scantuple = slot;
	(void) ExecEvalExpr(function->inlined, function->econtext, &isnull);
	return true;
}

/*
 * The plan's last column, the function's result, is NULL: was it called?  Not
 * if an argument was NULL; those are the plan's first columns.
 */
static void
row_function_on_null(TupleTableSlot *slot, void *arg)
{
	RowFunction *function = (RowFunction *) arg;

	for (int i = 0; i < function->nargs; i++)
	{
		if (slot->tts_isnull[i])
		{
			function->pub.not_called++;
			return;
		}
	}
}

static bool
row_function_fuse(SiterCallback *callback, PlannedStmt *plan)
{
	RowFunction *function = (RowFunction *) callback;

	if (!function->may_inline ||
		!siter_fuse_call(plan, function->call, function->flinfo.fn_strict))
		return false;
	if (function->flinfo.fn_strict)
		callback->on_null = row_function_on_null;
	return true;
}

/*
 * How each argument is had.  A function is worth an attempt at inlining when
 * all its arguments are plain columns.
 */
static void
prepare_args(RowFunction *function)
{
	ListCell   *lc;
	int			i = 0;
	bool		all_plain = function->nargs > 0;

	function->args = palloc0_array(RowArg, function->nargs);
	foreach(lc, function->call->args)
	{
		RowArg	   *arg = &function->args[i++];
		Expr	   *expr = (Expr *) lfirst(lc);

		arg->attno = siter_column_number(expr);
		if (arg->attno == 0)
		{
			arg->expr = ExecInitExpr(expression_planner(copyObject(expr)), NULL);
			all_plain = false;
		}
		function->last_attno = Max(function->last_attno, arg->attno);
	}
	function->may_inline = all_plain;
}

/*
 * The planner decides whether the function can be inlined, and does so, with
 * the rules that it has for queries.  What comes out must outlive the row.
 */
static bool
try_inline(RowFunction *function)
{
	MemoryContext oldcontext;
	Expr	   *planned;
	bool		inlined;

	oldcontext = MemoryContextSwitchTo(function->pub.context.walk_context);
	planned = expression_planner(copyObject((Expr *) function->call));
	inlined = !IsA(planned, FuncExpr) ||
		((FuncExpr *) planned)->funcid != function->call->funcid;
	if (inlined)
	{
		function->inlined = ExecInitExpr(planned, NULL);
		function->pub.call_row = row_function_eval;
	}
	MemoryContextSwitchTo(oldcontext);

	function->may_inline = false;
	return inlined;
}

/* The values of parameters that the columns do not reach */
static List *
default_args(HeapTuple tuple, int nmissing)
{
	Datum		defaults;
	bool		isnull;
	List	   *list;

	if (nmissing == 0)
		return NIL;
	defaults = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults,
							   &isnull);
	if (isnull)
		elog(ERROR, "not enough default arguments");
	list = castNode(List, stringToNode(TextDatumGetCString(defaults)));
	return list_copy_tail(list, list_length(list) - nmissing);
}

/* Do the columns, by position, fit its parameters? */
static bool
takes_columns(Form_pg_proc proc, TupleDesc tupdesc)
{
	Oid			actual[FUNC_MAX_ARGS];

	if (tupdesc->natts > proc->pronargs ||
		tupdesc->natts < proc->pronargs - proc->pronargdefaults)
		return false;
	for (int i = 0; i < tupdesc->natts; i++)
		actual[i] = TupleDescAttr(tupdesc, i)->atttypid;
	return can_coerce_type(tupdesc->natts, actual, proc->proargtypes.values,
						   COERCION_IMPLICIT);
}

static List *
args_by_position(TupleDesc tupdesc)
{
	List	   *args = NIL;

	for (int attno = 1; attno <= tupdesc->natts; attno++)
		args = lappend(args, siter_column_var(tupdesc, attno));
	return args;
}

/*
 * The whole row, for a function of one composite or record parameter, and of
 * one more for the related rows where there are any
 */
static List *
args_as_row(Form_pg_proc proc, TupleDesc tupdesc, int row_natts)
{
	int			nargs = 1 + tupdesc->natts - row_natts;
	Oid			type;
	Oid			related = JSONBOID;
	Expr	   *row;

	if (proc->pronargs < nargs ||
		proc->pronargs - proc->pronargdefaults > nargs)
		return NIL;
	type = proc->proargtypes.values[0];
	if (type != RECORDOID && get_typtype(getBaseType(type)) != TYPTYPE_COMPOSITE)
		return NIL;
	row = siter_columns_as_row(tupdesc, row_natts, type);
	if (row == NULL)
		return NIL;
	if (nargs == 1)
		return list_make1(row);
	if (!can_coerce_type(1, &related, &proc->proargtypes.values[1],
						 COERCION_IMPLICIT))
		return NIL;
	return list_make2(row, siter_column_var(tupdesc, tupdesc->natts));
}

/*
 * The call of these arguments, defaults included, with the casts they need.
 * Polymorphic parameters and results take the types of what they are given.
 */
static FuncExpr *
make_call(Form_pg_proc proc, List *args)
{
	Oid			actual[FUNC_MAX_ARGS];
	Oid			declared[FUNC_MAX_ARGS];
	Oid			rettype;
	FuncExpr   *call;
	ListCell   *lc;

	foreach(lc, args)
		actual[foreach_current_index(lc)] = exprType(lfirst(lc));
	memcpy(declared, proc->proargtypes.values, sizeof(Oid) * proc->pronargs);
	rettype = enforce_generic_type_consistency(actual, declared,
											   proc->pronargs,
											   proc->prorettype, false);
	make_fn_arguments(NULL, args, actual, declared);

	call = makeFuncExpr(proc->oid, rettype, args, InvalidOid, InvalidOid,
						COERCE_EXPLICIT_CALL);
	call->funcvariadic = (OidIsValid(proc->provariadic) &&
						  proc->provariadic != ANYOID);
	assign_expr_collations(NULL, (Node *) call);
	return call;
}

static FuncExpr *
build_call(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	List	   *args;
	FuncExpr   *call;

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(def->function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", def->function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);

	if (takes_columns(proc, tupdesc))
		args = args_by_position(tupdesc);
	else
	{
		args = args_as_row(proc, tupdesc,
						   siter_callback_row_natts(def, tupdesc));
		if (args == NIL)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("callback \"%s\" does not fit the columns of the query",
							def->name),
					 errdetail("The query returns %s, the function is %s.",
							   siter_columns_describe(tupdesc),
							   format_procedure(def->function)),
					 def->related ?
					 errhint("Select what the function takes, in its order, with casts where needed; its last parameter, jsonb, takes the related rows.") :
					 OidIsValid(proc->provariadic) && proc->provariadic != ANYOID ?
					 errhint("Its VARIADIC parameter takes an array here: select the columns that belong to it as ARRAY[...].") :
					 errhint("Select what the function takes, in its order, with casts where needed.")));
	}
	args = list_concat(args, default_args(tuple, proc->pronargs - list_length(args)));
	call = make_call(proc, args);
	ReleaseSysCache(tuple);
	return call;
}
