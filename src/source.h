/*-------------------------------------------------------------------------
 *
 * source.h
 *	  Sources: a query and its arguments, checked before a row is read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_SOURCE_H
#define SITER_SOURCE_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/spi.h"

/* $1, $2 ... of a query, with types */
typedef struct SiterArgs
{
	int			nargs;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;			/* 'n' or ' ', as SPI has it; or NULL */
	const char *hint;			/* what they are; NULL: the fields of args */
} SiterArgs;

typedef struct SiterSource
{
	const char *query;
	SiterArgs	args;
	SPIPlanPtr	plan;			/* of the SPI level that prepared it */
	TupleDesc	tupdesc;		/* the columns of its rows */
} SiterSource;

/* The fields of a row value as arguments, literals of unknown type as text */
extern SiterArgs siter_args_from_record(HeapTupleHeader record);

/*
 * Parse and check a source.  SPI must be connected; the source and its plan
 * live until SPI_finish().  cursor_options: CURSOR_OPT_FAST_PLAN or 0; NO
 * SCROLL is added.
 *
 * Errors: 42601 for an empty query or more than one statement; 42P11 for
 * anything but a read-only SELECT, VALUES or TABLE; 22023 for arguments that
 * the query does not use; and what parse analysis finds.
 */
extern SiterSource *siter_source_prepare(const char *query,
										 const SiterArgs *args,
										 int cursor_options);

/*
 * The same question to the plan, which has looked into functions too: 42P11 if
 * it locks rows.
 */
extern void siter_source_check_plan(const PlannedStmt *plan);

#endif							/* SITER_SOURCE_H */
