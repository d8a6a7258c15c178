/*-------------------------------------------------------------------------
 *
 * range_statement.c
 *	  Callbacks that are statements over a key range.
 *
 * The cheapest callback there is: the walk reads keys only, and the statement
 * finds its rows by one descent of the index, where one that is given an
 * array of keys descends once per key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "range_statement.h"
#include "statement.h"

struct SiterRangeStatement
{
	SiterStatement *statement;
	int			ncolumns;
	Datum		values[FLEXIBLE_ARRAY_MEMBER];
};

static char *
params_hint(int ncolumns)
{
	if (ncolumns == 1)
		return pstrdup(_("$1 is the first key of the batch, $2 the last."));
	return psprintf(_("$1 to $%d are the columns of the first key of the batch, $%d to $%d those of the last."),
					ncolumns, ncolumns + 1, 2 * ncolumns);
}

SiterRangeStatement *
siter_range_statement_prepare(const SiterCallbackDef *def,
							  const SiterKeyset *keyset)
{
	int			ncolumns = keyset->ncolumns;
	SiterRangeStatement *range;
	SiterStatementParam *params;

	range = palloc0(offsetof(SiterRangeStatement, values) +
					sizeof(Datum) * 2 * ncolumns);
	params = palloc0(sizeof(SiterStatementParam) * 2 * ncolumns);
	for (int i = 0; i < 2 * ncolumns; i++)
	{
		const SiterKeyColumn *column = &keyset->columns[i % ncolumns];

		params[i].type = column->param_type;
		params[i].collation = column->collation;
	}

	range->ncolumns = ncolumns;
	range->statement = siter_statement_plan(def->name, def->statement,
											2 * ncolumns, params,
											params_hint(ncolumns));
	return range;
}

uint64
siter_range_statement_execute(SiterRangeStatement *range,
							  const SiterKey *first, const SiterKey *last)
{
	Size		size = sizeof(Datum) * range->ncolumns;

	memcpy(range->values, first->values, size);
	memcpy(range->values + range->ncolumns, last->values, size);
	return siter_statement_execute(range->statement, range->values, NULL);
}
