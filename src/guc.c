/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  The settings streamiter.*, their defaults and their bounds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "guc.h"

int			siter_chunk_size = SITER_DEFAULT_CHUNK_SIZE;
int			siter_max_batch_memory = SITER_DEFAULT_BATCH_MEMORY_KB;
int			siter_progress_interval = SITER_DEFAULT_PROGRESS_INTERVAL;
int			siter_history_limit = SITER_DEFAULT_HISTORY_LIMIT;
bool		siter_exact_totals = false;

void
siter_guc_init(void)
{
	DefineCustomIntVariable("streamiter.chunk_size",
							"Number of rows that a batch holds at the most.",
							"Used where a walk or a job does not name its own.",
							&siter_chunk_size,
							SITER_DEFAULT_CHUNK_SIZE,
							SITER_MIN_CHUNK_SIZE,
							SITER_MAX_CHUNK_SIZE,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("streamiter.max_batch_memory",
							"Memory at which a batch ends before it has all its rows.",
							NULL,
							&siter_max_batch_memory,
							SITER_DEFAULT_BATCH_MEMORY_KB,
							SITER_MIN_BATCH_MEMORY_KB,
							MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("streamiter.progress_interval",
							"Time between the lines in which a running CALL tells how far it is.",
							"0 turns them off.",
							&siter_progress_interval,
							SITER_DEFAULT_PROGRESS_INTERVAL,
							0,
							SITER_MAX_PROGRESS_INTERVAL,
							PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("streamiter.history_limit",
							"Number of runs of a job that are remembered.",
							NULL,
							&siter_history_limit,
							SITER_DEFAULT_HISTORY_LIMIT,
							SITER_MIN_HISTORY_LIMIT,
							SITER_MAX_HISTORY_LIMIT,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("streamiter.exact_totals",
							 "Counts the rows of a job's source when a pass begins.",
							 "Otherwise their number is estimated.",
							 &siter_exact_totals,
							 false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}

int
siter_guc_check_chunk_size(int chunk_size)
{
	if (chunk_size < SITER_MIN_CHUNK_SIZE || chunk_size > SITER_MAX_CHUNK_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("chunk_size must be between %d and %d, not %d",
						SITER_MIN_CHUNK_SIZE, SITER_MAX_CHUNK_SIZE, chunk_size),
				 errhint("Leave it NULL to use the setting streamiter.chunk_size.")));
	return chunk_size;
}
