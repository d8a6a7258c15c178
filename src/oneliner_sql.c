/*-------------------------------------------------------------------------
 *
 * oneliner_sql.c
 *	  The range statements of backfill, purge and archive.
 *
 * What the user wrote is put on lines of its own, between parentheses where it
 * is a condition.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "compat.h"
#include "hold.h"
#include "keysql.h"
#include "oneliner_sql.h"
#include "statement.h"
#include "table.h"

/*
 * Foreign keys that reach for other rows when one is deleted.  One of or to a
 * partitioned table is there once for each partition too; as it was declared
 * it is first.
 */
static SiterTableStatement find_reaching_key = {
	"SELECT c.conname, c.conrelid::pg_catalog.regclass,"
	"  c.confrelid::pg_catalog.regclass"
	" FROM pg_catalog.pg_constraint c"
	" WHERE c.confrelid OPERATOR(pg_catalog.=) ANY ($1)"
	" AND c.contype OPERATOR(pg_catalog.=) 'f'"
	" AND c.confdeltype OPERATOR(pg_catalog.=) ANY (ARRAY['c', 'n', 'd']::\"char\"[])"
	" ORDER BY c.conparentid OPERATOR(pg_catalog.<>) 0, c.conname LIMIT 1",
	1, {OIDARRAYOID}
};

static void check_set(const SiterKeyset *keyset, const char *set);
static void check_assignments(const SiterKeyset *keyset, List *targetlist);
static void check_generated(Relation rel, const char *key, List *targetlist);
static bool is_assigned(List *targetlist, const char *column);
pg_noreturn static void refuse_key_change(const char *key, const char *column);
static void check_filter(const char *filter);
static char *table_name(Oid table);
static char *where_clause(const SiterKeyset *keyset, const char *filter);
static Oid	target_of(const char *statement);
static void check_columns(const SiterKeyset *keyset, Oid target,
						  const char *statement);
static void check_move(Oid table, Oid target);
static void check_reaching_keys(Oid table, const List *members);
static void check_own_server(Oid table, const List *members);
static void check_own_partition(Oid table, Oid target, List *targets);
static void check_swallowing(Relation rel);
static char *move_columns(const SiterKeyset *keyset, Oid target);
static List *moved_columns(Relation source, Relation target);
static char *generation_expression(Relation rel, AttrNumber attno);
static char *column_list(List *names, const char *qualifier);

char *
siter_oneliner_update(const SiterKeyset *keyset, const char *set,
					  const char *filter)
{
	check_set(keyset, set);
	return psprintf("UPDATE %s SET\n%s\n%s", table_name(keyset->table), set,
					where_clause(keyset, filter));
}

char *
siter_oneliner_delete(const SiterKeyset *keyset, const char *filter)
{
	return psprintf("DELETE FROM %s\n%s", table_name(keyset->table),
					where_clause(keyset, filter));
}

char *
siter_oneliner_move(const SiterKeyset *keyset, Oid target, const char *filter)
{
	check_move(keyset->table, target);
	return psprintf("WITH moved AS (\nDELETE FROM %s\n%s\n%s",
					table_name(keyset->table), where_clause(keyset, filter),
					move_columns(keyset, target));
}

void
siter_oneliner_check(const SiterKeyset *keyset, const char *statement,
					 SiterOneLinerCheck *check)
{
	uint64		changes;

	/* with these locks, which the batch needs anyhow, nothing changes now */
	LockRelationOid(keyset->table, RowExclusiveLock);
	if (OidIsValid(check->target))
	{
		LockRelationOid(check->target, RowExclusiveLock);
		(void) find_all_inheritors(keyset->table, RowExclusiveLock, NULL);
	}
	if (check->changes == siter_table_changes())
		return;

	check->target = target_of(statement);
	if (OidIsValid(check->target))
		(void) find_all_inheritors(keyset->table, RowExclusiveLock, NULL);
	changes = siter_table_changes();
	if (OidIsValid(check->target))
		check_columns(keyset, check->target, statement);
	check->changes = changes;
}

/* Only what moves rows can lose them where they go: there; or InvalidOid */
static Oid
target_of(const char *statement)
{
	List	   *statements = siter_statement_parse(statement,
												   RAW_PARSE_DEFAULT);
	Node	   *node = linitial_node(RawStmt, statements)->stmt;

	if (!IsA(node, InsertStmt))
		return InvalidOid;
	return RangeVarGetRelid(((InsertStmt *) node)->relation,
							RowExclusiveLock, false);
}

/* As the statement has them, so they must be */
static void
check_columns(const SiterKeyset *keyset, Oid target, const char *statement)
{
	size_t		len = strlen(statement);
	char	   *columns;
	size_t		columns_len;

	check_move(keyset->table, target);
	columns = move_columns(keyset, target);
	columns_len = strlen(columns);
	if (len < columns_len ||
		strcmp(statement + len - columns_len, columns) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the columns of table \"%s\" are not what they were",
						get_rel_name(keyset->table)),
				 errdetail("Rows that are archived now would lose some of their values."),
				 errhint("Drop the job with streamiter.drop_job() and CALL streamiter.archive() again.")));
}

static char *
table_name(Oid table)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
									  get_rel_name(table));
}

static char *
where_clause(const SiterKeyset *keyset, const char *filter)
{
	const char *table = quote_identifier(get_rel_name(keyset->table));
	char	   *between = siter_keysql_between(keyset, table);

	if (filter == NULL)
		return psprintf("WHERE %s", between);
	check_filter(filter);
	return psprintf("WHERE %s\nAND (\n%s\n)", between, filter);
}

/* Assignments and nothing else, and not to the key */
static void
check_set(const SiterKeyset *keyset, const char *set)
{
	List	   *statements;
	UpdateStmt *update = NULL;

	statements = siter_statement_parse(psprintf("UPDATE t SET\n%s\n", set),
									   RAW_PARSE_DEFAULT);
	if (list_length(statements) == 1)
		update = (UpdateStmt *) linitial_node(RawStmt, statements)->stmt;
	if (update == NULL || !IsA(update, UpdateStmt) ||
		update->whereClause != NULL || update->fromClause != NIL ||
		siter_update_returns(update))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"set\" must be assignments and nothing else"),
				 errhint("What comes after WHERE in an UPDATE is the filter.")));

	check_assignments(keyset, update->targetList);
}

/* A partition may compute a column of the key in its own way */
static void
check_assignments(const SiterKeyset *keyset, List *targetlist)
{
	List	   *tables;
	ListCell   *lc;

	for (int i = 0; i < keyset->ncolumns; i++)
	{
		if (is_assigned(targetlist, keyset->columns[i].name))
			refuse_key_change(keyset->columns[i].name, NULL);
	}

	tables = find_all_inheritors(keyset->table, AccessShareLock, NULL);
	foreach(lc, tables)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		for (int i = 0; i < keyset->ncolumns; i++)
			check_generated(rel, keyset->columns[i].name, targetlist);
		table_close(rel, NoLock);
	}
}

/* Is this column of the key computed from one that is assigned? */
static void
check_generated(Relation rel, const char *key, List *targetlist)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), key);
	Bitmapset  *used = NULL;

	if (attno <= 0 || !TupleDescAttr(tupdesc, attno - 1)->attgenerated)
		return;
	pull_varattnos(build_column_default(rel, attno), 1, &used);
	for (int i = 0; i < tupdesc->natts; i++)
	{
		char	   *column = NameStr(TupleDescAttr(tupdesc, i)->attname);

		if (bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, used) &&
			is_assigned(targetlist, column))
			refuse_key_change(key, column);
	}
}

static bool
is_assigned(List *targetlist, const char *column)
{
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		if (strcmp(lfirst_node(ResTarget, lc)->name, column) == 0)
			return true;
	}
	return false;
}

/* "column" is what the column of the key is computed from, or NULL */
static void
refuse_key_change(const char *key, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 column == NULL ?
			 errmsg("\"set\" must not change key column \"%s\"", key) :
			 errmsg("\"set\" must not change column \"%s\", from which key column \"%s\" is generated",
					column, key),
			 errdetail("A row whose key changes while its table is walked may be missed, or come twice.")));
}

/* One expression */
static void
check_filter(const char *filter)
{
	List	   *statements = siter_statement_parse(filter,
												   RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select;

	select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
	if (list_length(select->targetList) != 1 ||
		select->distinctClause != NIL || select->fromClause != NIL ||
		select->whereClause != NULL || select->groupClause != NIL ||
		select->havingClause != NULL || select->windowClause != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"filter\" must be a condition and nothing else"),
				 errhint("Use a subquery between parentheses to look at other tables.")));
}

static void
check_move(Oid table, Oid target)
{
	List	   *members;
	List	   *targets;
	ListCell   *lc;

	if (table == target)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" cannot be archived to itself",
						get_rel_name(table))));

	members = find_all_inheritors(table, AccessShareLock, NULL);
	check_reaching_keys(table, members);
	check_own_server(table, members);

	LockRelationOid(target, AccessShareLock);
	targets = find_all_inheritors(target, AccessShareLock, NULL);
	check_own_partition(table, target, targets);
	foreach(lc, targets)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		check_swallowing(rel);
		table_close(rel, NoLock);
	}
}

/*
 * A row of the table is one of each partition's that it is in, and of each
 * partitioned table's that the table is a partition of.
 */
static void
check_reaching_keys(Oid table, const List *members)
{
	List	   *tables = list_concat_copy(members,
										  get_partition_ancestors(table));
	Datum	   *oids = palloc_array(Datum, list_length(tables));
	SiterTableValue value;
	ListCell   *lc;
	int			n = 0;

	foreach(lc, tables)
		oids[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	value = SITER_VALUE(PointerGetDatum(construct_array(oids, n, OIDOID,
														sizeof(Oid), true,
														TYPALIGN_INT)));

	if (siter_table_execute(&find_reaching_key, &value) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot archive table \"%s\"", get_rel_name(table)),
				 errdetail("Foreign key \"%s\" of table %s, which refers to %s, would delete or change rows there along with those archived.",
						   siter_table_text(0, 1), siter_table_text(0, 2),
						   siter_table_text(0, 3)),
				 errhint("Archive that table first, and replace its foreign key by one with ON DELETE RESTRICT or NO ACTION.")));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * A foreign server commits by itself, just before we do: a crash in between
 * would leave a row deleted there and inserted nowhere.
 */
static void
check_own_server(Oid table, const List *members)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot archive table \"%s\"",
							get_rel_name(table)),
					 errdetail("Its partition \"%s\" is a foreign table: a crash could lose rows on their way from there.",
							   get_rel_name(lfirst_oid(lc))),
					 errhint("Archive each of its other partitions, and that one where it is.")));
	}
}

/* A row would be put back where it comes from, and counted as moved */
static void
check_own_partition(Oid table, Oid target, List *targets)
{
	bool		same = false;

	if (get_rel_relkind(target) == RELKIND_PARTITIONED_TABLE)
		same = list_member_oid(targets, table);
	if (!same && get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE)
		same = list_member_oid(find_all_inheritors(table, AccessShareLock,
												   NULL), target);
	if (same)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" cannot be archived to \"%s\"",
						get_rel_name(table), get_rel_name(target)),
				 errdetail("One is a partition of the other.")));
}

/* Could a row that is inserted here vanish, or go somewhere else? */
static void
check_swallowing(Relation rel)
{
	const char *reason = NULL;

	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot archive to \"%s\", which is not a table",
						RelationGetRelationName(rel)),
				 errhint("A job with a range statement of your own can do that; outside of this database, rows may then come more than once.")));

	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot archive to temporary table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("It would be gone, and the rows in it, when the session ends."),
				 errhint("Archive to a permanent table.")));

	if (rel->rd_rules != NULL)
		reason = _("It has rules, which may send rows elsewhere.");
	else if (rel->trigdesc != NULL && rel->trigdesc->trig_insert_before_row)
		reason = _("It has a row trigger BEFORE INSERT, which may drop rows.");
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot archive to table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail_internal("%s", reason),
				 errhint("Archive to a table without them.")));
}

void
siter_oneliner_warn_unlogged(Oid target)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(target, AccessShareLock, NULL))
	{
		if (get_rel_persistence(lfirst_oid(lc)) != RELPERSISTENCE_UNLOGGED)
			continue;
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("table %s is unlogged", table_name(lfirst_oid(lc))),
				 errdetail("A crash empties the table, and the rows that were archived to it are lost.")));
		break;
	}
}

/* What comes after the filter: which columns are moved, and where to */
static char *
move_columns(const SiterKeyset *keyset, Oid target)
{
	const char *table = quote_identifier(get_rel_name(keyset->table));
	Relation	source_rel = table_open(keyset->table, AccessShareLock);
	Relation	target_rel = table_open(target, AccessShareLock);
	List	   *columns = moved_columns(source_rel, target_rel);

	table_close(target_rel, NoLock);
	table_close(source_rel, NoLock);

	/* columns that count by themselves keep the values they had */
	return psprintf("RETURNING %s\n)\n"
					"INSERT INTO %s (%s)\nOVERRIDING SYSTEM VALUE\n"
					"SELECT %s FROM moved",
					column_list(columns, table), table_name(target),
					column_list(columns, NULL), column_list(columns, "moved"));
}

/*
 * Names of the columns that have to be moved: all but those that both tables
 * compute alike.  Each must be there, and of the same type.
 */
static List *
moved_columns(Relation source, Relation target)
{
	TupleDesc	tupdesc = RelationGetDescr(source);
	List	   *names = NIL;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute from = TupleDescAttr(tupdesc, i);
		Form_pg_attribute to;
		AttrNumber	attno;
		char	   *name = NameStr(from->attname);

		if (from->attisdropped)
			continue;
		attno = get_attnum(RelationGetRelid(target), name);
		if (attno <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s\" has no column \"%s\"",
							RelationGetRelationName(target), name),
					 errdetail("It would get lost when rows of table \"%s\" are archived there.",
							   RelationGetRelationName(source))));
		to = TupleDescAttr(RelationGetDescr(target), attno - 1);
		if (from->attgenerated && to->attgenerated &&
			strcmp(generation_expression(source, i + 1),
				   generation_expression(target, attno)) == 0)
			continue;
		if (to->attgenerated || to->atttypid != from->atttypid ||
			(to->atttypmod != from->atttypmod && to->atttypmod != -1))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" cannot take all values that it has in table \"%s\"",
							name, RelationGetRelationName(target),
							RelationGetRelationName(source)),
					 errdetail("There it is %s, here %s%s.",
							   format_type_with_typemod(from->atttypid,
														from->atttypmod),
							   format_type_with_typemod(to->atttypid,
														to->atttypmod),
							   !to->attgenerated ? "" :
							   from->attgenerated ? ", and computed differently" :
							   ", and generated"),
					 to->attgenerated ?
					 errhint("Make it a plain column in table \"%s\".",
							 RelationGetRelationName(target)) : 0));
		names = lappend(names, name);
	}
	return names;
}

/* As it would be written in CREATE TABLE */
static char *
generation_expression(Relation rel, AttrNumber attno)
{
	char	   *name = RelationGetRelationName(rel);
	Node	   *expr = build_column_default(rel, attno);

	return deparse_expression(expr,
							  deparse_context_for(name, RelationGetRelid(rel)),
							  false, false);
}

static char *
column_list(List *names, const char *qualifier)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s%s%s", buf.len > 0 ? ", " : "",
						 qualifier ? qualifier : "", qualifier ? "." : "",
						 quote_identifier((char *) lfirst(lc)));
	return buf.data;
}
