/*-------------------------------------------------------------------------
 *
 * export_format.c
 *	  The formats that there are.
 *
 * To add one, write its file and name it here, twice.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "compat.h"
#include "export.h"

extern const SiterExportFormat siter_export_csv;
extern const SiterExportFormat siter_export_jsonl;
extern const SiterExportFormat siter_export_xlsx;

static const SiterExportFormat *const formats[] = {
	&siter_export_csv,
	&siter_export_jsonl,
	&siter_export_xlsx,
};

static const char *const option_names[] = {
	"header", "delimiter", "quote", "escape", "null_string", "force_quote",
	"encoding",
};

pg_noreturn static void refuse_format(const char *name);
pg_noreturn static void refuse_option(const SiterExportFormat *format,
									  int option);

const SiterExportFormat *
siter_export_format(const char *name, const SiterExportOptions *options)
{
	const SiterExportFormat *format = NULL;

	for (int i = 0; i < lengthof(formats); i++)
	{
		if (strcmp(formats[i]->name, name) == 0)
			format = formats[i];
	}
	if (format == NULL)
		refuse_format(name);
	for (int i = 0; i < lengthof(option_names); i++)
	{
		if ((options->given & ~format->options & (1 << i)) != 0)
			refuse_option(format, i);
	}
	return format;
}

static void
refuse_format(const char *name)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(formats); i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", formats[i]->name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("export format \"%s\" does not exist", name),
			 errhint("Formats are %s.", list.data)));
}

static void
refuse_option(const SiterExportFormat *format, int option)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(option_names); i++)
	{
		if ((format->options & (1 << i)) != 0)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
							 option_names[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("format \"%s\" has no option \"%s\"",
					format->name, option_names[option]),
			 errhint("Its options are %s.", list.data)));
}
