/*-------------------------------------------------------------------------
 *
 * callback.h
 *	  Callbacks: what is called for each row or batch of a walk.
 *
 * A SiterCallbackDef says which callback is meant: it is what the registry,
 * or a signature, resolves to.  siter_callback_prepare() matches it with the
 * columns of a source, once per walk, and returns a SiterCallback: an object
 * with two methods.  Each kind of callback has a file of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_CALLBACK_H
#define SITER_CALLBACK_H

#include "keyset.h"
#include "nodes/plannodes.h"
#include "streamiter.h"

typedef enum SiterCallbackKind
{
	SITER_ROW_FUNCTION,			/* a function, once per row */
	SITER_BATCH_FUNCTION,		/* a function, once per batch, of arrays */
	SITER_BATCH_STATEMENT,		/* a statement, once per batch, of arrays */
	SITER_RANGE_STATEMENT,		/* a statement, once per batch, of the first
								 * and the last key (jobs only) */
	SITER_NATIVE				/* a handler's routine */
} SiterCallbackKind;

typedef struct SiterCallbackDef
{
	const char *name;			/* as the user gave it: name or signature */
	SiterCallbackKind kind;
	Oid			function;		/* InvalidOid for statements */
	const char *statement;		/* NULL for functions */
	bool		related;		/* the last column is none of the source's,
								 * but related rows; whoever drives sets it */

	/*
	 * The rows of each batch are all those that this column's table has from
	 * the first of them to the last, in the column's order; NULL where that
	 * may not be so.  Of jobs only.
	 */
	const SiterKeyColumn *neighbours;

	/* A native callback of our own, which no handler has to be asked for */
	const StreamIterCallbackRoutine *routine;
	void	   *private_data;	/* for "begin" to find */
} SiterCallbackDef;

/* How many columns are the source's own, and make up a whole row */
static inline int
siter_callback_row_natts(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	return def->related ? tupdesc->natts - 1 : tupdesc->natts;
}

typedef struct SiterCallback SiterCallback;

struct SiterCallback
{
	const SiterCallbackDef *def;

	/*
	 * The subject the callback is told about, and where errors say they
	 * happened; whoever drives the walk keeps batch_number and row_number.
	 */
	StreamIterContext context;

	/*
	 * Exactly one of the two is set.  call_row runs in a memory context that
	 * is reset after each row, and returns false where a STRICT function was
	 * not called for a NULL argument.  call_batch runs in one that is reset
	 * after each batch; it gets "nrows" rows from row "first" on, so that a
	 * batch can be tried in parts.
	 */
	bool		(*call_row) (SiterCallback *callback, TupleTableSlot *slot);
	void		(*call_batch) (SiterCallback *callback,
							   StreamIterBatch *batch, int first, int nrows);

	/*
	 * May be NULL.  Put the call into the plan of the source, if nothing but
	 * speed can tell the difference; returns whether that was done.  If so,
	 * on_null, where it is not NULL, is to be given each row whose last
	 * column is NULL, with the callback as "arg": it counts those for which
	 * the plan did not call the STRICT function.
	 */
	bool		(*fuse) (SiterCallback *callback, PlannedStmt *plan);
	void		(*on_null) (TupleTableSlot *slot, void *arg);
	bool		fused;
	int64		not_called;		/* by the plan */

	/*
	 * May be NULL.  begin: called by siter_callback_prepare(), when the
	 * context above has been filled in; end: by the driver, after the last
	 * row; abort: by the driver, after an error that ended the walk.
	 */
	void		(*begin) (SiterCallback *callback);
	void		(*end) (SiterCallback *callback);
	void		(*abort) (SiterCallback *callback);
};

/*
 * Resolve what a user gave as callback: a signature when it has a
 * parenthesis, else a registered name (see registry.h).  Locks the function
 * until the transaction ends, so that it cannot vanish, and checks that the
 * current user may execute it.
 *
 * Errors: 42883 no such function, 42704 no such name, 42501 no right to
 * execute, 42809 not a plain function (set-returning, aggregate, window,
 * trigger, procedure).
 */
extern SiterCallbackDef *siter_callback_resolve(const char *name);

/* The part of it that is about functions: lock, then check kind and right */
extern void siter_callback_check_function(Oid function, const char *name);

/*
 * Match a callback with the columns of a source; where there are related rows,
 * their array is the last of them.  Everything lives in CurrentMemoryContext.
 * SPI must be connected.  Errors: 42804 where the columns do not fit, before
 * any row is read.
 */
extern SiterCallback *siter_callback_prepare(const SiterCallbackDef *def,
											 TupleDesc tupdesc,
											 int chunk_size,
											 const char *walk_name);

/* One constructor a kind, each in the file of its kind */
extern SiterCallback *siter_row_function_prepare(const SiterCallbackDef *def,
												 TupleDesc tupdesc);
extern SiterCallback *siter_batch_function_prepare(const SiterCallbackDef *def,
												   TupleDesc tupdesc);
extern SiterCallback *siter_statement_prepare(const SiterCallbackDef *def,
											  TupleDesc tupdesc);
extern SiterCallback *siter_native_prepare(const SiterCallbackDef *def,
										   TupleDesc tupdesc);

#endif							/* SITER_CALLBACK_H */
