/*-------------------------------------------------------------------------
 *
 * export_xlsx.c
 *	  XLSX workbooks, by libxlsxwriter in its constant-memory mode.
 *
 * Rows beyond what a sheet can hold go on in the next one, under the same
 * header.  Each row leaves at least one cell, so that a sheet has as many
 * rows as there were.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "common/file_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "compat.h"
#include "export_xlsx.h"

extern const SiterExportFormat siter_export_xlsx;

#define MAX_SHEET_ROWS 1048576
#define MAX_SHEET_COLUMNS 16384
#define MAX_COLUMN_WIDTH 60

/* From here on an archive needs numbers of 64 bits; it is some way to 4 GB */
#define ZIP64_BYTES ((uint64) 2 * 1024 * 1024 * 1024)

typedef struct XlsxState
{
	SiterExport *export;
	TupleDesc	tupdesc;
	bool		header;
	lxw_workbook *workbook;		/* NULL when closed */
	SiterXlsxFormats formats;
	SiterXlsxColumn *columns;
	List	   *sheets;			/* SiterXlsxSheet */
	lxw_worksheet *worksheet;	/* of the last one */
	lxw_row_t	next_row;		/* in it */
} XlsxState;

static void make_workbook(XlsxState *state);
static void check_space(XlsxState *state);
static void add_sheet(XlsxState *state);
static void set_widths(XlsxState *state);
static void xlsx_begin(StreamIterContext *context);
static void xlsx_row(StreamIterContext *context, TupleTableSlot *slot);
static void xlsx_end(StreamIterContext *context);
static void xlsx_abort(StreamIterContext *context);

static void
check_columns(TupleDesc tupdesc)
{
	if (tupdesc->natts == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot export a query without columns to XLSX"),
				 errdetail("A row without cells would not be in the sheet.")));
	if (tupdesc->natts > MAX_SHEET_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot export %d columns to XLSX", tupdesc->natts),
				 errdetail("A sheet has %d.", MAX_SHEET_COLUMNS)));
}

static void
xlsx_begin(StreamIterContext *context)
{
	SiterExport *export = (SiterExport *) context->private_data;
	XlsxState  *state;

	/* what "abort" finds there is the state */
	context->private_data = NULL;
	state = palloc0_object(XlsxState);
	state->export = export;
	state->tupdesc = context->tupdesc;
	context->private_data = state;
	check_columns(state->tupdesc);
	state->header = (state->export->options.given & SITER_EXPORT_HEADER) == 0 ||
		state->export->options.header;

	make_workbook(state);
	state->columns = palloc0_array(SiterXlsxColumn, state->tupdesc->natts);
	for (int i = 0; i < state->tupdesc->natts; i++)
		siter_xlsx_column_init(&state->columns[i],
							   TupleDescAttr(state->tupdesc, i), i,
							   &state->formats);
	add_sheet(state);
}

static lxw_format *
add_format(XlsxState *state, const char *number_format)
{
	lxw_format *format = workbook_add_format(state->workbook);

	if (format == NULL)
		siter_xlsx_check(LXW_ERROR_MEMORY_MALLOC_FAILED);
	if (number_format != NULL)
		format_set_num_format(format, number_format);
	return format;
}

static void
make_workbook(XlsxState *state)
{
	char		folder[] = "base/" PG_TEMP_FILES_DIR;
	lxw_workbook_options options = {
		.constant_memory = LXW_TRUE,
		.tmpdir = folder,
		.use_zip64 = LXW_FALSE
	};

	/* the library's own files; it unlinks them as it creates them */
	if (MakePGDirectory(folder) != 0 && errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", folder)));

	state->workbook = workbook_new_opt(state->export->file->temp_path,
									   &options);
	if (state->workbook == NULL)
		siter_xlsx_check(LXW_ERROR_MEMORY_MALLOC_FAILED);
	state->formats.header = add_format(state, NULL);
	format_set_bold(state->formats.header);
	state->formats.blank = add_format(state, NULL);
	state->formats.date = add_format(state, "yyyy-mm-dd");
	state->formats.timestamp = add_format(state, "yyyy-mm-dd hh:mm:ss");
	state->formats.timestamp_ms = add_format(state, "yyyy-mm-dd hh:mm:ss.000");
}

/* Begin the next sheet, with its header */
static void
add_sheet(XlsxState *state)
{
	MemoryContext oldcontext;

	errno = 0;
	state->worksheet = workbook_add_worksheet(state->workbook, NULL);
	if (state->worksheet == NULL && errno == 0)
		siter_xlsx_check(LXW_ERROR_MEMORY_MALLOC_FAILED);
	if (state->worksheet == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create temporary file of a sheet: %m")));

	oldcontext = MemoryContextSwitchTo(GetMemoryChunkContext(state));
	state->sheets = lappend(state->sheets,
							siter_xlsx_sheet_create(state->worksheet));
	MemoryContextSwitchTo(oldcontext);

	state->next_row = 0;
	if (!state->header)
		return;
	for (int i = 0; i < state->tupdesc->natts; i++)
		siter_xlsx_write_text(&state->columns[i], state->columns[i].name,
							  state->worksheet, 0, state->formats.header);
	worksheet_freeze_panes(state->worksheet, 1, 0);
	state->next_row = 1;
}

static void
xlsx_row(StreamIterContext *context, TupleTableSlot *slot)
{
	XlsxState  *state = (XlsxState *) context->private_data;
	char	   *null_string = state->export->options.null_string;
	bool		empty = true;
	lxw_row_t	row;

	if (state->next_row == MAX_SHEET_ROWS)
	{
		set_widths(state);
		add_sheet(state);
	}
	row = state->next_row++;

	slot_getallattrs(slot);
	for (int i = 0; i < state->tupdesc->natts; i++)
	{
		SiterXlsxColumn *column = &state->columns[i];

		column->row_number = context->row_number;
		if (!slot->tts_isnull[i])
			column->write(column, slot->tts_values[i], state->worksheet, row);
		else if (null_string != NULL)
			siter_xlsx_write_text(column, null_string, state->worksheet, row,
								  NULL);
		else
			continue;
		empty = false;
	}
	if (empty)
		siter_xlsx_write_blank(&state->columns[0], state->worksheet, row);
	siter_xlsx_sheet_check(llast(state->sheets));
}

static void
set_widths(XlsxState *state)
{
	for (int i = 0; i < state->tupdesc->natts; i++)
		siter_xlsx_check(worksheet_set_column(state->worksheet, i, i,
											  Min(state->columns[i].width + 1,
												  MAX_COLUMN_WIDTH),
											  NULL));
}

/*
 * The library writes the small parts of a workbook, styles for instance, to
 * temporary files of its own, one after the other, and looks at no error.  So
 * see whether there is more room than they can need: before, and again when
 * they are done, as packing the rows takes minutes in which others may fill the
 * disk.  The rows are still on it then.
 */
static void
check_space(XlsxState *state)
{
	char	   *path = psprintf("base/" PG_TEMP_FILES_DIR "/" PG_TEMP_FILE_PREFIX
								"%d.streamiter", MyProcPid);
	char		zeros[8192] = {0};
	int			blocks = 32 + list_length(state->sheets) / 4;
	int			fd;

	unlink(path);
	fd = OpenTransientFile(path, O_RDWR | O_CREAT | O_EXCL | PG_BINARY);
	if (fd >= 0)
	{
		unlink(path);
		errno = 0;
	}
	for (int i = 0; i < blocks; i++)
	{
		if (fd >= 0 && write(fd, zeros, sizeof(zeros)) == sizeof(zeros))
			continue;
		/* if it didn't set errno, assume problem is no disk space */
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write temporary files of a workbook: %m")));
	}
	CloseTransientFile(fd);
}

/* Put the workbook together; a cancel is heeded by the sheets */
static void
xlsx_end(StreamIterContext *context)
{
	XlsxState  *state = (XlsxState *) context->private_data;
	lxw_workbook *workbook = state->workbook;
	uint64		bytes = 0;
	lxw_error	error;
	int			error_number;
	ListCell   *lc;

	/* of a sheet without a cell the library writes no rows: we would not know */
	if (state->next_row == 0)
		siter_xlsx_write_blank(&state->columns[0], state->worksheet, 0);
	set_widths(state);
	foreach(lc, state->sheets)
		bytes += siter_xlsx_sheet_bytes(lfirst(lc));
	check_space(state);
	workbook->options.use_zip64 = bytes > ZIP64_BYTES;

	state->workbook = NULL;		/* freed in any case */
	errno = 0;
	error = workbook_close(workbook);
	error_number = errno;

	CHECK_FOR_INTERRUPTS();
	foreach(lc, state->sheets)
		siter_xlsx_sheet_check(lfirst(lc));
	if (error == LXW_ERROR_MEMORY_MALLOC_FAILED || error_number == 0)
		siter_xlsx_check(error);
	errno = error_number;
	if (error != LXW_NO_ERROR)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to file \"%s\": %m",
						state->export->file->temp_path),
				 errdetail("%s", lxw_strerror(error))));
	check_space(state);
	foreach(lc, state->sheets)
		siter_xlsx_sheet_finish(lfirst(lc));
}

static void
xlsx_abort(StreamIterContext *context)
{
	XlsxState  *state = (XlsxState *) context->private_data;
	ListCell   *lc;

	if (state == NULL)
		return;
	foreach(lc, state->sheets)
		siter_xlsx_sheet_free(lfirst(lc));
	if (state->workbook != NULL)
		lxw_workbook_free(state->workbook);
	state->workbook = NULL;
}

static uint64
write_xlsx(SiterExport *export, const SiterSource *source)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.begin = xlsx_begin,
		.row = xlsx_row,
		.end = xlsx_end,
		.abort = xlsx_abort
	};

	return siter_export_walk(export, source, &routine);
}

const SiterExportFormat siter_export_xlsx = {
	.name = "xlsx",
	.options = SITER_EXPORT_HEADER | SITER_EXPORT_NULL_STRING,
	.write = write_xlsx
};
