/*-------------------------------------------------------------------------
 *
 * job_progress.c
 *	  How far the run of a job is: what it writes down, and tells its client.
 *
 * Other sessions see what was committed: rows, and the rate that each batch
 * stores beside them.  The client of a CALL sees nothing before it ends, so it
 * gets a line now and then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "job_progress.h"
#include "pace.h"

/* When the last line was due, or the statement began */
static TimestampTz told_at = 0;

static bool is_due(TimestampTz now);

double
siter_job_progress_rate(SiterRunner *runner)
{
	int64		rows = runner->total.rows;
	TimestampTz now = GetCurrentTimestamp();

	if (runner->meter.mark_at[0] == 0)
		siter_meter_start(&runner->meter, rows,
						  GetCurrentStatementStartTimestamp());
	siter_meter_note(&runner->meter, rows, now);
	return siter_meter_rate(&runner->meter,
							rows + runner->attempt.count.rows, now);
}

/* Rows and rate are those of all who work on the job */
void
siter_job_progress_tell(SiterRunner *runner)
{
	SiterMeter *meter = &runner->team_meter;
	TimestampTz now = GetCurrentTimestamp();
	int64		rows = siter_team_rows_done(runner->team);
	const char *reason = siter_throttle_reason();
	char	   *line;

	if (meter->mark_at[0] == 0)
		siter_meter_start(meter, 0, GetCurrentStatementStartTimestamp());
	siter_meter_note(meter, rows, now);
	if (!is_due(now))
		return;

	told_at = now;
	line = siter_progress_line(runner->run.base_rows + rows,
							   runner->run.total_rows,
							   runner->run.rows_done,
							   siter_meter_rate(meter, rows, now));

	/*
	 * A NOTICE looks for interrupts, but between transactions nobody could
	 * write down that the run has been cancelled.
	 */
	HOLD_CANCEL_INTERRUPTS();
	if (reason != NULL)
		ereport(NOTICE,
				(errmsg("job \"%s\": %s, waiting for %s", runner->job->name,
						line, reason)));
	else
		ereport(NOTICE,
				(errmsg("job \"%s\": %s", runner->job->name, line)));
	RESUME_CANCEL_INTERRUPTS();
	pfree(line);
}

/* Background workers have nobody to tell it to */
static bool
is_due(TimestampTz now)
{
	TimestampTz since = Max(told_at, GetCurrentStatementStartTimestamp());

	return siter_progress_interval > 0 && MyBgworkerEntry == NULL &&
		(now < told_at || now - since >=
		 (int64) siter_progress_interval * USECS_PER_SEC);
}
