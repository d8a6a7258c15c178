/*-------------------------------------------------------------------------
 *
 * keyindex.h
 *	  What the catalog says of a table's columns as a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_KEYINDEX_H
#define SITER_KEYINDEX_H

#include "nodes/pg_list.h"

/*
 * The primary key's columns (int list of attribute numbers), NIL if there is
 * none.
 */
extern List *siter_keyindex_primary(Oid table);

/*
 * Check that the columns, in this order, are a key: all NOT NULL, unique by
 * an index, and an index ordered by them.  Raises 22023 with what is missing
 * and how to create it.
 */
extern void siter_keyindex_prove(Oid table, List *attnos);

/* Whether an index is ordered by the columns, in this order, first of all */
extern bool siter_keyindex_orders(Oid table, List *attnos);

/* "CREATE INDEX ON public.users (id)", or CREATE UNIQUE INDEX */
extern char *siter_keyindex_command(Oid table, List *attnos, bool unique);

/*
 * Columns of the first unique index that would do as a key, as text to be
 * given for "key": "{tenant,id}"; NULL if there is none.
 */
extern char *siter_keyindex_suggest(Oid table);

#endif							/* SITER_KEYINDEX_H */
