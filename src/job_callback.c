/*-------------------------------------------------------------------------
 *
 * job_callback.c
 *	  The callback of a job, from batch to batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "compat.h"
#include "fingerprint.h"
#include "job_callback.h"
#include "registry.h"

static bool callback_is_as_checked(SiterJobCallback *cb,
								   const SiterCallbackDef *def);
static void note_checked(SiterJobCallback *cb, const SiterCallbackDef *def,
						 int64 revision);
static SiterCallbackDef *copy_def(const SiterCallbackDef *def);

SiterCallbackDef *
siter_job_callback_resolve(const SiterJob *job)
{
	SiterCallbackDef *def;

	if (job->statement == NULL)
		return siter_callback_resolve(job->callback);
	def = palloc0_object(SiterCallbackDef);
	def->name = job->callback;
	def->kind = SITER_RANGE_STATEMENT;
	def->statement = job->statement;
	return def;
}

TupleDesc
siter_job_callback_columns(const SiterJob *job, const SiterKeyset *keyset,
						   SiterCallbackDef *def, SiterPrefetch **prefetch)
{
	def->neighbours = siter_keyset_neighbours(keyset);
	if (job->prefetch.query == NULL)
		return keyset->tupdesc;
	def->related = true;
	if (*prefetch == NULL)
		*prefetch = siter_prefetch_prepare(job->prefetch.query,
										   job->prefetch.key,
										   keyset->tupdesc);
	return siter_prefetch_tupdesc(*prefetch);
}

void
siter_job_callback_make(SiterJobCallback *cb, const SiterJob *job,
						const SiterKeyset *keyset, int limit)
{
	uint64		version = siter_registry_version();
	SiterCallbackDef *def;
	MemoryContext oldcontext;
	TupleDesc	tupdesc;

	if (job->statement != NULL)
		siter_oneliner_check(keyset, job->statement, &cb->check);

	/* neither the job nor the name has come to stand for another statement */
	if (cb->keep && cb->statement != NULL &&
		cb->revision == job->revision && cb->registry_version == version)
		return;

	def = siter_job_callback_resolve(job);
	if (cb->revision != job->revision || !callback_is_as_checked(cb, def))
	{
		char	   *what;

		what = siter_fingerprint_compare(job->callback_fingerprint,
										 siter_fingerprint_callback(def));
		if (what != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the callback of job \"%s\" is not what it was",
							job->name),
					 errdetail_internal("%s", what),
					 errhint("If that is what you want, say so with streamiter.alter_job(%s, acknowledge => true).",
							 quote_literal_cstr(job->name))));
		siter_job_callback_drop(cb, true);
		note_checked(cb, def, job->revision);
	}
	cb->registry_version = version;
	if (cb->keep)
		return;

	cb->callback = NULL;
	cb->range = NULL;
	oldcontext = MemoryContextSwitchTo(cb->context);
	tupdesc = siter_job_callback_columns(job, keyset, def, &cb->prefetch);
	MemoryContextSwitchTo(oldcontext);
	if (def->kind == SITER_ROW_FUNCTION || def->kind == SITER_BATCH_FUNCTION)
	{
		cb->callback = siter_callback_prepare(def, tupdesc, limit,
											  job->name);
		return;
	}

	oldcontext = MemoryContextSwitchTo(cb->context);
	def = copy_def(def);
	if (def->kind == SITER_RANGE_STATEMENT)
		cb->range = siter_range_statement_prepare(def, keyset);
	else
		cb->callback = siter_callback_prepare(def, tupdesc, limit,
											  pstrdup(job->name));
	MemoryContextSwitchTo(oldcontext);
	cb->keep = true;
}

static bool
callback_is_as_checked(SiterJobCallback *cb, const SiterCallbackDef *def)
{
	HeapTuple	tuple;
	bool		same;

	if (!OidIsValid(def->function))
		return cb->statement != NULL &&
			strcmp(cb->statement, def->statement) == 0;

	if (cb->function != def->function)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(def->function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", def->function);
	same = cb->function_xmin == HeapTupleHeaderGetRawXmin(tuple->t_data) &&
		ItemPointerEquals(&cb->function_tid, &tuple->t_self);
	ReleaseSysCache(tuple);
	return same;
}

static void
note_checked(SiterJobCallback *cb, const SiterCallbackDef *def,
			 int64 revision)
{
	cb->revision = revision;
	cb->function = def->function;
	cb->statement = NULL;
	if (OidIsValid(def->function))
	{
		HeapTuple	tuple = SearchSysCache1(PROCOID,
											ObjectIdGetDatum(def->function));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for function %u", def->function);
		cb->function_xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		cb->function_tid = tuple->t_self;
		ReleaseSysCache(tuple);
	}
	else
		cb->statement = MemoryContextStrdup(cb->context, def->statement);
}

static SiterCallbackDef *
copy_def(const SiterCallbackDef *def)
{
	SiterCallbackDef *copy = palloc_object(SiterCallbackDef);

	*copy = *def;
	copy->name = pstrdup(def->name);
	if (def->statement != NULL)
		copy->statement = pstrdup(def->statement);
	return copy;
}

void
siter_job_callback_drop(SiterJobCallback *cb, bool end)
{
	if (cb->keep && cb->callback != NULL)
	{
		SiterCallback *callback = cb->callback;

		if (end && callback->end != NULL)
			callback->end(callback);
		else if (!end && callback->abort != NULL)
			callback->abort(callback);
	}
	memset(&cb->callback, 0, sizeof(SiterJobCallback) -
		   offsetof(SiterJobCallback, callback));
	MemoryContextReset(cb->context);
}
