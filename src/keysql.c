/*-------------------------------------------------------------------------
 *
 * keysql.c
 *	  The text of the statements that read a key range of a source.
 *
 * The source is text by its nature; it is put between parentheses on lines of
 * its own, so that a comment at its end stays a comment.  What we add names
 * every operator with its schema and every column with our alias, so that it
 * means the same under any search_path.
 *
 * No COLLATE is needed: a column brings its collation with it, and the
 * parameter it is compared with has only the default of its type, which gives
 * way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_operator.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "keysql.h"

#define ALIAS "source_1"

static void append_columns(StringInfo buf, const SiterKeyset *keyset,
						   const char *qualifier, const char *suffix);
static void append_source(StringInfo buf, const SiterKeyset *keyset,
						  SiterKeyOrder order);
static void append_comparison(StringInfo buf, const SiterKeyset *keyset,
							  const char *qualifier,
							  StrategyNumber strategy, int first_param);
static void append_expanded(StringInfo buf, const SiterKeyset *keyset,
							const char *qualifier,
							StrategyNumber strategy, int first_param, int i);
static char *operator_name(const SiterKeyColumn *column,
						   StrategyNumber strategy);
static char *column_name(const char *qualifier, const SiterKeyColumn *column);

char *
siter_keysql_select(const SiterKeyset *keyset, const SiterKeySelect *select)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	if (select->keys_only)
		append_columns(&buf, keyset, ALIAS, "");
	else
		appendStringInfoString(&buf, ALIAS ".*");
	append_source(&buf, keyset, select->order);

	if (select->has_lower)
	{
		appendStringInfoString(&buf, "\nWHERE ");
		append_comparison(&buf, keyset, ALIAS, BTGreaterStrategyNumber, 1);
	}
	if (select->has_upper)
	{
		appendStringInfoString(&buf, select->has_lower ? "\nAND " : "\nWHERE ");
		append_comparison(&buf, keyset, ALIAS, BTLessEqualStrategyNumber,
						  select->has_lower ? keyset->ncolumns + 1 : 1);
	}
	if (select->order != SITER_ORDER_NONE)
	{
		appendStringInfoString(&buf, "\nORDER BY ");
		append_columns(&buf, keyset, ALIAS,
					   select->order == SITER_ORDER_DESC ? " DESC" : "");
	}
	if (select->limit > 0)
		appendStringInfo(&buf, "\nLIMIT " INT64_FORMAT, select->limit);
	if (select->offset > 0)
		appendStringInfo(&buf, " OFFSET " INT64_FORMAT, select->offset);
	if (select->for_update)
		appendStringInfoString(&buf, "\nFOR UPDATE OF " ALIAS);
	return buf.data;
}

char *
siter_keysql_null_probe(const SiterKeyset *keyset, int column)
{
	return psprintf("SELECT 1\nFROM (\n%s\n) AS " ALIAS "\nWHERE %s IS NULL\nLIMIT 1",
					keyset->source, column_name(ALIAS, &keyset->columns[column]));
}

int
siter_keysql_param_types(const SiterKeyset *keyset,
						 const SiterKeySelect *select, Oid *types)
{
	int			nkeys = (select->has_lower ? 1 : 0) + (select->has_upper ? 1 : 0);

	for (int i = 0; i < nkeys * keyset->ncolumns; i++)
		types[i] = keyset->columns[i % keyset->ncolumns].param_type;
	return nkeys * keyset->ncolumns;
}

char *
siter_keysql_between(const SiterKeyset *keyset, const char *table)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_comparison(&buf, keyset, table, BTGreaterEqualStrategyNumber, 1);
	appendStringInfoString(&buf, "\nAND ");
	append_comparison(&buf, keyset, table, BTLessEqualStrategyNumber,
					  keyset->ncolumns + 1);
	return buf.data;
}

static void
append_columns(StringInfo buf, const SiterKeyset *keyset,
			   const char *qualifier, const char *suffix)
{
	for (int i = 0; i < keyset->ncolumns; i++)
		appendStringInfo(buf, "%s%s%s", i > 0 ? ", " : "",
						 column_name(qualifier, &keyset->columns[i]), suffix);
}

/* ORDER BY inside can go by the columns' names in the result only */
static void
append_source(StringInfo buf, const SiterKeyset *keyset, SiterKeyOrder order)
{
	appendStringInfo(buf, "\nFROM (\n%s\n", keyset->source);
	if (keyset->order_inside && order != SITER_ORDER_NONE)
	{
		for (int i = 0; i < keyset->ncolumns; i++)
			appendStringInfo(buf, "%s%s%s", i > 0 ? ", " : "ORDER BY ",
							 quote_identifier(keyset->columns[i].name),
							 order == SITER_ORDER_DESC ? " DESC" : "");
		appendStringInfoChar(buf, '\n');
	}
	appendStringInfoString(buf, ") AS " ALIAS);
}

/* The key >, >= or <= the parameters from $first_param on */
static void
append_comparison(StringInfo buf, const SiterKeyset *keyset,
				  const char *qualifier, StrategyNumber strategy, int first_param)
{
	if (!keyset->use_row_comparison)
	{
		append_expanded(buf, keyset, qualifier, strategy, first_param, 0);
		return;
	}
	if (keyset->ncolumns > 1)
		appendStringInfoString(buf, "ROW(");
	append_columns(buf, keyset, qualifier, "");
	if (keyset->ncolumns > 1)
		appendStringInfoChar(buf, ')');
	appendStringInfo(buf, " %s ", operator_name(&keyset->columns[0], strategy));
	if (keyset->ncolumns > 1)
		appendStringInfoString(buf, "ROW(");
	for (int i = 0; i < keyset->ncolumns; i++)
		appendStringInfo(buf, "%s$%d", i > 0 ? ", " : "", first_param + i);
	if (keyset->ncolumns > 1)
		appendStringInfoChar(buf, ')');
}

/*
 * The same column by column: a >= $1 AND (a > $1 OR (a = $1 AND ...)).  The
 * first condition follows from the rest; it is what an index starts from.
 */
static void
append_expanded(StringInfo buf, const SiterKeyset *keyset,
				const char *qualifier, StrategyNumber strategy,
				int first_param, int i)
{
	const SiterKeyColumn *column = &keyset->columns[i];
	bool		greater = strategy != BTLessEqualStrategyNumber;
	char	   *name = column_name(qualifier, column);
	int			param = first_param + i;

	if (i == keyset->ncolumns - 1)
	{
		appendStringInfo(buf, "%s %s $%d", name,
						 operator_name(column, strategy), param);
		return;
	}
	appendStringInfo(buf, "(%s %s $%d AND (%s %s $%d OR (%s %s $%d AND ",
					 name,
					 operator_name(column, greater ?
								   BTGreaterEqualStrategyNumber :
								   BTLessEqualStrategyNumber),
					 param, name,
					 operator_name(column, greater ? BTGreaterStrategyNumber :
								   BTLessStrategyNumber),
					 param, name,
					 operator_name(column, BTEqualStrategyNumber), param);
	append_expanded(buf, keyset, qualifier, strategy, first_param, i + 1);
	appendStringInfoString(buf, ")))");
}

/* The operator family's own: OPERATOR(pg_catalog.>) */
static char *
operator_name(const SiterKeyColumn *column, StrategyNumber strategy)
{
	Oid			operator = get_opfamily_member(column->opfamily,
											   column->opcintype,
											   column->opcintype, strategy);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);

	/* an operator's name is made of signs only, so it needs no quotes */
	name = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

static char *
column_name(const char *qualifier, const SiterKeyColumn *column)
{
	return psprintf("%s.%s", qualifier, quote_identifier(column->name));
}
