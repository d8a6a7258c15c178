/*-------------------------------------------------------------------------
 *
 * progress_line.c
 *	  How far a walk is, in numbers and in a line of text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "progress_line.h"

/* A rate is that of one such stretch of time, or of up to two */
#define STRETCH (5 * USECS_PER_SEC)

/* What is not over is not shown as if it were */
#define MAX_PERCENT 99.9

#define BAR_LENGTH 20

/* More is no forecast */
#define MAX_SECONDS_LEFT (10.0 * 365 * 86400)

PG_FUNCTION_INFO_V1(streamiter_progress_percent);
PG_FUNCTION_INFO_V1(streamiter_progress_bar);
PG_FUNCTION_INFO_V1(streamiter_progress_line);

void
siter_meter_start(SiterMeter *meter, int64 rows, TimestampTz now)
{
	for (int i = 0; i < lengthof(meter->mark_at); i++)
	{
		meter->mark_at[i] = now;
		meter->mark_rows[i] = rows;
	}
}

void
siter_meter_note(SiterMeter *meter, int64 rows, TimestampTz now)
{
	/* a clock that was put back: what it said before is of no use */
	if (now < meter->mark_at[1])
		siter_meter_start(meter, rows, now);
	else if (now - meter->mark_at[1] >= STRETCH)
	{
		meter->mark_at[0] = meter->mark_at[1];
		meter->mark_rows[0] = meter->mark_rows[1];
		meter->mark_at[1] = now;
		meter->mark_rows[1] = rows;
	}
}

double
siter_meter_rate(const SiterMeter *meter, int64 rows, TimestampTz now)
{
	int64		done = rows - meter->mark_rows[0];
	TimestampTz elapsed = now - meter->mark_at[0];

	if (done <= 0 || elapsed <= 0)
		return 0;
	return (double) done * USECS_PER_SEC / elapsed;
}

double
siter_progress_percent(int64 rows, int64 total, bool over)
{
	double		percent;

	if (over)
		return 100;
	if (rows <= 0)
		return 0;
	if (total <= rows)
		return MAX_PERCENT;
	/* cut, not rounded: 99.96 is not 100 */
	percent = floor(1000.0 * rows / total) / 10;
	return Min(percent, MAX_PERCENT);
}

double
siter_progress_seconds_left(int64 rows, int64 total, double rate)
{
	double		seconds;

	if (rate <= 0 || total <= rows)
		return -1;
	seconds = (total - rows) / rate;
	return seconds > MAX_SECONDS_LEFT ? -1 : seconds;
}

char *
siter_progress_bar(double percent)
{
	char		bar[BAR_LENGTH + 1];
	int			full;

	percent = isnan(percent) ? 0 : Max(0, Min(percent, 100));
	full = (int) (percent * BAR_LENGTH / 100);
	memset(bar, '.', BAR_LENGTH);
	memset(bar, '#', full);
	bar[BAR_LENGTH] = '\0';
	return psprintf("[%s]", bar);
}

char *
siter_progress_line(int64 rows, int64 total, bool over, double rate)
{
	double		percent = siter_progress_percent(rows, total, over);
	double		left = siter_progress_seconds_left(rows, total, rate);
	char	   *line;

	line = psprintf(_("%.1f%% %s " INT64_FORMAT " of about " INT64_FORMAT " rows, %.0f rows/s"),
					percent, siter_progress_bar(percent), rows,
					Max(rows, total), rate);
	if (left < 0)
		return line;
	return psprintf(_("%s, %.0f s left"), line, ceil(left));
}

/* (rows, total, over); a total that is not known is NULL */
Datum
streamiter_progress_percent(PG_FUNCTION_ARGS)
{
	int64		rows = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);
	int64		total = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	bool		over = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);

	PG_RETURN_FLOAT8(siter_progress_percent(rows, total, over));
}

/* (percent) */
Datum
streamiter_progress_bar(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(siter_progress_bar(PG_GETARG_FLOAT8(0))));
}

/*
 * For tests: (at, rows, total), where rows are done at these times, in ms; the
 * line that is shown after the last of them.
 */
Datum
streamiter_progress_line(PG_FUNCTION_ARGS)
{
	ArrayType  *at = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *rows = PG_GETARG_ARRAYTYPE_P(1);
	int			n = ArrayGetNItems(ARR_NDIM(at), ARR_DIMS(at));
	const int64 *at_ms = (const int64 *) ARR_DATA_PTR(at);
	const int64 *done = (const int64 *) ARR_DATA_PTR(rows);
	SiterMeter	meter;

	if (n < 1 || n != ArrayGetNItems(ARR_NDIM(rows), ARR_DIMS(rows)))
		PG_RETURN_NULL();
	siter_meter_start(&meter, done[0], at_ms[0] * 1000);
	for (int i = 1; i < n; i++)
		siter_meter_note(&meter, done[i], at_ms[i] * 1000);
	PG_RETURN_TEXT_P(cstring_to_text(siter_progress_line(done[n - 1],
														 PG_GETARG_INT64(2), false,
														 siter_meter_rate(&meter, done[n - 1],
																		  at_ms[n - 1] * 1000))));
}
