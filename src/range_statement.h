/*-------------------------------------------------------------------------
 *
 * range_statement.h
 *	  Callbacks that are statements over a key range.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_RANGE_STATEMENT_H
#define SITER_RANGE_STATEMENT_H

#include "callback.h"
#include "position.h"

typedef struct SiterRangeStatement SiterRangeStatement;

/*
 * Prepare one for a key: $1 ... are the columns of a batch's first key, then
 * come those of its last.  SPI must be connected.  It is allocated in
 * CurrentMemoryContext and may live longer than the transaction, as long as
 * the keyset and the definition do.  Errors: as siter_statement_plan().
 */
extern SiterRangeStatement *siter_range_statement_prepare(const SiterCallbackDef *def,
														  const SiterKeyset *keyset);

/* Returns the number of rows that it affected */
extern uint64 siter_range_statement_execute(SiterRangeStatement *range,
											const SiterKey *first,
											const SiterKey *last);

#endif							/* SITER_RANGE_STATEMENT_H */
