/*-------------------------------------------------------------------------
 *
 * keyindex.c
 *	  What the catalog says of a table's columns as a key.
 *
 * Two things are asked of indexes.  One must prove that no two rows share a
 * key: unique, checked at once (a deferred check lets duplicates in until the
 * end of a transaction, and an invalid index never looked), over all rows.
 * It may have fewer columns than the key, in any order.  And one must be able
 * to deliver rows in the key's order: read forward or backward, so all its
 * columns ascending or all descending, nulls where that direction puts them
 * by default.  For both, the operator family and the collation must be those
 * by which the key is compared.  Mostly one index is both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "compat.h"
#include "keyindex.h"

/* Why an index does not count; each is a part of a sentence */
static const char *index_flaw(Relation index);
static bool is_over_columns(Relation table, Relation index, List *attnos,
							bool in_order);
static void check_not_null(Relation table, List *attnos);
static bool any_index(Relation table, List *attnos, bool unique, bool in_order,
					  char **rejected);
static char *column_list(Oid table, List *attnos);

List *
siter_keyindex_primary(Oid table)
{
	Relation	rel = table_open(table, AccessShareLock);
	List	   *attnos = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_index->indisprimary)
		{
			for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
				attnos = lappend_int(attnos, index->rd_index->indkey.values[i]);
		}
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return attnos;
}

void
siter_keyindex_prove(Oid table, List *attnos)
{
	Relation	rel = table_open(table, AccessShareLock);
	char	   *rejected = NULL;

	check_not_null(rel, attnos);
	if (!any_index(rel, attnos, true, false, &rejected))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key (%s) of table \"%s\" is not unique",
						column_list(table, attnos),
						RelationGetRelationName(rel)),
				 rejected ? errdetail("%s", rejected) : 0,
				 errhint("%s, or state another key.",
						 siter_keyindex_command(table, attnos, true))));
	if (!any_index(rel, attnos, false, true, &rejected))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no index of table \"%s\" is ordered by key (%s)",
						RelationGetRelationName(rel),
						column_list(table, attnos)),
				 rejected ? errdetail("%s", rejected) : 0,
				 errhint("%s, or state another key.",
						 siter_keyindex_command(table, attnos, false))));
	table_close(rel, NoLock);
}

bool
siter_keyindex_orders(Oid table, List *attnos)
{
	Relation	rel = table_open(table, AccessShareLock);
	bool		found = any_index(rel, attnos, false, true, NULL);

	table_close(rel, NoLock);
	return found;
}

static void
check_not_null(Relation table, List *attnos)
{
	TupleDesc	tupdesc = RelationGetDescr(table);
	ListCell   *lc;

	foreach(lc, attnos)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, lfirst_int(lc) - 1);

		if (!siter_attribute_not_null(tupdesc, lfirst_int(lc) - 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key column \"%s\" of table \"%s\" may be null",
							NameStr(att->attname),
							RelationGetRelationName(table)),
					 errdetail("Rows without a key would never be visited."),
					 errhint("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL, or state another key.",
							 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)),
														RelationGetRelationName(table)),
							 quote_identifier(NameStr(att->attname)))));
	}
}

/*
 * Whether some index of the table serves.  If none does, *rejected becomes a
 * sentence about the first one that would, but for a flaw.
 */
static bool
any_index(Relation table, List *attnos, bool unique, bool in_order,
		  char **rejected)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(table))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if ((form->indisunique || !unique) &&
			is_over_columns(table, index, attnos, in_order))
		{
			const char *flaw = index_flaw(index);

			if (flaw == NULL && unique && !form->indimmediate)
				flaw = "its check may be deferred";
			if (flaw == NULL)
				found = true;
			else if (rejected != NULL && *rejected == NULL)
				*rejected = psprintf("Index \"%s\" does not count: %s.",
									 RelationGetRelationName(index), flaw);
		}
		index_close(index, AccessShareLock);
		if (found)
			break;
	}
	return found;
}

static const char *
index_flaw(Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisvalid || !form->indisready || !form->indislive)
		return "it is not valid";
	if (!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return "it is partial, so it does not cover all rows";
	return NULL;
}

/* One column of an index: compared as the table's column is by default? */
static bool
index_column_matches(Relation table, Relation index, int i, bool *descending)
{
	AttrNumber	attno = index->rd_index->indkey.values[i];
	Form_pg_attribute att;
	TypeCacheEntry *type;
	int16		option = index->rd_indoption[i];

	if (attno <= 0)
		return false;
	att = TupleDescAttr(RelationGetDescr(table), attno - 1);
	type = lookup_type_cache(getBaseType(att->atttypid),
							 TYPECACHE_BTREE_OPFAMILY);

	*descending = (option & INDOPTION_DESC) != 0;
	return index->rd_opfamily[i] == type->btree_opf &&
		index->rd_indcollation[i] == att->attcollation;
}

static bool
is_over_columns(Relation table, Relation index, List *attnos, bool in_order)
{
	int			nindexed = IndexRelationGetNumberOfKeyAttributes(index);
	bool		direction = false;

	if (index->rd_rel->relam != BTREE_AM_OID)
		return false;
	if (in_order && nindexed < list_length(attnos))
		return false;

	for (int i = 0; i < nindexed; i++)
	{
		AttrNumber	attno = index->rd_index->indkey.values[i];
		int16		option = index->rd_indoption[i];
		bool		descending;

		if (in_order && i >= list_length(attnos))
			break;
		if (!index_column_matches(table, index, i, &descending))
			return false;
		if (!in_order)
		{
			if (!list_member_int(attnos, attno))
				return false;
			continue;
		}
		if (attno != list_nth_int(attnos, i))
			return false;

		/* read backward, DESC NULLS FIRST is the default order, too */
		if (i == 0)
			direction = descending;
		if (descending != direction ||
			descending != ((option & INDOPTION_NULLS_FIRST) != 0))
			return false;
	}
	return true;
}

static char *
column_list(Oid table, List *attnos)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, attnos)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
						 quote_identifier(get_attname(table, lfirst_int(lc), false)));
	return buf.data;
}

char *
siter_keyindex_command(Oid table, List *attnos, bool unique)
{
	return psprintf("CREATE %sINDEX ON %s (%s)", unique ? "UNIQUE " : "",
					quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
											   get_rel_name(table)),
					column_list(table, attnos));
}

char *
siter_keyindex_suggest(Oid table)
{
	Relation	rel = table_open(table, AccessShareLock);
	char	   *suggestion = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		List	   *attnos = NIL;
		bool		not_null = true;

		for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		{
			AttrNumber	attno = index->rd_index->indkey.values[i];

			attnos = lappend_int(attnos, attno);
			if (attno <= 0 ||
				!siter_attribute_not_null(RelationGetDescr(rel), attno - 1))
				not_null = false;
		}
		if (not_null && index->rd_index->indisunique &&
			index->rd_index->indimmediate && index_flaw(index) == NULL &&
			is_over_columns(rel, index, attnos, true))
			suggestion = column_list(table, attnos);
		index_close(index, AccessShareLock);
		if (suggestion != NULL)
			break;
	}
	table_close(rel, NoLock);
	return suggestion;
}
