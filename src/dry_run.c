/*-------------------------------------------------------------------------
 *
 * dry_run.c
 *	  streamiter.dry_run(): some batches of a job, measured and undone.
 *
 * The batches are those that the next run would begin with, done as it would
 * do them, bookkeeping included; but all in one subtransaction, which is then
 * rolled back.  Locks go with it.  The SQL function is documented in the
 * install script.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/instrument.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "batch_timer.h"
#include "compat.h"
#include "guc.h"
#include "job_lock.h"
#include "options.h"
#include "pass.h"
#include "range.h"
#include "runner.h"

#define MAX_BATCHES 1000000

/* More is no forecast, nor would an interval hold it */
#define MAX_SECONDS (1000.0 * 365 * 86400)

PG_FUNCTION_INFO_V1(streamiter_dry_run);

typedef struct DryRun
{
	SiterRunner runner;			/* must be first */
	int			batches;		/* to be tried */
	double		total;			/* rows that are left, an estimate */
	double		seconds;
	uint64		wal_bytes;
} DryRun;

static void try_job(DryRun *dry, const char *name);
static SiterJob *get_job(const char *name);
static void try_slices(DryRun *dry);
static Datum result(FunctionCallInfo fcinfo, const DryRun *dry);

Datum
streamiter_dry_run(PG_FUNCTION_ARGS)
{
	char	   *name = siter_option_text(fcinfo, 0, "name");
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	DryRun	   *dry = palloc0_object(DryRun);

	dry->batches = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	if (dry->batches < 1 || dry->batches > MAX_BATCHES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batches must be between 1 and %d", MAX_BATCHES)));

	PreventCommandIfReadOnly("streamiter.dry_run()");
	PreventCommandDuringRecovery("streamiter.dry_run()");

	SPI_connect();
	dry->runner.context = AllocSetContextCreate(CurrentMemoryContext,
												"streamiter dry run",
												ALLOCSET_DEFAULT_SIZES);
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		MemoryContextSwitchTo(dry->runner.context);
		try_job(dry, name);
		siter_batch_timer_finish();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		siter_batch_timer_fail(error);
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;
		if (dry->runner.callback.context != NULL)
			siter_job_callback_drop(&dry->runner.callback, false);
		ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	SPI_finish();
	return result(fcinfo, dry);
}

/* All that is rolled back */
static void
try_job(DryRun *dry, const char *name)
{
	SiterRunner *runner = &dry->runner;
	SiterBudget budget = {0, -1, 1};

	siter_runner_init(runner, runner->context, get_job(name),
					  siter_team_create(&budget), SITER_LEADER);
	siter_ledger_begin_run(runner->job, &runner->run);
	siter_attempt_validate(runner);
	if (runner->run.new_pass)
		siter_pass_begin(runner);
	try_slices(dry);
	siter_job_callback_drop(&runner->callback, true);
}

/*
 * The job, as if it could run.  One that has finished starts over, as it would
 * after a reset.
 */
static SiterJob *
get_job(const char *name)
{
	SiterJob   *job = siter_job_get_for_change(name);
	SiterJobState state = siter_job_state(job->id);

	if (!siter_job_exclude_runners(job->id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot try job \"%s\" while it is running", name),
				 errhint("See streamiter.progress for what it does.")));
	if (!job->repeat && (state == SITER_JOB_FINISHED ||
						 state == SITER_JOB_FINISHED_WITH_SKIPS))
		siter_ledger_forget(job);
	job->pause_requested = false;
	job->cancel_requested = false;
	siter_job_update(job);
	return job;
}

static void
try_slices(DryRun *dry)
{
	SiterRunner *runner = &dry->runner;
	List	   *slices = siter_ledger_slices(runner->job);
	instr_time	start;
	instr_time	end;
	uint64		wal_before;
	ListCell   *lc;

	foreach(lc, slices)
		dry->total += siter_runner_estimate(runner, (SiterSlice *) lfirst(lc));

	wal_before = pgWalUsage.wal_bytes;
	INSTR_TIME_SET_CURRENT(start);
	foreach(lc, slices)
	{
		siter_runner_try(runner, (SiterSlice *) lfirst(lc), dry->batches);
		if (runner->total.batches >= dry->batches)
			break;
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	dry->seconds = INSTR_TIME_GET_DOUBLE(end);
	dry->wal_bytes = pgWalUsage.wal_bytes - wal_before;

	/* it has seen the end, or that the estimate was too low */
	if ((lc == NULL || (runner->done && lnext(slices, lc) == NULL)) ||
		dry->total < runner->total.rows)
		dry->total = runner->total.rows;
}

static Datum
seconds_as_interval(double seconds)
{
	Interval   *interval = palloc0_object(Interval);

	interval->time = (TimeOffset) (Min(seconds, MAX_SECONDS) * USECS_PER_SEC);
	return IntervalPGetDatum(interval);
}

static Datum
result(FunctionCallInfo fcinfo, const DryRun *dry)
{
	int64		rows = dry->runner.total.rows;
	double		per_row = rows > 0 ? dry->total / rows : 0;
	TupleDesc	tupdesc;
	Datum		values[9];
	bool		nulls[9] = {0};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[0] = Int64GetDatum(rows);
	values[1] = Int64GetDatum(dry->runner.total.batches);
	values[2] = seconds_as_interval(dry->seconds);
	values[3] = Float8GetDatum(rows / Max(dry->seconds, 1e-6));
	values[4] = Int64GetDatum((int64) dry->wal_bytes);
	values[5] = Float8GetDatum((double) dry->wal_bytes / Max(rows, 1));
	values[6] = Int64GetDatum((int64) Min(dry->total, SITER_MAX_ESTIMATE));
	values[7] = seconds_as_interval(dry->seconds * per_row);
	values[8] = Int64GetDatum((int64) Min(dry->wal_bytes * per_row,
										  (double) PG_INT64_MAX / 2));
	nulls[3] = nulls[5] = nulls[7] = nulls[8] = rows == 0;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
											 values, nulls));
}
