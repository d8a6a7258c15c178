/*-------------------------------------------------------------------------
 *
 * pace.c
 *	  Waiting between a job's batches, and how large they are.
 *
 * A wait is cut into slices of half a second.  Each is a transaction that
 * does nothing but wait, so that it holds no snapshot and keeps no vacuum
 * from its work; between two of them the job's row is read, in which other
 * sessions ask for a pause or change settings.  Replicas and the throttle
 * query are looked at only when nothing else would make us wait.  A query that
 * does not answer is a wait too, and cut into slices like any other: it is
 * cancelled and asked again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/instrument.h"
#include "lib/stringinfo.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "batch_timer.h"
#include "compat.h"
#include "failure.h"
#include "guc.h"
#include "job_progress.h"
#include "pace.h"
#include "throttle_query.h"

#define MAX_SLICE SITER_MS(500)

/* A shorter wait is not worth showing in pg_stat_activity */
#define MIN_SHOWN SITER_MS(100)

/* Before a throttle query that took too long is asked again */
#define REST_AFTER_CUT_OFF SITER_MS(100)

/* Between attempts to ask a throttle query that fails: this, twice this ... */
#define MIN_ASK_AGAIN SITER_MS(500)
#define MAX_ASK_AGAIN SITER_MS(60000)

void		(*siter_throttle_reason_hook) (const char *reason,
										   const char *detail);

static SiterThrottleReason current_reason = SITER_THROTTLE_NONE;

static SiterThrottleSettings settings_of(const SiterJob *job);
static void set_adapt(SiterAdapt *adapt, const SiterJob *job);
static bool is_over(SiterRunner *runner, SiterOutcome *outcome);
static SiterTime time_left(const SiterBudget *budget);
static ErrorData *wait_a_slice(SiterRunner *runner, SiterThrottleWait wait,
							   SiterTime at_most);
static void sleep_slice(SiterRunner *runner);
static uint32 wait_event(SiterThrottleReason reason);
static ErrorData *check_server(SiterRunner *runner);
static void look_at_job(SiterRunner *runner);
static void look_at_server(SiterRunner *runner);
static bool query_says_wait(SiterRunner *runner);
static bool replicas_lag(SiterRunner *runner);
static void warn_of_replicas(SiterRunner *runner, const SiterReplica *slowest);
static bool was_cut_off(SiterRunner *runner, ErrorData *error,
						SiterTime began);
static ErrorData *after_failed_ask(SiterRunner *runner, ErrorData *error);
static bool may_ask_again(SiterRunner *runner, const ErrorData *error);
static void show(SiterRunner *runner, SiterThrottleReason reason);
static void show_activity(SiterRunner *runner);

static SiterThrottleSettings
settings_of(const SiterJob *job)
{
	SiterThrottleSettings settings;

	settings.batch_pause = job->batch_pause;
	settings.max_rows_per_second = job->pace.max_rows_per_second;
	settings.max_wal_rate = job->pace.max_wal_rate;
	settings.max_replica_lag = job->pace.max_replica_lag;
	settings.throttle_query = job->pace.throttle_query;
	return settings;
}

ErrorData *
siter_pace_wait(SiterRunner *runner, const SiterBudget *budget,
				SiterOutcome *outcome)
{
	SiterThrottle *throttle = &runner->pacer.throttle;
	ErrorData  *error = NULL;

	*outcome = SITER_OUTCOME_NONE;
	while (error == NULL)
	{
		SiterThrottleSettings settings = settings_of(runner->job);
		SiterTime	now = siter_clock->now();
		SiterThrottleWait wait;

		/* the rates are the job's, and so they are shared */
		throttle->share = 1.0 / siter_team_nworking(runner->team);
		wait = siter_throttle_decide(throttle, &settings, now);
		if (wait.reason == SITER_THROTTLE_NONE)
		{
			if (!siter_throttle_must_check(throttle, &settings, now))
				break;
			error = check_server(runner);
		}
		else
		{
			SiterTime	left = time_left(budget);

			if (left <= 0)
			{
				*outcome = SITER_OUTCOME_STOPPED;
				break;
			}
			error = wait_a_slice(runner, wait, left);
			siter_job_progress_tell(runner);
			if (error == NULL && siter_clock->now() < wait.until)
				error = siter_runner_transact(runner, look_at_job, SITER_SNAPSHOT_ANY);
		}
		if (error == NULL && is_over(runner, outcome))
			break;
	}
	show(runner, SITER_THROTTLE_NONE);
	return error;
}

ErrorData *
siter_pace_wait_for(SiterRunner *runner, SiterWork work,
					SiterThrottleReason reason, const SiterBudget *budget,
					SiterOutcome *outcome)
{
	SiterTime	began = siter_clock->now();
	bool		waited = false;
	ErrorData  *error;

	*outcome = SITER_OUTCOME_NONE;
	for (;;)
	{
		error = siter_runner_transact(runner, work, SITER_SNAPSHOT_NONE);
		if (error == NULL || error->sqlerrcode != SITER_ERRCODE_TIMEOUT)
			break;
		FreeErrorData(error);
		waited = true;
		show(runner, reason);
		siter_job_progress_tell(runner);
		error = siter_runner_transact(runner, look_at_job, SITER_SNAPSHOT_ANY);
		if (error != NULL || is_over(runner, outcome))
			break;
		if (time_left(budget) <= 0)
		{
			*outcome = SITER_OUTCOME_STOPPED;
			break;
		}
	}
	if (waited)
		siter_team_add_wait(runner->team, reason,
							siter_clock->now() - began);
	show(runner, SITER_THROTTLE_NONE);
	return error;
}

static bool
is_over(SiterRunner *runner, SiterOutcome *outcome)
{
	if (runner->job->cancel_requested)
		*outcome = SITER_OUTCOME_CANCELLED;
	else if (runner->job->pause_requested)
		*outcome = SITER_OUTCOME_PAUSED;
	else
		*outcome = siter_team_outcome(runner->team, runner->member);
	return *outcome != SITER_OUTCOME_NONE;
}

static SiterTime
time_left(const SiterBudget *budget)
{
	if (budget == NULL || budget->deadline == 0)
		return MAX_SLICE;
	return budget->deadline - GetCurrentTimestamp();
}

static ErrorData *
wait_a_slice(SiterRunner *runner, SiterThrottleWait wait, SiterTime at_most)
{
	SiterPacer *pacer = &runner->pacer;
	SiterTime	began = siter_clock->now();
	ErrorData  *error;

	pacer->slice = Min(Min(wait.until - began, MAX_SLICE), at_most);
	if (wait.until - began >= MIN_SHOWN)
		show(runner, wait.reason);
	pacer->reason = wait.reason;
	error = siter_runner_transact(runner, sleep_slice, SITER_SNAPSHOT_NONE);
	siter_team_add_wait(runner->team, wait.reason,
						siter_clock->now() - began);
	if (runner->job->pace.max_replica_lag > 0)
		siter_replicas_note(&pacer->replicas);
	return error;
}

static void
sleep_slice(SiterRunner *runner)
{
	siter_clock->wait(runner->pacer.slice, wait_event(runner->pacer.reason));
}

static uint32
wait_event(SiterThrottleReason reason)
{
	static const char *const names[] = {
		[SITER_THROTTLE_BATCH_PAUSE] = "StreamIterBatchPause",
		[SITER_THROTTLE_RETRY] = "StreamIterRetry",
		[SITER_THROTTLE_ROWS] = "StreamIterRowRate",
		[SITER_THROTTLE_WAL] = "StreamIterWalRate",
		[SITER_THROTTLE_LAG] = "StreamIterReplicaLag",
		[SITER_THROTTLE_QUERY] = "StreamIterThrottleQuery",
	};
	static uint32 events[SITER_THROTTLE_NREASONS];

	if (events[reason] == 0)
		events[reason] = siter_wait_event(names[reason]);
	return events[reason];
}

static ErrorData *
check_server(SiterRunner *runner)
{
	SiterPacer *pacer = &runner->pacer;
	SiterTime	began = siter_clock->now();
	ErrorData  *error;

	pacer->asking = false;
	error = siter_runner_transact(runner, look_at_server, SITER_SNAPSHOT_ANY);
	if (error != NULL && pacer->asking)
	{
		if (was_cut_off(runner, error, began))
			return NULL;
		pacer->cut_off_since = 0;
		return after_failed_ask(runner, error);
	}
	pacer->cut_off_since = 0;
	pacer->failed_asks = 0;
	return error;
}

static void
look_at_job(SiterRunner *runner)
{
	siter_attempt_refresh(runner);
}

static void
look_at_server(SiterRunner *runner)
{
	SiterPacer *pacer = &runner->pacer;
	SiterJob   *job;
	bool		lagging = false;
	bool		must_wait = false;

	siter_attempt_refresh(runner);
	job = runner->job;
	if (job->pause_requested || job->cancel_requested)
		return;

	if (job->pace.max_replica_lag > 0)
		lagging = replicas_lag(runner);

	/* while replicas lag its answer would change nothing */
	if (job->pace.throttle_query != NULL && !lagging)
		must_wait = query_says_wait(runner);
	siter_throttle_checked(&pacer->throttle, siter_clock->now(),
						   lagging, must_wait);
}

/* Whoever looks while it is asked has to see what we wait for */
static bool
query_says_wait(SiterRunner *runner)
{
	SiterPacer *pacer = &runner->pacer;
	int			nestlevel = siter_job_enter_settings(runner->job);
	bool		wait;

	pacer->asking = true;
	if (current_reason != SITER_THROTTLE_QUERY)
	{
		strlcpy(pacer->detail, "no answer yet", sizeof(pacer->detail));
		show(runner, SITER_THROTTLE_QUERY);
	}
	siter_batch_timer_start(SITER_THROTTLE_QUERY_TIMEOUT_MS,
							_("throttle_query took longer than 500 ms"));
	wait = siter_throttle_query_ask(runner->job->pace.throttle_query);
	pacer->asking = false;
	AtEOXact_GUC(true, nestlevel);
	if (wait)
		strlcpy(pacer->detail, "it says so", sizeof(pacer->detail));
	return wait;
}

static bool
replicas_lag(SiterRunner *runner)
{
	SiterPacer *pacer = &runner->pacer;
	const SiterReplica *slowest = siter_replicas_look(&pacer->replicas);
	bool		lagging;

	lagging = slowest != NULL &&
		slowest->lag > SITER_MS(runner->job->pace.max_replica_lag);
	if (lagging)
		snprintf(pacer->detail, sizeof(pacer->detail),
				 "replica %s is %.1f s behind%s", slowest->name,
				 (double) slowest->lag / SITER_SECOND,
				 slowest->connected ? "" : " and not connected");
	if (slowest == NULL || (lagging && !slowest->connected))
		warn_of_replicas(runner, slowest);
	return lagging;
}

/* Once in a run */
static void
warn_of_replicas(SiterRunner *runner, const SiterReplica *slowest)
{
	SiterPacer *pacer = &runner->pacer;

	if (pacer->warned)
		return;
	pacer->warned = true;
	if (slowest == NULL)
		ereport(WARNING,
				(errmsg("job \"%s\" has a max_replica_lag, but there is no replica",
						runner->job->name),
				 errdetail("No standby server is connected, and no physical replication slot has been used.")));
	else
		ereport(WARNING,
				(errmsg("job \"%s\" waits for replica \"%s\", which is not connected",
						runner->job->name, slowest->name),
				 errhint("If it is not to come back, drop its replication slot if it has one, or unset max_replica_lag and set it again in the next run.")));
}

/*
 * True if the query took too long, but not yet for too long.  It is asked
 * again, with a look at the job before.
 */
static bool
was_cut_off(SiterRunner *runner, ErrorData *error, SiterTime began)
{
	SiterPacer *pacer = &runner->pacer;
	SiterTime	now = siter_clock->now();

	if (error->sqlerrcode != SITER_ERRCODE_TIMEOUT)
		return false;
	siter_team_add_wait(runner->team, SITER_THROTTLE_QUERY, now - began);
	if (pacer->cut_off_since == 0)
		pacer->cut_off_since = began;
	if (now - pacer->cut_off_since >=
		SITER_MS(SITER_THROTTLE_QUERY_PATIENCE_MS))
	{
		error->detail = MemoryContextStrdup(runner->context,
											_("It was asked again and again for 5 s."));
		return false;
	}
	FreeErrorData(error);
	siter_throttle_ask_again(&pacer->throttle, now + REST_AFTER_CUT_OFF);
	return true;
}

/*
 * Not to know is to wait; but not for ever, and not without a word.  Asked
 * again after twice the time and twice that, max_retries times.
 */
static ErrorData *
after_failed_ask(SiterRunner *runner, ErrorData *error)
{
	SiterPacer *pacer = &runner->pacer;
	SiterTime	again = MIN_ASK_AGAIN << Min(pacer->failed_asks, 16);

	if (!may_ask_again(runner, error))
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);

		error->context = psprintf("%s%sthrottle_query of job \"%s\"",
								  error->context ? error->context : "",
								  error->context ? "\n" : "",
								  runner->job->name);
		MemoryContextSwitchTo(oldcontext);
		return error;
	}

	if (pacer->failed_asks == 0)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("job \"%s\" waits, since its throttle_query does not answer: %s",
						runner->job->name, error->message),
				 errdetail("It is asked again up to %d times.",
						   runner->job->max_retries)));
	pacer->failed_asks++;
	snprintf(pacer->detail, sizeof(pacer->detail), "error: %s",
			 error->message);
	FreeErrorData(error);
	siter_throttle_ask_again(&pacer->throttle,
							 siter_clock->now() + Min(again, MAX_ASK_AGAIN));
	return NULL;
}

/* An error that is in the query, or in what it finds, is there to stay */
static bool
may_ask_again(SiterRunner *runner, const ErrorData *error)
{
	if (siter_failure_classify(error->sqlerrcode) == SITER_FAILURE_FATAL)
		return false;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_FEATURE_NOT_SUPPORTED:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION:
		case ERRCODE_INVALID_CATALOG_NAME:
		case ERRCODE_INVALID_SCHEMA_NAME:
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
			return false;
	}
	return runner->pacer.failed_asks < runner->job->max_retries;
}

void
siter_pace_retry_after(SiterRunner *runner, int64 ms)
{
	runner->pacer.throttle.retry_at = siter_clock->now() + SITER_MS(ms);
}

static void
set_adapt(SiterAdapt *adapt, const SiterJob *job)
{
	SiterAdaptSettings settings;

	settings.chunk_size = job->chunk_size > 0 ?
		job->chunk_size : siter_chunk_size;
	settings.min_chunk_size = (int) job->pace.min_chunk_size;
	settings.max_chunk_size = (int) job->pace.max_chunk_size;
	settings.target_batch_time = job->pace.target_batch_time;
	settings.batch_timeout = job->pace.batch_timeout;
	siter_adapt_set(adapt, &settings);
}

int
siter_pace_first_limit(const SiterJob *job)
{
	SiterAdapt	adapt = {0};

	set_adapt(&adapt, job);
	return siter_adapt_size(&adapt);
}

int
siter_pace_usual_limit(SiterRunner *runner)
{
	set_adapt(&runner->pacer.adapt, runner->job);
	return siter_adapt_size(&runner->pacer.adapt);
}

void
siter_pace_choose_limit(SiterRunner *runner)
{
	runner->limit = siter_pace_usual_limit(runner);
	if (runner->trouble.limit > 0)
		runner->limit = Min(runner->limit, runner->trouble.limit);
	if (runner->pacer.rows_left >= 0)
		runner->limit = (int) Min(runner->limit, runner->pacer.rows_left);
}

void
siter_pace_begin_batch(SiterRunner *runner)
{
	SiterPacer *pacer = &runner->pacer;
	SiterThrottleSettings settings = settings_of(runner->job);

	pacer->batch_began = siter_clock->now();
	pacer->wal_before = pgWalUsage.wal_bytes;
	if (settings.max_replica_lag > 0)
		siter_replicas_note(&pacer->replicas);
	siter_throttle_begin_batch(&pacer->throttle, &settings,
							   pacer->batch_began);
}

void
siter_pace_end_batch(SiterRunner *runner, bool committed)
{
	SiterPacer *pacer = &runner->pacer;
	SiterTime	now = siter_clock->now();
	int64		rows = committed ? runner->attempt.count.rows : 0;

	siter_throttle_end_batch(&pacer->throttle, now, rows,
							 pgWalUsage.wal_bytes - pacer->wal_before);
	if (committed)
		siter_adapt_batch(&pacer->adapt, runner->limit, (int) rows,
						  now - pacer->batch_began);
	if (runner->job->pace.max_replica_lag > 0)
		siter_replicas_note(&pacer->replicas);
}

void
siter_pace_timed_out(SiterRunner *runner, int nrows)
{
	siter_adapt_timeout(&runner->pacer.adapt, nrows);
}

char *
siter_pace_waits(const SiterRunner *runner)
{
	const SiterTime *waited = runner->team->waited;
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < SITER_THROTTLE_NREASONS; i++)
	{
		if (waited[i] > 0)
			appendStringInfo(&json, "%c\"%s\": %.3f",
							 json.len == 0 ? '{' : ',',
							 siter_throttle_reason_names[i],
							 (double) waited[i] / SITER_SECOND);
	}
	if (json.len == 0)
		return NULL;
	appendStringInfoChar(&json, '}');
	return json.data;
}

const char *
siter_throttle_reason(void)
{
	if (current_reason == SITER_THROTTLE_NONE)
		return NULL;
	return siter_throttle_reason_names[current_reason];
}

/* Let others see why we wait, or that we do no longer */
static void
show(SiterRunner *runner, SiterThrottleReason reason)
{
	bool		has_detail = reason == SITER_THROTTLE_LAG ||
	reason == SITER_THROTTLE_QUERY;

	if (reason == SITER_THROTTLE_NONE && current_reason == reason)
		return;
	current_reason = reason;
	if (siter_throttle_reason_hook != NULL)
		siter_throttle_reason_hook(siter_throttle_reason(),
								   has_detail ? runner->pacer.detail : NULL);
	show_activity(runner);
}

/*
 * Put it before the statement in pg_stat_activity, which is what tells on all
 * versions, and take it away again.
 */
static void
show_activity(SiterRunner *runner)
{
	static char *statement = NULL;	/* as it was before; NULL: it is shown */
	static uint64 query_id;
	char	   *text;

	if (MyBEEntry == NULL || !pgstat_track_activities)
		return;
	if (statement == NULL)
	{
		statement = MemoryContextStrdup(TopMemoryContext,
										MyBEEntry->st_activity_raw);
		query_id = pgstat_get_my_query_id();
	}
	if (current_reason == SITER_THROTTLE_NONE)
		text = statement;

	else if (current_reason == SITER_THROTTLE_LAG ||
			 current_reason == SITER_THROTTLE_QUERY)
		text = psprintf("waiting for %s (%s): %s", siter_throttle_reason(),
						runner->pacer.detail, statement);

	else
		text = psprintf("waiting for %s: %s", siter_throttle_reason(),
						statement);

	pgstat_report_activity(STATE_RUNNING, text);
	pgstat_report_query_id(query_id, true);
	if (text !=statement)
		pfree(text);
	else
	{
		pfree(statement);
		statement = NULL;
	}
}
