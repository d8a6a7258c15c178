/*-------------------------------------------------------------------------
 *
 * export_xlsx.h
 *	  The parts of the XLSX export: workbook, cells, sheet files.
 *
 * export_xlsx.c makes the workbook and fills its sheets, export_xlsx_cell.c
 * makes a cell of a value, export_xlsx_sheet.c keeps a sheet's rows until
 * the workbook is put together.
 *
 * libxlsxwriter allocates with malloc() and writes to stdio files without a
 * look at errors: the one is why a workbook must be freed by hand, the other
 * why we give it files of our own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_EXPORT_XLSX_H
#define SITER_EXPORT_XLSX_H

#include "export.h"

#include <xlsxwriter.h>

/*
 * Sheet files
 */

/* The XML of a sheet */
typedef struct SiterXlsxSheet SiterXlsxSheet;

/*
 * Have the worksheet, which is new, keep its rows in a temporary file of the
 * server's, which counts towards temp_file_limit.
 */
extern SiterXlsxSheet *siter_xlsx_sheet_create(lxw_worksheet *worksheet);

/* Raises the error that a write has met, if any has */
extern void siter_xlsx_sheet_check(SiterXlsxSheet *sheet);

/* Bytes of XML so far */
extern uint64 siter_xlsx_sheet_bytes(const SiterXlsxSheet *sheet);

/*
 * When the workbook has been closed, make sure that all of the sheet went into
 * it, or raise the error that kept it from that.  Frees the sheet.
 */
extern void siter_xlsx_sheet_finish(SiterXlsxSheet *sheet);

/* Free what palloc() does not know of.  Raises no error */
extern void siter_xlsx_sheet_free(SiterXlsxSheet *sheet);

/*
 * Cells
 */
typedef struct SiterXlsxFormats
{
	lxw_format *header;
	lxw_format *blank;			/* plain: without one there would be no cell */
	lxw_format *date;
	lxw_format *timestamp;
	lxw_format *timestamp_ms;	/* with milliseconds */
} SiterXlsxFormats;

typedef struct SiterXlsxColumn SiterXlsxColumn;

/* Write a value, which is not NULL, of the column's type */
typedef void (*SiterXlsxWrite) (SiterXlsxColumn *column, Datum value,
								lxw_worksheet *worksheet, lxw_row_t row);

struct SiterXlsxColumn
{
	lxw_col_t	number;			/* from 0 */
	const char *name;			/* as the source has it */
	uint64		row_number;		/* of the source, for messages */
	SiterXlsxWrite write;
	FmgrInfo	output;
	const SiterXlsxFormats *formats;
	int			width;			/* in characters, of the widest yet */
};

/* Find out how the values of a column are written */
extern void siter_xlsx_column_init(SiterXlsxColumn *column,
								   Form_pg_attribute attribute, int number,
								   const SiterXlsxFormats *formats);

/*
 * A text in the server's encoding, whatever it says.  Errors: 54000 for one
 * that is too long for a cell.
 */
extern void siter_xlsx_write_text(SiterXlsxColumn *column, const char *text,
								  lxw_worksheet *worksheet, lxw_row_t row,
								  lxw_format *format);

/* A cell with nothing in it */
extern void siter_xlsx_write_blank(SiterXlsxColumn *column,
								   lxw_worksheet *worksheet, lxw_row_t row);

/* Raises the error that the library returned, if it did: 53200, 38000 */
extern void siter_xlsx_check(lxw_error error);

#endif							/* SITER_EXPORT_XLSX_H */
