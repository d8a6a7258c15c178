/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Reading the arguments that several SQL functions share.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "options.h"

static void
refuse_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be NULL", name)));
}

char *
siter_option_text(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		refuse_null(name);
	return text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

int
siter_option_chunk_size(FunctionCallInfo fcinfo, int argno)
{
	if (PG_ARGISNULL(argno))
		return siter_chunk_size;
	return siter_guc_check_chunk_size(PG_GETARG_INT32(argno));
}

bool
siter_option_on_error(const char *on_error)
{
	if (strcmp(on_error, "skip") == 0)
		return true;
	if (strcmp(on_error, "stop") == 0)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("on_error must be 'stop' or 'skip', not \"%s\"", on_error)));
}

int64
siter_option_max_skips(FunctionCallInfo fcinfo, int argno)
{
	int64		max_skips;

	if (PG_ARGISNULL(argno))
		refuse_null("max_skips");
	max_skips = PG_GETARG_INT64(argno);
	if (max_skips < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_skips must not be negative")));
	return max_skips;
}

int64
siter_option_interval(FunctionCallInfo fcinfo, int argno, const char *name)
{
	Interval   *interval = PG_GETARG_INTERVAL_P(argno);
	double		ms;

	ms = ((double) interval->month * DAYS_PER_MONTH + interval->day) *
		SECS_PER_DAY * 1000.0 + interval->time / 1000.0;
	if (ms < 0 || ms > (double) PG_INT64_MAX / 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative or endless", name)));

	/* what is not nothing must not become it */
	return (int64) ceil(ms);
}

List *
siter_option_key(FunctionCallInfo fcinfo, int argno)
{
	List	   *key = NIL;
	Datum	   *names;
	bool	   *nulls;
	int			nnames;

	if (PG_ARGISNULL(argno))
		return NIL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, &nulls, &nnames);
	for (int i = 0; i < nnames; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a column of the key must not be NULL")));
		key = lappend(key, TextDatumGetCString(names[i]));
	}
	if (key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key must have at least one column"),
				 errhint("NULL stands for the primary key.")));
	return key;
}

SiterPrefetchText
siter_option_prefetch(FunctionCallInfo fcinfo, int argno)
{
	SiterPrefetchText prefetch = {0};

	if (PG_ARGISNULL(argno) != PG_ARGISNULL(argno + 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("prefetch and prefetch_key must be given together"),
				 errhint("prefetch is the query of the related rows, prefetch_key the column whose values are its $1.")));
	if (!PG_ARGISNULL(argno))
	{
		prefetch.query = siter_option_text(fcinfo, argno, "prefetch");
		prefetch.key = siter_option_text(fcinfo, argno + 1, "prefetch_key");
	}
	return prefetch;
}
