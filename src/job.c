/*-------------------------------------------------------------------------
 *
 * job.c
 *	  Jobs: definition, settings and state.
 *
 * A job's state is nowhere stored, for what is stored stays behind when its
 * writer dies.  It follows from three things: what the owner asked for (in
 * streamiter.job), what the last run came to (in streamiter.run), and whether
 * somebody holds the runner's lock, which goes with the process that holds
 * it.  They cannot be read in one moment; siter_job_state() says how this
 * does no harm.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "job.h"
#include "job_lock.h"
#include "table.h"

const char *const siter_job_state_names[] = {
	[SITER_JOB_READY] = "ready",
	[SITER_JOB_RUNNING] = "running",
	[SITER_JOB_FINISHED] = "finished",
	[SITER_JOB_FINISHED_WITH_SKIPS] = "finished_with_skips",
	[SITER_JOB_FAILED] = "failed",
	[SITER_JOB_CRASHED] = "crashed",
	[SITER_JOB_STOPPED] = "stopped",
	[SITER_JOB_PAUSED] = "paused",
	[SITER_JOB_CANCELLED] = "cancelled",
};

#define JOB_COLUMNS \
	"id, owner::pg_catalog.oid, name, source, callback, statement, key," \
	" chunk_size, on_error, max_skips, recurrence, lock_rows, wait_for_writers," \
	" allow_slow_plan, batch_pause, lock_timeout, max_retries, search_path," \
	" timezone, datestyle, intervalstyle, source_fingerprint," \
	" callback_fingerprint, pause_requested, cancel_requested," \
	" last_forgotten_run, revision, prefetch, prefetch_key, " \
	SITER_PACE_COLUMNS

enum
{
	JOB_ID = 1, JOB_OWNER, JOB_NAME, JOB_SOURCE, JOB_CALLBACK,
	JOB_STATEMENT, JOB_KEY, JOB_CHUNK_SIZE, JOB_ON_ERROR, JOB_MAX_SKIPS, JOB_RECURRENCE,
	JOB_LOCK_ROWS, JOB_WAIT_FOR_WRITERS, JOB_ALLOW_SLOW_PLAN,
	JOB_BATCH_PAUSE, JOB_LOCK_TIMEOUT, JOB_MAX_RETRIES, JOB_SEARCH_PATH,
	JOB_TIMEZONE, JOB_DATESTYLE, JOB_INTERVALSTYLE, JOB_SOURCE_FINGERPRINT,
	JOB_CALLBACK_FINGERPRINT, JOB_PAUSE_REQUESTED, JOB_CANCEL_REQUESTED,
	JOB_LAST_FORGOTTEN_RUN, JOB_REVISION, JOB_PREFETCH, JOB_PREFETCH_KEY,
	JOB_PACE
};

static SiterTableStatement find_job = {
	"SELECT " JOB_COLUMNS " FROM streamiter.job"
	" WHERE owner OPERATOR(pg_catalog.=) $1"
	" AND name OPERATOR(pg_catalog.=) $2",
	2, {OIDOID, TEXTOID}
};

static SiterTableStatement find_job_for_change = {
	"SELECT " JOB_COLUMNS " FROM streamiter.job"
	" WHERE owner OPERATOR(pg_catalog.=) $1"
	" AND name OPERATOR(pg_catalog.=) $2"
	" FOR NO KEY UPDATE",
	2, {OIDOID, TEXTOID}
};

/* Roles are dropped without asking us */
static SiterTableStatement find_ownerless_job = {
	"SELECT " JOB_COLUMNS " FROM streamiter.job"
	" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r"
	"  WHERE r.oid OPERATOR(pg_catalog.=) owner)"
	" AND name OPERATOR(pg_catalog.=) $1"
	" ORDER BY id LIMIT 1 FOR NO KEY UPDATE",
	1, {TEXTOID}
};

static SiterTableStatement find_job_by_id = {
	"SELECT " JOB_COLUMNS " FROM streamiter.job"
	" WHERE id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement find_revision = {
	"SELECT revision FROM streamiter.job"
	" WHERE id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement find_writer = {
	"SELECT xmin FROM streamiter.job WHERE id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement find_namesake = {
	"SELECT r.rolname FROM streamiter.job j"
	" JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) j.owner"
	" WHERE j.name OPERATOR(pg_catalog.=) $1"
	" ORDER BY r.rolname LIMIT 1",
	1, {TEXTOID}
};

static SiterTableStatement insert_job = {
	"INSERT INTO streamiter.job"
	" (owner, name, source, callback, statement, key, chunk_size, on_error, max_skips,"
	"  recurrence, lock_rows, wait_for_writers, allow_slow_plan, batch_pause,"
	"  lock_timeout, max_retries, search_path, timezone, datestyle,"
	"  intervalstyle, source_fingerprint, callback_fingerprint,"
	"  prefetch, prefetch_key, " SITER_PACE_COLUMNS ")"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	"  $14 OPERATOR(pg_catalog.*) interval '1 ms',"
	"  $15 OPERATOR(pg_catalog.*) interval '1 ms',"
	"  $16, $17, $18, $19, $20, $21, $22,"
	"  $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)"
	" ON CONFLICT (owner, name) DO NOTHING"
	" RETURNING id",
	24 + SITER_NPACE_SETTINGS,
	{OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT4OID, TEXTOID,
		INT8OID, TEXTOID, TEXTOID, BOOLOID, BOOLOID, FLOAT8OID, FLOAT8OID,
		INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID,
	SITER_PACE_TYPES}
};

static SiterTableStatement update_job = {
	"UPDATE streamiter.job SET callback = $2, chunk_size = $3,"
	"  on_error = $4, max_skips = $5, recurrence = $6, lock_rows = $7,"
	"  wait_for_writers = $8, allow_slow_plan = $9,"
	"  batch_pause = $10 OPERATOR(pg_catalog.*) interval '1 ms',"
	"  lock_timeout = $11 OPERATOR(pg_catalog.*) interval '1 ms',"
	"  max_retries = $12, source_fingerprint = $13,"
	"  callback_fingerprint = $14, pause_requested = $15,"
	"  cancel_requested = $16, last_forgotten_run = $17,"
	"  (" SITER_PACE_COLUMNS ") ="
	"   ROW($18, $19, $20, $21, $22, $23, $24, $25),"
	"  revision = revision OPERATOR(pg_catalog.+) 1"
	" WHERE id OPERATOR(pg_catalog.=) $1",
	17 + SITER_NPACE_SETTINGS,
	{INT4OID, TEXTOID, INT4OID, TEXTOID, INT8OID, TEXTOID, TEXTOID,
		BOOLOID, BOOLOID, FLOAT8OID, FLOAT8OID, INT4OID, TEXTOID, TEXTOID,
	BOOLOID, BOOLOID, INT8OID, SITER_PACE_TYPES}
};

static SiterTableStatement delete_job = {
	"DELETE FROM streamiter.job WHERE id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

/* What the state follows from; see siter_job_state() */
static SiterTableStatement look_at_job = {
	"SELECT r.id, r.outcome, j.recurrence OPERATOR(pg_catalog.=) 'repeat',"
	"  j.pause_requested, j.cancel_requested,"
	"  EXISTS (SELECT FROM streamiter.skipped_row k"
	"   WHERE k.job_id OPERATOR(pg_catalog.=) j.id),"
	"  EXISTS (SELECT FROM streamiter.skipped_row k"
	"   WHERE k.job_id OPERATOR(pg_catalog.=) j.id AND k.retry_requested)"
	" FROM streamiter.job j"
	" LEFT JOIN LATERAL (SELECT * FROM streamiter.run"
	"  WHERE job_id OPERATOR(pg_catalog.=) j.id"
	"  AND id OPERATOR(pg_catalog.>) j.last_forgotten_run"
	"  ORDER BY id DESC LIMIT 1) r ON true"
	" WHERE j.id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

/* What siter_job_state() has read of a job */
typedef struct JobFacts
{
	int64		run_id;			/* 0: it has not run */
	char	   *outcome;		/* of the last run, NULL: none yet */
	bool		repeat;
	bool		pause_requested;
	bool		cancel_requested;
	bool		has_skips;
	bool		has_retries;
} JobFacts;

static SiterJob *find(SiterTableStatement *statement, const char *name);
pg_noreturn static void refuse_name(const char *name);
static SiterJob *job_from_row(void);
static SiterJobState resting_state(const JobFacts *facts);
static SiterJobState finished_state(const JobFacts *facts);
static SiterJobState unfinished_state(const JobFacts *facts);

SiterJob *
siter_job_find(const char *name)
{
	return find(&find_job, name);
}

SiterJob *
siter_job_get(const char *name)
{
	SiterJob   *job = find(&find_job, name);

	if (job == NULL)
		refuse_name(name);
	return job;
}

SiterJob *
siter_job_get_for_change(const char *name)
{
	SiterJob   *job = find(&find_job_for_change, name);

	if (job == NULL)
		refuse_name(name);
	return job;
}

SiterJob *
siter_job_get_for_drop(const char *name)
{
	SiterTableValue value = siter_table_text_param(name);
	SiterJob   *job = find(&find_job_for_change, name);

	if (job == NULL && superuser())
	{
		if (siter_table_execute(&find_ownerless_job, &value) > 0)
			job = job_from_row();
		SPI_freetuptable(SPI_tuptable);
	}
	if (job == NULL)
		refuse_name(name);
	return job;
}

static SiterJob *
find(SiterTableStatement *statement, const char *name)
{
	SiterTableValue values[2];
	SiterJob   *job = NULL;

	values[0] = SITER_VALUE(ObjectIdGetDatum(GetUserId()));
	values[1] = siter_table_text_param(name);
	if (siter_table_execute(statement, values) > 0)
		job = job_from_row();
	SPI_freetuptable(SPI_tuptable);
	return job;
}

/* The current user has no such job: does another? */
static void
refuse_name(const char *name)
{
	SiterTableValue value = siter_table_text_param(name);
	char	   *owner;

	if (siter_table_execute(&find_namesake, &value) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job \"%s\" does not exist", name),
				 errhint("The view streamiter.jobs shows the jobs there are.")));
	owner = siter_table_text(0, 1);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("job \"%s\" belongs to another role", name),
			 errdetail("Its owner is \"%s\", the current user is \"%s\".",
					   owner, GetUserNameFromId(GetUserId(), false)),
			 errhint("Only its owner may do that; those who may act for the owner use SET ROLE %s first.",
					 quote_identifier(owner))));
}

SiterJob *
siter_job_by_id(int32 id)
{
	SiterTableValue value = SITER_VALUE(Int32GetDatum(id));
	SiterJob   *job = NULL;

	if (siter_table_execute(&find_job_by_id, &value) > 0)
		job = job_from_row();
	SPI_freetuptable(SPI_tuptable);
	return job;
}

SiterJob *
siter_job_refresh(SiterJob *job, bool *changed)
{
	SiterTableValue value = SITER_VALUE(Int32GetDatum(job->id));
	MemoryContext oldcontext;
	SiterJob   *fresh = NULL;
	bool		found;

	found = siter_table_execute(&find_revision, &value) > 0;
	*changed = !found || siter_table_int64(0, 1) != job->revision;
	SPI_freetuptable(SPI_tuptable);
	if (!*changed)
		return job;

	oldcontext = MemoryContextSwitchTo(MemoryContextGetParent(job->context));
	if (found)
		fresh = siter_job_by_id(job->id);
	MemoryContextSwitchTo(oldcontext);
	if (fresh == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job \"%s\" has been dropped", job->name)));
	siter_job_free(job);
	return fresh;
}

void
siter_job_free(SiterJob *job)
{
	MemoryContextDelete(job->context);
}

/* An interval in ms; a month counts as 30 days, as in comparisons */
static int64
interval_to_ms(SiterTableValue value)
{
	Interval   *interval = DatumGetIntervalP(value.value);
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;

	return days * (SECS_PER_DAY * INT64CONST(1000)) + interval->time / 1000;
}

/* The first row of SPI_tuptable as a job */
static SiterJob *
job_from_row(void)
{
	MemoryContext context;
	MemoryContext oldcontext;
	SiterJob   *job;
	Datum	   *names;
	int			nnames;

	context = AllocSetContextCreate(CurrentMemoryContext, "streamiter job",
									ALLOCSET_SMALL_SIZES);
	oldcontext = MemoryContextSwitchTo(context);

	job = palloc0_object(SiterJob);
	job->context = context;
	job->id = siter_table_int32(0, JOB_ID);
	job->owner = DatumGetObjectId(siter_table_value(0, JOB_OWNER).value);
	job->name = siter_table_text(0, JOB_NAME);
	job->source = siter_table_text(0, JOB_SOURCE);
	job->callback = siter_table_text(0, JOB_CALLBACK);
	job->statement = siter_table_text(0, JOB_STATEMENT);
	deconstruct_array(DatumGetArrayTypeP(siter_table_value(0, JOB_KEY).value),
					  TEXTOID, -1, false, TYPALIGN_INT,
					  &names, NULL, &nnames);
	for (int i = 0; i < nnames; i++)
		job->key = lappend(job->key, TextDatumGetCString(names[i]));

	job->chunk_size = siter_table_int32(0, JOB_CHUNK_SIZE);
	job->skip_errors = strcmp(siter_table_text(0, JOB_ON_ERROR), "skip") == 0;
	job->max_skips = siter_table_int64(0, JOB_MAX_SKIPS);
	job->repeat = strcmp(siter_table_text(0, JOB_RECURRENCE), "repeat") == 0;
	job->lock_rows = strcmp(siter_table_text(0, JOB_LOCK_ROWS), "update") == 0;
	job->wait_for_writers = siter_table_bool(0, JOB_WAIT_FOR_WRITERS);
	job->allow_slow_plan = siter_table_bool(0, JOB_ALLOW_SLOW_PLAN);
	job->batch_pause = interval_to_ms(siter_table_value(0, JOB_BATCH_PAUSE));
	job->lock_timeout = interval_to_ms(siter_table_value(0, JOB_LOCK_TIMEOUT));
	job->max_retries = siter_table_int32(0, JOB_MAX_RETRIES);

	job->search_path = siter_table_text(0, JOB_SEARCH_PATH);
	job->timezone = siter_table_text(0, JOB_TIMEZONE);
	job->datestyle = siter_table_text(0, JOB_DATESTYLE);
	job->intervalstyle = siter_table_text(0, JOB_INTERVALSTYLE);
	job->source_fingerprint = siter_table_text(0, JOB_SOURCE_FINGERPRINT);
	job->callback_fingerprint = siter_table_text(0, JOB_CALLBACK_FINGERPRINT);

	job->pause_requested = siter_table_bool(0, JOB_PAUSE_REQUESTED);
	job->cancel_requested = siter_table_bool(0, JOB_CANCEL_REQUESTED);
	job->last_forgotten_run = siter_table_int64(0, JOB_LAST_FORGOTTEN_RUN);
	job->revision = siter_table_int64(0, JOB_REVISION);
	job->prefetch.query = siter_table_text(0, JOB_PREFETCH);
	job->prefetch.key = siter_table_text(0, JOB_PREFETCH_KEY);
	siter_pace_settings_from_row(&job->pace, JOB_PACE);

	MemoryContextSwitchTo(oldcontext);
	return job;
}

void
siter_job_check_settings(const SiterJob *job)
{
	if (job->chunk_size != 0)
		(void) siter_guc_check_chunk_size(job->chunk_size);
	if (job->max_skips < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_skips must not be negative")));
	if (job->batch_pause < 0 || job->batch_pause > SITER_MAX_BATCH_PAUSE_MS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_pause must be between 0 and one day")));
	if (job->lock_timeout < 0 || job->lock_timeout > INT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lock_timeout must be between 0 and 24 days")));
	if (job->max_retries < 0 || job->max_retries > SITER_MAX_RETRIES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_retries must be between 0 and %d",
						SITER_MAX_RETRIES)));
	siter_pace_settings_check(&job->pace, job->chunk_size);
}

/* Those parameters that INSERT and UPDATE share, in their order */
static int
setting_params(const SiterJob *job, SiterTableValue *values)
{
	int			n = 0;

	values[n++] = job->chunk_size == 0 ? SITER_NULL :
		SITER_VALUE(Int32GetDatum(job->chunk_size));
	values[n++] = siter_table_text_param(job->skip_errors ? "skip" : "stop");
	values[n++] = SITER_VALUE(Int64GetDatum(job->max_skips));
	values[n++] = siter_table_text_param(job->repeat ? "repeat" : "once");
	values[n++] = siter_table_text_param(job->lock_rows ? "update" : "none");
	values[n++] = SITER_VALUE(BoolGetDatum(job->wait_for_writers));
	values[n++] = SITER_VALUE(BoolGetDatum(job->allow_slow_plan));
	values[n++] = SITER_VALUE(Float8GetDatum((double) job->batch_pause));
	values[n++] = SITER_VALUE(Float8GetDatum((double) job->lock_timeout));
	values[n++] = SITER_VALUE(Int32GetDatum(job->max_retries));
	return n;
}

bool
siter_job_insert(SiterJob *job)
{
	SiterTableValue values[SITER_TABLE_MAX_PARAMS];
	ListCell   *lc;
	Datum	   *names = palloc_array(Datum, list_length(job->key));
	int			n = 0;

	foreach(lc, job->key)
		names[n++] = CStringGetTextDatum((char *) lfirst(lc));

	n = 0;
	values[n++] = SITER_VALUE(ObjectIdGetDatum(job->owner));
	values[n++] = siter_table_text_param(job->name);
	values[n++] = siter_table_text_param(job->source);
	values[n++] = siter_table_text_param(job->callback);
	values[n++] = siter_table_text_param(job->statement);
	values[n++] = SITER_VALUE(PointerGetDatum(construct_array(names,
															  list_length(job->key),
															  TEXTOID, -1, false, TYPALIGN_INT)));
	n += setting_params(job, &values[n]);
	values[n++] = siter_table_text_param(job->search_path);
	values[n++] = siter_table_text_param(job->timezone);
	values[n++] = siter_table_text_param(job->datestyle);
	values[n++] = siter_table_text_param(job->intervalstyle);
	values[n++] = siter_table_text_param(job->source_fingerprint);
	values[n++] = siter_table_text_param(job->callback_fingerprint);
	values[n++] = siter_table_text_param(job->prefetch.query);
	values[n++] = siter_table_text_param(job->prefetch.key);
	siter_pace_settings_to_params(&job->pace, &values[n]);
	Assert(n + SITER_NPACE_SETTINGS == insert_job.nparams);

	if (siter_table_execute(&insert_job, values) == 0)
		return false;
	job->id = siter_table_int32(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

void
siter_job_update(SiterJob *job)
{
	SiterTableValue values[SITER_TABLE_MAX_PARAMS];
	int			n = 0;

	values[n++] = SITER_VALUE(Int32GetDatum(job->id));
	values[n++] = siter_table_text_param(job->callback);
	n += setting_params(job, &values[n]);
	values[n++] = siter_table_text_param(job->source_fingerprint);
	values[n++] = siter_table_text_param(job->callback_fingerprint);
	values[n++] = SITER_VALUE(BoolGetDatum(job->pause_requested));
	values[n++] = SITER_VALUE(BoolGetDatum(job->cancel_requested));
	values[n++] = SITER_VALUE(Int64GetDatum(job->last_forgotten_run));
	siter_pace_settings_to_params(&job->pace, &values[n]);
	Assert(n + SITER_NPACE_SETTINGS == update_job.nparams);

	(void) siter_table_execute(&update_job, values);
}

void
siter_job_delete(const SiterJob *job)
{
	SiterTableValue value = SITER_VALUE(Int32GetDatum(job->id));

	(void) siter_table_execute(&delete_job, &value);
}

bool
siter_job_is_uncommitted(int32 id)
{
	SiterTableValue value = SITER_VALUE(Int32GetDatum(id));
	bool		ours = false;

	if (siter_table_execute(&find_writer, &value) > 0)
		ours = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(siter_table_value(0, 1).value));
	SPI_freetuptable(SPI_tuptable);
	return ours;
}

static JobFacts
look(int32 id)
{
	SiterTableValue value = SITER_VALUE(Int32GetDatum(id));
	JobFacts	facts = {0};

	if (siter_table_look(&look_at_job, &value) > 0)
	{
		facts.run_id = siter_table_int64(0, 1);
		facts.outcome = siter_table_text(0, 2);
		facts.repeat = siter_table_bool(0, 3);
		facts.pause_requested = siter_table_bool(0, 4);
		facts.cancel_requested = siter_table_bool(0, 5);
		facts.has_skips = siter_table_bool(0, 6);
		facts.has_retries = siter_table_bool(0, 7);
	}
	SPI_freetuptable(SPI_tuptable);
	return facts;
}

/*
 * A runner inserts its row after it has got the lock and fills in the outcome
 * before it gives the lock back.  So if a row without outcome was there, and
 * then nobody had the lock, and then the row still has no outcome, nobody is
 * going to fill it in.
 */
SiterJobState
siter_job_state(int32 id)
{
	int64		suspect = 0;
	JobFacts	facts;

	for (;;)
	{
		facts = look(id);
		if (siter_job_runner_pid(id) != 0)
			return SITER_JOB_RUNNING;
		if (facts.run_id == suspect || facts.outcome != NULL)
			break;
		suspect = facts.run_id;
	}
	return resting_state(&facts);
}

SiterJobState
siter_job_resting_state(int32 id)
{
	JobFacts	facts = look(id);

	return resting_state(&facts);
}

static SiterJobState
resting_state(const JobFacts *facts)
{
	bool		finished;

	finished = facts->outcome != NULL &&
		strcmp(facts->outcome, "finished") == 0;
	if (finished && facts->has_retries)
		finished = false;
	else if (finished && !facts->repeat)
		return finished_state(facts);

	if (facts->cancel_requested)
		return SITER_JOB_CANCELLED;
	if (facts->pause_requested)
		return SITER_JOB_PAUSED;
	if (finished)
		return finished_state(facts);
	return unfinished_state(facts);
}

static SiterJobState
finished_state(const JobFacts *facts)
{
	return facts->has_skips ?
		SITER_JOB_FINISHED_WITH_SKIPS : SITER_JOB_FINISHED;
}

/* Neither at its end nor kept from getting there */
static SiterJobState
unfinished_state(const JobFacts *facts)
{
	if (facts->run_id == 0)
		return SITER_JOB_READY;
	if (facts->outcome == NULL || strcmp(facts->outcome, "crashed") == 0)
		return SITER_JOB_CRASHED;
	if (strcmp(facts->outcome, "failed") == 0)
		return SITER_JOB_FAILED;
	if (strcmp(facts->outcome, "finished") == 0)
		return SITER_JOB_READY; /* but for rows to be tried again */
	return SITER_JOB_STOPPED;
}

static void
set_for_job(const char *setting, const char *value)
{
	const char *current = GetConfigOption(setting, true, false);

	if (current == NULL || strcmp(current, value) != 0)
		(void) set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

int
siter_job_enter_settings(const SiterJob *job)
{
	int			nestlevel = NewGUCNestLevel();

	set_for_job("search_path", job->search_path);
	set_for_job("TimeZone", job->timezone);
	set_for_job("DateStyle", job->datestyle);
	set_for_job("IntervalStyle", job->intervalstyle);
	if (job->lock_timeout > 0)
		set_for_job("lock_timeout",
					psprintf(INT64_FORMAT, job->lock_timeout));
	return nestlevel;
}
