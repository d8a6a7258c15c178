/*-------------------------------------------------------------------------
 *
 * pace_settings.c
 *	  Settings of a job that make it slower, or its batches smaller.
 *
 * All of them are off unless set, and a limit of 0 is refused: it would be
 * read as "none" by some and as "nothing at all" by others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "pace_settings.h"

#define HOUR_MS (INT64CONST(3600) * 1000)
#define DAY_MS (24 * HOUR_MS)

typedef enum SettingType
{
	TIME_SETTING,				/* interval, in ms */
	ROWS_SETTING,				/* integer */
	NUMBER_SETTING,				/* bigint */
	BYTES_SETTING,				/* text, as '16 MB' */
	QUERY_SETTING				/* text */
} SettingType;

typedef struct Setting
{
	const char *name;
	size_t		offset;
	SettingType type;
	int64		min;
	int64		max;
	const char *bounds;			/* in words */
} Setting;

#define SETTING(name) #name, offsetof(SiterPaceSettings, name)

static const Setting settings_list[SITER_NPACE_SETTINGS] = {
	{SETTING(target_batch_time), TIME_SETTING,
	1, HOUR_MS, "1 ms and 1 hour"},
	{SETTING(min_chunk_size), ROWS_SETTING,
	SITER_MIN_CHUNK_SIZE, SITER_MAX_CHUNK_SIZE, "1 and 1000000"},
	{SETTING(max_chunk_size), ROWS_SETTING,
	SITER_MIN_CHUNK_SIZE, SITER_MAX_CHUNK_SIZE, "1 and 1000000"},
	{SETTING(batch_timeout), TIME_SETTING,
	1, 24 * DAY_MS, "1 ms and 24 days"},
	{SETTING(max_rows_per_second), NUMBER_SETTING,
	1, INT64CONST(1000000000), "1 and 1000000000"},
	{SETTING(max_wal_rate), BYTES_SETTING,
	1024, INT64CONST(1) << 40, "1 kB and 1 TB"},
	{SETTING(max_replica_lag), TIME_SETTING,
	1, DAY_MS, "1 ms and 1 day"},
	{SETTING(throttle_query), QUERY_SETTING, 0, 0, NULL},
};

static int64
get(const SiterPaceSettings *settings, int n)
{
	return *(const int64 *) ((const char *) settings + settings_list[n].offset);
}

static void
set(SiterPaceSettings *settings, int n, int64 value)
{
	*(int64 *) ((char *) settings + settings_list[n].offset) = value;
}

int
siter_pace_setting_number(const char *name)
{
	for (int n = 0; n < SITER_NPACE_SETTINGS; n++)
	{
		if (strcmp(settings_list[n].name, name) == 0)
			return n;
	}
	return -1;
}

/* In ms; a month counts as 30 days.  What is not nothing must not become it */
static double
interval_in_ms(const Interval *interval)
{
	return ((double) interval->month * DAYS_PER_MONTH + interval->day) *
		SECS_PER_DAY * 1000.0 + ceil(interval->time / 1000.0);
}

void
siter_pace_setting_read(SiterPaceSettings *settings, int n,
						FunctionCallInfo fcinfo, int argno)
{
	const Setting *setting = &settings_list[n];
	double		value;

	switch (setting->type)
	{
		case TIME_SETTING:
			value = interval_in_ms(PG_GETARG_INTERVAL_P(argno));
			break;
		case ROWS_SETTING:
			value = PG_GETARG_INT32(argno);
			break;
		case NUMBER_SETTING:
			value = PG_GETARG_INT64(argno);
			break;
		case BYTES_SETTING:
			value = DatumGetInt64(DirectFunctionCall1(pg_size_bytes,
													  PG_GETARG_DATUM(argno)));
			break;
		default:
			settings->throttle_query =
				text_to_cstring(PG_GETARG_TEXT_PP(argno));
			return;
	}
	if (value < setting->min || value > setting->max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %s", setting->name,
						setting->bounds),
				 errhint("To have none, do not set it, or unset it with alter_job.")));
	set(settings, n, (int64) value);
}

void
siter_pace_setting_unset(SiterPaceSettings *settings, int n)
{
	if (settings_list[n].type == QUERY_SETTING)
		settings->throttle_query = NULL;
	else
		set(settings, n, 0);
}

static void
refuse_contradiction(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message),
			 errhint("%s", hint)));
}

void
siter_pace_settings_check(const SiterPaceSettings *settings, int chunk_size)
{
	if (settings->batch_timeout > 0 &&
		settings->target_batch_time >= settings->batch_timeout)
		refuse_contradiction(_("target_batch_time must be less than batch_timeout"),
							 _("A batch of the wanted size would be cancelled half of the time."));
	if (settings->max_chunk_size > 0 &&
		settings->min_chunk_size > settings->max_chunk_size)
		refuse_contradiction(_("min_chunk_size must not be greater than max_chunk_size"),
							 _("target_batch_time looks for a size between them."));
	if (chunk_size > 0 && settings->max_chunk_size > 0 &&
		chunk_size > settings->max_chunk_size)
		refuse_contradiction(_("chunk_size must not be greater than max_chunk_size"),
							 _("chunk_size is where target_batch_time starts from."));
	if (chunk_size > 0 && chunk_size < settings->min_chunk_size)
		refuse_contradiction(_("chunk_size must not be less than min_chunk_size"),
							 _("chunk_size is where target_batch_time starts from."));
}

static SiterTableValue
interval_param(int64 ms)
{
	Interval   *interval = palloc0_object(Interval);

	interval->time = ms * 1000;
	return SITER_VALUE(IntervalPGetDatum(interval));
}

void
siter_pace_settings_to_params(const SiterPaceSettings *settings,
							  SiterTableValue *values)
{
	for (int n = 0; n < SITER_NPACE_SETTINGS; n++)
	{
		SettingType type = settings_list[n].type;

		if (type == QUERY_SETTING)
			values[n] = siter_table_text_param(settings->throttle_query);
		else if (get(settings, n) == 0)
			values[n] = SITER_NULL;
		else if (type == TIME_SETTING)
			values[n] = interval_param(get(settings, n));
		else if (type == ROWS_SETTING)
			values[n] = SITER_VALUE(Int32GetDatum((int32) get(settings, n)));
		else
			values[n] = SITER_VALUE(Int64GetDatum(get(settings, n)));
	}
}

void
siter_pace_settings_from_row(SiterPaceSettings *settings, int column)
{
	for (int n = 0; n < SITER_NPACE_SETTINGS; n++)
	{
		SiterTableValue value = siter_table_value(0, column + n);

		if (settings_list[n].type == QUERY_SETTING)
			settings->throttle_query = siter_table_text(0, column + n);
		else if (value.isnull)
			set(settings, n, 0);
		else if (settings_list[n].type == TIME_SETTING)
			set(settings, n,
				(int64) interval_in_ms(DatumGetIntervalP(value.value)));
		else if (settings_list[n].type == ROWS_SETTING)
			set(settings, n, DatumGetInt32(value.value));
		else
			set(settings, n, DatumGetInt64(value.value));
	}
}
