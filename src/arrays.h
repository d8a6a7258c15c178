/*-------------------------------------------------------------------------
 *
 * arrays.h
 *	  Arrays of the values of one batch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_ARRAYS_H
#define SITER_ARRAYS_H

#include "streamiter.h"

/* An array that is made anew for each batch */
typedef struct SiterArray
{
	const char *name;			/* of the column, for errors */
	int			attno;			/* the column's number, 0 if it is none */
	Oid			array_type;
	Oid			element_type;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	/* while it is made */
	int			nelems;
	Datum	   *values;
	bool	   *nulls;
	Size		bytes;			/* of the array, so far */
} SiterArray;

/*
 * The type of an array of a column's values, or InvalidOid: there are no
 * arrays of arrays.
 */
extern Oid	siter_array_column_type(TupleDesc tupdesc, int attno);

/*
 * Prepare for arrays of a column, or of elements that the caller makes.
 * There must be an array type for them; "name" must live as long.
 */
extern void siter_array_init_column(SiterArray *array, TupleDesc tupdesc,
									int attno);
extern void siter_array_init(SiterArray *array, Oid element_type,
							 const char *name);

/*
 * Begin an array of at most "capacity" elements, add them, get the array.
 * Everything is allocated in CurrentMemoryContext, and what was added must
 * stay where it is until the array is finished.
 *
 * Errors: 54000 if the array would be larger than a value can be.
 */
extern void siter_array_begin(SiterArray *array, int capacity);
extern void siter_array_add(SiterArray *array, Datum value, bool isnull);
extern Datum siter_array_finish(SiterArray *array);

/*
 * One array for each of the columns in "arrays", which are in ascending
 * order, of "nrows" rows of the batch from row "first" on.
 */
extern void siter_array_collect(SiterArray *arrays, int narrays,
								StreamIterBatch *batch, int first, int nrows,
								Datum *values);

#endif							/* SITER_ARRAYS_H */
