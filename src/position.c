/*-------------------------------------------------------------------------
 *
 * position.c
 *	  Key values: where a walk is, and where it ends.
 *
 * A position is saved as text, since it must outlive minor releases, dumps
 * and pg_upgrade.  Output functions are made exact, and independent of the
 * session, by pinning the settings they look at; and because an extension's
 * type may write less than it holds, each encoded key is read back before it
 * is trusted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "position.h"

/* A value is shown up to here */
#define DISPLAY_LENGTH 64

static int	pin_text_settings(const SiterKeyset *keyset);
static bool depends_on_settings(const SiterKeyset *keyset);
static char *output_value(SiterKeyColumn *column, Datum value);
static SiterKey *decode_values(SiterKeyset *keyset, Datum *texts,
							   bool *nulls, int ntexts);

/* The values' bytes follow the array of datums, each maximally aligned */
SiterKey *
siter_key_make(const SiterKeyset *keyset, const Datum *values)
{
	Size		header = MAXALIGN(offsetof(SiterKey, values) +
								  sizeof(Datum) * keyset->ncolumns);
	Size		size = header;
	Datum	   *flat = palloc_array(Datum, keyset->ncolumns);
	SiterKey   *key;
	char	   *next;

	for (int i = 0; i < keyset->ncolumns; i++)
	{
		const SiterKeyColumn *column = &keyset->columns[i];

		flat[i] = values[i];
		if (column->typlen == -1)
			flat[i] = PointerGetDatum(PG_DETOAST_DATUM(values[i]));
		if (!column->typbyval)
			size += MAXALIGN(datumGetSize(flat[i], false, column->typlen));
	}

	key = (SiterKey *) palloc(size);
	key->ncolumns = keyset->ncolumns;
	next = (char *) key + header;
	for (int i = 0; i < keyset->ncolumns; i++)
	{
		const SiterKeyColumn *column = &keyset->columns[i];
		Size		length;

		key->values[i] = flat[i];
		if (column->typbyval)
			continue;
		length = datumGetSize(flat[i], false, column->typlen);
		memcpy(next, DatumGetPointer(flat[i]), length);
		key->values[i] = PointerGetDatum(next);
		next += MAXALIGN(length);
		if (flat[i] != values[i])
			pfree(DatumGetPointer(flat[i]));
	}
	pfree(flat);
	return key;
}

SiterKey *
siter_key_copy(const SiterKeyset *keyset, const SiterKey *key)
{
	return siter_key_make(keyset, key->values);
}

SiterKey *
siter_key_from_slot(const SiterKeyset *keyset, TupleTableSlot *slot,
					bool keys_only)
{
	Datum	   *values = palloc_array(Datum, keyset->ncolumns);
	SiterKey   *key;

	for (int i = 0; i < keyset->ncolumns; i++)
	{
		bool		isnull;

		values[i] = slot_getattr(slot,
								 keys_only ? i + 1 : keyset->columns[i].attno,
								 &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("key column \"%s\" is null in a row of the source",
							keyset->columns[i].name),
					 errdetail("Rows without a key cannot be visited."),
					 errhint("Leave such rows out of the source with WHERE, or state another key.")));
	}
	key = siter_key_make(keyset, values);
	pfree(values);
	return key;
}

int
siter_key_compare(SiterKeyset *keyset, const SiterKey *a, const SiterKey *b)
{
	for (int i = 0; i < keyset->ncolumns; i++)
	{
		SiterKeyColumn *column = &keyset->columns[i];
		int			order;

		order = DatumGetInt32(FunctionCall2Coll(&column->compare,
												column->collation,
												a->values[i], b->values[i]));
		if (order != 0)
			return order;
	}
	return 0;
}

void
siter_key_check_order(SiterKeyset *keyset, const SiterKey *previous,
					  const SiterKey *next)
{
	int			order = siter_key_compare(keyset, previous, next);

	if (order < 0)
		return;
	if (order == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("key %s is not unique in the source",
						siter_key_to_display(keyset, next)),
				 errhint("State a key that no two rows share.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("key %s came after key %s",
					siter_key_to_display(keyset, next),
					siter_key_to_display(keyset, previous)),
			 errdetail("The source delivers rows in another order than this database sorts them."),
			 errhint("For a foreign table, give the key column the collation it has there, or state a key that is not text.")));
}

Datum
siter_key_encode(SiterKeyset *keyset, const SiterKey *key)
{
	int			nestlevel = pin_text_settings(keyset);
	Datum	   *texts = palloc_array(Datum, keyset->ncolumns);
	bool	   *nulls = palloc0_array(bool, keyset->ncolumns);
	SiterKey   *back;

	for (int i = 0; i < keyset->ncolumns; i++)
		texts[i] = CStringGetTextDatum(output_value(&keyset->columns[i],
													key->values[i]));
	back = decode_values(keyset, texts, nulls, keyset->ncolumns);
	AtEOXact_GUC(true, nestlevel);

	for (int i = 0; i < keyset->ncolumns; i++)
	{
		SiterKeyColumn *column = &keyset->columns[i];

		if (DatumGetInt32(FunctionCall2Coll(&column->compare,
											column->collation,
											key->values[i],
											back->values[i])) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value \"%s\" of key column \"%s\" is not the same when read back",
							TextDatumGetCString(texts[i]), column->name),
					 errdetail("The text form of type %s loses something, so a position could not be kept.",
							   format_type_be(column->type)),
					 errhint("State another key.")));
	}
	return PointerGetDatum(construct_array(texts, keyset->ncolumns, TEXTOID,
										   -1, false, TYPALIGN_INT));
}

SiterKey *
siter_key_decode(SiterKeyset *keyset, Datum array)
{
	int			nestlevel = pin_text_settings(keyset);
	Datum	   *texts;
	bool	   *nulls;
	int			ntexts;
	SiterKey   *key;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &texts, &nulls, &ntexts);
	key = decode_values(keyset, texts, nulls, ntexts);
	AtEOXact_GUC(true, nestlevel);
	return key;
}

static SiterKey *
decode_values(SiterKeyset *keyset, Datum *texts, bool *nulls, int ntexts)
{
	Datum	   *values = palloc_array(Datum, keyset->ncolumns);

	if (ntexts != keyset->ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the position has %d values but the key has %d columns",
						ntexts, keyset->ncolumns)));

	for (int i = 0; i < ntexts; i++)
	{
		SiterKeyColumn *column = &keyset->columns[i];

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the position is null in key column \"%s\"",
							column->name)));
		values[i] = InputFunctionCall(&column->input,
									  TextDatumGetCString(texts[i]),
									  column->ioparam, -1);
	}
	return siter_key_make(keyset, values);
}

static char *
output_value(SiterKeyColumn *column, Datum value)
{
	return OutputFunctionCall(&column->output, value);
}

/*
 * The settings that output and input functions look at.  Returns the nest
 * level to end; an error in between ends it, too.
 */
static int
pin_text_settings(const SiterKeyset *keyset)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"extra_float_digits", "3"},
		{"lc_monetary", "C"},
		{"bytea_output", "hex"},
		{"search_path", "pg_catalog, pg_temp"}
	};
	int			nestlevel = NewGUCNestLevel();

	if (!depends_on_settings(keyset))
		return nestlevel;
	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1],
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

/*
 * The text of most keys is the same whatever is set, and settings take longer
 * than all else that is done for a position after each batch.
 */
static bool
depends_on_settings(const SiterKeyset *keyset)
{
	for (int i = 0; i < keyset->ncolumns; i++)
	{
		switch (keyset->columns[i].type)
		{
			case INT2OID:
			case INT4OID:
			case INT8OID:
			case NUMERICOID:
			case OIDOID:
			case UUIDOID:
			case TEXTOID:
			case VARCHAROID:
			case BPCHAROID:
				break;
			default:
				return true;
		}
	}
	return false;
}

char *
siter_key_to_display(SiterKeyset *keyset, const SiterKey *key)
{
	int			nestlevel = pin_text_settings(keyset);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < keyset->ncolumns; i++)
		appendStringInfo(&buf, "%s%s", i == 0 ? "(" : ", ",
						 keyset->columns[i].name);
	appendStringInfoString(&buf, ")=");
	for (int i = 0; i < keyset->ncolumns; i++)
	{
		char	   *value = output_value(&keyset->columns[i], key->values[i]);
		int			length = strlen(value);
		int			shown = pg_mbcliplen(value, length, DISPLAY_LENGTH);

		appendStringInfo(&buf, "%s%.*s%s", i == 0 ? "(" : ", ",
						 shown, value, shown < length ? "..." : "");
	}
	appendStringInfoChar(&buf, ')');
	AtEOXact_GUC(true, nestlevel);
	return buf.data;
}
