/*-------------------------------------------------------------------------
 *
 * export_no_xlsx.c
 *	  What there is of XLSX where libxlsxwriter was missing: an error.
 *
 * Compiled in the place of export_xlsx*.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "export.h"

extern const SiterExportFormat siter_export_xlsx;

static uint64
refuse_xlsx(SiterExport *export, const SiterSource *source)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("this build of StreamIter cannot export to XLSX"),
			 errdetail("It was built without libxlsxwriter."),
			 errhint("Install libxlsxwriter-dev (libxlsxwriter-devel), then build and install StreamIter again.")));
	return 0;					/* keep compiler quiet */
}

const SiterExportFormat siter_export_xlsx = {
	.name = "xlsx",
	.options = SITER_EXPORT_HEADER | SITER_EXPORT_NULL_STRING,
	.write = refuse_xlsx
};
