/*-------------------------------------------------------------------------
 *
 * export_jsonl.c
 *	  JSON lines: an object per line, as row_to_json() makes it.
 *
 * Only between its tokens may a JSON value have line breaks, and a value of
 * type json keeps those that it was written with: they become blanks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "export.h"

extern const SiterExportFormat siter_export_jsonl;

typedef struct JsonlState
{
	SiterExport *export;
	TupleDesc	tupdesc;
	int			encoding;
} JsonlState;

static int
file_encoding(const SiterExportOptions *options)
{
	int			encoding;

	if (options->encoding == NULL)
		return PG_UTF8;
	encoding = pg_char_to_encoding(options->encoding);
	if (encoding < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("encoding \"%s\" does not exist", options->encoding)));
	return encoding;
}

static void
jsonl_begin(StreamIterContext *context)
{
	JsonlState *state = palloc_object(JsonlState);

	state->export = (SiterExport *) context->private_data;
	state->encoding = file_encoding(&state->export->options);

	/* names are the source's: a slot may have those of the table it scans */
	state->tupdesc = BlessTupleDesc(CreateTupleDescCopy(context->tupdesc));
	context->private_data = state;
}

static void
jsonl_row(StreamIterContext *context, TupleTableSlot *slot)
{
	JsonlState *state = (JsonlState *) context->private_data;
	SiterExportFile *file = state->export->file;
	HeapTuple	tuple;
	text	   *json;
	char	   *line;
	int			length;
	char	   *encoded;

	slot_getallattrs(slot);
	tuple = heap_form_tuple(state->tupdesc, slot->tts_values, slot->tts_isnull);
	json = DatumGetTextPP(DirectFunctionCall1(row_to_json,
											  HeapTupleGetDatum(tuple)));
	line = VARDATA_ANY(json);
	length = VARSIZE_ANY_EXHDR(json);
	for (int i = 0; i < length; i++)
	{
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	}

	encoded = pg_server_to_any(line, length, state->encoding);
	if (encoded != line)
		length = strlen(encoded);
	siter_export_file_write(file, encoded, length);
	siter_export_file_write(file, "\n", 1);
}

static uint64
write_jsonl(SiterExport *export, const SiterSource *source)
{
	static const StreamIterCallbackRoutine routine = {
		STREAMITER_ROUTINE_HEADER,
		.begin = jsonl_begin,
		.row = jsonl_row
	};

	return siter_export_walk(export, source, &routine);
}

const SiterExportFormat siter_export_jsonl = {
	.name = "jsonl",
	.options = SITER_EXPORT_ENCODING,
	.write = write_jsonl
};
