/*-------------------------------------------------------------------------
 *
 * job_sql.c
 *	  Jobs: entry points from SQL.
 *
 * What one may ask of a job depends on its state; streamiter--1.0.sql has the
 * table, beside the functions.  A state cannot change between the look at it
 * and the change that follows from it: requests lock the job's row against
 * each other, and those that must not meet a runner keep runners out.  A
 * runner that starts at the same moment as a pause or a cancel sees it before
 * its next batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "job.h"
#include "job_define.h"
#include "job_lock.h"
#include "ledger.h"
#include "options.h"
#include "run.h"

/* Settings in the order in which both create_job and alter_job have them */
enum
{
	SETTING_CHUNK_SIZE, SETTING_ON_ERROR, SETTING_MAX_SKIPS,
	SETTING_RECURRENCE, SETTING_LOCK_ROWS, SETTING_WAIT_FOR_WRITERS,
	SETTING_ALLOW_SLOW_PLAN, SETTING_BATCH_PAUSE, SETTING_LOCK_TIMEOUT,
	SETTING_MAX_RETRIES,
	SETTING_PACE,				/* these: see pace_settings.h */
	NSETTINGS = SETTING_PACE + SITER_NPACE_SETTINGS
};

static const char *const setting_names[] = {
	[SETTING_CHUNK_SIZE] = "chunk_size",
	[SETTING_ON_ERROR] = "on_error",
	[SETTING_MAX_SKIPS] = "max_skips",
	[SETTING_RECURRENCE] = "recurrence",
	[SETTING_LOCK_ROWS] = "lock_rows",
	[SETTING_WAIT_FOR_WRITERS] = "wait_for_writers",
	[SETTING_ALLOW_SLOW_PLAN] = "allow_slow_plan",
	[SETTING_BATCH_PAUSE] = "batch_pause",
	[SETTING_LOCK_TIMEOUT] = "lock_timeout",
	[SETTING_MAX_RETRIES] = "max_retries",
};

/* Arguments of create_job before its settings, and of alter_job */
#define CREATE_KEY 3
#define CREATE_SETTINGS 4
#define CREATE_PREFETCH (CREATE_SETTINGS + NSETTINGS)
#define ALTER_CALLBACK 1
#define ALTER_SETTINGS 2
#define ALTER_UNSET (ALTER_SETTINGS + NSETTINGS)
#define ALTER_ACKNOWLEDGE (ALTER_UNSET + 1)

PG_FUNCTION_INFO_V1(streamiter_create_job);
PG_FUNCTION_INFO_V1(streamiter_alter_job);
PG_FUNCTION_INFO_V1(streamiter_pause);
PG_FUNCTION_INFO_V1(streamiter_resume);
PG_FUNCTION_INFO_V1(streamiter_cancel);
PG_FUNCTION_INFO_V1(streamiter_reset);
PG_FUNCTION_INFO_V1(streamiter_retry_skipped);
PG_FUNCTION_INFO_V1(streamiter_drop_job);
PG_FUNCTION_INFO_V1(streamiter_run);
PG_FUNCTION_INFO_V1(streamiter_start);
PG_FUNCTION_INFO_V1(streamiter_job_state);

/* "first" or "second", as 'first' and 'second' in SQL */
static bool
choice(const char *value, const char *name, const char *first,
	   const char *second)
{
	if (strcmp(value, second) == 0)
		return true;
	if (strcmp(value, first) == 0)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be '%s' or '%s', not \"%s\"",
					name, first, second, value)));
}

/* The n-th setting, from argument "argno", which is not NULL */
static void
read_setting(FunctionCallInfo fcinfo, int argno, int setting, SiterJob *job)
{
	const char *name;

	if (setting >= SETTING_PACE)
	{
		siter_pace_setting_read(&job->pace, setting - SETTING_PACE,
								fcinfo, argno);
		return;
	}

	name = setting_names[setting];
	switch (setting)
	{
		case SETTING_CHUNK_SIZE:
			job->chunk_size = siter_option_chunk_size(fcinfo, argno);
			break;
		case SETTING_ON_ERROR:
			job->skip_errors =
				siter_option_on_error(siter_option_text(fcinfo, argno, name));
			break;
		case SETTING_MAX_SKIPS:
			job->max_skips = siter_option_max_skips(fcinfo, argno);
			break;
		case SETTING_RECURRENCE:
			job->repeat = choice(siter_option_text(fcinfo, argno, name),
								 name, "once", "repeat");
			break;
		case SETTING_LOCK_ROWS:
			job->lock_rows = choice(siter_option_text(fcinfo, argno, name),
									name, "none", "update");
			break;
		case SETTING_WAIT_FOR_WRITERS:
			job->wait_for_writers = PG_GETARG_BOOL(argno);
			break;
		case SETTING_ALLOW_SLOW_PLAN:
			job->allow_slow_plan = PG_GETARG_BOOL(argno);
			break;
		case SETTING_BATCH_PAUSE:
			job->batch_pause = siter_option_interval(fcinfo, argno, name);
			break;
		case SETTING_LOCK_TIMEOUT:
			job->lock_timeout = siter_option_interval(fcinfo, argno, name);
			break;
		case SETTING_MAX_RETRIES:
			job->max_retries = PG_GETARG_INT32(argno);
			break;
	}
}

/* As the defaults of create_job's parameters */
static void
default_setting(int setting, SiterJob *job)
{
	if (setting >= SETTING_PACE)
		siter_pace_setting_unset(&job->pace, setting - SETTING_PACE);

	switch (setting)
	{
		case SETTING_CHUNK_SIZE:
			job->chunk_size = 0;
			break;
		case SETTING_ON_ERROR:
			job->skip_errors = false;
			break;
		case SETTING_MAX_SKIPS:
			job->max_skips = SITER_DEFAULT_MAX_SKIPS;
			break;
		case SETTING_RECURRENCE:
			job->repeat = false;
			break;
		case SETTING_LOCK_ROWS:
			job->lock_rows = false;
			break;
		case SETTING_WAIT_FOR_WRITERS:
			job->wait_for_writers = true;
			break;
		case SETTING_ALLOW_SLOW_PLAN:
			job->allow_slow_plan = false;
			break;
		case SETTING_BATCH_PAUSE:
			job->batch_pause = 0;
			break;
		case SETTING_LOCK_TIMEOUT:
			job->lock_timeout = 0;
			break;
		case SETTING_MAX_RETRIES:
			job->max_retries = SITER_DEFAULT_MAX_RETRIES;
			break;
	}
}

Datum
streamiter_create_job(PG_FUNCTION_ARGS)
{
	SiterJob   *job = palloc0_object(SiterJob);

	job->name = siter_option_text(fcinfo, 0, "name");
	job->source = siter_option_text(fcinfo, 1, "source");
	job->callback = siter_option_text(fcinfo, 2, "callback");
	job->key = siter_option_key(fcinfo, CREATE_KEY);
	for (int i = 0; i < NSETTINGS; i++)
	{
		if (!PG_ARGISNULL(CREATE_SETTINGS + i))
			read_setting(fcinfo, CREATE_SETTINGS + i, i, job);
		else if (i == SETTING_CHUNK_SIZE || i >= SETTING_PACE)
			default_setting(i, job);
		else
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be NULL", setting_names[i])));
	}

	job->prefetch = siter_option_prefetch(fcinfo, CREATE_PREFETCH);

	SPI_connect();
	(void) siter_job_define(job, false);
	SPI_finish();
	PG_RETURN_VOID();
}

/* Names of settings that go back to their defaults */
static void
unset_settings(ArrayType *array, SiterJob *job)
{
	Datum	   *names;
	bool	   *nulls;
	int			nnames;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &nnames);
	for (int i = 0; i < nnames; i++)
	{
		char	   *name = nulls[i] ? "" : TextDatumGetCString(names[i]);
		int			setting = 0;
		int			pace = siter_pace_setting_number(name);

		while (setting < SETTING_PACE &&
			   strcmp(name, setting_names[setting]) != 0)
			setting++;
		if (setting == SETTING_PACE && pace < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no setting \"%s\"", name)));
		default_setting(setting + Max(pace, 0), job);
	}
}

static void
refuse_running(const SiterJob *job, const char *what)
{
	if (siter_job_exclude_runners(job->id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s job \"%s\" while it is running",
					what, job->name),
			 errhint("Pause it with streamiter.pause() and wait until its batch has committed.")));
}

/* Finished for good: nothing is left to be kept from running */
static bool
is_over(const SiterJob *job, SiterJobState state)
{
	return !job->repeat && (state == SITER_JOB_FINISHED ||
							state == SITER_JOB_FINISHED_WITH_SKIPS);
}

/*
 * The job's state.  A pause or cancel that was asked for when the last batch
 * was at hand came too late, and is not to be heeded when something has the job
 * run once more.
 */
static SiterJobState
forget_late_requests(SiterJob *job)
{
	SiterJobState state = siter_job_state(job->id);

	if (is_over(job, state) && (job->pause_requested || job->cancel_requested))
	{
		job->pause_requested = job->cancel_requested = false;
		siter_job_update(job);
	}
	return state;
}

Datum
streamiter_alter_job(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	bool		acknowledge = !PG_ARGISNULL(ALTER_ACKNOWLEDGE) &&
	PG_GETARG_BOOL(ALTER_ACKNOWLEDGE);
	SiterJob   *job;

	SPI_connect();
	job = siter_job_get_for_change(name);
	if (acknowledge)
		refuse_running(job, "acknowledge changes of");
	(void) forget_late_requests(job);

	if (!PG_ARGISNULL(ALTER_UNSET))
		unset_settings(PG_GETARG_ARRAYTYPE_P(ALTER_UNSET), job);
	for (int i = 0; i < NSETTINGS; i++)
	{
		if (!PG_ARGISNULL(ALTER_SETTINGS + i))
			read_setting(fcinfo, ALTER_SETTINGS + i, i, job);
	}
	siter_job_check_settings(job);

	if (!PG_ARGISNULL(ALTER_CALLBACK))
	{
		if (job->statement != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("job \"%s\" was made by streamiter.%s() and has no other callback",
							name, job->callback)));
		job->callback = siter_option_text(fcinfo, ALTER_CALLBACK, "callback");
	}
	if (acknowledge || !PG_ARGISNULL(ALTER_CALLBACK) ||
		!PG_ARGISNULL(ALTER_SETTINGS + SETTING_LOCK_ROWS))
		siter_job_redefine(job, acknowledge);
	if (!PG_ARGISNULL(ALTER_SETTINGS + NSETTINGS - 1))
		siter_job_check_throttle_query(job);
	siter_job_update(job);
	SPI_finish();
	PG_RETURN_VOID();
}

static void
refuse_state(const SiterJob *job, const char *what, SiterJobState state,
			 const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s job \"%s\": it is %s",
					what, job->name, siter_job_state_names[state]),
			 hint ? errhint("%s", hint) : 0));
}

Datum
streamiter_pause(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterJob   *job;
	SiterJobState state;

	SPI_connect();
	job = siter_job_get_for_change(name);
	state = siter_job_state(job->id);
	if (is_over(job, state) || state == SITER_JOB_CANCELLED)
		refuse_state(job, "pause", state, NULL);
	if (job->pause_requested)
		ereport(NOTICE,
				(errmsg(state == SITER_JOB_RUNNING ?
						"job \"%s\" is being paused already" :
						"job \"%s\" is paused already", name)));
	else
	{
		job->pause_requested = true;
		siter_job_update(job);
	}
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_resume(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterJob   *job;
	SiterJobState state;

	SPI_connect();
	job = siter_job_get_for_change(name);
	state = forget_late_requests(job);
	if (job->cancel_requested && state == SITER_JOB_RUNNING)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot resume job \"%s\": it is being cancelled",
						name)));
	if (job->cancel_requested)
		refuse_state(job, "resume", SITER_JOB_CANCELLED,
					 _("streamiter.reset() lets it start over."));
	if (!job->pause_requested)
		refuse_state(job, "resume", state,
					 _("Only a job that was paused can be resumed; CALL streamiter.run() goes on with any that has not finished."));
	job->pause_requested = false;
	siter_job_update(job);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_cancel(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterJob   *job;
	SiterJobState state;

	SPI_connect();
	job = siter_job_get_for_change(name);
	state = siter_job_state(job->id);
	if (is_over(job, state))
		refuse_state(job, "cancel", state, NULL);
	if (job->cancel_requested)
		ereport(NOTICE,
				(errmsg(state == SITER_JOB_RUNNING ?
						"job \"%s\" is being cancelled already" :
						"job \"%s\" has been cancelled already", name)));
	else
	{
		job->cancel_requested = true;
		siter_job_update(job);
	}
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_reset(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterJob   *job;

	SPI_connect();
	job = siter_job_get_for_change(name);
	refuse_running(job, "reset");
	siter_ledger_forget(job);
	job->pause_requested = false;
	job->cancel_requested = false;
	siter_job_update(job);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_retry_skipped(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterJob   *job;
	int64		marked;

	SPI_connect();
	job = siter_job_get_for_change(name);
	refuse_running(job, "retry the rows of");
	(void) forget_late_requests(job);
	if (job->cancel_requested)
		refuse_state(job, "retry the rows of", SITER_JOB_CANCELLED, NULL);
	marked = siter_ledger_request_retries(job);
	SPI_finish();
	PG_RETURN_INT64(marked);
}

Datum
streamiter_drop_job(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterJob   *job;

	SPI_connect();
	job = siter_job_get_for_drop(name);
	refuse_running(job, "drop");
	siter_job_delete(job);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_run(PG_FUNCTION_ARGS)
{
	char	   *name;
	SiterBudget budget;

	siter_run_check_context(fcinfo);
	name = siter_option_text(fcinfo, 0, "name");
	budget = siter_run_budget(fcinfo, 1);

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	siter_run(name, &budget);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
streamiter_start(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	SiterBudget budget = siter_run_budget(fcinfo, 1);

	PreventCommandDuringRecovery("streamiter.start()");
	SPI_connect();
	siter_run_start(name, &budget);
	SPI_finish();
	PG_RETURN_VOID();
}

/* NULL for a job that does not exist, or is none of the caller's business */
Datum
streamiter_job_state(PG_FUNCTION_ARGS)
{
	SiterJob   *job;
	const char *state = NULL;

	SPI_connect();
	job = siter_job_by_id(PG_GETARG_INT32(0));
	if (job != NULL && (has_privs_of_role(GetUserId(), job->owner) ||
						has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS)))
		state = siter_job_state_names[siter_job_state(job->id)];
	SPI_finish();

	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(state));
}
