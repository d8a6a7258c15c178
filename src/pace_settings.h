/*-------------------------------------------------------------------------
 *
 * pace_settings.h
 *	  Settings of a job that make it slower, or its batches smaller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_PACE_SETTINGS_H
#define SITER_PACE_SETTINGS_H

#include "fmgr.h"
#include "table.h"

/* 0, or NULL: not set, as NULL in SQL */
typedef struct SiterPaceSettings
{
	int64		target_batch_time;	/* in ms, as all times */
	int64		min_chunk_size;
	int64		max_chunk_size;
	int64		batch_timeout;
	int64		max_rows_per_second;
	int64		max_wal_rate;	/* bytes per second */
	int64		max_replica_lag;
	char	   *throttle_query;
} SiterPaceSettings;

#define SITER_NPACE_SETTINGS 8

/* Their columns in streamiter.job, and as many parameters, $first and on */
#define SITER_PACE_COLUMNS \
	"target_batch_time, min_chunk_size, max_chunk_size, batch_timeout," \
	" max_rows_per_second, max_wal_rate, max_replica_lag, throttle_query"
#define SITER_PACE_TYPES \
	INTERVALOID, INT4OID, INT4OID, INTERVALOID, INT8OID, INT8OID, \
	INTERVALOID, TEXTOID

/* From 0, in the order above, which is the arguments' too; -1: no such one */
extern int	siter_pace_setting_number(const char *name);

/* Take the n-th from an argument that is not NULL: 22023 for a bad one */
extern void siter_pace_setting_read(SiterPaceSettings *settings, int n,
									FunctionCallInfo fcinfo, int argno);
extern void siter_pace_setting_unset(SiterPaceSettings *settings, int n);

/* 22023 where two of them contradict each other; chunk_size 0: not known */
extern void siter_pace_settings_check(const SiterPaceSettings *settings,
									  int chunk_size);

/* To and from the table; columns start at the given one */
extern void siter_pace_settings_to_params(const SiterPaceSettings *settings,
										  SiterTableValue *values);
extern void siter_pace_settings_from_row(SiterPaceSettings *settings,
										 int column);

#endif							/* SITER_PACE_SETTINGS_H */
