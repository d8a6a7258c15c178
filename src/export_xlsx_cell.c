/*-------------------------------------------------------------------------
 *
 * export_xlsx_cell.c
 *	  From a value to a cell.
 *
 * A cell holds a number, which is a double, a boolean or a text; dates are
 * numbers with a format.  A value keeps its type where the cell can hold it
 * unchanged, and becomes the text that COPY would write where it cannot.
 * Nothing ever becomes a formula or a link.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "export_xlsx.h"

/* What fits into a cell, as Microsoft documents it */
#define MAX_TEXT_UNITS 32767	/* of UTF-16 */
#define MAX_NUMBER 9.99999999999999E+307
#define MAX_INTEGER (INT64CONST(1) << 53)	/* doubles have them all up to
											 * here */
#define MAX_DIGITS 15

/*
 * Days from 1899-12-30, of which Excel believes that it had been two days
 * before 1900-01-01: so it has the days from 1900-03-01 right.
 */
#define DAY_2000_01_01 36526
#define MIN_DAY 61				/* 1900-03-01 */
#define MAX_DAY 2958465			/* 9999-12-31 */

#define MIN_WIDTH 8
#define DATE_WIDTH 11
#define TIMESTAMP_WIDTH 20

static void write_by_output(SiterXlsxColumn *column, Datum value,
							lxw_worksheet *worksheet, lxw_row_t row);
pg_noreturn static void refuse_text(SiterXlsxColumn *column, int units);

/* The width that so many characters need */
static void
note_width(SiterXlsxColumn *column, int width)
{
	column->width = Max(column->width, width);
}

static void
write_number(SiterXlsxColumn *column, double number,
			 lxw_worksheet *worksheet, lxw_row_t row)
{
	siter_xlsx_check(worksheet_write_number(worksheet, row, column->number,
											number, NULL));
}

static bool
is_cell_number(double number)
{
	return number == 0 ||
		(fabs(number) >= DBL_MIN && fabs(number) <= MAX_NUMBER);
}

static void
write_int2(SiterXlsxColumn *column, Datum value,
		   lxw_worksheet *worksheet, lxw_row_t row)
{
	write_number(column, DatumGetInt16(value), worksheet, row);
}

static void
write_int4(SiterXlsxColumn *column, Datum value,
		   lxw_worksheet *worksheet, lxw_row_t row)
{
	write_number(column, DatumGetInt32(value), worksheet, row);
}

static void
write_int8(SiterXlsxColumn *column, Datum value,
		   lxw_worksheet *worksheet, lxw_row_t row)
{
	int64		number = DatumGetInt64(value);

	if (number > MAX_INTEGER || number < -MAX_INTEGER)
		write_by_output(column, value, worksheet, row);
	else
		write_number(column, number, worksheet, row);
}

static void
write_float8(SiterXlsxColumn *column, Datum value,
			 lxw_worksheet *worksheet, lxw_row_t row)
{
	double		number = DatumGetFloat8(value);

	if (is_cell_number(number))
		write_number(column, number, worksheet, row);
	else
		write_by_output(column, value, worksheet, row);
}

/*
 * Digits that make a difference in a decimal number.  *is_integer tells
 * whether it has no decimal point.
 */
static int
count_digits(const char *text, bool *is_integer)
{
	int			digits = 0;
	int			zeros = 0;		/* which count if another digit follows */

	*is_integer = true;
	for (; *text !='\0' && *text !='e'; text ++)
	{
		if (*text == '.')
			*is_integer = false;
		else if (*text == '0')
			zeros++;
		else if (*text >='1' && *text <='9')
		{
			digits += (digits > 0 ? zeros : 0) + 1;
			zeros = 0;
		}
	}
	return digits;
}

/*
 * float4 and numeric: the number that its text says, if that is what one gets
 * back.  Fifteen digits survive the way to a double, and from there; more
 * only where it is a whole number.
 */
static void
write_decimal(SiterXlsxColumn *column, Datum value,
			  lxw_worksheet *worksheet, lxw_row_t row)
{
	char	   *text = OutputFunctionCall(&column->output, value);
	char	   *end;
	double		number = strtod(text, &end);
	bool		is_integer;
	bool		fits;

	fits = (count_digits(text, &is_integer) <= MAX_DIGITS ||
			(is_integer && fabs(number) < MAX_INTEGER)) &&
		is_cell_number(number) &&
		(number != 0 || strpbrk(text, "123456789") == NULL);
	note_width(column, strlen(text));
	if (fits)
		write_number(column, number, worksheet, row);
	else
		siter_xlsx_write_text(column, text, worksheet, row, NULL);
	pfree(text);
}

static void
write_bool(SiterXlsxColumn *column, Datum value,
		   lxw_worksheet *worksheet, lxw_row_t row)
{
	siter_xlsx_check(worksheet_write_boolean(worksheet, row, column->number,
											 DatumGetBool(value), NULL));
}

static void
write_date(SiterXlsxColumn *column, Datum value,
		   lxw_worksheet *worksheet, lxw_row_t row)
{
	DateADT		date = DatumGetDateADT(value);

	if (date < MIN_DAY - DAY_2000_01_01 || date > MAX_DAY - DAY_2000_01_01)
	{
		write_by_output(column, value, worksheet, row);
		return;
	}
	note_width(column, DATE_WIDTH);
	siter_xlsx_check(worksheet_write_number(worksheet, row, column->number,
											date + DAY_2000_01_01,
											column->formats->date));
}

/* Returns false for one that Excel does not know */
static bool
write_time(SiterXlsxColumn *column, Timestamp timestamp,
		   lxw_worksheet *worksheet, lxw_row_t row)
{
	bool		whole = timestamp % USECS_PER_SEC == 0;

	if (timestamp < (MIN_DAY - DAY_2000_01_01) * USECS_PER_DAY ||
		timestamp >= (MAX_DAY + 1 - DAY_2000_01_01) * USECS_PER_DAY)
		return false;
	note_width(column, whole ? TIMESTAMP_WIDTH : TIMESTAMP_WIDTH + 4);
	siter_xlsx_check(worksheet_write_number(worksheet, row, column->number,
											DAY_2000_01_01 + (double) timestamp / USECS_PER_DAY,
											whole ? column->formats->timestamp :
											column->formats->timestamp_ms));
	return true;
}

static void
write_timestamp(SiterXlsxColumn *column, Datum value,
				lxw_worksheet *worksheet, lxw_row_t row)
{
	if (!write_time(column, DatumGetTimestamp(value), worksheet, row))
		write_by_output(column, value, worksheet, row);
}

/* As the clocks of the session's time zone showed it */
static void
write_timestamptz(SiterXlsxColumn *column, Datum value,
				  lxw_worksheet *worksheet, lxw_row_t row)
{
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)) ||
		!write_time(column,
					DatumGetTimestamp(DirectFunctionCall1(timestamptz_timestamp,
														  value)),
					worksheet, row))
		write_by_output(column, value, worksheet, row);
}

static void
write_by_output(SiterXlsxColumn *column, Datum value,
				lxw_worksheet *worksheet, lxw_row_t row)
{
	char	   *text = OutputFunctionCall(&column->output, value);

	siter_xlsx_write_text(column, text, worksheet, row, NULL);
	pfree(text);
}

void
siter_xlsx_column_init(SiterXlsxColumn *column, Form_pg_attribute attribute,
					   int number, const SiterXlsxFormats *formats)
{
	static const struct
	{
		Oid			type;
		SiterXlsxWrite write;
	}			writers[] = {
		{INT2OID, write_int2},
		{INT4OID, write_int4},
		{INT8OID, write_int8},
		{FLOAT4OID, write_decimal},
		{FLOAT8OID, write_float8},
		{NUMERICOID, write_decimal},
		{BOOLOID, write_bool},
		{DATEOID, write_date},
		{TIMESTAMPOID, write_timestamp},
		{TIMESTAMPTZOID, write_timestamptz},
	};
	Oid			type = getBaseType(attribute->atttypid);
	Oid			output;
	bool		is_varlena;

	column->number = number;
	column->name = NameStr(attribute->attname);
	column->formats = formats;
	column->width = MIN_WIDTH;
	note_width(column, pg_mbstrlen(column->name) + 2);
	getTypeOutputInfo(attribute->atttypid, &output, &is_varlena);
	fmgr_info(output, &column->output);
	column->write = write_by_output;
	for (int i = 0; i < lengthof(writers); i++)
	{
		if (writers[i].type == type)
			column->write = writers[i].write;
	}
}

/* "_x41_" with four digits: what Excel takes for an escaped character */
static bool
looks_escaped(const char *text)
{
	return text[0] == '_' && text[1] == 'x' &&
	strspn(text +2, "0123456789abcdefABCDEF") >= 4 && text[6] == '_';
}

/* U+FFFE and U+FFFF, which XML does not allow; the library knows the others */
static bool
is_noncharacter(const char *text)
{
	return memcmp(text, "\xEF\xBF", 2) == 0 &&
		((unsigned char) text[2] == 0xBE || (unsigned char) text[2] == 0xBF);
}

/*
 * What needs it in the notation that Excel reads.  The library does so for
 * control characters.
 */
static char *
escape_text(const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	while (*text !='\0')
	{
		if (looks_escaped(text))
		{
			appendStringInfoString(&buf, "_x005F_");
			text	  ++;
		}
		else if ((unsigned char) *text == 0xEF && is_noncharacter(text))
		{
			appendStringInfo(&buf, "_xFFF%c_",
							 (unsigned char) text[2] == 0xBE ? 'E' : 'F');
			text	  +=3;
		}
		else
			appendStringInfoCharMacro(&buf, *text ++);
	}
	return buf.data;
}

static void
refuse_text(SiterXlsxColumn *column, int units)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("text in row " UINT64_FORMAT ", column \"%s\" is too long for a cell of a sheet",
					column->row_number, column->name),
			 errdetail("It has %d characters; a cell holds %d.",
					   units, MAX_TEXT_UNITS),
			 errhint("Shorten it in the query, with left() for instance, or choose another format.")));
}

void
siter_xlsx_write_text(SiterXlsxColumn *column, const char *text,
					  lxw_worksheet *worksheet, lxw_row_t row,
					  lxw_format *format)
{
	int			length = strlen(text);
	const char *utf8 = pg_server_to_any(text, length, PG_UTF8);
	const char *cell = utf8;
	bool		escape = false;
	int			units = 0;
	lxw_error	error;

	for (const char *p = utf8; *p != '\0'; p++)
	{
		unsigned char c = *p;

		/* characters outside the first 65536 make two units */
		if ((c & 0xC0) != 0x80)
			units += c >= 0xF0 ? 2 : 1;
		if (c == '_' ? looks_escaped(p) : (c == 0xEF && is_noncharacter(p)))
			escape = true;
	}
	if (units > MAX_TEXT_UNITS)
		refuse_text(column, units);
	if (units == 0)
	{
		siter_xlsx_write_blank(column, worksheet, row);
		return;
	}
	note_width(column, units);
	if (escape)
		cell = escape_text(utf8);

	error = worksheet_write_string(worksheet, row, column->number, cell,
								   format);
	if (error == LXW_ERROR_MAX_STRING_LENGTH_EXCEEDED)
		refuse_text(column, lxw_utf8_strlen(cell));
	siter_xlsx_check(error);
	if (escape)
		pfree(unconstify(char *, cell));
	if (utf8 != text)
		pfree(unconstify(char *, utf8));
}

void
siter_xlsx_write_blank(SiterXlsxColumn *column, lxw_worksheet *worksheet,
					   lxw_row_t row)
{
	siter_xlsx_check(worksheet_write_blank(worksheet, row, column->number,
										   column->formats->blank));
}

void
siter_xlsx_check(lxw_error error)
{
	if (error == LXW_ERROR_MEMORY_MALLOC_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("libxlsxwriter could not allocate memory.")));
	if (error != LXW_NO_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("libxlsxwriter failed: %s", lxw_strerror(error))));
}
