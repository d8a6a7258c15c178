/*-------------------------------------------------------------------------
 *
 * keyprint.c
 *	  What a saved position depends on, and what of it changed.
 *
 * A position says "all keys up to here are done".  That stays true only while
 * keys keep their order and the table is the same.  A fingerprint writes down
 * what decides that, a line each: the part's name, a tab, its value.  The
 * values are the catalog's own words, so that a change can be told in words.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "keyset.h"

/* Parts; some are followed by the name of what they are about */
#define PART_TABLE		"table"
#define PART_TABLES		"tables"
#define PART_STORAGE	"storage"
#define PART_KEY		"key"
#define PART_UNIQUE		"unique"
#define PART_TYPE		"type of "
#define PART_COLLATION	"collation of "
#define PART_VERSION	"version of collation "
#define PART_LABELS		"labels of "

static void append_part(StringInfo buf, const char *part, const char *about,
						const char *value);
static void append_table(StringInfo buf, const SiterKeyset *keyset);
static void append_tables(StringInfo buf, const List *tables);
static char *identify(Relation rel);
static void append_column(StringInfo buf, const SiterKeyColumn *column);
static char *collation_version(Oid collation);
static char *enum_labels(Oid type);
static char *find_part(char **lines, const char *part);
static char **split_lines(const char *text);
static SiterKeyChange describe_change(const char *part, const char *then,
									  const char *now, StringInfo what);
static bool labels_kept_order(const char *then, const char *now);

char *
siter_keyset_fingerprint(const SiterKeyset *keyset)
{
	StringInfoData buf;
	StringInfoData names;

	initStringInfo(&buf);
	append_table(&buf, keyset);

	initStringInfo(&names);
	for (int i = 0; i < keyset->ncolumns; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(keyset->columns[i].name));
	append_part(&buf, PART_KEY, "", names.data);
	append_part(&buf, PART_UNIQUE, "",
				keyset->proven_unique ? "proven" : "checked");

	for (int i = 0; i < keyset->ncolumns; i++)
		append_column(&buf, &keyset->columns[i]);
	return buf.data;
}

/* One line; what would end it is written as in a C string */
static void
append_part(StringInfo buf, const char *part, const char *about,
			const char *value)
{
	const char *pieces[] = {part, about, "\t", value};

	for (int i = 0; i < lengthof(pieces); i++)
	{
		for (const char *c = pieces[i]; *c != '\0'; c++)
		{
			if (*c == '\n')
				appendStringInfoString(buf, "\\n");
			else if (*c == '\t' && i != 2)
				appendStringInfoString(buf, "\\t");
			else
				appendStringInfoChar(buf, *c);
		}
	}
	appendStringInfoChar(buf, '\n');
}

static void
append_table(StringInfo buf, const SiterKeyset *keyset)
{
	Relation	rel;

	if (!OidIsValid(keyset->table))
	{
		append_part(buf, PART_TABLE, "", "none");
		append_tables(buf, keyset->tables);
		return;
	}

	rel = table_open(keyset->table, AccessShareLock);
	append_part(buf, PART_TABLE, "", identify(rel));
	if (rel->rd_rel->relfilenode != InvalidOid)
		append_part(buf, PART_STORAGE, "",
					psprintf("%u", rel->rd_rel->relfilenode));
	table_close(rel, NoLock);
}

/* Those of a join, say; partitions may come and go */
static void
append_tables(StringInfo buf, const List *tables)
{
	StringInfoData names;
	StringInfoData files;
	ListCell   *lc;

	initStringInfo(&names);
	initStringInfo(&files);
	foreach(lc, tables)
	{
		Oid			table = lfirst_oid(lc);
		Relation	rel;

		if (get_rel_relispartition(table))
			continue;
		rel = table_open(table, AccessShareLock);
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 identify(rel));
		appendStringInfo(&files, "%s%u", files.len > 0 ? ", " : "",
						 rel->rd_rel->relfilenode);
		table_close(rel, NoLock);
	}
	append_part(buf, PART_TABLES, "", names.data);
	append_part(buf, PART_STORAGE, "", files.data);
}

/* It may be renamed, or another one be given its name */
static char *
identify(Relation rel)
{
	return psprintf("%u %s", RelationGetRelid(rel),
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											   RelationGetRelationName(rel)));
}

/* A type by its schema and name, whatever the search_path */
static char *
type_name(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);
}

static char *
collation_name(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(form->collnamespace),
									  NameStr(form->collname));
	ReleaseSysCache(tuple);
	return name;
}

static void
append_column(StringInfo buf, const SiterKeyColumn *column)
{
	const char *name = quote_identifier(column->name);
	Oid			element = get_element_type(column->base_type);
	char	   *type = type_name(column->type);

	if (column->type != column->base_type)
		type = psprintf("%s over %s", type, type_name(column->base_type));
	append_part(buf, PART_TYPE, name, type);

	if (OidIsValid(column->collation))
	{
		char	   *collation = collation_name(column->collation);

		append_part(buf, PART_COLLATION, name, collation);
		append_part(buf, PART_VERSION, collation,
					collation_version(column->collation));
	}

	if (!OidIsValid(element))
		element = column->base_type;
	if (get_typtype(element) == TYPTYPE_ENUM)
		append_part(buf, PART_LABELS, type_name(element),
					enum_labels(element));
}

/*
 * The version the library has now: that is by what keys are ordered from now
 * on, whatever the catalog noted when the collation was created.
 */
static char *
collation_version(Oid collation)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		version;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].isnull = false;
	if (collation == DEFAULT_COLLATION_OID)
	{
		fcinfo->args[0].value = ObjectIdGetDatum(MyDatabaseId);
		version = pg_database_collation_actual_version(fcinfo);
	}
	else
	{
		fcinfo->args[0].value = ObjectIdGetDatum(collation);
		version = pg_collation_actual_version(fcinfo);
	}
	return fcinfo->isnull ? "none" : TextDatumGetCString(version);
}

/* All labels in their order, each quoted and followed by a comma */
static char *
enum_labels(Oid type)
{
	StringInfoData buf;
	ScanKeyData scankey;
	SysScanDesc scan;
	Relation	rel = table_open(EnumRelationId, AccessShareLock);
	Relation	index = index_open(EnumTypIdSortOrderIndexId, AccessShareLock);
	HeapTuple	tuple;

	initStringInfo(&buf);
	ScanKeyInit(&scankey, Anum_pg_enum_enumtypid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(type));
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &scankey);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
		appendStringInfo(&buf, "%s,",
						 quote_literal_cstr(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel)));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return buf.data;
}

SiterKeyChange
siter_keyset_compare(const char *stored, const char *current, char **what)
{
	char	  **then = split_lines(stored);
	char	  **now = split_lines(current);
	SiterKeyChange result = SITER_KEY_UNCHANGED;
	StringInfoData buf;

	initStringInfo(&buf);
	for (char **line = then; *line != NULL; line++)
	{
		char	   *value = strchr(*line, '\t');
		char	   *part;
		char	   *value_now;
		SiterKeyChange change;

		if (value == NULL)
			continue;
		part = pnstrdup(*line, value - *line);
		value_now = find_part(now, part);

		/* What is gone went with a change of table or type, told by itself */
		if (value_now == NULL || strcmp(value + 1, value_now) == 0)
			continue;

		/* Another table has other storage, of course */
		if (result == SITER_KEY_BROKEN && strcmp(part, PART_STORAGE) == 0)
			continue;
		if (buf.len > 0)
			appendStringInfoChar(&buf, '\n');
		change = describe_change(part, value + 1, value_now, &buf);
		result = Max(result, change);
	}
	*what = result == SITER_KEY_UNCHANGED ? NULL : buf.data;
	return result;
}

static char **
split_lines(const char *text)
{
	char	   *copy = pstrdup(text);
	char	  **lines = palloc0_array(char *, strlen(text) + 1);
	int			nlines = 0;

	for (char *line = copy; *line != '\0';)
	{
		char	   *end = line + strcspn(line, "\n");

		lines[nlines++] = line;
		line = *end == '\0' ? end : end + 1;
		*end = '\0';
	}
	return lines;
}

static char *
find_part(char **lines, const char *part)
{
	size_t		length = strlen(part);

	for (; *lines != NULL; lines++)
		if (strncmp(*lines, part, length) == 0 && (*lines)[length] == '\t')
			return *lines + length + 1;
	return NULL;
}

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static SiterKeyChange
describe_table_change(const char *then, const char *now, StringInfo what)
{
	const char *name_then = strchr(then, ' ');
	const char *name_now = strchr(now, ' ');

	if (name_then == NULL)
	{
		appendStringInfo(what, "The source is now one table, %s.",
						 name_now + 1);
		return SITER_KEY_TOLD;
	}
	if (name_now == NULL)
	{
		appendStringInfo(what, "The source was one table, %s, and no longer is.",
						 name_then + 1);
		return SITER_KEY_BROKEN;
	}
	if (strncmp(then, now, name_then - then + 1) == 0)
	{
		appendStringInfo(what, "Table %s is now called %s.",
						 name_then + 1, name_now + 1);
		return SITER_KEY_TOLD;
	}
	appendStringInfo(what, "Table %s is not the table that it was when the job was created.",
					 name_now + 1);
	return SITER_KEY_BROKEN;
}

/* Append a sentence, and say how bad it is */
static SiterKeyChange
describe_change(const char *part, const char *then, const char *now,
				StringInfo what)
{
	if (strcmp(part, PART_TABLE) == 0)
		return describe_table_change(then, now, what);
	if (strcmp(part, PART_STORAGE) == 0)
	{
		/* Keys survive that; rows loaded anew may lie before the position */
		appendStringInfoString(what, strchr(then, ',') == NULL ?
							   "The table was rewritten or truncated." :
							   "A table of the source was rewritten or truncated.");
		return SITER_KEY_TOLD;
	}
	if (strcmp(part, PART_UNIQUE) == 0)
	{
		appendStringInfoString(what, strcmp(now, "proven") == 0 ?
							   "The key is now proven unique by an index." :
							   "The key is no longer proven unique by an index.");
		return SITER_KEY_TOLD;
	}
	if (strcmp(part, PART_TABLES) == 0)
		appendStringInfo(what, "The tables of the source were %s and are %s.",
						 then, now);
	else if (strcmp(part, PART_KEY) == 0)
		appendStringInfo(what, "The key was (%s) and is (%s).", then, now);
	else if (starts_with(part, PART_TYPE))
		appendStringInfo(what, "The type of key column %s was %s and is %s.",
						 part + strlen(PART_TYPE), then, now);
	else if (starts_with(part, PART_COLLATION))
		appendStringInfo(what, "The collation of key column %s was %s and is %s.",
						 part + strlen(PART_COLLATION), then, now);
	else if (starts_with(part, PART_VERSION))
		appendStringInfo(what, "The version of collation %s was %s and is %s.",
						 part + strlen(PART_VERSION), then, now);
	else if (starts_with(part, PART_LABELS))
	{
		if (labels_kept_order(then, now))
		{
			appendStringInfo(what, "Enum type %s has new labels.",
							 part + strlen(PART_LABELS));
			return SITER_KEY_TOLD;
		}
		appendStringInfo(what, "The labels of enum type %s were %.*s and are %.*s.",
						 part + strlen(PART_LABELS),
						 (int) strlen(then) - 1, then,
						 (int) strlen(now) - 1, now);
	}
	else
		appendStringInfo(what, "\"%s\" was \"%s\" and is \"%s\".",
						 part, then, now);
	return SITER_KEY_BROKEN;
}

/*
 * Are the old labels all there, in their old order?  Labels are quoted, with
 * quotes inside doubled, so that a quote and a comma end one.
 */
static bool
labels_kept_order(const char *then, const char *now)
{
	while (*then != '\0')
	{
		const char *end = strstr(then, "',");
		size_t		length;

		if (end == NULL)
			return false;
		length = end + 2 - then;
		while (*now != '\0' && strncmp(then, now, length) != 0)
		{
			const char *next = strstr(now, "',");

			if (next == NULL)
				return false;
			now = next + 2;
		}
		if (*now == '\0')
			return false;
		then += length;
		now += length;
	}
	return true;
}
