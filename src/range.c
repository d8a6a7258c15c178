/*-------------------------------------------------------------------------
 *
 * range.c
 *	  Reading a key range of a source.
 *
 * Statements are prepared anew for each batch: planning costs little beside a
 * batch's rows, while a kept plan would have to be told of every change to
 * the source.  Since the values are known then, partitions outside the range
 * are not even opened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "plancheck.h"
#include "range.h"

/* Keys are counted so many at a time */
#define COUNT_CHUNK 10000

static SiterWalk *open_walk(SiterKeyset *keyset, const SiterRange *range,
							SiterKeySelect *select, int chunk_size,
							bool by_index);
static Datum *range_values(const SiterKeyset *keyset, const SiterRange *range);
static ParamListInfo range_params(const SiterKeyset *keyset,
								  const SiterRange *range,
								  const SiterKeySelect *select);
static void check_columns(const SiterKeyset *keyset, TupleDesc tupdesc,
						  bool keys_only);
static SiterKey *one_key(SiterKeyset *keyset, const SiterRange *range,
						 SiterKeyOrder order, int64 offset);
static uint64 lock_rows(SiterKeyset *keyset, const SiterRange *range);
static uint64 count_rows(SiterKeyset *keyset, const SiterRange *range,
						 int64 limit);

SiterWalk *
siter_range_open(SiterKeyset *keyset, const SiterRange *range, int limit,
				 bool keys_only)
{
	SiterKeySelect select = {
		.keys_only = keys_only,
		.order = SITER_ORDER_ASC,
		.limit = limit
	};
	SiterWalk  *walk = open_walk(keyset, range, &select, limit, true);

	/* Without an upper bound there is no condition that an index could use */
	if (range->upper != NULL)
		siter_plancheck_stmt(keyset, PortalGetPrimaryStmt(walk->portal));
	return walk;
}

SiterKey *
siter_range_first(SiterKeyset *keyset, const SiterRange *range)
{
	return one_key(keyset, range, SITER_ORDER_ASC, 0);
}

SiterKey *
siter_range_last(SiterKeyset *keyset, const SiterRange *range)
{
	return one_key(keyset, range, SITER_ORDER_DESC, 0);
}

SiterKey *
siter_range_nth(SiterKeyset *keyset, const SiterRange *range, int64 n)
{
	return one_key(keyset, range, SITER_ORDER_ASC, n - 1);
}

static SiterKey *
one_key(SiterKeyset *keyset, const SiterRange *range, SiterKeyOrder order,
		int64 offset)
{
	SiterKeySelect select = {
		.keys_only = true,
		.order = order,
		.offset = offset,
		.limit = 1
	};
	SiterWalk  *walk = open_walk(keyset, range, &select, 1, true);
	SiterKey   *key = NULL;

	if (siter_walk_fetch(walk))
		key = siter_key_from_slot(keyset,
								  streamiter_batch_row(&walk->batch, 0), true);
	siter_walk_close(walk);
	return key;
}

SiterWalk *
siter_range_open_keys(SiterKeyset *keyset, const SiterRange *range,
					  char *source, int chunk_size)
{
	SiterKeySelect select = {
		.keys_only = true,
		.order = SITER_ORDER_ASC
	};
	SiterKeyset other = *keyset;

	if (source != NULL)
		other.source = source;
	return open_walk(&other, range, &select, chunk_size, false);
}

/*
 * Open a walk of our own making.  The portal keeps a copy of plan and
 * parameters, so that nothing but the walk is left: a run may open a million.
 */
static SiterWalk *
open_walk(SiterKeyset *keyset, const SiterRange *range,
		  SiterKeySelect *select, int chunk_size, bool by_index)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	SiterSource *source;
	SiterArgs	args = {0};
	SiterWalk  *walk;
	char	   *sql;
	int			nestlevel = 0;

	scratch = AllocSetContextCreate(caller, "streamiter range",
									ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(scratch);

	select->has_lower = range->lower != NULL;
	select->has_upper = range->upper != NULL;
	sql = siter_keysql_select(keyset, select);
	args.types = palloc_array(Oid, 2 * keyset->ncolumns);
	args.nargs = siter_keysql_param_types(keyset, select, args.types);
	args.values = range_values(keyset, range);
	source = siter_source_prepare(sql, &args, 0);
	check_columns(keyset, source->tupdesc, select->keys_only);

	MemoryContextSwitchTo(caller);
	if (by_index)
		nestlevel = siter_plancheck_enter();
	walk = siter_walk_open(source, chunk_size, NULL, NULL);
	if (by_index)
		siter_plancheck_leave(nestlevel);

	SPI_freeplan(source->plan);
	MemoryContextDelete(scratch);
	return walk;
}

/* The parameters, as siter_keysql_param_types() orders them */
static Datum *
range_values(const SiterKeyset *keyset, const SiterRange *range)
{
	Datum	   *values = palloc_array(Datum, 2 * keyset->ncolumns);
	const SiterKey *keys[] = {range->lower, range->upper};
	int			n = 0;

	for (int k = 0; k < lengthof(keys); k++)
		for (int i = 0; keys[k] != NULL && i < keyset->ncolumns; i++)
			values[n++] = keys[k]->values[i];
	return values;
}

/* Nothing locks the source's tables between two batches: look again */
static void
check_columns(const SiterKeyset *keyset, TupleDesc tupdesc, bool keys_only)
{
	bool		same = true;

	if (keys_only)
	{
		for (int i = 0; i < keyset->ncolumns; i++)
		{
			Form_pg_attribute att = TupleDescAttr(tupdesc, i);

			if (att->atttypid != keyset->columns[i].type ||
				att->attcollation != keyset->columns[i].collation)
				same = false;
		}
	}
	else if (tupdesc->natts != keyset->tupdesc->natts)
		same = false;
	else
	{
		for (int i = 0; i < tupdesc->natts; i++)
		{
			Form_pg_attribute now = TupleDescAttr(tupdesc, i);
			Form_pg_attribute then = TupleDescAttr(keyset->tupdesc, i);

			if (now->atttypid != then->atttypid ||
				now->attcollation != then->attcollation ||
				strcmp(NameStr(now->attname), NameStr(then->attname)) != 0)
				same = false;
		}
	}
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the columns of the source changed while it was walked"),
				 errhint("Run the job again.")));
}

SiterWalk *
siter_range_open_locked(SiterKeyset *keyset, const SiterRange *range,
						int limit, SiterKey **end)
{
	SiterRange	batch = *range;

	*end = NULL;
	for (;;)
	{
		SiterKey   *nth;
		uint64		locked;
		uint64		there;

		/* What is there as of now, after all the waiting of the last turn */
		PushActiveSnapshot(GetTransactionSnapshot());
		batch.upper = range->upper;
		nth = siter_range_nth(keyset, &batch, limit);
		if (nth == NULL)
			nth = siter_range_last(keyset, &batch);
		PopActiveSnapshot();
		if (nth == NULL)
			return NULL;

		if (*end != NULL)
			pfree(*end);
		*end = nth;
		batch.upper = nth;
		locked = lock_rows(keyset, &batch);

		PushActiveSnapshot(GetTransactionSnapshot());
		there = count_rows(keyset, &batch, (int64) limit + 1);
		if (there == locked &&
			(there <= limit || !keyset->proven_unique))
		{
			SiterWalk  *walk;

			walk = siter_range_open(keyset, &batch, limit + 1, false);
			PopActiveSnapshot();
			return walk;
		}
		PopActiveSnapshot();
		CHECK_FOR_INTERRUPTS();
	}
}

/* Locks all rows of a range, in key order lest two of us wait for each other */
static uint64
lock_rows(SiterKeyset *keyset, const SiterRange *range)
{
	SiterKeySelect select = {
		.has_lower = range->lower != NULL,
		.has_upper = range->upper != NULL,
		.keys_only = true,
		.for_update = true,
		.order = SITER_ORDER_ASC
	};
	Oid		   *types = palloc_array(Oid, 2 * keyset->ncolumns);
	int			ntypes = siter_keysql_param_types(keyset, &select, types);
	int			nestlevel = siter_plancheck_enter();
	uint64		locked;
	int			rc;

	rc = SPI_execute_with_args(siter_keysql_select(keyset, &select),
							   ntypes, types, range_values(keyset, range),
							   NULL, false, 0);
	siter_plancheck_leave(nestlevel);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not lock rows: %s", SPI_result_code_string(rc));
	locked = SPI_processed;
	SPI_freetuptable(SPI_tuptable);
	return locked;
}

/* How many rows the active snapshot sees in a range, up to a limit */
static uint64
count_rows(SiterKeyset *keyset, const SiterRange *range, int64 limit)
{
	SiterKeySelect select = {
		.keys_only = true,
		.order = SITER_ORDER_ASC,
		.limit = limit
	};
	SiterWalk  *walk = open_walk(keyset, range, &select, COUNT_CHUNK, true);
	uint64		rows;

	while (siter_walk_fetch(walk))
		 /* only counting */ ;
	rows = walk->rows;
	siter_walk_close(walk);
	return rows;
}

void
siter_range_check_nulls(SiterKeyset *keyset)
{
	if (keyset->proven_unique)
		return;

	for (int i = 0; i < keyset->ncolumns; i++)
	{
		int			rc = SPI_execute(siter_keysql_null_probe(keyset, i),
									 true, 1);
		uint64		found = SPI_processed;

		if (rc != SPI_OK_SELECT)
			elog(ERROR, "could not look for null keys: %s",
				 SPI_result_code_string(rc));
		SPI_freetuptable(SPI_tuptable);
		if (found > 0)
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("key column \"%s\" is null in a row of the source",
							keyset->columns[i].name),
					 errdetail("Rows without a key cannot be visited."),
					 errhint("Leave such rows out of the source with WHERE, or state another key.")));
	}
}

double
siter_range_estimate(SiterKeyset *keyset, const SiterRange *range)
{
	SiterKeySelect select = {
		.has_lower = range->lower != NULL,
		.has_upper = range->upper != NULL,
		.keys_only = true
	};

	return siter_plancheck_plan(keyset, &select,
								range_params(keyset, range, &select))->planTree->plan_rows;
}

void
siter_range_explain(SiterKeyset *keyset, const SiterRange *range, int limit,
					char **sql, char **plan)
{
	SiterKeySelect select = {
		.has_lower = range->lower != NULL,
		.has_upper = range->upper != NULL,
		.order = SITER_ORDER_ASC,
		.limit = limit
	};

	*sql = siter_keysql_select(keyset, &select);
	*plan = siter_plancheck_explain(keyset, &select,
									range_params(keyset, range, &select));
}

/* The range's keys for the planner, which may take them as constants */
static ParamListInfo
range_params(const SiterKeyset *keyset, const SiterRange *range,
			 const SiterKeySelect *select)
{
	Oid		   *types = palloc_array(Oid, 2 * keyset->ncolumns);
	int			ntypes = siter_keysql_param_types(keyset, select, types);
	Datum	   *values = range_values(keyset, range);
	ParamListInfo params = makeParamList(ntypes);

	for (int i = 0; i < ntypes; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	return params;
}
