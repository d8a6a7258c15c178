/*-------------------------------------------------------------------------
 *
 * oneliner_sql.h
 *	  The range statements of backfill, purge and archive.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_ONELINER_SQL_H
#define SITER_ONELINER_SQL_H

#include "keyset.h"

/*
 * Each makes the statement for one batch of the keyset's one table, from
 * pieces that the user wrote.  A piece is parsed by itself first, so that it
 * cannot be anything but what it is meant to be, a parenthesis or a comment
 * in it included: 42601.  "filter" may be NULL.
 */

/*
 * "set" is what follows SET.  22023 if it changes a column of the key, or one
 * from which such a column is generated.
 */
extern char *siter_oneliner_update(const SiterKeyset *keyset,
								   const char *set, const char *filter);

extern char *siter_oneliner_delete(const SiterKeyset *keyset,
								   const char *filter);

/*
 * Delete rows and insert them into another table, column by column of the
 * same name.  Refused where something would get lost on the way: 42703 and
 * 42804 for columns that are not there or of another type, 0A000 for foreign
 * keys that delete or change other rows along with those moved, for rules and
 * triggers that may swallow a row, for a temporary target, and for a partition
 * of the table that is a foreign table.  SPI must be connected.
 */
extern char *siter_oneliner_move(const SiterKeyset *keyset, Oid target,
								 const char *filter);

/* WARNING when a crash would empty the target; for creation */
extern void siter_oneliner_warn_unlogged(Oid target);

/* What the last look found; all zeroes before the first */
typedef struct SiterOneLinerCheck
{
	Oid			target;			/* where rows are moved to, if they are */
	uint64		changes;		/* of tables, up to then */
} SiterOneLinerCheck;

/*
 * Would the statement of a job still lose nothing, now that time has passed?
 * Refused as above, and with 55000 if the columns are others.  Locks the
 * tables as the statement does, so that what is so stays so until the
 * transaction ends.  Where nothing has changed since the last look, the locks
 * are all that it costs.
 */
extern void siter_oneliner_check(const SiterKeyset *keyset,
								 const char *statement,
								 SiterOneLinerCheck *check);

#endif							/* SITER_ONELINER_SQL_H */
