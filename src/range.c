/*-------------------------------------------------------------------------
 *
 * range.c
 *	  Reading a key range of a source.
 *
 * Statements are parsed once a run, and those on a plain table planned once,
 * too.  Others are planned anew for each batch, as then, with the values
 * known, partitions outside the range are not even opened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "columns.h"
#include "compat.h"
#include "plancheck.h"
#include "range.h"
#include "rangeplan.h"

/* Keys are counted so many at a time */
#define COUNT_CHUNK 10000

static SiterWalk *open_walk(SiterKeyset *keyset, const SiterRange *range,
							SiterKeySelect *select, int chunk_size);
static void set_values(Datum *values, const SiterKeyset *keyset,
					   const SiterRange *range);
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
	SiterWalk  *walk = open_walk(keyset, range, &select, limit);

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
	SiterWalk  *walk = open_walk(keyset, range, &select, 1);
	SiterKey   *key = NULL;

	if (siter_walk_fetch(walk))
		key = siter_key_from_slot(keyset,
								  streamiter_batch_row(&walk->batch, 0), true);
	siter_walk_close(walk);
	return key;
}

SiterWalk *
siter_range_open_keys(SiterKeyset *keyset, const SiterRange *range,
					  char *source_text, int chunk_size)
{
	SiterKeySelect select = {
		.has_lower = range->lower != NULL,
		.has_upper = range->upper != NULL,
		.keys_only = true,
		.order = SITER_ORDER_ASC
	};
	SiterKeyset other = *keyset;
	SiterArgs	args = {0};
	SiterSource *source;
	SiterWalk  *walk;

	if (source_text != NULL)
	{
		other.source = source_text;
		other.order_inside = false;
	}
	args.types = palloc_array(Oid, 2 * keyset->ncolumns);
	args.nargs = siter_keysql_param_types(keyset, &select, args.types);
	args.values = palloc_array(Datum, 2 * keyset->ncolumns);
	set_values(args.values, keyset, range);
	source = siter_source_prepare(siter_keysql_select(&other, &select), &args,
								  0);
	check_columns(keyset, source->tupdesc, true);
	walk = siter_walk_open(source, chunk_size, NULL, NULL);
	SPI_freeplan(source->plan);
	return walk;
}

/*
 * Open a walk of our own making.  The portal keeps copies of plan and
 * parameters.
 */
static SiterWalk *
open_walk(SiterKeyset *keyset, const SiterRange *range,
		  SiterKeySelect *select, int chunk_size)
{
	SiterSource *source;
	SiterWalk  *walk;
	int			nestlevel;

	select->has_lower = range->lower != NULL;
	select->has_upper = range->upper != NULL;
	source = siter_rangeplan_get(keyset, select);
	set_values(source->args.values, keyset, range);

	nestlevel = siter_plancheck_enter(keyset);
	walk = siter_walk_open(source, chunk_size, NULL, NULL);
	siter_plancheck_leave(nestlevel);
	check_columns(keyset, walk->portal->tupDesc, select->keys_only);
	return walk;
}

/* The parameters, as siter_keysql_param_types() orders them */
static void
set_values(Datum *values, const SiterKeyset *keyset, const SiterRange *range)
{
	const SiterKey *keys[] = {range->lower, range->upper};

	for (int k = 0; k < lengthof(keys); k++)
		for (int i = 0; keys[k] != NULL && i < keyset->ncolumns; i++)
			*values++ = keys[k]->values[i];
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
	else
		same = siter_columns_same(tupdesc, keyset->tupdesc);
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
	Datum	   *values = palloc_array(Datum, 2 * keyset->ncolumns);
	MemoryContext oldcontext = CurrentMemoryContext;
	uint64		locked;
	int			nestlevel;
	int			rc;

	set_values(values, keyset, range);
	nestlevel = siter_plancheck_enter(keyset);
	rc = SPI_execute_with_args(siter_keysql_select(keyset, &select),
							   ntypes, types, values, NULL, false, 0);
	siter_plancheck_leave(nestlevel);
	MemoryContextSwitchTo(oldcontext);	/* SPI returns in its own */
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
	SiterWalk  *walk = open_walk(keyset, range, &select, COUNT_CHUNK);
	uint64		rows;

	while (siter_walk_fetch(walk))
		 /* only counting */ ;
	rows = walk->rows;
	siter_walk_close(walk);
	return rows;
}

int64
siter_range_count(SiterKeyset *keyset, const SiterRange *range)
{
	SiterWalk  *walk = siter_range_open_keys(keyset, range, NULL, COUNT_CHUNK);
	int64		rows;

	while (siter_walk_scan(walk, NULL, NULL))
		CHECK_FOR_INTERRUPTS();
	rows = (int64) walk->rows;
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
					bool keys_only, char **sql, char **plan)
{
	SiterKeySelect select = {
		.has_lower = range->lower != NULL,
		.has_upper = range->upper != NULL,
		.keys_only = keys_only,
		.order = SITER_ORDER_ASC,
		.limit = limit
	};
	bool		plain = OidIsValid(keyset->table) &&
	keyset->table_relkind == RELKIND_RELATION;

	/* as siter_plancheck_enter() has it */
	*sql = siter_keysql_select(keyset, &select);
	*plan = siter_plancheck_explain(keyset, &select, plain ? NULL :
									range_params(keyset, range, &select));
}

/* The range's keys for the planner, which may take them as constants */
static ParamListInfo
range_params(const SiterKeyset *keyset, const SiterRange *range,
			 const SiterKeySelect *select)
{
	Oid		   *types = palloc_array(Oid, 2 * keyset->ncolumns);
	int			ntypes = siter_keysql_param_types(keyset, select, types);
	Datum	   *values = palloc_array(Datum, 2 * keyset->ncolumns);
	ParamListInfo params = makeParamList(ntypes);

	set_values(values, keyset, range);
	for (int i = 0; i < ntypes; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	return params;
}
