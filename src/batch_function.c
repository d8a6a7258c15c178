/*-------------------------------------------------------------------------
 *
 * batch_function.c
 *	  Callbacks that are functions called once per batch, with arrays.
 *
 * The function gets either one array for each column, or one array of rows.
 * The arrays are made by us, as the columns of a slot; everything else --
 * casts, defaults, polymorphism, collations, STRICT, statistics -- is left to
 * the expression that the parser would have built for a call with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "arrays.h"
#include "callback.h"
#include "columns.h"
#include "compat.h"

/* What the catalog says about the function */
typedef struct FunctionInfo
{
	Oid			oid;
	int			nargs;
	Oid			argtypes[FUNC_MAX_ARGS];
	bool		variadic;
	bool		strict;
	Oid			rettype;
	List	   *defaults;		/* expressions for the last parameters */
} FunctionInfo;

typedef struct BatchFunction
{
	SiterCallback base;
	int			narrays;
	SiterArray *arrays;			/* one for each column, or one of rows and
								 * maybe one of their related rows */
	ExprState  *row;			/* makes a row of a batch's row; NULL if there
								 * is an array for each column */
	ExprState  *call;
	ExprContext *econtext;
	TupleTableSlot *slot;		/* the arrays, for "call" */
} BatchFunction;

static FunctionInfo *load_function(Oid oid);
static bool takes_columns(const FunctionInfo *function, TupleDesc tupdesc);
static Expr *takes_rows(const FunctionInfo *function, TupleDesc tupdesc,
						int row_natts);
static void refuse_columns(const SiterCallbackDef *def, TupleDesc tupdesc);
static void refuse_null_default(const SiterCallbackDef *def,
								const FunctionInfo *function, int nvalues);
static TupleDesc describe_arrays(BatchFunction *batch_function,
								 TupleDesc tupdesc);
static Expr *build_call(const FunctionInfo *function, TupleDesc arraydesc);
static void call_batch(SiterCallback *callback, StreamIterBatch *batch,
					   int first, int nrows);
static Datum collect_rows(BatchFunction *function, StreamIterBatch *batch,
						  int first, int nrows);

SiterCallback *
siter_batch_function_prepare(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	BatchFunction *result = palloc0_object(BatchFunction);
	FunctionInfo *function = load_function(def->function);
	TupleDesc	arraydesc;
	Expr	   *row;

	result->base.call_batch = call_batch;

	if (takes_columns(function, tupdesc))
	{
		result->narrays = tupdesc->natts;
		result->arrays = palloc_array(SiterArray, Max(tupdesc->natts, 1));
		for (int i = 0; i < tupdesc->natts; i++)
			siter_array_init_column(&result->arrays[i], tupdesc, i + 1);
	}
	else if ((row = takes_rows(function, tupdesc,
							   siter_callback_row_natts(def, tupdesc))) != NULL)
	{
		result->narrays = def->related ? 2 : 1;
		result->arrays = palloc_array(SiterArray, result->narrays);
		siter_array_init(&result->arrays[0], exprType((Node *) row), "rows");
		if (def->related)
			siter_array_init_column(&result->arrays[1], tupdesc,
									tupdesc->natts);
		assign_expr_collations(NULL, (Node *) row);
		result->row = ExecInitExpr(expression_planner(row), NULL);
	}
	else
		refuse_columns(def, tupdesc);
	refuse_null_default(def, function, result->narrays);

	arraydesc = describe_arrays(result, tupdesc);
	result->slot = MakeSingleTupleTableSlot(arraydesc, &TTSOpsVirtual);
	result->econtext = CreateStandaloneExprContext();
	result->call = ExecInitExpr(build_call(function, arraydesc), NULL);
	return &result->base;
}

static FunctionInfo *
load_function(Oid oid)
{
	FunctionInfo *function = palloc0_object(FunctionInfo);
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	Form_pg_proc proc;
	Datum		defaults;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);

	function->oid = oid;
	function->nargs = proc->pronargs;
	memcpy(function->argtypes, proc->proargtypes.values,
		   sizeof(Oid) * proc->pronargs);
	function->variadic = OidIsValid(proc->provariadic);
	function->rettype = proc->prorettype;
	function->strict = proc->proisstrict;

	defaults = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults,
							   &isnull);
	if (!isnull)
		function->defaults = castNode(List,
									  stringToNode(TextDatumGetCString(defaults)));
	ReleaseSysCache(tuple);
	return function;
}

/* May the parameters that we have no value for be left out? */
static bool
has_defaults(const FunctionInfo *function, int nvalues)
{
	return nvalues <= function->nargs &&
		function->nargs - nvalues <= list_length(function->defaults);
}

/* Does it take one array for each column? */
static bool
takes_columns(const FunctionInfo *function, TupleDesc tupdesc)
{
	Oid			types[FUNC_MAX_ARGS];

	if (!has_defaults(function, tupdesc->natts))
		return false;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		types[i] = siter_array_column_type(tupdesc, i + 1);
		if (!OidIsValid(types[i]))
			return false;
	}
	return can_coerce_type(tupdesc->natts, types, function->argtypes,
						   COERCION_IMPLICIT);
}

/*
 * If it takes one array of rows, and one of related rows where there are any:
 * the expression for such a row, else NULL
 */
static Expr *
takes_rows(const FunctionInfo *function, TupleDesc tupdesc, int row_natts)
{
	int			nargs = 1 + tupdesc->natts - row_natts;
	Oid			related = JSONBARRAYOID;
	Oid			element_type;

	if (!has_defaults(function, nargs))
		return NULL;
	if (nargs > 1 && !can_coerce_type(1, &related, &function->argtypes[1],
									  COERCION_IMPLICIT))
		return NULL;
	element_type = get_base_element_type(function->argtypes[0]);
	if (!OidIsValid(element_type) || !type_is_rowtype(element_type))
		return NULL;
	return siter_columns_as_row(tupdesc, row_natts, element_type);
}

/* "(bigint[], text[])", or NULL and in *attno the column without arrays */
static const char *
describe_array_types(TupleDesc tupdesc, int *attno)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	for (*attno = 1; *attno <= tupdesc->natts; (*attno)++)
	{
		Oid			type = siter_array_column_type(tupdesc, *attno);

		if (!OidIsValid(type))
			return NULL;
		appendStringInfo(&buf, "%s%s", *attno > 1 ? ", " : "",
						 format_type_be(type));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* Say which arrays would do */
static void
refuse_columns(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	int			attno;
	const char *arrays = describe_array_types(tupdesc, &attno);
	Form_pg_attribute att;

	if (arrays != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("callback \"%s\" does not fit the columns of the query",
						def->name),
				 errdetail("The query returns %s, the function is %s.",
						   siter_columns_describe(tupdesc),
						   format_procedure(def->function)),
				 def->related ?
				 errhint("Use a function of one array for each column, %s, the last for the related rows; or of two, one of a composite type that has the other columns, and jsonb[].",
						 arrays) :
				 errhint("Use a function of one array for each column, %s, or of one array of rows, an array of a composite type that has these columns.",
						 arrays)));

	att = TupleDescAttr(tupdesc, attno - 1);
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("callback \"%s\" does not fit the columns of the query",
					def->name),
			 errdetail("There are no arrays of column \"%s\" of type %s; the function is %s.",
					   NameStr(att->attname), format_type_be(att->atttypid),
					   format_procedure(def->function)),
			 errhint("Use a function of one array of rows, an array of a composite type that has these columns.")));
}

/* Nobody would notice: batches that are not called are not counted */
static void
refuse_null_default(const SiterCallbackDef *def, const FunctionInfo *function,
					int nvalues)
{
	ListCell   *lc;

	if (!function->strict)
		return;
	foreach(lc, list_copy_tail(function->defaults,
							   list_length(function->defaults) -
							   (function->nargs - nvalues)))
	{
		Expr	   *value = expression_planner(copyObject(lfirst(lc)));

		if (IsA(value, Const) && ((Const *) value)->constisnull)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("callback \"%s\" would never be called",
							def->name),
					 errdetail("Function %s is STRICT, and the default of its parameter %d is NULL.",
							   format_procedure(def->function),
							   nvalues + foreach_current_index(lc) + 1)));
	}
}

/* The arrays as columns, with the collations of what is in them */
static TupleDesc
describe_arrays(BatchFunction *batch_function, TupleDesc tupdesc)
{
	TupleDesc	arraydesc = CreateTemplateTupleDesc(batch_function->narrays);

	for (int i = 0; i < batch_function->narrays; i++)
	{
		SiterArray *array = &batch_function->arrays[i];
		int32		typmod = -1;

		if (array->attno > 0)
			typmod = TupleDescAttr(tupdesc, array->attno - 1)->atttypmod;
		TupleDescInitEntry(arraydesc, i + 1, array->name, array->array_type,
						   typmod, 0);
		if (array->attno > 0)
			TupleDescInitEntryCollation(arraydesc, i + 1,
										TupleDescAttr(tupdesc, array->attno - 1)->attcollation);
	}
	return arraydesc;
}

/* The call, as the parser builds it, of the columns of "arraydesc" */
static Expr *
build_call(const FunctionInfo *function, TupleDesc arraydesc)
{
	List	   *args = NIL;
	Oid			actual[FUNC_MAX_ARGS];
	Oid			declared[FUNC_MAX_ARGS];
	Oid			rettype;
	FuncExpr   *call;
	ListCell   *lc;

	for (int attno = 1; attno <= arraydesc->natts; attno++)
		args = lappend(args, siter_column_var(arraydesc, attno));
	args = list_concat(args,
					   list_copy_tail(function->defaults,
									  list_length(function->defaults) -
									  (function->nargs - arraydesc->natts)));

	foreach(lc, args)
		actual[foreach_current_index(lc)] = exprType(lfirst(lc));
	memcpy(declared, function->argtypes, sizeof(Oid) * function->nargs);
	rettype = enforce_generic_type_consistency(actual, declared,
											   function->nargs,
											   function->rettype, false);
	make_fn_arguments(NULL, args, actual, declared);

	call = makeFuncExpr(function->oid, rettype, args, InvalidOid, InvalidOid,
						COERCE_EXPLICIT_CALL);
	call->funcvariadic = function->variadic;
	assign_expr_collations(NULL, (Node *) call);

	/*
	 * Planning completes the defaults and casts.  The call itself must stay
	 * what it is: planned, it could be folded away or inlined.
	 */
	foreach(lc, call->args)
		lfirst(lc) = expression_planner(lfirst(lc));
	return (Expr *) call;
}

static void
call_batch(SiterCallback *callback, StreamIterBatch *batch,
		   int first, int nrows)
{
	BatchFunction *function = (BatchFunction *) callback;
	TupleTableSlot *slot = function->slot;
	bool		isnull;

	ExecClearTuple(slot);
	if (function->row != NULL)
	{
		slot->tts_values[0] = collect_rows(function, batch, first, nrows);
		siter_array_collect(&function->arrays[1], function->narrays - 1,
							batch, first, nrows, &slot->tts_values[1]);
	}
	else
		siter_array_collect(function->arrays, function->narrays,
							batch, first, nrows, slot->tts_values);
	memset(slot->tts_isnull, false, sizeof(bool) * function->narrays);
	ExecStoreVirtualTuple(slot);

	function->econtext->ecxt_scantuple = slot;
	(void) ExecEvalExpr(function->call, function->econtext, &isnull);
}

static Datum
collect_rows(BatchFunction *function, StreamIterBatch *batch,
			 int first, int nrows)
{
	SiterArray *array = &function->arrays[0];

	siter_array_begin(array, nrows);
	for (int i = first; i < first + nrows; i++)
	{
		Datum		row;
		bool		isnull;

		function->econtext->ecxt_scantuple = streamiter_batch_row(batch, i);
		row = ExecEvalExpr(function->row, function->econtext, &isnull);
		siter_array_add(array, row, isnull);
	}
	return siter_array_finish(array);
}
