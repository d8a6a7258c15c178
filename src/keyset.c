/*-------------------------------------------------------------------------
 *
 * keyset.c
 *	  The key of a job: the columns that order its source uniquely.
 *
 * For a source that is one table, the catalog decides whether columns are a
 * key (keyindex.c), and the primary key is the default.  For everything else,
 * views and joins, materialized views (whose columns cannot be declared NOT
 * NULL) and foreign tables (whose declarations nobody enforces), the user
 * states the key, and it is checked while walking.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "keyindex.h"
#include "keyset.h"
#include "keyshape.h"
#include "plancheck.h"
#include "source.h"

static SiterKeyset *analyze(const char *source, List *key,
							MemoryContext context);
static char *source_text(CachedPlanSource *plansource);
static TargetEntry *find_column(Query *query, const char *name);
static List *primary_key(SiterKeyShape *shape, Query *query);
static void fill_column(SiterKeyColumn *column, SiterKeyset *keyset,
						Query *query, TargetEntry *tle);
static void fill_operators(SiterKeyColumn *column);
static void prove(SiterKeyset *keyset, const SiterKeyShape *shape);
static bool operators_are_alike(const SiterKeyset *keyset);

SiterKeyset *
siter_keyset_create(const char *source, List *key, bool allow_slow_plan)
{
	MemoryContext context;
	MemoryContext caller = CurrentMemoryContext;
	SiterKeyset *keyset;

	context = AllocSetContextCreate(caller, "streamiter keyset",
									ALLOCSET_SMALL_SIZES);
	keyset = analyze(source, key, context);
	keyset->allow_slow_plan = allow_slow_plan;
	siter_plancheck_keyset(keyset);

	MemoryContextSwitchTo(caller);
	return keyset;
}

/* What stays is copied to "context"; the rest is left to the caller's */
static SiterKeyset *
analyze(const char *source, List *key, MemoryContext context)
{
	SiterKeyset *keyset;
	SiterSource *prepared = siter_source_prepare(source, NULL, 0);
	CachedPlanSource *plansource;
	Query	   *query;
	SiterKeyShape *shape;
	ListCell   *lc;

	plansource = linitial(SPI_plan_get_plan_sources(prepared->plan));
	query = linitial_node(Query, plansource->query_list);
	shape = siter_keyshape_analyze(query);
	if (key == NIL)
		key = primary_key(shape, query);

	MemoryContextSwitchTo(context);
	keyset = palloc0_object(SiterKeyset);
	keyset->context = context;
	keyset->source = source_text(plansource);
	keyset->tupdesc = CreateTupleDescCopy(prepared->tupdesc);
	keyset->table = shape->table;
	keyset->table_relkind = shape->relkind;
	keyset->every_row = shape->every_row;
	keyset->tables = list_copy(shape->tables);
	keyset->unlogged = shape->unlogged ? pstrdup(shape->unlogged) : NULL;

	keyset->columns = palloc0_array(SiterKeyColumn, list_length(key));
	foreach(lc, key)
		fill_column(&keyset->columns[keyset->ncolumns++], keyset, query,
					find_column(query, (char *) lfirst(lc)));

	prove(keyset, shape);
	keyset->use_row_comparison = keyset->ncolumns == 1 ||
		(!shape->only_foreign && operators_are_alike(keyset));

	SPI_freeplan(prepared->plan);
	return keyset;
}

/*
 * The text without what may follow the statement: a semicolon would not be
 * understood in the middle of another statement.
 */
static char *
source_text(CachedPlanSource *plansource)
{
	RawStmt    *raw = plansource->raw_parse_tree;
	const char *start = plansource->query_string + Max(raw->stmt_location, 0);

	return raw->stmt_len > 0 ? pnstrdup(start, raw->stmt_len) : pstrdup(start);
}

static TargetEntry *
find_column(Query *query, const char *name)
{
	TargetEntry *found = NULL;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk || strcmp(tle->resname, name) != 0)
			continue;
		if (found != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("key column \"%s\" is ambiguous", name),
					 errdetail("The source has more than one column of this name."),
					 errhint("Give the source's columns names of their own with AS.")));
		found = tle;
	}
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("key column \"%s\" is not in the source", name),
				 errhint("Add it to the source's SELECT list, or state another key.")));
	return found;
}

/* The name under which a source shows a column of its one table, or NULL */
static char *
name_in_source(Query *query, AttrNumber attno)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Oid			table;
		AttrNumber	origin;

		if (!tle->resjunk &&
			siter_keyshape_origin(query, tle->expr, &table, &origin) &&
			origin == attno)
			return tle->resname;
	}
	return NULL;
}

/* Names of the default key's columns */
static List *
primary_key(SiterKeyShape *shape, Query *query)
{
	List	   *key = NIL;
	List	   *attnos;
	ListCell   *lc;

	if (!OidIsValid(shape->table))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the source has no key of its own"),
				 errdetail("Only a source that is one table, without children, has one: its primary key."),
				 errhint("State the columns that are unique and never null: key => '{...}'.")));

	attnos = siter_keyindex_primary(shape->table);
	if (attnos == NIL)
	{
		char	   *suggestion = siter_keyindex_suggest(shape->table);

		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no primary key",
						get_rel_name(shape->table)),
				 suggestion ?
				 errhint("Columns (%s) would do: key => '{%s}'.",
						 suggestion, suggestion) :
				 errhint("State the columns that are unique and never null: key => '{...}'.")));
	}

	foreach(lc, attnos)
	{
		char	   *name = name_in_source(query, lfirst_int(lc));

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("key column \"%s\" is not in the source",
							get_attname(shape->table, lfirst_int(lc), false)),
					 errdetail("It is in the primary key of table \"%s\".",
							   get_rel_name(shape->table)),
					 errhint("Add it to the source's SELECT list, or state another key.")));
		key = lappend(key, name);
	}
	return key;
}

static void
fill_column(SiterKeyColumn *column, SiterKeyset *keyset, Query *query,
			TargetEntry *tle)
{
	Form_pg_attribute att = TupleDescAttr(keyset->tupdesc, tle->resno - 1);
	Oid			volatile_function = siter_keyshape_volatile((Node *) tle->expr);

	for (SiterKeyColumn *other = keyset->columns; other < column; other++)
		if (other->attno == tle->resno)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key column \"%s\" is named twice", other->name)));
	if (OidIsValid(volatile_function))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("key column \"%s\" depends on the volatile function %s",
						tle->resname, format_procedure(volatile_function)),
				 errhint("A key must be the same whenever it is read.")));

	column->name = pstrdup(tle->resname);
	column->attno = tle->resno;
	column->type = att->atttypid;
	column->base_type = getBaseType(att->atttypid);
	column->collation = att->attcollation;
	if (!siter_keyshape_origin(query, tle->expr, &column->origin_table,
							   &column->origin_attno))
		column->origin_table = InvalidOid;
	fill_operators(column);
}

static void
fill_operators(SiterKeyColumn *column)
{
	TypeCacheEntry *type;
	Oid			function;
	bool		is_varlena;

	type = lookup_type_cache(column->base_type,
							 TYPECACHE_BTREE_OPFAMILY | TYPECACHE_CMP_PROC);
	if (!OidIsValid(type->btree_opf) || !OidIsValid(type->cmp_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("key column \"%s\" has type %s, which has no order",
						column->name, format_type_be(column->type)),
				 errdetail("There is no default btree operator class for it."),
				 errhint("State another key.")));
	column->opfamily = type->btree_opf;
	column->opcintype = type->btree_opintype;
	fmgr_info(type->cmp_proc, &column->compare);

	/*
	 * Values are handled as what the operators take, where that is a type:
	 * text for varchar, and for regclass an OID, which can be written down
	 * without looking up a name.
	 */
	column->param_type = column->opcintype;
	if (IsPolymorphicType(column->opcintype) ||
		column->opcintype == RECORDOID)
		column->param_type = column->base_type;

	get_typlenbyvalalign(column->param_type, &column->typlen,
						 &column->typbyval, &column->typalign);
	getTypeOutputInfo(column->param_type, &function, &is_varlena);
	fmgr_info(function, &column->output);
	getTypeInputInfo(column->param_type, &function, &column->ioparam);
	fmgr_info(function, &column->input);
}

/*
 * What does the catalog say about the key?  Of foreign tables, and partitions
 * that are, it says what nobody enforces.
 */
static void
prove(SiterKeyset *keyset, const SiterKeyShape *shape)
{
	List	   *attnos = NIL;

	for (int i = 0; i < keyset->ncolumns; i++)
	{
		if (keyset->columns[i].origin_table != keyset->table)
			keyset->table = InvalidOid;
		attnos = lappend_int(attnos, keyset->columns[i].origin_attno);
	}

	if (OidIsValid(keyset->table) && !shape->any_foreign &&
		(keyset->table_relkind == RELKIND_RELATION ||
		 keyset->table_relkind == RELKIND_PARTITIONED_TABLE))
	{
		siter_keyindex_prove(keyset->table, attnos);
		keyset->proven_unique = true;
		return;
	}

	/*
	 * Two texts that a nondeterministic collation calls equal may both be
	 * there unless an index says no, and nobody could tell which was done.
	 */
	for (int i = 0; i < keyset->ncolumns; i++)
	{
		SiterKeyColumn *column = &keyset->columns[i];

		if (OidIsValid(column->collation) &&
			!get_collation_isdeterministic(column->collation))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("key column \"%s\" has a nondeterministic collation",
							column->name),
					 errhint("Walk the table itself, with a unique index on it, or give the column a deterministic collation with COLLATE.")));
	}
}

/*
 * ROW(a, b) > ROW($1, $2) names one operator for all columns, so they must
 * share name and schema.
 */
static bool
operators_are_alike(const SiterKeyset *keyset)
{
	static const int strategies[] = {BTLessEqualStrategyNumber, BTGreaterStrategyNumber};

	for (int s = 0; s < lengthof(strategies); s++)
	{
		char	   *first = NULL;
		Oid			schema = InvalidOid;

		for (int i = 0; i < keyset->ncolumns; i++)
		{
			SiterKeyColumn *column = &keyset->columns[i];
			Oid			operator = get_opfamily_member(column->opfamily,
													   column->opcintype,
													   column->opcintype,
													   strategies[s]);
			HeapTuple	tuple = SearchSysCache1(OPEROID,
												ObjectIdGetDatum(operator));
			Form_pg_operator form;
			bool		alike = true;

			if (!HeapTupleIsValid(tuple))
				elog(ERROR, "cache lookup failed for operator %u", operator);
			form = (Form_pg_operator) GETSTRUCT(tuple);
			if (i == 0)
			{
				first = pstrdup(NameStr(form->oprname));
				schema = form->oprnamespace;
			}
			else
				alike = form->oprnamespace == schema &&
					strcmp(NameStr(form->oprname), first) == 0;
			ReleaseSysCache(tuple);
			if (!alike)
				return false;
		}
	}
	return true;
}

void
siter_keyset_check_lockable(const SiterKeyset *keyset)
{
	SiterKeySelect select = {
		.has_upper = true,
		.keys_only = true,
		.for_update = true
	};
	ListCell   *lc;

	/* Parse analysis knows most of what cannot be locked */
	(void) siter_plancheck_plan(keyset, &select, NULL);

	foreach(lc, keyset->tables)
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_MATVIEW)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot lock rows in materialized view \"%s\"",
							get_rel_name(lfirst_oid(lc))),
					 errhint("Use lock_rows => 'none'.")));
	}
}

void
siter_keyset_warn_unlogged(const SiterKeyset *keyset)
{
	if (keyset->unlogged != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("table %s is unlogged", keyset->unlogged),
				 errdetail("A crash empties the table but not the job's position.")));
}
