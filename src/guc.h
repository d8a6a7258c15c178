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

extern PGDLLIMPORT int siter_chunk_size;
extern PGDLLIMPORT int siter_max_batch_memory;	/* in kB */

extern void siter_guc_init(void);

/* chunk_size, if it is a valid one; error 22023 otherwise */
extern int	siter_guc_check_chunk_size(int chunk_size);

#endif							/* SITER_GUC_H */
