/*-------------------------------------------------------------------------
 *
 * export_xlsx_sheet.c
 *	  A sheet's rows, on their way into the workbook.
 *
 * In constant-memory mode libxlsxwriter writes the rows of a sheet to a
 * temporary file; when the workbook is closed it copies them to a second one,
 * with what comes before and after, and packs that.  It never looks whether a
 * write succeeded, so on a full disk the workbook would lack rows and nobody
 * would know; and nothing could interrupt it, for minutes.
 *
 * So both files are ours.  The first one is a stream on a temporary file of
 * the server's.  When the library begins to read it, the beginning of the
 * sheet is in the second one: we put a stream of ours there too, which starts
 * with what is in it, goes on with the rows, and ends with what the library
 * appends.  The rows are not copied, every error is noticed, a cancel ends the
 * packing, and in the end we know whether all bytes of the sheet were asked
 * for.
 *
 * The streams' functions are called from within the library, which no error
 * may be raised through: they note it, and it is raised later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "export_xlsx.h"

/* Bytes that come before the rows, or after them */
typedef struct SheetEdge
{
	char	   *data;			/* of malloc() */
	size_t		length;
	size_t		allocated;
} SheetEdge;

struct SiterXlsxSheet
{
	lxw_worksheet *worksheet;
	MemoryContext context;
	FILE	   *rows_stream;	/* NULL when closed */
	FILE	   *whole_stream;
	bool		abandoned;		/* the streams do nothing any more */

	File		rows;
	off_t		rows_length;
	SheetEdge	head;
	SheetEdge	tail;
	off_t		position;		/* of the whole, reading */
	bool		packed;			/* it was read to its end */
	int			edge_errno;		/* why head or tail are incomplete */
	ErrorData  *error;			/* what happened to the rows */
};

static ssize_t rows_write(void *cookie, const char *data, size_t size);
static ssize_t rows_read(void *cookie, char *data, size_t size);
static int	rows_seek(void *cookie, off64_t *position, int whence);
static int	rows_close(void *cookie);
static bool replace_file(SiterXlsxSheet *sheet);
static ssize_t whole_write(void *cookie, const char *data, size_t size);
static ssize_t whole_read(void *cookie, char *data, size_t size);
static int	whole_seek(void *cookie, off64_t *position, int whence);
static int	whole_close(void *cookie);
static bool append(SheetEdge *edge, const char *data, size_t size);

SiterXlsxSheet *
siter_xlsx_sheet_create(lxw_worksheet *worksheet)
{
	static const cookie_io_functions_t functions = {
		rows_read, rows_write, rows_seek, rows_close
	};
	SiterXlsxSheet *sheet = palloc0_object(SiterXlsxSheet);

	sheet->worksheet = worksheet;
	sheet->context = CurrentMemoryContext;
	sheet->rows = OpenTemporaryFile(false);
	sheet->rows_stream = fopencookie(sheet, "w+", functions);
	if (sheet->rows_stream == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));

	fclose(worksheet->optimize_tmpfile);
	worksheet->optimize_tmpfile = sheet->rows_stream;
	worksheet->file = sheet->rows_stream;
	return sheet;
}

void
siter_xlsx_sheet_check(SiterXlsxSheet *sheet)
{
	if (sheet->error != NULL)
		ReThrowError(sheet->error);
}

uint64
siter_xlsx_sheet_bytes(const SiterXlsxSheet *sheet)
{
	return sheet->rows_length;
}

void
siter_xlsx_sheet_finish(SiterXlsxSheet *sheet)
{
	siter_xlsx_sheet_check(sheet);
	if (sheet->edge_errno != 0)
	{
		errno = sheet->edge_errno;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to temporary file of a sheet: %m")));
	}
	if (!sheet->packed)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("libxlsxwriter did not put a whole sheet into the workbook"),
				 errdetail("StreamIter does not know this version or build of it (%s).",
						   lxw_version())));
	FileClose(sheet->rows);
	siter_xlsx_sheet_free(sheet);
}

void
siter_xlsx_sheet_free(SiterXlsxSheet *sheet)
{
	sheet->abandoned = true;
	if (sheet->rows_stream != NULL)
		fclose(sheet->rows_stream);
	if (sheet->whole_stream != NULL)
		fclose(sheet->whole_stream);
	free(sheet->head.data);
	free(sheet->tail.data);
	memset(&sheet->head, 0, sizeof(SheetEdge));
	memset(&sheet->tail, 0, sizeof(SheetEdge));
}

/* Notes why a stream fails; later ones tell nothing new */
static void
note_error(SiterXlsxSheet *sheet, ErrorData *error)
{
	if (sheet->error == NULL)
		sheet->error = error;
	else
		FreeErrorData(error);
}

/*
 * Read or write some bytes of the rows, whatever happens.  Returns how many,
 * or -1.
 */
static ssize_t
transfer_rows(SiterXlsxSheet *sheet, char *data, size_t size, off_t position,
			  bool writing)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	volatile ssize_t done = -1;

	if (sheet->error != NULL)
		return -1;

	PG_TRY();
	{
		errno = 0;
		done = writing ?
			FileWrite(sheet->rows, data, size, position,
					  WAIT_EVENT_BUFFILE_WRITE) :
			FileRead(sheet->rows, data, size, position,
					 WAIT_EVENT_BUFFILE_READ);
		if (writing ? done != (ssize_t) size : done <= 0)
		{
			/* if it didn't set errno, assume problem is no disk space */
			if (writing && errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not %s temporary file of a sheet: %m",
							writing ? "write to" : "read")));
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(sheet->context);
		note_error(sheet, CopyErrorData());
		FlushErrorState();
		done = -1;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	return done;
}

/*
 * The stream of the rows
 */
static ssize_t
rows_write(void *cookie, const char *data, size_t size)
{
	SiterXlsxSheet *sheet = (SiterXlsxSheet *) cookie;

	if (sheet->abandoned ||
		transfer_rows(sheet, unconstify(char *, data), size,
					  sheet->rows_length, true) < 0)
		return 0;
	sheet->rows_length += size;
	return size;
}

/* The library has them, it seems: there is nothing to be copied */
static ssize_t
rows_read(void *cookie, char *data, size_t size)
{
	SiterXlsxSheet *sheet = (SiterXlsxSheet *) cookie;

	if (sheet->abandoned || sheet->whole_stream != NULL ||
		replace_file(sheet))
		return 0;
	return -1;
}

/* Only ever to the beginning */
static int
rows_seek(void *cookie, off64_t *position, int whence)
{
	return whence == SEEK_SET && *position == 0 ? 0 : -1;
}

static int
rows_close(void *cookie)
{
	((SiterXlsxSheet *) cookie)->rows_stream = NULL;
	return 0;
}

/* Take the place of the file that the library puts the sheet together in */
static bool
replace_file(SiterXlsxSheet *sheet)
{
	static const cookie_io_functions_t functions = {
		whole_read, whole_write, whole_seek, whole_close
	};
	FILE	   *file = sheet->worksheet->file;
	char		data[8192];
	size_t		size;
	bool		complete;

	errno = 0;
	complete = fflush(file) == 0 && fseek(file, 0, SEEK_SET) == 0;
	while (complete && (size = fread(data, 1, sizeof(data), file)) > 0)
		complete = append(&sheet->head, data, size);
	complete = complete && !ferror(file);
	if (complete)
		sheet->whole_stream = fopencookie(sheet, "w+", functions);
	if (sheet->whole_stream == NULL)
	{
		sheet->edge_errno = errno != 0 ? errno : ENOSPC;
		return false;
	}
	fclose(file);
	sheet->worksheet->file = sheet->whole_stream;
	return true;
}

/*
 * The stream of the whole
 */
static ssize_t
whole_write(void *cookie, const char *data, size_t size)
{
	SiterXlsxSheet *sheet = (SiterXlsxSheet *) cookie;

	if (sheet->abandoned)
		return 0;
	if (!append(&sheet->tail, data, size))
	{
		sheet->edge_errno = ENOMEM;
		return 0;
	}
	return size;
}

static ssize_t
read_edge(SheetEdge *edge, off_t position, char *data, size_t size)
{
	size = Min(size, edge->length - position);
	memcpy(data, edge->data + position, size);
	return size;
}

static ssize_t
whole_read(void *cookie, char *data, size_t size)
{
	SiterXlsxSheet *sheet = (SiterXlsxSheet *) cookie;
	off_t		position = sheet->position;
	off_t		rows_end = sheet->head.length + sheet->rows_length;
	ssize_t		done;

	/* whoever called the library is going to heed it */
	if (sheet->abandoned || ProcDiePending || QueryCancelPending)
		return -1;

	if (position < (off_t) sheet->head.length)
		done = read_edge(&sheet->head, position, data, size);
	else if (position < rows_end)
		done = transfer_rows(sheet, data, Min(size, rows_end - position),
							 position - sheet->head.length, false);
	else
	{
		done = read_edge(&sheet->tail, position - rows_end, data, size);
		sheet->packed = (done == 0 && sheet->tail.length > 0);
	}
	if (done > 0)
		sheet->position += done;
	return done;
}

static int
whole_seek(void *cookie, off64_t *position, int whence)
{
	SiterXlsxSheet *sheet = (SiterXlsxSheet *) cookie;

	if (whence != SEEK_SET || *position != 0)
		return -1;
	sheet->position = 0;
	return 0;
}

static int
whole_close(void *cookie)
{
	((SiterXlsxSheet *) cookie)->whole_stream = NULL;
	return 0;
}

static bool
append(SheetEdge *edge, const char *data, size_t size)
{
	if (edge->length + size > edge->allocated)
	{
		size_t		allocated = Max(edge->allocated * 2, edge->length + size);
		char	   *grown = realloc(edge->data, allocated);

		if (grown == NULL)
			return false;
		edge->data = grown;
		edge->allocated = allocated;
	}
	memcpy(edge->data + edge->length, data, size);
	edge->length += size;
	return true;
}
