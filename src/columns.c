/*-------------------------------------------------------------------------
 *
 * columns.c
 *	  Source columns as arguments: what fits which parameter, and how.
 *
 * Casting is the parser's business: we build the expressions that it would
 * build for a function call, so a callback takes what it would take in a
 * plain SELECT.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "columns.h"

Expr *
siter_column_var(TupleDesc tupdesc, int attno)
{
	Form_pg_attribute att = TupleDescAttr(tupdesc, attno - 1);

	return (Expr *) makeVar(1, attno, att->atttypid, att->atttypmod,
							att->attcollation, 0);
}

static Expr *
coerce_column(TupleDesc tupdesc, int attno, Oid type, int32 typmod)
{
	Form_pg_attribute att = TupleDescAttr(tupdesc, attno - 1);

	return (Expr *) coerce_to_target_type(NULL,
										  (Node *) siter_column_var(tupdesc, attno),
										  att->atttypid, type, typmod,
										  COERCION_IMPLICIT,
										  COERCE_IMPLICIT_CAST, -1);
}

/* A row of anonymous type: what ROW(a, b, c) is */
static Expr *
columns_as_record(TupleDesc tupdesc, int natts)
{
	RowExpr    *row = makeNode(RowExpr);

	for (int attno = 1; attno <= natts; attno++)
	{
		char	   *name = NameStr(TupleDescAttr(tupdesc, attno - 1)->attname);

		row->args = lappend(row->args, siter_column_var(tupdesc, attno));
		row->colnames = lappend(row->colnames, makeString(pstrdup(name)));
	}
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	return (Expr *) row;
}

Expr *
siter_columns_as_row(TupleDesc tupdesc, int natts, Oid row_type)
{
	RowExpr    *row;
	TupleDesc	rowdesc;
	Oid			base_type = getBaseType(row_type);
	int			attno = 0;
	bool		fits = true;

	if (row_type == RECORDOID)
		return columns_as_record(tupdesc, natts);

	row = makeNode(RowExpr);
	rowdesc = lookup_rowtype_tupdesc(base_type, -1);
	for (int i = 0; i < rowdesc->natts && fits; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rowdesc, i);
		Expr	   *arg = NULL;

		if (att->attisdropped)
			arg = (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
		else if (attno < natts)
			arg = coerce_column(tupdesc, ++attno, att->atttypid,
								att->atttypmod);
		fits = (arg != NULL);
		row->args = lappend(row->args, arg);
	}
	ReleaseTupleDesc(rowdesc);
	if (!fits || attno != natts)
		return NULL;

	row->row_typeid = base_type;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;

	/* a domain over a composite type has constraints to check */
	if (base_type != row_type)
		return (Expr *) coerce_to_domain((Node *) row, base_type, -1, row_type,
										 COERCION_IMPLICIT,
										 COERCE_IMPLICIT_CAST, -1, false);
	return (Expr *) row;
}

bool
siter_columns_same(TupleDesc a, TupleDesc b)
{
	if (a->natts != b->natts)
		return false;
	for (int i = 0; i < a->natts; i++)
	{
		Form_pg_attribute att_a = TupleDescAttr(a, i);
		Form_pg_attribute att_b = TupleDescAttr(b, i);

		if (att_a->atttypid != att_b->atttypid ||
			att_a->attcollation != att_b->attcollation ||
			strcmp(NameStr(att_a->attname), NameStr(att_b->attname)) != 0)
			return false;
	}
	return true;
}

char *
siter_columns_describe(TupleDesc tupdesc)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Oid			type = TupleDescAttr(tupdesc, i)->atttypid;

		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", format_type_be(type));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

int
siter_column_number(Expr *expr)
{
	/* a relabelled value is the same value */
	while (IsA(expr, RelabelType))
		expr = ((RelabelType *) expr)->arg;
	return IsA(expr, Var) ? ((Var *) expr)->varattno : 0;
}
