/*-------------------------------------------------------------------------
 *
 * batch_statement.c
 *	  Callbacks that are statements: $n is the array of column n.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "arrays.h"
#include "callback.h"
#include "compat.h"
#include "statement.h"

typedef struct BatchStatement
{
	SiterCallback base;
	SiterStatement *statement;
	int			narrays;		/* one for each column that is used */
	SiterArray *arrays;
	Datum	   *arrays_made;	/* those, for one batch */
	Datum	   *values;			/* and where the statement wants them, with
								 * room for first and last of neighbours */
} BatchStatement;

static const char *describe_params(const SiterCallbackDef *def,
								   TupleDesc tupdesc);
static void call_batch(SiterCallback *callback, StreamIterBatch *batch,
					   int first, int nrows);

SiterCallback *
siter_statement_prepare(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	BatchStatement *result = palloc0_object(BatchStatement);
	SiterStatementParam *params;
	int			natts = tupdesc->natts;

	params = palloc0_array(SiterStatementParam, Max(natts, 1));
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		params[i].type = siter_array_column_type(tupdesc, i + 1);
		params[i].collation = att->attcollation;
		if (!OidIsValid(params[i].type))
			params[i].unusable =
				psprintf(_("It would be an array of column \"%s\" of type %s, and there are no such arrays."),
						 NameStr(att->attname), format_type_be(att->atttypid));
	}

	result->base.call_batch = call_batch;
	result->statement = siter_statement_plan(def->name, def->statement,
											 natts, params,
											 describe_params(def, tupdesc));
	result->arrays = palloc_array(SiterArray, Max(natts, 1));
	for (int i = 0; i < natts; i++)
	{
		if (result->statement->used[i])
			siter_array_init_column(&result->arrays[result->narrays++],
									tupdesc, i + 1);
	}
	result->arrays_made = palloc0_array(Datum, Max(natts, 1));
	result->values = palloc0_array(Datum, natts + 2);
	if (def->neighbours != NULL)
		siter_statement_set_neighbours(result->statement, def->neighbours);
	return &result->base;
}

static const char *
describe_params(const SiterCallbackDef *def, TupleDesc tupdesc)
{
	if (def->related)
		return psprintf(_("$n is the array of the values of column n, and $%d is that of the related rows."),
						tupdesc->natts);
	return psprintf(ngettext("$n is the array of the values of column n, and the source has %d column.",
							 "$n is the array of the values of column n, and the source has %d columns.",
							 tupdesc->natts),
					tupdesc->natts);
}

static void
call_batch(SiterCallback *callback, StreamIterBatch *batch,
		   int first, int nrows)
{
	BatchStatement *result = (BatchStatement *) callback;

	siter_array_collect(result->arrays, result->narrays, batch, first, nrows,
						result->arrays_made);
	for (int i = 0; i < result->narrays; i++)
		result->values[result->arrays[i].attno - 1] = result->arrays_made[i];
	if (callback->def->neighbours != NULL)
	{
		Datum	   *bounds = &result->values[callback->context.tupdesc->natts];
		int			attno = callback->def->neighbours->attno;
		bool		isnull;

		bounds[0] = slot_getattr(streamiter_batch_row(batch, first), attno,
								 &isnull);
		bounds[1] = slot_getattr(streamiter_batch_row(batch,
													  first + nrows - 1),
								 attno, &isnull);
	}
	(void) siter_statement_execute(result->statement, result->values, NULL);
}
