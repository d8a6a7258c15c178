/*-------------------------------------------------------------------------
 *
 * callback.c
 *	  Callbacks: from what the user wrote to something that can be called.
 *
 * The function is looked up, locked and checked at the start of each walk:
 * what a name stood for yesterday says nothing about today.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "callback.h"
#include "compat.h"
#include "native.h"
#include "registry.h"

static SiterCallbackDef *def_from_signature(const char *signature);
static void check_kind(Form_pg_proc proc, const char *name);

SiterCallbackDef *
siter_callback_resolve(const char *name)
{
	SiterCallbackDef *def;

	if (strchr(name, '(') != NULL)
		def = def_from_signature(name);
	else
		def = siter_registry_find(name);

	if (def == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("callback \"%s\" does not exist", name),
				 errhint("Register it with streamiter.register_callback(), or give a function's signature, such as 'f(bigint, text)'.")));
	if (OidIsValid(def->function))
		siter_callback_check_function(def->function, name);
	return def;
}

/* What regprocedurein() says is short */
static void
hint_at_signature(void *arg)
{
	switch (geterrcode())
	{
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_UNDEFINED_SCHEMA:
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
		case ERRCODE_SYNTAX_ERROR:
			errhint("A signature is the function's name and the types of its parameters, such as 'f(bigint, text)'.");
	}
}

static SiterCallbackDef *
def_from_signature(const char *signature)
{
	SiterCallbackDef *def = palloc0_object(SiterCallbackDef);
	Datum		function;
	ErrorContextCallback errcallback;

	errcallback.callback = hint_at_signature;
	errcallback.arg = NULL;
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;
	function = DirectFunctionCall1(regprocedurein, CStringGetDatum(signature));
	error_context_stack = errcallback.previous;

	def->name = pstrdup(signature);
	def->function = DatumGetObjectId(function);
	def->kind = siter_native_is_handler(def->function) ?
		SITER_NATIVE : SITER_ROW_FUNCTION;
	return def;
}

void
siter_callback_check_function(Oid function, const char *name)
{
	HeapTuple	tuple;
	AclResult	aclresult;

	/* DROP FUNCTION takes a stronger lock, so it waits for us */
	LockDatabaseObject(ProcedureRelationId, function, 0, AccessShareLock);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function of callback \"%s\" does not exist", name)));
	check_kind((Form_pg_proc) GETSTRUCT(tuple), name);
	ReleaseSysCache(tuple);

	aclresult = siter_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_FUNCTION, format_procedure(function));
	InvokeFunctionExecuteHook(function);
}

/* What this kind of routine is called, if it is one that we do not call */
static const char *
unfit_kind(Form_pg_proc proc)
{
	switch (proc->prokind)
	{
		case PROKIND_AGGREGATE:
			return "an aggregate function";
		case PROKIND_WINDOW:
			return "a window function";
		case PROKIND_PROCEDURE:
			return "a procedure";
	}
	if (proc->prorettype == TRIGGEROID || proc->prorettype == EVENT_TRIGGEROID)
		return "a trigger function";
	if (proc->proretset)
		return "a set-returning function";

	/* Such functions crash when called with what is not meant for them */
	for (int i = 0; i < proc->pronargs; i++)
	{
		if (proc->proargtypes.values[i] == INTERNALOID &&
			!siter_native_is_handler(proc->oid))
			return "for the server's own use";
	}
	return NULL;
}

static void
check_kind(Form_pg_proc proc, const char *name)
{
	const char *kind = unfit_kind(proc);

	if (kind != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("callback \"%s\" is %s", name, kind),
				 errhint("A callback must be a plain function; its result is ignored.")));
}

SiterCallback *
siter_callback_prepare(const SiterCallbackDef *def, TupleDesc tupdesc,
					   int chunk_size, const char *walk_name)
{
	SiterCallback *callback = NULL;

	switch (def->kind)
	{
		case SITER_ROW_FUNCTION:
			callback = siter_row_function_prepare(def, tupdesc);
			break;
		case SITER_BATCH_FUNCTION:
			callback = siter_batch_function_prepare(def, tupdesc);
			break;
		case SITER_BATCH_STATEMENT:
			callback = siter_statement_prepare(def, tupdesc);
			break;
		case SITER_NATIVE:
			callback = siter_native_prepare(def, tupdesc);
			break;
		case SITER_RANGE_STATEMENT:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("callback \"%s\" is a range statement", def->name),
					 errdetail("A range statement is given the first and the last key of each batch, and only jobs have keys."),
					 errhint("Use it with streamiter.create_job().")));
	}

	callback->def = def;
	callback->context.walk = walk_name;
	callback->context.callback = def->name;
	callback->context.tupdesc = tupdesc;
	callback->context.chunk_size = chunk_size;
	callback->context.walk_context = CurrentMemoryContext;
	callback->context.private_data = def->private_data;
	if (callback->begin != NULL)
		callback->begin(callback);
	return callback;
}
