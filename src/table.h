/*-------------------------------------------------------------------------
 *
 * table.h
 *	  Statements on the extension's own tables, prepared once a session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_TABLE_H
#define SITER_TABLE_H

#include "executor/spi.h"

#define SITER_TABLE_MAX_PARAMS 32

/* To be declared static: the plan stays with the session */
typedef struct SiterTableStatement
{
	const char *sql;
	int			nparams;
	Oid			types[SITER_TABLE_MAX_PARAMS];
	SPIPlanPtr	plan;
} SiterTableStatement;

/* A value that may be missing: for parameters and for columns */
typedef struct SiterTableValue
{
	Datum		value;
	bool		isnull;
} SiterTableValue;

#define SITER_VALUE(datum) ((SiterTableValue) {(datum), false})
#define SITER_NULL ((SiterTableValue) {(Datum) 0, true})

/*
 * Execute as the extension's owner; SPI must be connected.  Returns the
 * number of rows.  Those of a SELECT or RETURNING are in SPI_tuptable, which
 * the caller frees.  The statement sees what is committed, or done by this
 * transaction, and names everything with its schema.
 */
extern uint64 siter_table_execute(SiterTableStatement *statement,
								  const SiterTableValue *values);

/*
 * The same for a SELECT, but as of this very moment, even where the caller's
 * transaction keeps one snapshot.
 */
extern uint64 siter_table_look(SiterTableStatement *statement,
							   const SiterTableValue *values);

/*
 * Columns of a row of SPI_tuptable, from 1, in CurrentMemoryContext.  What
 * is by reference is a copy; missing texts are NULL, missing numbers 0.
 */
extern SiterTableValue siter_table_value(uint64 row, int column);
extern char *siter_table_text(uint64 row, int column);
extern int64 siter_table_int64(uint64 row, int column);
extern int32 siter_table_int32(uint64 row, int column);
extern bool siter_table_bool(uint64 row, int column);

/* A text parameter that may be NULL */
extern SiterTableValue siter_table_text_param(const char *text);

#endif							/* SITER_TABLE_H */
