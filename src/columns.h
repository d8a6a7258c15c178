/*-------------------------------------------------------------------------
 *
 * columns.h
 *	  Source columns as arguments: what fits which parameter, and how.
 *
 * The expressions made here read their columns from the slot in
 * econtext->ecxt_scantuple.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_COLUMNS_H
#define SITER_COLUMNS_H

#include "access/tupdesc.h"
#include "nodes/primnodes.h"

/* Column "attno" (from 1) of a source */
extern Expr *siter_column_var(TupleDesc tupdesc, int attno);

/*
 * The first "natts" columns, in order, as one row of a composite type (dropped
 * attributes become NULL) or of type record; NULL if they do not fit.
 */
extern Expr *siter_columns_as_row(TupleDesc tupdesc, int natts, Oid row_type);

/* "(bigint, text)", for messages */
extern char *siter_columns_describe(TupleDesc tupdesc);

/* Have they the same names, types and collations? */
extern bool siter_columns_same(TupleDesc a, TupleDesc b);

/* The column's number if the expression just passes it on, else 0 */
extern int	siter_column_number(Expr *expr);

#endif							/* SITER_COLUMNS_H */
