/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  Statements as callbacks: prepared once, executed once per batch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_STATEMENT_H
#define SITER_STATEMENT_H

#include "executor/spi.h"
#include "neighbours.h"
#include "parser/parser.h"

/* What a statement may use as $1, $2 ... */
typedef struct SiterStatementParam
{
	Oid			type;
	Oid			collation;
	const char *unusable;		/* NULL; or why the statement may not use it,
								 * a sentence, and then type is InvalidOid */
} SiterStatementParam;

typedef struct SiterStatement
{
	const char *name;			/* the callback's name, for errors */
	SPIPlanPtr	plan;
	int			nparams;
	const SiterStatementParam *params;
	const char *params_hint;	/* what there is, for those who use more */
	bool	   *used;			/* is params[i] used at all? */
	int			nuses;			/* how often it has one of them */
	SiterNeighbours *neighbours;	/* of an array among them, or NULL */
	bool		by_range;		/* the generic plan reads them so, and has no
								 * other use for a parameter */
	MemoryContextCallback release;
} SiterStatement;

/* The raw parser, with errors that show the text as SPI does */
extern List *siter_statement_parse(const char *sql, RawParseMode mode);

/*
 * Check that "sql" is one statement of a kind that can be a callback: SELECT,
 * VALUES, TABLE, INSERT, UPDATE, DELETE or MERGE.  Looks at the syntax only,
 * so what it refers to need not exist.
 *
 * Errors: 42601 syntax error, empty, or more than one statement; 0A000 any
 * other kind of statement.
 */
extern void siter_statement_check(const char *name, const char *sql);

/* Does a statement that passed that check use any $n? */
extern bool siter_statement_has_params(const char *sql);

/*
 * Prepare a statement with typed parameters.  SPI must be connected; the
 * strings and "params" must live as long as CurrentMemoryContext, in which
 * the statement is allocated and with which its plan goes away.  The plan is
 * a saved one: it outlives commits and SPI_finish(), and is made again when
 * the objects in it change.
 *
 * Errors: those of siter_statement_check(); 42P02 for a parameter that there
 * is not, with params_hint; 42804 for one that is unusable; and what parse
 * analysis finds.
 */
extern SiterStatement *siter_statement_plan(const char *name, const char *sql,
											int nparams,
											const SiterStatementParam *params,
											const char *params_hint);

/*
 * Tell that the elements of one of the arrays are neighbours: from now on the
 * statement wants two values more, after those of all parameters.  What it
 * does is the same.
 */
extern void siter_statement_set_neighbours(SiterStatement *statement,
										   const SiterKeyColumn *column);

/*
 * Execute it with a value for each parameter that is used (the others are
 * not looked at) and a new snapshot; "nulls" may be NULL.  SPI must be
 * connected.  Returns the number of rows affected; rows that the statement
 * itself returns are thrown away.
 */
extern uint64 siter_statement_execute(SiterStatement *statement,
									  const Datum *values,
									  const bool *nulls);

/* EXPLAIN (COSTS OFF) of it, planned for any values */
extern char *siter_statement_explain(SiterStatement *statement);

#endif							/* SITER_STATEMENT_H */
