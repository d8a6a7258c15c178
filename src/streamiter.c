/*-------------------------------------------------------------------------
 *
 * streamiter.c
 *	  Module magic and start-up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "compat.h"
#include "guc.h"
#include "progress.h"

SITER_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	siter_guc_init();
	siter_progress_init();
	MarkGUCPrefixReserved("streamiter");
}
