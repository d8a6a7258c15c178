/*-------------------------------------------------------------------------
 *
 * arrays.c
 *	  Arrays of the values of one batch.
 *
 * Core's ArrayBuildState copies each element when it is added.  The rows of
 * a batch stay where they are while it is worked on, so we keep pointers and
 * copy once, into the finished array.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "arrays.h"
#include "compat.h"

Oid
siter_array_column_type(TupleDesc tupdesc, int attno)
{
	return get_array_type(TupleDescAttr(tupdesc, attno - 1)->atttypid);
}

void
siter_array_init_column(SiterArray *array, TupleDesc tupdesc, int attno)
{
	Form_pg_attribute att = TupleDescAttr(tupdesc, attno - 1);

	siter_array_init(array, att->atttypid, NameStr(att->attname));
	array->attno = attno;
}

void
siter_array_init(SiterArray *array, Oid element_type, const char *name)
{
	memset(array, 0, sizeof(SiterArray));
	array->name = name;
	array->element_type = element_type;
	array->array_type = get_array_type(element_type);
	Assert(OidIsValid(array->array_type));
	get_typlenbyvalalign(element_type, &array->typlen, &array->typbyval,
						 &array->typalign);
}

void
siter_array_begin(SiterArray *array, int capacity)
{
	array->nelems = 0;
	array->values = palloc_array(Datum, capacity);
	array->nulls = palloc_array(bool, capacity);
	array->bytes = ARR_OVERHEAD_WITHNULLS(1, capacity);
}

void
siter_array_add(SiterArray *array, Datum value, bool isnull)
{
	if (!isnull)
	{
		/*
		 * Arrays hold no toast pointers.  What took a few bytes in the batch
		 * may be large now, so look at the size before the next one.
		 */
		if (array->typlen == -1)
			value = PointerGetDatum(PG_DETOAST_DATUM(value));
		array->bytes = att_addlength_datum(array->bytes, array->typlen, value);
		array->bytes = att_align_nominal(array->bytes, array->typalign);
		if (!AllocSizeIsValid(array->bytes))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("batch is too large for an array of column \"%s\"",
							array->name),
					 errdetail("An array can take at most %zu bytes.",
							   (Size) MaxAllocSize),
					 errhint("Use a smaller chunk_size.")));
	}
	array->values[array->nelems] = value;
	array->nulls[array->nelems++] = isnull;
}

Datum
siter_array_finish(SiterArray *array)
{
	int			lower_bound = 1;

	return PointerGetDatum(construct_md_array(array->values, array->nulls, 1,
											  &array->nelems, &lower_bound,
											  array->element_type,
											  array->typlen, array->typbyval,
											  array->typalign));
}

void
siter_array_collect(SiterArray *arrays, int narrays,
					StreamIterBatch *batch, int first, int nrows,
					Datum *values)
{
	if (narrays == 0)
		return;

	for (int i = 0; i < narrays; i++)
		siter_array_begin(&arrays[i], nrows);

	for (int row = first; row < first + nrows; row++)
	{
		TupleTableSlot *slot = streamiter_batch_row(batch, row);

		slot_getsomeattrs(slot, arrays[narrays - 1].attno);
		for (int i = 0; i < narrays; i++)
			siter_array_add(&arrays[i],
							slot->tts_values[arrays[i].attno - 1],
							slot->tts_isnull[arrays[i].attno - 1]);
	}

	for (int i = 0; i < narrays; i++)
		values[i] = siter_array_finish(&arrays[i]);
}
