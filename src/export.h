/*-------------------------------------------------------------------------
 *
 * export.h
 *	  Writing the rows of a query to a file on the server.
 *
 * A format is a name, the options that it has, and a function that writes
 * the rows; each is defined in a file of its own and registered in
 * export_format.c.  What all formats share is around them: the rights and the
 * arguments (export.c), and the file, which readers see when it is complete
 * and never before (export_file.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_EXPORT_H
#define SITER_EXPORT_H

#include "export_file.h"
#include "nodes/pg_list.h"
#include "source.h"
#include "streamiter.h"

/* Options that a format may have, as bits */
#define SITER_EXPORT_HEADER			(1 << 0)
#define SITER_EXPORT_DELIMITER		(1 << 1)
#define SITER_EXPORT_QUOTE			(1 << 2)
#define SITER_EXPORT_ESCAPE			(1 << 3)
#define SITER_EXPORT_NULL_STRING	(1 << 4)
#define SITER_EXPORT_FORCE_QUOTE	(1 << 5)
#define SITER_EXPORT_ENCODING		(1 << 6)

/* What the caller asked for; strings that were not given are NULL */
typedef struct SiterExportOptions
{
	int			given;			/* bits of those that were given */
	bool		header;
	char	   *delimiter;
	char	   *quote;
	char	   *escape;
	char	   *null_string;
	List	   *force_quote;	/* column names (char *) */
	bool		force_quote_all;
	char	   *encoding;
} SiterExportOptions;

typedef struct SiterExport SiterExport;

typedef struct SiterExportFormat
{
	const char *name;
	int			options;		/* bits of those that the format has */

	/*
	 * Write the source's rows to export->file, and return how many there
	 * were.  SPI is connected, and there is an active snapshot.
	 */
	uint64		(*write) (SiterExport *export, const SiterSource *source);
} SiterExportFormat;

struct SiterExport
{
	const SiterExportFormat *format;
	SiterExportOptions options;
	SiterExportFile *file;
};

/*
 * A format by its name.  Errors: 22023 where there is none, or for an option
 * that it has not.
 */
extern const SiterExportFormat *siter_export_format(const char *name,
													const SiterExportOptions *options);

/*
 * For formats that are native callbacks: walk the source with a routine whose
 * private_data is the export, from "begin" on.  Returns the number of rows.
 */
extern uint64 siter_export_walk(SiterExport *export,
								const SiterSource *source,
								const StreamIterCallbackRoutine *routine);

#endif							/* SITER_EXPORT_H */
