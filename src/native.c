/*-------------------------------------------------------------------------
 *
 * native.c
 *	  Native callbacks: a handler returns a routine, the routine is called.
 *
 * What a handler is, the type of its result decides: no value of type
 * streamiter.callback_handler can be written in SQL, and a C function that
 * returns it was made for us by someone who may create C functions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/syscache.h"

#include "callback.h"
#include "compat.h"
#include "native.h"

PG_FUNCTION_INFO_V1(streamiter_callback_handler_in);
PG_FUNCTION_INFO_V1(streamiter_callback_handler_out);

typedef struct NativeCallback
{
	SiterCallback base;
	const StreamIterCallbackRoutine *routine;
	bool		begun;			/* and neither ended nor aborted */
	MemoryContextCallback cleanup;
} NativeCallback;

static Oid	handler_type(void);
static const StreamIterCallbackRoutine *get_routine(const SiterCallbackDef *def);
static void native_begin(SiterCallback *callback);
static bool native_row(SiterCallback *callback, TupleTableSlot *slot);
static void native_batch(SiterCallback *callback, StreamIterBatch *batch,
						 int first, int nrows);
static void native_end(SiterCallback *callback);
static void native_abort(SiterCallback *callback);
static void native_cleanup(void *arg);

bool
siter_native_is_handler(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	result = (proc->prokind == PROKIND_FUNCTION &&
			  !proc->proretset &&
			  proc->prolang == ClanguageId &&
			  proc->pronargs == 1 &&
			  proc->proargtypes.values[0] == INTERNALOID &&
			  OidIsValid(proc->prorettype) &&
			  proc->prorettype == handler_type());
	ReleaseSysCache(tuple);
	return result;
}

/* streamiter.callback_handler; InvalidOid before CREATE EXTENSION */
static Oid
handler_type(void)
{
	Oid			schema = get_namespace_oid("streamiter", true);

	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						   CStringGetDatum("callback_handler"),
						   ObjectIdGetDatum(schema));
}

SiterCallback *
siter_native_prepare(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	NativeCallback *native = palloc0_object(NativeCallback);

	native->routine = def->routine != NULL ? def->routine : get_routine(def);
	if (native->routine->row != NULL)
		native->base.call_row = native_row;
	else
		native->base.call_batch = native_batch;
	native->base.begin = native_begin;
	native->base.end = native_end;
	native->base.abort = native_abort;
	return &native->base;
}

/* Ask the handler; trust nothing before magic, version and size agree */
static const StreamIterCallbackRoutine *
get_routine(const SiterCallbackDef *def)
{
	const StreamIterCallbackRoutine *routine;

	if (!siter_native_is_handler(def->function))
		elog(ERROR, "function %u is not a handler", def->function);
	routine = (const StreamIterCallbackRoutine *)
		DatumGetPointer(OidFunctionCall1(def->function, PointerGetDatum(NULL)));

	if (routine == NULL || routine->magic != STREAMITER_ROUTINE_MAGIC)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION),
				 errmsg("handler of callback \"%s\" did not return a StreamIter routine",
						def->name),
				 errhint("The routine must begin with STREAMITER_ROUTINE_HEADER.")));
	if (routine->api_version != STREAMITER_API_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("callback \"%s\" was built for StreamIter interface version %u, this server has %u",
						def->name, routine->api_version,
						STREAMITER_API_VERSION),
				 errhint("Rebuild its module with the streamiter.h of this server.")));
	if (routine->size != sizeof(StreamIterCallbackRoutine))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("callback \"%s\" has a routine of %zu bytes, not of %zu",
						def->name, routine->size,
						sizeof(StreamIterCallbackRoutine)),
				 errhint("Rebuild its module with the streamiter.h of this server.")));
	if ((routine->row == NULL) == (routine->batch == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION),
				 errmsg("routine of callback \"%s\" must have either \"row\" or \"batch\"",
						def->name)));
	return routine;
}

/*
 * Once begun, a walk is ended or aborted, whoever drives it.  An error may
 * come before the driver can catch it -- in begin itself, or when the portal
 * is opened -- and then abort is called when the callback's memory goes.
 */
static void
native_begin(SiterCallback *callback)
{
	NativeCallback *native = (NativeCallback *) callback;

	native->begun = true;
	native->cleanup.func = native_cleanup;
	native->cleanup.arg = native;
	MemoryContextRegisterResetCallback(callback->context.walk_context,
									   &native->cleanup);
	if (native->routine->begin != NULL)
		native->routine->begin(&callback->context);
}

static bool
native_row(SiterCallback *callback, TupleTableSlot *slot)
{
	((NativeCallback *) callback)->routine->row(&callback->context, slot);
	return true;
}

static void
native_batch(SiterCallback *callback, StreamIterBatch *batch,
			 int first, int nrows)
{
	StreamIterBatch part;

	part.nrows = nrows;
	part.tuples = batch->tuples + first;
	part.slot = batch->slot;
	((NativeCallback *) callback)->routine->batch(&callback->context, &part);
}

static void
native_end(SiterCallback *callback)
{
	NativeCallback *native = (NativeCallback *) callback;

	/* an error in here makes it an abort after all */
	if (native->routine->end != NULL)
		native->routine->end(&callback->context);
	native->begun = false;
}

static void
native_abort(SiterCallback *callback)
{
	NativeCallback *native = (NativeCallback *) callback;

	if (!native->begun)
		return;
	native->begun = false;
	if (native->routine->abort != NULL)
		native->routine->abort(&callback->context);
}

static void
native_cleanup(void *arg)
{
	native_abort((SiterCallback *) arg);
}

/*
 * The type's input and output functions.  Its values are pointers, which
 * nobody can write and nobody should see.
 */
Datum
streamiter_callback_handler_in(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot accept a value of type %s",
					"streamiter.callback_handler")));
	PG_RETURN_VOID();			/* keep compiler quiet */
}

Datum
streamiter_callback_handler_out(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot display a value of type %s",
					"streamiter.callback_handler")));
	PG_RETURN_VOID();			/* keep compiler quiet */
}
