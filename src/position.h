/*-------------------------------------------------------------------------
 *
 * position.h
 *	  Key values: where a walk is, and where it ends.
 *
 * A SiterKey holds one value for each column of the key, none of them null.
 * It is one flat piece of memory, detoasted, without pointers to anything
 * outside it but itself: it survives commits wherever it was allocated, and
 * pfree() frees it whole.
 *
 * All functions allocate in CurrentMemoryContext.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_POSITION_H
#define SITER_POSITION_H

#include "executor/tuptable.h"
#include "keyset.h"

typedef struct SiterKey
{
	int			ncolumns;
	Datum		values[FLEXIBLE_ARRAY_MEMBER];
} SiterKey;

extern SiterKey *siter_key_make(const SiterKeyset *keyset,
								const Datum *values);
extern SiterKey *siter_key_copy(const SiterKeyset *keyset,
								const SiterKey *key);

/*
 * The key of a row: of one of the source's rows, or with "keys_only" of a
 * row that has the key's columns only.  Raises 23502 for a null.
 */
extern SiterKey *siter_key_from_slot(const SiterKeyset *keyset,
									 TupleTableSlot *slot, bool keys_only);

/* < 0, 0, > 0, as the key's operator classes have it */
extern int	siter_key_compare(SiterKeyset *keyset,
							  const SiterKey *a, const SiterKey *b);

/*
 * Check that "next" comes after "previous", as it must where uniqueness is
 * not proven.  Raises 23505 naming a key that came twice, and 55000 for one
 * that came out of order (a foreign server that sorts text otherwise, say).
 */
extern void siter_key_check_order(SiterKeyset *keyset,
								  const SiterKey *previous,
								  const SiterKey *next);

/*
 * The key as text[] and back: exact, and the same whatever DateStyle,
 * TimeZone, IntervalStyle, extra_float_digits, lc_monetary, bytea_output or
 * search_path the session has.  Encoding raises 22023 for a type whose text
 * form loses something; decoding raises 22023 when the array does not have
 * as many elements as the key has columns, or a null among them, and
 * whatever the types' input functions raise.
 */
extern Datum siter_key_encode(SiterKeyset *keyset, const SiterKey *key);
extern SiterKey *siter_key_decode(SiterKeyset *keyset, Datum array);

/*
 * For people: "(id)=(42)", "(tenant, at)=(7, 2026-01-01 00:00:00+00)", cut
 * where a value is long.  Not to be read back.
 */
extern char *siter_key_to_display(SiterKeyset *keyset, const SiterKey *key);

#endif							/* SITER_POSITION_H */
