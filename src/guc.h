/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  The settings streamiter.*, their defaults and their bounds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_GUC_H
#define SITER_GUC_H

#define SITER_MIN_CHUNK_SIZE		1
#define SITER_DEFAULT_CHUNK_SIZE	2000
#define SITER_MAX_CHUNK_SIZE		1000000

#define SITER_MIN_BATCH_MEMORY_KB		64
#define SITER_DEFAULT_BATCH_MEMORY_KB	(64 * 1024)

#define SITER_DEFAULT_PROGRESS_INTERVAL	5
#define SITER_MAX_PROGRESS_INTERVAL		86400

#define SITER_MIN_HISTORY_LIMIT		1
#define SITER_DEFAULT_HISTORY_LIMIT	100
#define SITER_MAX_HISTORY_LIMIT		1000000

extern PGDLLIMPORT int siter_chunk_size;
extern PGDLLIMPORT int siter_max_batch_memory;	/* in kB */
extern PGDLLIMPORT int siter_progress_interval; /* in s; 0: never */
extern PGDLLIMPORT int siter_history_limit;
extern PGDLLIMPORT bool siter_exact_totals;

extern void siter_guc_init(void);

/* chunk_size, if it is a valid one; error 22023 otherwise */
extern int	siter_guc_check_chunk_size(int chunk_size);

#endif							/* SITER_GUC_H */
