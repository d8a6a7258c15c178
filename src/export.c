/*-------------------------------------------------------------------------
 *
 * export.c
 *	  streamiter.export(): the rows of a query to a file on the server.
 *
 * The query runs with the rights of the caller, and of nobody else.  The SQL
 * function is documented in the install script.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "export.h"
#include "guc.h"
#include "options.h"
#include "pump.h"

PG_FUNCTION_INFO_V1(streamiter_export);

static void check_right(void);
static void read_options(FunctionCallInfo fcinfo, SiterExportOptions *options);
static char *read_text(FunctionCallInfo fcinfo, int argno, int option,
					   SiterExportOptions *options);
static void read_force_quote(FunctionCallInfo fcinfo, int argno,
							 SiterExportOptions *options);
static Datum export_result(FunctionCallInfo fcinfo, uint64 rows, uint64 bytes,
						   instr_time start);

Datum
streamiter_export(PG_FUNCTION_ARGS)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	char	   *query = siter_option_text(fcinfo, 0, "query");
	char	   *path = siter_option_text(fcinfo, 1, "path");
	char	   *format = siter_option_text(fcinfo, 2, "format");
	SiterExport *export = palloc0_object(SiterExport);
	SiterSource *source;
	instr_time	start;
	uint64		rows;
	Datum		result;

	INSTR_TIME_SET_CURRENT(start);
	check_right();
	read_options(fcinfo, &export->options);
	export->format = siter_export_format(format, &export->options);

	SPI_connect();
	source = siter_source_prepare(query, NULL, 0);
	export->file = siter_export_file_create(path);
	PG_TRY();
	{
		rows = export->format->write(export, source);
		siter_export_file_finish(export->file);
	}
	PG_CATCH();
	{
		siter_export_file_abandon(export->file);
		PG_RE_THROW();
	}
	PG_END_TRY();

	/* the result must outlive what SPI_finish() frees */
	MemoryContextSwitchTo(oldcontext);
	result = export_result(fcinfo, rows, export->file->bytes, start);
	SPI_finish();
	return result;
}

/* The right that COPY asks for */
static void
check_right(void)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser or have privileges of the pg_write_server_files role to export to a file"),
				 errhint("Anyone can COPY to stdout. psql's \\copy command also works for anyone.")));
}

/* NULL: what the format does by itself */
static void
read_options(FunctionCallInfo fcinfo, SiterExportOptions *options)
{
	if (!PG_ARGISNULL(3))
	{
		options->given |= SITER_EXPORT_HEADER;
		options->header = PG_GETARG_BOOL(3);
	}
	options->delimiter = read_text(fcinfo, 4, SITER_EXPORT_DELIMITER, options);
	options->quote = read_text(fcinfo, 5, SITER_EXPORT_QUOTE, options);
	options->escape = read_text(fcinfo, 6, SITER_EXPORT_ESCAPE, options);
	options->null_string = read_text(fcinfo, 7, SITER_EXPORT_NULL_STRING,
									 options);
	read_force_quote(fcinfo, 8, options);
	options->encoding = read_text(fcinfo, 9, SITER_EXPORT_ENCODING, options);
}

static char *
read_text(FunctionCallInfo fcinfo, int argno, int option,
		  SiterExportOptions *options)
{
	if (PG_ARGISNULL(argno))
		return NULL;
	options->given |= option;
	return text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

/* The single name "*" stands for all columns, as in COPY */
static void
read_force_quote(FunctionCallInfo fcinfo, int argno,
				 SiterExportOptions *options)
{
	Datum	   *names;
	bool	   *nulls;
	int			nnames;

	if (PG_ARGISNULL(argno))
		return;
	options->given |= SITER_EXPORT_FORCE_QUOTE;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, &nulls, &nnames);
	for (int i = 0; i < nnames; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a column of force_quote must not be NULL")));
		options->force_quote = lappend(options->force_quote,
									   TextDatumGetCString(names[i]));
	}
	options->force_quote_all = (nnames == 1 &&
								strcmp(linitial(options->force_quote), "*") == 0);
}

uint64
siter_export_walk(SiterExport *export, const SiterSource *source,
				  const StreamIterCallbackRoutine *routine)
{
	SiterCallbackDef def = {0};
	SiterPump	pump = {0};
	uint64		rows;

	def.name = export->format->name;
	def.kind = SITER_NATIVE;
	def.routine = routine;
	def.private_data = export;
	pump.callback = siter_callback_prepare(&def, source->tupdesc,
										   siter_chunk_size, source->query);
	pump.walk = siter_walk_open(source, siter_chunk_size, NULL, NULL);
	siter_pump_run(&pump);
	rows = pump.walk->rows;
	siter_walk_close(pump.walk);
	return rows;
}

static Datum
export_result(FunctionCallInfo fcinfo, uint64 rows, uint64 bytes,
			  instr_time start)
{
	Interval   *elapsed = palloc0_object(Interval);
	TupleDesc	tupdesc;
	Datum		values[3];
	bool		nulls[3] = {0};
	instr_time	end;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	elapsed->time = (TimeOffset) INSTR_TIME_GET_MICROSEC(end);
	values[0] = Int64GetDatum(rows);
	values[1] = Int64GetDatum(bytes);
	values[2] = IntervalPGetDatum(elapsed);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
											 values, nulls));
}
