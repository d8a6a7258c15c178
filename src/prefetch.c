/*-------------------------------------------------------------------------
 *
 * prefetch.c
 *	  Related rows: one query per batch, for all of its rows.
 *
 * The keys of a batch are sorted, so that rows with one key form a group; the
 * related rows, as they come, find theirs by binary search and are kept as
 * jsonb.  Then each group's array is made and put behind its rows.
 *
 * Keys are compared in the type that the parser would choose for a UNION of
 * key column and linking column, with that type's default order, so the two
 * need not be of one type.
 *
 * Memory: all of a batch is in walk->related_context.  While the related rows
 * come in, what is there, and what the finished rows are going to take, is
 * compared with what the batch has left of streamiter.max_batch_memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/typcache.h"

#include "arrays.h"
#include "columns.h"
#include "compat.h"
#include "guc.h"
#include "jsonb_list.h"
#include "planprint.h"
#include "prefetch.h"

/* Rows fetched at once; does nothing but look for interrupts in between */
#define FETCH_ROWS 1000

/* Memory is had in blocks of this size, and the last one is counted whole */
#define MAX_BLOCK_SIZE (64 * 1024)

/* How much of the query, or of a key, a message shows */
#define MAX_SHOWN_QUERY 100
#define MAX_SHOWN_KEY 64

struct SiterPrefetch
{
	SiterSource *source;		/* the query, with a saved plan */
	int			key_attno;		/* of the key, among the source's columns */
	const char *key_name;
	Oid			key_type;		/* of the elements of $1 */

	/* keys as they are compared */
	Oid			type;
	int16		typlen;
	bool		typbyval;
	Oid			collation;
	FmgrInfo	compare;
	ExprState  *key;			/* of a row of the source */
	ExprState  *link;			/* of a related row */

	ExprState  *as_jsonb;		/* a related row, without its link */
	ExprContext *econtext;
	TupleTableSlot *row;		/* one row with its related rows */
	StreamIterBatch batch;		/* those of a batch */
	Datum		nothing;		/* the empty array */
	int			fits;			/* so many rows have fit into memory; 0: all */
	MemoryContextCallback release;
};

/* Rows of a batch with one key, and their related rows */
typedef struct KeyGroup
{
	Datum		key;
	int			first;			/* in PrefetchBatch.rows */
	int			nrows;
	SiterJsonbList related;
} KeyGroup;

/* A row's key */
typedef struct KeyedRow
{
	Datum		key;
	Datum		plain;			/* as it is in the source, for $1 */
	int			row;			/* from 0 */
	SiterPrefetch *prefetch;	/* for sorting */
} KeyedRow;

/* The rows of one batch while they are put together */
typedef struct PrefetchBatch
{
	SiterPrefetch *prefetch;
	MemoryContext context;
	int			nrows;
	KeyedRow   *rows;			/* those with a key, sorted by it */
	int			ngroups;
	KeyGroup   *groups;
	Size		bytes;			/* that the finished rows are going to take */
	Size		max_bytes;		/* for those, and what is in "context" */
	bool		too_large;		/* they are more */
} PrefetchBatch;

static int	find_key(TupleDesc tupdesc, const char *key);
static void prepare_query(SiterPrefetch *prefetch, const char *query);
static void release_plan(void *arg);
static void check_columns(TupleDesc tupdesc);
static void prepare_comparison(SiterPrefetch *prefetch, TupleDesc tupdesc);
static void prepare_row(SiterPrefetch *prefetch, TupleDesc tupdesc);
static bool try_rows(SiterPrefetch *prefetch, SiterWalk *walk,
					 int first, int nrows);
static void group_rows(PrefetchBatch *related, SiterWalk *walk, int first);
static Datum distinct_keys(PrefetchBatch *related);
static void fetch_related(PrefetchBatch *related);
static void take_related(TupleTableSlot *slot, void *arg);
static void add_to_rows(PrefetchBatch *related, SiterWalk *walk, int first);
static void refuse_large(SiterPrefetch *prefetch, SiterWalk *walk, int row);
static char *show_value(Oid type, Datum value);
static void prefetch_error_context(void *arg);

SiterPrefetch *
siter_prefetch_prepare(const char *query, const char *key, TupleDesc tupdesc)
{
	SiterPrefetch *prefetch = palloc0_object(SiterPrefetch);
	SiterJsonbList nothing = {0};
	ErrorContextCallback errcallback;
	Oid			type;

	if (tupdesc->natts >= MaxTupleAttributeNumber)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("no room for related rows beside %d columns",
						tupdesc->natts)));
	prefetch->key_attno = find_key(tupdesc, key);
	prefetch->key_name = pstrdup(key);
	type = TupleDescAttr(tupdesc, prefetch->key_attno - 1)->atttypid;
	prefetch->key_type = getBaseType(type);
	if (!OidIsValid(get_array_type(prefetch->key_type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of type %s cannot be the prefetch_key",
						key, format_type_be(type)),
				 errdetail("The query is given an array of keys, and there are no arrays of this type.")));

	errcallback.callback = prefetch_error_context;
	errcallback.arg = unconstify(char *, query);
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;
	prepare_query(prefetch, query);
	prepare_comparison(prefetch, tupdesc);
	error_context_stack = errcallback.previous;

	prepare_row(prefetch, tupdesc);
	prefetch->nothing = siter_jsonb_list_to_array(&nothing);
	return prefetch;
}

TupleDesc
siter_prefetch_tupdesc(const SiterPrefetch *prefetch)
{
	return prefetch->row->tts_tupleDescriptor;
}

static int
find_key(TupleDesc tupdesc, const char *key)
{
	int			attno = 0;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(tupdesc, i)->attname), key) != 0)
			continue;
		if (attno > 0)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("prefetch_key \"%s\" is ambiguous", key),
					 errdetail("More than one column of the query to walk has this name.")));
		attno = i + 1;
	}
	if (attno == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("prefetch_key \"%s\" does not exist", key),
				 errhint("It is the name of a column of the query to walk.")));
	return attno;
}

/* What happens in a batch may change objects in it: only saved plans notice */
static void
prepare_query(SiterPrefetch *prefetch, const char *query)
{
	SiterArgs	args = {.nargs = 1};

	args.types = palloc_object(Oid);
	args.types[0] = get_array_type(prefetch->key_type);
	args.values = palloc0_object(Datum);
	args.hint = _("$1 is the array of the batch's keys, as in WHERE author_id = ANY ($1), and there is no other.");
	prefetch->source = siter_source_prepare(query, &args, 0);
	check_columns(prefetch->source->tupdesc);

	SPI_keepplan(prefetch->source->plan);
	prefetch->release.func = release_plan;
	prefetch->release.arg = prefetch->source->plan;
	MemoryContextRegisterResetCallback(CurrentMemoryContext,
									   &prefetch->release);
}

static void
release_plan(void *arg)
{
	SPI_freeplan((SPIPlanPtr) arg);
}

/* A jsonb object would lose one of two columns with the same name */
static void
check_columns(TupleDesc tupdesc)
{
	if (tupdesc->natts < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the prefetch query must return at least two columns"),
				 errdetail("The first one tells which key a row belongs to, the others are what the callback gets.")));

	for (int i = 1; i < tupdesc->natts; i++)
	{
		char	   *name = NameStr(TupleDescAttr(tupdesc, i)->attname);

		for (int j = 1; j < i; j++)
		{
			if (strcmp(name, NameStr(TupleDescAttr(tupdesc, j)->attname)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("the prefetch query returns two columns named \"%s\"",
								name),
						 errhint("Give one of them another name with AS; only the first column of all is left out of the related rows.")));
		}
	}
}

/* A column in the type that keys are compared in */
static ExprState *
prepare_key(TupleDesc tupdesc, int attno, Oid type)
{
	Node	   *expr = (Node *) siter_column_var(tupdesc, attno);

	expr = coerce_to_target_type(NULL, expr, exprType(expr), type, -1,
								 COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
	return expr == NULL ? NULL :
		ExecInitExpr(expression_planner((Expr *) expr), NULL);
}

/*
 * How the related rows' first column, the link, is compared with the key.  Its
 * collation counts, as it does in "link = ANY ($1)"; deterministic ones have
 * the same idea of what is equal.
 */
static void
prepare_comparison(SiterPrefetch *prefetch, TupleDesc tupdesc)
{
	TupleDesc	related = prefetch->source->tupdesc;
	Form_pg_attribute link = TupleDescAttr(related, 0);
	List	   *columns;
	TypeCacheEntry *entry = NULL;

	columns = list_make2(siter_column_var(tupdesc, prefetch->key_attno),
						 siter_column_var(related, 1));
	prefetch->type = select_common_type(NULL, columns, NULL, NULL);
	if (OidIsValid(prefetch->type))
	{
		prefetch->type = getBaseType(prefetch->type);
		prefetch->key = prepare_key(tupdesc, prefetch->key_attno,
									prefetch->type);
		prefetch->link = prepare_key(related, 1, prefetch->type);
		entry = lookup_type_cache(prefetch->type, TYPECACHE_CMP_PROC_FINFO);
	}
	if (prefetch->key == NULL || prefetch->link == NULL ||
		!OidIsValid(entry->cmp_proc))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("cannot compare prefetch_key \"%s\" of type %s with column \"%s\" of type %s",
						prefetch->key_name,
						format_type_be(TupleDescAttr(tupdesc, prefetch->key_attno - 1)->atttypid),
						NameStr(link->attname),
						format_type_be(link->atttypid)),
				 errdetail("The first column of the prefetch query tells which key a row belongs to."),
				 errhint("Cast them to one type, of values that can be ordered.")));

	get_typlenbyval(prefetch->type, &prefetch->typlen, &prefetch->typbyval);
	fmgr_info_copy(&prefetch->compare, &entry->cmp_proc_finfo,
				   CurrentMemoryContext);
	prefetch->collation = link->attcollation;
	if (!OidIsValid(prefetch->collation))
		prefetch->collation = get_typcollation(prefetch->type);
	if ((prefetch->type == TEXTOID || prefetch->type == VARCHAROID ||
		 prefetch->type == BPCHAROID) &&
		get_collation_isdeterministic(prefetch->collation))
		prefetch->collation = C_COLLATION_OID;
}

/* The related rows as jsonb, and the rows that they become a part of */
static void
prepare_row(SiterPrefetch *prefetch, TupleDesc tupdesc)
{
	TupleDesc	related = prefetch->source->tupdesc;
	RowExpr    *row = makeNode(RowExpr);
	TupleDesc	rowdesc;
	Expr	   *call;

	for (int attno = 2; attno <= related->natts; attno++)
	{
		char	   *name = NameStr(TupleDescAttr(related, attno - 1)->attname);

		row->args = lappend(row->args, siter_column_var(related, attno));
		row->colnames = lappend(row->colnames, makeString(pstrdup(name)));
	}
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	call = (Expr *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(row),
								 InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
	prefetch->as_jsonb = ExecInitExpr(expression_planner(call), NULL);
	prefetch->econtext = CreateStandaloneExprContext();

	rowdesc = CreateTemplateTupleDesc(tupdesc->natts + 1);
	for (int attno = 1; attno <= tupdesc->natts; attno++)
		TupleDescCopyEntry(rowdesc, attno, tupdesc, attno);
	TupleDescInitEntry(rowdesc, tupdesc->natts + 1, "related", JSONBOID, -1,
					   0);
	BlessTupleDesc(rowdesc);
	prefetch->row = MakeSingleTupleTableSlot(rowdesc, &TTSOpsVirtual);
	prefetch->batch.slot = MakeSingleTupleTableSlot(rowdesc,
													&TTSOpsMinimalTuple);
}

void
siter_prefetch_make_room(SiterWalk *walk)
{
	Assert(walk->related_context == NULL);
	walk->max_batch_memory /= 4;
	walk->related_context = AllocSetContextCreate(walk->walk_context,
												  "streamiter prefetch",
												  ALLOCSET_DEFAULT_MINSIZE,
												  ALLOCSET_DEFAULT_INITSIZE,
												  MAX_BLOCK_SIZE);
}

StreamIterBatch *
siter_prefetch_rows(SiterPrefetch *prefetch, SiterWalk *walk,
					int first, int nrows)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(walk->related_context);
	ErrorContextCallback errcallback;
	bool		failed = false;

	errcallback.callback = prefetch_error_context;
	errcallback.arg = unconstify(char *, prefetch->source->query);
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;

	if (prefetch->fits > 0)
		nrows = Min(nrows, prefetch->fits);
	while (!try_rows(prefetch, walk, first, nrows))
	{
		if (nrows == 1)
			refuse_large(prefetch, walk, first);
		nrows /= 2;
		prefetch->fits = nrows;
		failed = true;
	}

	/* more the next time, but slowly, as each failure costs a query */
	if (!failed && nrows == prefetch->fits)
		prefetch->fits += nrows / 8 + 1;

	error_context_stack = errcallback.previous;
	MemoryContextSwitchTo(oldcontext);
	return &prefetch->batch;
}

/*
 * What the batch leaves of its memory; a single row may have taken all of it,
 * and is not to fail for that
 */
static Size
room_left(SiterWalk *walk)
{
	Size		all = (Size) siter_max_batch_memory * 1024;
	Size		taken = MemoryContextMemAllocated(walk->batch_context, true);

	return taken < all / 2 ? all - taken : all / 2;
}

static bool
is_too_large(PrefetchBatch *related)
{
	return MemoryContextMemAllocated(related->context, true) +
		related->bytes > related->max_bytes;
}

/* False if it takes too much memory */
static bool
try_rows(SiterPrefetch *prefetch, SiterWalk *walk, int first, int nrows)
{
	PrefetchBatch related = {.prefetch = prefetch,.nrows = nrows};

	ExecClearTuple(prefetch->batch.slot);
	MemoryContextReset(walk->related_context);
	related.context = walk->related_context;
	related.max_bytes = room_left(walk);
	for (int i = first; nrows > 1 && i < first + nrows; i++)
		related.bytes += sizeof(MinimalTuple) +
			GetMemoryChunkSpace(walk->batch.tuples[i]);
	group_rows(&related, walk, first);
	related.too_large = is_too_large(&related) && nrows > 1;
	if (related.ngroups > 0 && !related.too_large)
		fetch_related(&related);
	if (related.too_large)
		return false;
	add_to_rows(&related, walk, first);
	return true;
}

static int
compare_keys(SiterPrefetch *prefetch, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&prefetch->compare,
										   prefetch->collation, a, b));
}

/* By key, and those of one key as they came */
static int
compare_rows(const void *a, const void *b)
{
	const KeyedRow *row_a = (const KeyedRow *) a;
	const KeyedRow *row_b = (const KeyedRow *) b;
	SiterPrefetch *prefetch = row_a->prefetch;
	int			result = compare_keys(prefetch, row_a->key, row_b->key);

	return result != 0 ? result : row_a->row - row_b->row;
}

/* Sets rows and groups; rows without a key are in neither */
static void
group_rows(PrefetchBatch *related, SiterWalk *walk, int first)
{
	SiterPrefetch *prefetch = related->prefetch;
	int			n = 0;

	related->rows = palloc_array(KeyedRow, related->nrows);
	for (int i = 0; i < related->nrows; i++)
	{
		TupleTableSlot *slot = streamiter_batch_row(&walk->batch, first + i);
		KeyedRow   *row = &related->rows[n];
		bool		isnull;

		row->plain = slot_getattr(slot, prefetch->key_attno, &isnull);
		if (isnull)
			continue;
		prefetch->econtext->ecxt_scantuple = slot;
		row->key = ExecEvalExpr(prefetch->key, prefetch->econtext, &isnull);
		if (prefetch->typlen == -1)
			row->key = PointerGetDatum(PG_DETOAST_DATUM_PACKED(row->key));
		row->row = i;
		row->prefetch = prefetch;
		n++;
	}
	qsort(related->rows, n, sizeof(KeyedRow), compare_rows);

	related->groups = palloc0_array(KeyGroup, Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		KeyedRow   *row = &related->rows[i];
		KeyGroup   *group = &related->groups[Max(related->ngroups - 1, 0)];

		CHECK_FOR_INTERRUPTS();
		if (i == 0 || compare_keys(prefetch, group->key, row->key) != 0)
		{
			group = &related->groups[related->ngroups++];
			group->key = row->key;
			group->first = i;
		}
		group->nrows++;
	}
}

static Datum
distinct_keys(PrefetchBatch *related)
{
	SiterArray	keys;

	siter_array_init(&keys, related->prefetch->key_type,
					 related->prefetch->key_name);
	siter_array_begin(&keys, related->ngroups);
	for (int i = 0; i < related->ngroups; i++)
		siter_array_add(&keys,
						related->rows[related->groups[i].first].plain, false);
	return siter_array_finish(&keys);
}

static void
fetch_related(PrefetchBatch *related)
{
	SiterSource *source = related->prefetch->source;
	SiterWalk  *walk;

	source->args.values[0] = distinct_keys(related);
	walk = siter_walk_open(source, FETCH_ROWS, NULL, NULL);
	if (!siter_columns_same(walk->portal->tupDesc, source->tupdesc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the columns of the prefetch query changed while its rows were walked"),
				 errhint("Walk or run the job again.")));
	while (!related->too_large &&
		   siter_walk_stream(walk, take_related, related))
		CHECK_FOR_INTERRUPTS();
	siter_walk_close(walk);
}

static KeyGroup *
find_group(PrefetchBatch *related, Datum key)
{
	SiterPrefetch *prefetch = related->prefetch;
	int			low = 0;
	int			high = related->ngroups - 1;

	while (low <= high)
	{
		int			middle = low + (high - low) / 2;
		KeyGroup   *group = &related->groups[middle];
		int			order = compare_keys(prefetch, key, group->key);

		if (order == 0)
			return group;
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * One related row; runs in a context that is reset after it.  One that belongs
 * to no row would be lost: mostly the query has its columns mixed up.
 */
static void
take_related(TupleTableSlot *slot, void *arg)
{
	PrefetchBatch *related = (PrefetchBatch *) arg;
	SiterPrefetch *prefetch = related->prefetch;
	ExprContext *econtext = prefetch->econtext;
	KeyGroup   *group = NULL;
	Datum		link;
	bool		isnull;
	Jsonb	   *jsonb;
	MemoryContext oldcontext;

	if (related->too_large)
		return;
	econtext->ecxt_scantuple = slot;
	link = ExecEvalExpr(prefetch->link, econtext, &isnull);
	if (!isnull)
		group = find_group(related, link);
	if (group == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the prefetch query returned a row of no key that it was asked for"),
				 errdetail("Its first column, \"%s\", is %s.",
						   NameStr(TupleDescAttr(slot->tts_tupleDescriptor, 0)->attname),
						   isnull ? "null" : show_value(prefetch->type, link)),
				 errhint("The query's first column must be the one that is compared with $1.")));

	jsonb = DatumGetJsonbP(ExecEvalExpr(prefetch->as_jsonb, econtext, &isnull));

	oldcontext = MemoryContextSwitchTo(related->context);
	siter_jsonb_list_add(&group->related, jsonb);
	MemoryContextSwitchTo(oldcontext);

	/* each row of the group will have it, and memory comes in powers of 2 */
	related->bytes += (Size) group->nrows * 2 * VARSIZE(jsonb);
	related->too_large = is_too_large(related);
}

/* A row of the batch with its array */
static MinimalTuple
extend_row(PrefetchBatch *related, SiterWalk *walk, int row, Datum array)
{
	TupleTableSlot *slot = streamiter_batch_row(&walk->batch, row);
	TupleTableSlot *extended = related->prefetch->row;
	int			natts = extended->tts_tupleDescriptor->natts;

	slot_getallattrs(slot);
	ExecClearTuple(extended);
	memcpy(extended->tts_values, slot->tts_values,
		   sizeof(Datum) * (natts - 1));
	memcpy(extended->tts_isnull, slot->tts_isnull, sizeof(bool) * (natts - 1));
	extended->tts_values[natts - 1] = array;
	extended->tts_isnull[natts - 1] = false;
	ExecStoreVirtualTuple(extended);
	return ExecCopySlotMinimalTuple(extended);
}

static void
add_to_rows(PrefetchBatch *related, SiterWalk *walk, int first)
{
	SiterPrefetch *prefetch = related->prefetch;
	StreamIterBatch *batch = &prefetch->batch;

	batch->nrows = related->nrows;
	batch->tuples = palloc0_array(MinimalTuple, related->nrows);
	for (int i = 0; i < related->ngroups; i++)
	{
		KeyGroup   *group = &related->groups[i];
		Datum		array;

		CHECK_FOR_INTERRUPTS();
		if (group->related.nelements == 0)
			continue;
		array = siter_jsonb_list_to_array(&group->related);
		for (int j = group->first; j < group->first + group->nrows; j++)
		{
			int			row = related->rows[j].row;

			batch->tuples[row] = extend_row(related, walk, first + row, array);
		}
		pfree(DatumGetPointer(array));
	}
	for (int row = 0; row < related->nrows; row++)
		if (batch->tuples[row] == NULL)
			batch->tuples[row] = extend_row(related, walk, first + row,
											prefetch->nothing);
	ExecClearTuple(prefetch->row);
}

static void
refuse_large(SiterPrefetch *prefetch, SiterWalk *walk, int row)
{
	bool		isnull;
	Datum		key = slot_getattr(streamiter_batch_row(&walk->batch, row),
								   prefetch->key_attno, &isnull);

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the related rows of one row do not fit into streamiter.max_batch_memory"),
			 errdetail("Its prefetch_key \"%s\" is %s.", prefetch->key_name,
					   show_value(prefetch->key_type, key)),
			 errhint("Raise streamiter.max_batch_memory, or let the prefetch query return fewer rows or columns.")));
}

/* Clipped */
static char *
show_value(Oid type, Datum value)
{
	Oid			output;
	bool		is_varlena;
	char	   *text;
	int			shown;

	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);

	shown = pg_mbcliplen(text, strlen(text), MAX_SHOWN_KEY);
	return psprintf("%.*s%s", shown, text, text[shown] != '\0' ? "..." : "");
}

char *
siter_prefetch_explain(const SiterPrefetch *prefetch)
{
	const SiterSource *source = prefetch->source;
	CachedPlan *cplan;			/* without values, the generic one */
	char	   *plan;

	cplan = GetCachedPlan(linitial(SPI_plan_get_plan_sources(source->plan)),
						  NULL, CurrentResourceOwner, NULL);
	plan = siter_planprint(linitial_node(PlannedStmt, cplan->stmt_list),
						   1, source->args.types);
	ReleaseCachedPlan(cplan, CurrentResourceOwner);
	return plan;
}

static void
prefetch_error_context(void *arg)
{
	const char *query = (const char *) arg;
	int			shown = pg_mbcliplen(query, strlen(query), MAX_SHOWN_QUERY);

	errcontext("prefetch \"%.*s%s\"", shown, query,
			   query[shown] != '\0' ? "..." : "");
}
