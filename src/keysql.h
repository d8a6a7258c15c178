/*-------------------------------------------------------------------------
 *
 * keysql.h
 *	  The text of the statements that read a key range of a source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_KEYSQL_H
#define SITER_KEYSQL_H

#include "keyset.h"

typedef enum SiterKeyOrder
{
	SITER_ORDER_NONE,
	SITER_ORDER_ASC,
	SITER_ORDER_DESC
} SiterKeyOrder;

/*
 * What to select.  Parameters are the lower key's columns, if there is a
 * lower bound, then the upper key's, if there is one.  There is no form with
 * "$1 IS NULL OR": a condition like that is no index condition any more.
 */
typedef struct SiterKeySelect
{
	bool		has_lower;		/* key > lower */
	bool		has_upper;		/* key <= upper */
	bool		keys_only;		/* the key's columns instead of all */
	bool		for_update;		/* lock the rows */
	SiterKeyOrder order;
	int64		offset;			/* 0: none */
	int64		limit;			/* 0: none */
} SiterKeySelect;

extern char *siter_keysql_select(const SiterKeyset *keyset,
								 const SiterKeySelect *select);

/* One row if the given key column (from 0) is null in some row */
extern char *siter_keysql_null_probe(const SiterKeyset *keyset, int column);

/*
 * The types of a statement's parameters, in order; at most two keys' worth.
 * Returns their number.
 */
extern int	siter_keysql_param_types(const SiterKeyset *keyset,
									 const SiterKeySelect *select,
									 Oid *types);

/*
 * The condition of a range statement on the source's one table: the key is
 * not less than $1 ... and not more than the parameters that follow.  "table"
 * is how the statement calls it, quoted.
 */
extern char *siter_keysql_between(const SiterKeyset *keyset,
								  const char *table);

#endif							/* SITER_KEYSQL_H */
