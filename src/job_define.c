/*-------------------------------------------------------------------------
 *
 * job_define.c
 *	  Defining jobs: what has to fit, and what is recorded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "fingerprint.h"
#include "job_callback.h"
#include "job_define.h"
#include "throttle_query.h"

/* A name is as long as an identifier may be */
#define MAX_NAME_LENGTH (NAMEDATALEN - 1)

static void check_name(const char *name);
static List *key_names(const SiterKeyset *keyset);
static char *check_callback(const SiterJob *job, SiterKeyset *keyset);

bool
siter_job_define(SiterJob *job, bool if_not_exists)
{
	SiterKeyset *keyset;

	check_name(job->name);
	siter_job_check_settings(job);
	job->owner = GetUserId();
	job->search_path = GetConfigOptionByName("search_path", NULL, false);
	job->timezone = GetConfigOptionByName("TimeZone", NULL, false);
	job->datestyle = GetConfigOptionByName("DateStyle", NULL, false);
	job->intervalstyle = GetConfigOptionByName("IntervalStyle", NULL, false);

	keyset = siter_keyset_create(job->source, job->key, job->allow_slow_plan);
	job->key = key_names(keyset);
	job->source_fingerprint = siter_keyset_fingerprint(keyset);
	job->callback_fingerprint = check_callback(job, keyset);
	siter_job_check_throttle_query(job);
	if (!siter_job_insert(job))
	{
		if (if_not_exists)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("job \"%s\" already exists", job->name),
				 errhint("Choose another name, alter the job with streamiter.alter_job(), or drop it with streamiter.drop_job().")));
	}
	siter_keyset_warn_unlogged(keyset);
	return true;
}

static void
check_name(const char *name)
{
	if (name[strspn(name, " \t\r\n\f\v")] == '\0' || strlen(name) > MAX_NAME_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a job must have 1 to %d bytes",
						MAX_NAME_LENGTH)));
}

/* Those of a keyset, as they will be found again */
static List *
key_names(const SiterKeyset *keyset)
{
	List	   *key = NIL;

	for (int i = 0; i < keyset->ncolumns; i++)
		key = lappend(key, keyset->columns[i].name);
	return key;
}

/*
 * Does the callback fit?  Returns its fingerprint.  Whether a native one fits
 * is its own affair, and to ask it would begin a walk.
 */
static char *
check_callback(const SiterJob *job, SiterKeyset *keyset)
{
	SiterCallbackDef *def = siter_job_callback_resolve(job);
	SiterPrefetch *prefetch = NULL;
	TupleDesc	tupdesc;

	if (job->prefetch.query != NULL && def->kind == SITER_RANGE_STATEMENT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("prefetch is of no use with a range statement"),
				 errdetail("The statement is given the first and the last key of each batch, and no rows."),
				 errhint("Let the statement join the related rows.")));
	tupdesc = siter_job_callback_columns(job, keyset, def, &prefetch);
	if (def->kind == SITER_RANGE_STATEMENT)
		(void) siter_range_statement_prepare(def, keyset);
	else if (def->kind != SITER_NATIVE)
		(void) siter_callback_prepare(def, tupdesc, 1, job->name);

	if (job->lock_rows)
	{
		siter_keyset_check_lockable(keyset);
		if (def->kind == SITER_RANGE_STATEMENT)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("lock_rows is of no use with a range statement"),
					 errdetail("The statement locks the rows that it changes by itself.")));
		if (!keyset->proven_unique)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("lock_rows needs a source that is one table"),
					 errdetail("Only there the catalog tells that no two rows have one key.")));
	}
	return siter_fingerprint_callback(def);
}

/* With the search_path of its creation, as the job will do it */
void
siter_job_redefine(SiterJob *job, bool acknowledge)
{
	int			nestlevel = siter_job_enter_settings(job);
	SiterKeyset *keyset;

	keyset = siter_keyset_create(job->source, job->key, job->allow_slow_plan);
	if (acknowledge)
		job->source_fingerprint = siter_keyset_fingerprint(keyset);
	job->callback_fingerprint = check_callback(job, keyset);
	AtEOXact_GUC(true, nestlevel);
}

void
siter_job_default_settings(SiterJob *job)
{
	job->max_skips = SITER_DEFAULT_MAX_SKIPS;
	job->wait_for_writers = true;
	job->max_retries = SITER_DEFAULT_MAX_RETRIES;
}

void
siter_job_check_throttle_query(const SiterJob *job)
{
	int			nestlevel;

	if (job->pace.throttle_query == NULL)
		return;
	nestlevel = siter_job_enter_settings(job);
	siter_throttle_query_check(job->pace.throttle_query);
	AtEOXact_GUC(true, nestlevel);
}
