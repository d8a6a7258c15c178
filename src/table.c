/*-------------------------------------------------------------------------
 *
 * table.c
 *	  Statements on the extension's own tables, prepared once a session.
 *
 * The statements are fixed texts and run as the extension's owner, between
 * siter_own_enter() and siter_own_leave(): nothing of a user's runs there.
 * Their plans are saved ones, so that a batch's bookkeeping costs execution
 * only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"

#include "own.h"
#include "table.h"

static uint64 execute(SiterTableStatement *statement,
					  const SiterTableValue *values, bool look);
static void prepare(SiterTableStatement *statement);

uint64
siter_table_execute(SiterTableStatement *statement,
					const SiterTableValue *values)
{
	return execute(statement, values, false);
}

uint64
siter_table_look(SiterTableStatement *statement,
				 const SiterTableValue *values)
{
	uint64		processed;

	PushActiveSnapshot(GetLatestSnapshot());
	processed = execute(statement, values, true);
	PopActiveSnapshot();
	return processed;
}

static uint64
execute(SiterTableStatement *statement, const SiterTableValue *values,
		bool look)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	SiterOwnState own;
	Datum		datums[SITER_TABLE_MAX_PARAMS];
	char		nulls[SITER_TABLE_MAX_PARAMS];
	int			rc;

	for (int i = 0; i < statement->nparams; i++)
	{
		datums[i] = values[i].value;
		nulls[i] = values[i].isnull ? 'n' : ' ';
	}

	siter_own_enter(&own);
	if (statement->plan == NULL)
		prepare(statement);
	rc = SPI_execute_plan(statement->plan, datums, nulls, look, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan failed for \"%s\": %s",
			 statement->sql, SPI_result_code_string(rc));
	siter_own_leave(&own);

	/* SPI returns in its own, which lives until SPI_finish() */
	MemoryContextSwitchTo(oldcontext);
	return SPI_processed;
}

static void
prepare(SiterTableStatement *statement)
{
	SPIPlanPtr	plan = SPI_prepare(statement->sql, statement->nparams,
								   statement->types);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed for \"%s\": %s",
			 statement->sql, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	statement->plan = plan;
}

SiterTableValue
siter_table_value(uint64 row, int column)
{
	TupleDesc	tupdesc = SPI_tuptable->tupdesc;
	Form_pg_attribute att = TupleDescAttr(tupdesc, column - 1);
	SiterTableValue result;

	Assert(row < SPI_tuptable->numvals);
	result.value = SPI_getbinval(SPI_tuptable->vals[row], tupdesc, column,
								 &result.isnull);
	if (!result.isnull)
	{
		/* flat, so that it may live longer than the transaction */
		if (att->attlen == -1)
			result.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(result.value));
		else
			result.value = datumCopy(result.value, att->attbyval, att->attlen);
	}
	return result;
}

char *
siter_table_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

int64
siter_table_int64(uint64 row, int column)
{
	SiterTableValue value = siter_table_value(row, column);

	return value.isnull ? 0 : DatumGetInt64(value.value);
}

int32
siter_table_int32(uint64 row, int column)
{
	SiterTableValue value = siter_table_value(row, column);

	return value.isnull ? 0 : DatumGetInt32(value.value);
}

bool
siter_table_bool(uint64 row, int column)
{
	SiterTableValue value = siter_table_value(row, column);

	return !value.isnull && DatumGetBool(value.value);
}

SiterTableValue
siter_table_text_param(const char *text)
{
	return text == NULL ? SITER_NULL : SITER_VALUE(CStringGetTextDatum(text));
}
