/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One run of a job, from start to stop.
 *
 * Lock, look at what the job depends on, begin a pass or go on with one, try
 * rows again that had been set aside, work on the slices, write down what it
 * came to, unlock.  Each step is a transaction; once the run's row is there,
 * an error of any step is written to it before the CALL raises it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch_timer.h"
#include "crew.h"
#include "job_lock.h"
#include "job_progress.h"
#include "options.h"
#include "pace.h"
#include "pass.h"
#include "run.h"
#include "session.h"
#include "slices.h"
#include "writers.h"

/* How often to look again who holds the lock, if nobody seems to */
#define LOCK_TRIES 3

/* How long to wait for writers before looking at the job again */
#define WRITERS_WAIT_MS 500

/* A runner, and what the steps of a run have to tell each other */
typedef struct Run
{
	SiterRunner runner;			/* must be first */
	SiterOutcome outcome;
	int			nslices;		/* that are not done */
	List	   *retries;		/* of SiterSkippedRow *: to be tried again */
	ErrorData  *error;			/* that ended it, if one did */
	SiterWriters *writers;		/* that a pass waits for; NULL: not known */
	bool		helpers_gone;
	bool		counts_affected;	/* its callback is a range statement */
	SiterCounters total;		/* of all processes */
	int64		left_aside;		/* rows set aside, when it ended */
} Run;

/* The same for a helper */
typedef struct Help
{
	SiterRunner runner;			/* must be first */
	const char *settings;		/* of the leader's session */
} Help;

static const char *const outcome_names[] = {
	[SITER_OUTCOME_FINISHED] = "finished",
	[SITER_OUTCOME_STOPPED] = "stopped",
	[SITER_OUTCOME_PAUSED] = "paused",
	[SITER_OUTCOME_CANCELLED] = "cancelled",
	[SITER_OUTCOME_FAILED] = "failed",
};

static bool lock_job(const SiterJob *job);
static bool may_run(const SiterJob *job, SiterJobState state);
static void say_running(const SiterJob *job, int pid);
static void run_locked(Run *run);
static void ended_by(Run *run, ErrorData *error);
static ErrorData *begin_or_go_on(Run *run);
static ErrorData *work(Run *run);
static void launch(SiterRunner *runner);
static ErrorData *see_helpers_off(Run *run, ErrorData *error);
static void await_helpers(SiterRunner *runner);
static void say_who_was_missing(const Run *run, int nhelpers);
static ErrorData *error_of_helper(Run *run);
static void take_settings(SiterRunner *runner);
static void begin_run(SiterRunner *runner);
static void wait_for_writers(SiterRunner *runner);
static void load_work(SiterRunner *runner);
static void count_work(SiterRunner *runner);
static void end_callback(SiterRunner *runner);
static void end_run(SiterRunner *runner);
static void complete_error(ErrorData *error);
static void report(const Run *run);

void
siter_run_check_context(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot run a job during recovery"),
				 errhint("Run it on the primary server.")));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot run a job in a read-only transaction"),
				 errhint("See the settings transaction_read_only and default_transaction_read_only.")));
	if (context != NULL && IsA(context, CallContext) && !context->atomic)
		return;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("cannot run a job here, since it commits after each batch"),
			 siter_runner_is_at_work() ?
			 errhint("A callback runs within a batch's transaction. CALL it from elsewhere, or let the callback use streamiter.start().") :
			 IsSubTransaction() ?
			 errhint("CALL it outside of blocks with an EXCEPTION clause, and of savepoints.") :
			 IsTransactionBlock() ?
			 errhint("Send the CALL alone: outside of BEGIN ... COMMIT, with the client's autocommit on, and not together with other statements in one string.") :
			 errhint("CALL it from the top level or from a DO block or procedure: not from a function, not through EXECUTE, and not from a procedure that has a SET clause or is SECURITY DEFINER.")));
}

SiterBudget
siter_run_budget(FunctionCallInfo fcinfo, int argno)
{
	SiterBudget budget = {0, -1, 0};

	if (!PG_ARGISNULL(argno))
	{
		int64		ms = siter_option_interval(fcinfo, argno,
											   "max_duration");

		budget.deadline =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	}
	if (!PG_ARGISNULL(argno + 1))
	{
		budget.rows = PG_GETARG_INT64(argno + 1);
		if (budget.rows < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("max_rows must be at least 1"),
					 errdetail("A run always gets on, by a batch at the least.")));
	}
	if (!PG_ARGISNULL(argno + 2))
		budget.workers = PG_GETARG_INT32(argno + 2);
	if (budget.workers < 1 || budget.workers > SITER_MAX_WORKERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workers must be between 1 and %d",
						SITER_MAX_WORKERS)));
	return budget;
}

void
siter_run(const char *name, const SiterBudget *budget)
{
	SiterJob   *job = siter_job_get(name);
	int32		id = job->id;
	MemoryContext context;
	MemoryContext oldcontext;
	SiterTeam  *team;
	Run		   *run;

	if (budget->workers > 1)
		siter_crew_check(job);

	/* whoever has nothing to do must not look as if he ran the job */
	if (!may_run(job, siter_job_resting_state(id)) || !lock_job(job))
		return;
	siter_job_await_helpers(id);

	/* what was read without the lock may be old */
	siter_runner_see_present();
	context = AllocSetContextCreate(CurrentMemoryContext, "streamiter run",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	run = palloc0_object(Run);
	team = siter_team_create(budget);
	job = siter_job_by_id(id);
	MemoryContextSwitchTo(oldcontext);
	if (job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job \"%s\" has been dropped", name)));

	if (may_run(job, siter_job_resting_state(id)))
	{
		PG_TRY();
		{
			/* from here on the job may be read again, and this copy freed */
			siter_runner_init(&run->runner, context, job, team, SITER_LEADER);
			run_locked(run);
		}
		PG_CATCH();
		{
			/* errors of the walk do not come here */
			(void) siter_crew_dismiss();
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	siter_job_unlock(id);

	if (run->error != NULL)
		ReThrowError(run->error);
	if (run->outcome != SITER_OUTCOME_NONE)
		report(run);
	MemoryContextDelete(context);
}

/* False, with a NOTICE, if somebody else runs it */
static bool
lock_job(const SiterJob *job)
{
	for (int i = 0; i < LOCK_TRIES; i++)
	{
		int			pid;

		if (siter_job_lock(job->id))
			return true;
		pid = siter_job_runner_pid(job->id);
		if (pid != 0)
		{
			say_running(job, pid);
			return false;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("job \"%s\" is being reset or dropped by another session",
					job->name)));
}

static void
say_running(const SiterJob *job, int pid)
{
	ereport(NOTICE,
			(errmsg("job \"%s\" is already running", job->name),
			 errdetail("Process %d runs it.", pid)));
}

void
siter_run_start(const char *name, const SiterBudget *budget)
{
	SiterJob   *job = siter_job_get(name);
	int			pid;

	if (siter_job_is_uncommitted(job->id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot start job \"%s\" in the transaction that created or changed it",
						name),
				 errdetail("A worker could not see it yet."),
				 errhint("Start it after COMMIT.")));
	siter_crew_check(job);

	pid = siter_job_runner_pid(job->id);
	if (pid != 0)
		say_running(job, pid);
	else if (may_run(job, siter_job_state(job->id)))
		siter_crew_start_leader(job, budget);
}

/* False, with a NOTICE, if there is nothing to do or it must not be done */
static bool
may_run(const SiterJob *job, SiterJobState state)
{
	switch (state)
	{
		case SITER_JOB_PAUSED:
			ereport(NOTICE,
					(errmsg("job \"%s\" is paused", job->name),
					 errhint("streamiter.resume() lets it run again.")));
			return false;
		case SITER_JOB_CANCELLED:
			ereport(NOTICE,
					(errmsg("job \"%s\" has been cancelled", job->name),
					 errhint("streamiter.reset() lets it start over.")));
			return false;
		case SITER_JOB_FINISHED:
		case SITER_JOB_FINISHED_WITH_SKIPS:
			if (job->repeat)
				return true;
			ereport(NOTICE,
					(errmsg("job \"%s\" has finished already", job->name),
					 state == SITER_JOB_FINISHED ?
					 errhint("streamiter.reset() lets it start over.") :
					 errhint("streamiter.retry_skipped() lets it try the rows again that were set aside, streamiter.reset() start over.")));
			return false;
		default:
			return true;
	}
}

static void
run_locked(Run *run)
{
	SiterRunner *runner = &run->runner;
	ErrorData  *error;

	/* without its row in streamiter.run a run has not been */
	error = siter_runner_transact(runner, begin_run, SITER_SNAPSHOT_ANY);
	if (error != NULL)
	{
		run->error = error;
		return;
	}

	error = begin_or_go_on(run);
	if (error == NULL && run->outcome == SITER_OUTCOME_NONE)
		error = work(run);
	run->counts_affected = runner->callback.range != NULL;
	if (error == NULL)
		error = siter_runner_transact(runner, end_callback, SITER_SNAPSHOT_ANY);

	if (error != NULL)
	{
		siter_job_callback_drop(&runner->callback, false);
		ended_by(run, error);
	}

	/* if that is cancelled too, or fails, again: else it would look crashed */
	error = siter_runner_transact(runner, end_run, SITER_SNAPSHOT_ANY);
	if (error != NULL)
	{
		if (run->error == NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ended_by(run, error);
		error = siter_runner_transact(runner, end_run, SITER_SNAPSHOT_ANY);
	}

	/* the first error counts, whatever comes of writing it down */
	if (run->error == NULL)
		run->error = error;
}

static void
ended_by(Run *run, ErrorData *error)
{
	complete_error(error);
	run->error = error;
	run->outcome = error->sqlerrcode == ERRCODE_QUERY_CANCELED ?
		SITER_OUTCOME_STOPPED : SITER_OUTCOME_FAILED;
}

/* What a run does before its first batch */
static ErrorData *
begin_or_go_on(Run *run)
{
	SiterRunner *runner = &run->runner;
	ErrorData  *error;

	error = siter_runner_transact(runner, siter_attempt_validate, SITER_SNAPSHOT_ANY);
	if (error == NULL && runner->run.new_pass)
	{
		if (runner->job->wait_for_writers)
			error = siter_pace_wait_for(runner, wait_for_writers,
										SITER_THROTTLE_WRITERS,
										&runner->budget, &run->outcome);
		if (error == NULL && run->outcome == SITER_OUTCOME_NONE)
			error = siter_runner_transact(runner, siter_pass_begin, SITER_SNAPSHOT_OF_SOURCE);
	}
	if (error == NULL && run->outcome == SITER_OUTCOME_NONE)
		error = siter_runner_transact(runner, load_work, SITER_SNAPSHOT_OF_SOURCE);
	return error;
}

static ErrorData *
work(Run *run)
{
	SiterRunner *runner = &run->runner;
	ErrorData  *error;

	error = siter_runner_retry_rows(runner, run->retries, &run->outcome);
	if (error == NULL && run->outcome == SITER_OUTCOME_NONE)
	{
		SiterTeam  *team = runner->team;

		team->nmembers = Max(Min(team->nmembers, run->nslices), 1);
		if (team->nmembers > 1)
			error = siter_runner_transact(runner, launch, SITER_SNAPSHOT_NONE);
		if (error == NULL)
			error = siter_slices_work(runner, &run->outcome);
		error = see_helpers_off(run, error);
		if (runner->team != team)
			siter_team_copy(team, runner->team);
		runner->team = team;
		say_who_was_missing(run, siter_crew_dismiss());
	}

	/* the budget may just have sufficed */
	if (error == NULL && run->outcome == SITER_OUTCOME_STOPPED)
	{
		error = siter_runner_transact(runner, count_work, SITER_SNAPSHOT_ANY);
		if (run->nslices == 0 && run->retries == NIL)
			run->outcome = SITER_OUTCOME_NONE;
	}
	if (error == NULL && run->outcome == SITER_OUTCOME_NONE)
	{
		error = siter_runner_transact(runner, siter_pass_end, SITER_SNAPSHOT_OF_SOURCE);
		run->outcome = SITER_OUTCOME_FINISHED;
	}
	return error;
}

static void
launch(SiterRunner *runner)
{
	runner->team = siter_crew_launch(runner->job, runner->team);
}

/*
 * Wait until they have ended: at the end of their batches, or at once if
 * something went wrong.  Returns the error that did, ours or a helper's.
 */
static ErrorData *
see_helpers_off(Run *run, ErrorData *error)
{
	SiterRunner *runner = &run->runner;

	run->helpers_gone = false;
	while (!run->helpers_gone)
	{
		ErrorData  *wait_error;

		/* an interrupt while we wait for them has them hurry */
		if (error != NULL)
		{
			siter_team_stop(runner->team, SITER_OUTCOME_FAILED);
			siter_crew_hurry();
		}
		wait_error = siter_runner_transact(runner, await_helpers, SITER_SNAPSHOT_NONE);
		if (error == NULL)
			error = wait_error;
		siter_job_progress_tell(runner);
	}
	if (error == NULL && siter_team_outcome(runner->team, SITER_LEADER) ==
		SITER_OUTCOME_FAILED)
		error = error_of_helper(run);
	runner->retries += runner->team->retries;
	return error;
}

static void
await_helpers(SiterRunner *runner)
{
	((Run *) runner)->helpers_gone = siter_crew_await();
}

/* Helpers that the server has not let in, for some reason of its own */
static void
say_who_was_missing(const Run *run, int nhelpers)
{
	SiterTeam  *team = run->runner.team;

	if (team->outcome != SITER_OUTCOME_FAILED && team->njoined < nhelpers)
		ereport(NOTICE,
				(errmsg("%d of the workers of job \"%s\" did not begin",
						nhelpers - team->njoined, run->runner.job->name),
				 errhint("The server's log tells why.")));
}

static ErrorData *
error_of_helper(Run *run)
{
	SiterRunner *runner = &run->runner;
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);
	ErrorData  *error;

	error = siter_team_error(runner->team, &runner->failed_first,
							 &runner->failed_last);
	if (error == NULL)
	{
		error = palloc0_object(ErrorData);
		error->elevel = ERROR;
		error->output_to_server = error->output_to_client = true;
		error->sqlerrcode = ERRCODE_INTERNAL_ERROR;
		error->assoc_context = runner->context;
		error->message = psprintf(_("a worker of job \"%s\" failed, and was ended before it could say why"),
								  runner->job->name);
	}
	MemoryContextSwitchTo(oldcontext);
	return error;
}

void
siter_run_help(int32 job_id, SiterTeam *team, int member,
			   const char *settings)
{
	Help	   *help = palloc0_object(Help);
	SiterRunner *runner = &help->runner;
	SiterJob   *job = siter_job_by_id(job_id);
	SiterOutcome outcome;
	ErrorData  *error;

	/* from here on no other run begins; but is there still this one? */
	if (job == NULL || !siter_job_join(job_id))
		return;
	siter_team_join(team);
	if (siter_team_outcome(team, member) != SITER_OUTCOME_NONE)
	{
		siter_job_leave(job_id);
		return;
	}

	help->settings = settings;
	siter_runner_init(runner, CurrentMemoryContext, job, team, member);
	error = siter_runner_transact(runner, take_settings, SITER_SNAPSHOT_ANY);
	if (error == NULL)
		error = siter_runner_transact(runner, siter_attempt_validate, SITER_SNAPSHOT_ANY);
	if (error == NULL)
		error = siter_slices_work(runner, &outcome);
	if (error == NULL)
		error = siter_runner_transact(runner, end_callback, SITER_SNAPSHOT_ANY);
	if (error != NULL)
	{
		siter_job_callback_drop(&runner->callback, false);

		/* somebody wants this process to end: the others can do its work */
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ereport(LOG,
					(errmsg("a worker of job \"%s\" ends: %s",
							runner->job->name, error->message)));
		else
			siter_team_fail(team, error, runner->failed_first,
							runner->failed_last);
	}
	siter_job_leave(job_id);
	siter_team_leave(team, member, runner->retries);
}

static void
take_settings(SiterRunner *runner)
{
	siter_session_restore(((Help *) runner)->settings);
}

static void
begin_run(SiterRunner *runner)
{
	siter_ledger_begin_run(runner->job, &runner->run);
}

/* For a while: the job may be paused, or no longer want to wait */
static void
wait_for_writers(SiterRunner *runner)
{
	Run		   *run = (Run *) runner;
	MemoryContext oldcontext;
	int			nestlevel;

	if (!runner->job->wait_for_writers)
		return;
	nestlevel = siter_job_enter_settings(runner->job);
	if (run->writers == NULL)
	{
		oldcontext = MemoryContextSwitchTo(runner->context);
		run->writers = siter_writers_find(runner->keyset->tables);
		MemoryContextSwitchTo(oldcontext);
	}
	siter_batch_timer_start(WRITERS_WAIT_MS, _("there are still writers"));
	siter_writers_wait(run->writers);
	AtEOXact_GUC(true, nestlevel);
}

static void
load_work(SiterRunner *runner)
{
	runner->team->run = runner->run;
	runner->team->last_slice = siter_ledger_last_slice(runner->job);
	if (runner->team->nmembers > 1)
		siter_slices_cut(runner);
	count_work(runner);
	runner->run.rows_done = ((Run *) runner)->nslices == 0;
}

static void
count_work(SiterRunner *runner)
{
	Run		   *run = (Run *) runner;
	MemoryContext oldcontext = MemoryContextSwitchTo(runner->context);

	run->nslices = list_length(siter_ledger_slices(runner->job));
	run->retries = siter_ledger_retries(runner->job);
	MemoryContextSwitchTo(oldcontext);
}

static void
end_callback(SiterRunner *runner)
{
	siter_job_callback_drop(&runner->callback, true);
}

static void
end_run(SiterRunner *runner)
{
	Run		   *run = (Run *) runner;

	/* whatever the callback has left in default_transaction_read_only */
	XactReadOnly = false;

	run->left_aside = siter_ledger_count_skipped(runner->job);
	siter_ledger_end_run(runner->job, &runner->run,
						 outcome_names[run->outcome], run->error,
						 run->error ? runner->failed_first : (Datum) 0,
						 run->error ? runner->failed_last : (Datum) 0,
						 runner->retries, siter_pace_waits(runner),
						 &run->total);
}

/* An error that users often meet, and wonder about */
static void
complete_error(ErrorData *error)
{
	long		elapsed;

	if (error->sqlerrcode != ERRCODE_QUERY_CANCELED ||
		error->hint != NULL || StatementTimeout <= 0)
		return;
	elapsed = TimestampDifferenceMilliseconds(GetCurrentStatementStartTimestamp(),
											  GetCurrentTimestamp());
	if (elapsed >= StatementTimeout)
		error->hint = pstrdup(_("statement_timeout covers the whole CALL, not a batch; what was committed stays. Set it to 0 for the CALL, and bound it with max_duration."));
}

static void
report(const Run *run)
{
	const SiterRunner *runner = &run->runner;
	const SiterCounters *total = &run->total;
	const char *outcome = outcome_names[run->outcome];

	if (run->outcome == SITER_OUTCOME_FINISHED && run->left_aside > 0)
		outcome = "finished_with_skips";

	/* a NOTICE looks for interrupts, but what has ended cannot be cancelled */
	HOLD_CANCEL_INTERRUPTS();
	ereport(NOTICE,
			(errmsg("job \"%s\" %s: rows " INT64_FORMAT ", batches " INT64_FORMAT "%s, skipped " INT64_FORMAT,
					runner->job->name, outcome,
					total->rows, total->batches,
					run->counts_affected ?
					psprintf(", affected " INT64_FORMAT, total->affected) : "",
					total->skipped),
			 runner->retried > 0 ?
			 errdetail("Tried again: " INT64_FORMAT " rows; set aside now: " INT64_FORMAT ".",
					   runner->retried, run->left_aside) : 0));
	RESUME_CANCEL_INTERRUPTS();
}
