/*-------------------------------------------------------------------------
 *
 * keyset.h
 *	  The key of a job: the columns that order its source uniquely.
 *
 * A SiterKeyset says which columns of a source are its key, how they compare,
 * and how sure we are that no two rows share one.  It is made anew at the
 * start of each run, from the source's text and the catalogs, and never
 * stored; what is stored is the names of the key's columns and the
 * fingerprint, by which a later run notices what changed in between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_KEYSET_H
#define SITER_KEYSET_H

#include "access/attnum.h"
#include "access/tupdesc.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "nodes/pg_list.h"

typedef struct SiterKeyColumn
{
	char	   *name;			/* in the source's rows */
	AttrNumber	attno;			/* in the source's rows, from 1 */
	Oid			type;			/* as declared; may be a domain */
	Oid			base_type;		/* what a domain is made of, else the type */
	Oid			param_type;		/* of a parameter compared with it */
	Oid			collation;		/* InvalidOid where the type has none */
	Oid			opfamily;		/* of the type's default btree operators */
	Oid			opcintype;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	FmgrInfo	compare;		/* the operator class's comparison function */
	FmgrInfo	output;
	FmgrInfo	input;
	Oid			ioparam;		/* for the input function */

	/* The table's column that is passed on unchanged; InvalidOid if none */
	Oid			origin_table;
	AttrNumber	origin_attno;
} SiterKeyColumn;

typedef struct SiterKeyset
{
	MemoryContext context;		/* holds all that is here */
	char	   *source;			/* the source's text, without a last ';' */
	TupleDesc	tupdesc;		/* the columns of the source's rows */
	int			ncolumns;
	SiterKeyColumn *columns;

	/*
	 * The catalog proves that keys are unique and never null.  If not, each
	 * fetch must look one row ahead (siter_keyset_lookahead) and compare
	 * neighbours (siter_key_check_order), and null keys are probed at start
	 * and end of a pass (siter_range_check_nulls).
	 */
	bool		proven_unique;

	bool		allow_slow_plan;

	/*
	 * The one table, if each row of the source is a row of it and the key's
	 * columns are its columns, maybe through simple views; InvalidOid for
	 * joins and such.
	 */
	Oid			table;
	char		table_relkind;	/* of that table */
	bool		every_row;		/* the source leaves no row of it out */

	/*
	 * All tables that the source reads, through views too, with their
	 * partitions and children: those whose writers a pass may wait for.
	 */
	List	   *tables;

	/* Qualified name of an unlogged one among them, or NULL */
	char	   *unlogged;

	/*
	 * How to write comparisons of whole keys: ROW(a, b) > ROW($1, $2) is what
	 * an index can start from, but foreign servers are not sent it, and it
	 * needs operators of one name and schema.
	 */
	bool		use_row_comparison;

	/* ORDER BY is to be a part of the source, not only of what is around it */
	bool		order_inside;

	/* Statements prepared so far (rangeplan.c), NULL if none */
	struct SiterRangePlans *plans;
} SiterKeyset;

/*
 * Analyze a source and find its key.  "key" is a list of column names
 * (char *), in order, or NIL for the primary key.  SPI must be connected and
 * a snapshot be active.  The keyset is a child of CurrentMemoryContext and
 * may live longer than the transaction; the locks on the source's tables,
 * and therefore the truth of it, last until the transaction ends.  With
 * !allow_slow_plan the batch query's plan is checked too.
 *
 * Errors, all before a row is read: what siter_source_prepare() raises;
 * 22023 for a key that is not there, nullable, not unique or named twice;
 * 42703 for a key column that the source does not have; 42702 for one whose
 * name is ambiguous; 42883 for one that has no order; 0A000 for temporary
 * tables, system catalogs, and a source with LIMIT, OFFSET, ORDER BY, FOR
 * UPDATE, set-returning or volatile functions that would break resuming;
 * 55000 for a plan that would sort or scan everything for each batch.
 */
extern SiterKeyset *siter_keyset_create(const char *source, List *key,
										bool allow_slow_plan);

/*
 * Refuse a source whose rows cannot be locked (aggregates, materialized views
 * and such): 0A000.  For jobs with lock_rows => 'update', at creation.
 */
extern void siter_keyset_check_lockable(const SiterKeyset *keyset);

/* WARNING when a crash would empty a table of the source; for creation */
extern void siter_keyset_warn_unlogged(const SiterKeyset *keyset);

/* How many rows more than a batch holds a fetch must ask for: 1 or 0 */
static inline int
siter_keyset_lookahead(const SiterKeyset *keyset)
{
	return keyset->proven_unique ? 0 : 1;
}

/*
 * The key, if it is one column, and each stretch of the source has all rows
 * that a plain table has between its first and its last; else NULL.
 */
static inline const SiterKeyColumn *
siter_keyset_neighbours(const SiterKeyset *keyset)
{
	return keyset->every_row && keyset->proven_unique &&
		keyset->ncolumns == 1 &&
		keyset->table_relkind == RELKIND_RELATION ? keyset->columns : NULL;
}

/*
 * What changed since a job was created.
 *
 * A fingerprint is a text of one line per thing that a saved position
 * depends on; it is made at creation, stored with the job, and compared at
 * the start of each run with one made then.  Nothing in it depends on the
 * session's settings.
 */
typedef enum SiterKeyChange
{
	SITER_KEY_UNCHANGED,
	SITER_KEY_TOLD,				/* worth a NOTICE; the position stays good */
	SITER_KEY_BROKEN			/* refuse to resume until acknowledged */
} SiterKeyChange;

extern char *siter_keyset_fingerprint(const SiterKeyset *keyset);

/*
 * Compare the two.  Sets *what to one sentence per change, each on a line of
 * its own and fit for a DETAIL, or to NULL when nothing changed.
 */
extern SiterKeyChange siter_keyset_compare(const char *stored,
										   const char *current, char **what);

#endif							/* SITER_KEYSET_H */
