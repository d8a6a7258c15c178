/*-------------------------------------------------------------------------
 *
 * keyshape.h
 *	  The shape of a job's source: what it reads, and whether it can resume.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_KEYSHAPE_H
#define SITER_KEYSHAPE_H

#include "nodes/parsenodes.h"

/* What a job's source reads; lists and strings in CurrentMemoryContext */
typedef struct SiterKeyShape
{
	Oid			table;			/* the one table, or InvalidOid */
	char		relkind;		/* of that table */
	bool		every_row;		/* nothing leaves out a row of it */
	List	   *tables;			/* all, with partitions and children */
	bool		any_foreign;	/* one of them is a foreign table */
	bool		only_foreign;	/* all of them are */
	char	   *unlogged;		/* an unlogged one's name, or NULL */
} SiterKeyShape;

/*
 * Refuse a source that cannot be walked in parts: 0A000 for LIMIT, OFFSET,
 * ORDER BY, row locks, set-returning functions, volatile functions that
 * decide which rows there are, temporary tables and system catalogs.
 * "query" is the source after rewriting.
 */
extern SiterKeyShape *siter_keyshape_analyze(Query *query);

/* The function is volatile if it is in an expression; InvalidOid if none */
extern Oid	siter_keyshape_volatile(Node *node);

/*
 * The column of a table that an output column passes on unchanged, through
 * views and joins; false when there is none.
 */
extern bool siter_keyshape_origin(Query *query, Expr *expr,
								  Oid *table, AttrNumber *attno);

#endif							/* SITER_KEYSHAPE_H */
