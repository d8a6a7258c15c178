/*-------------------------------------------------------------------------
 *
 * fingerprint.c
 *	  Noticing that a callback is no longer what it was.
 *
 * Half of a table changed by one version of a function and half by another
 * is rarely what was meant, and a function that has come to another owner may
 * do whatever that owner likes.  So a job remembers what its callback was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "fingerprint.h"
#include "own.h"

/* One line each, in this order */
enum
{
	LINE_WHAT,					/* the function's signature; or "statement" */
	LINE_OWNER,					/* of the function; else empty */
	LINE_BODY,					/* a hash of all that decides what it does */
	LINE_KIND,					/* how it is called */
	NLINES
};

static const char *const kinds[] = {
	[SITER_ROW_FUNCTION] = "row function",
	[SITER_BATCH_FUNCTION] = "batch function",
	[SITER_BATCH_STATEMENT] = "batch statement",
	[SITER_RANGE_STATEMENT] = "range statement",
	[SITER_NATIVE] = "native callback",
};

static char *function_fingerprint(Oid function);
static char *hash_text(const char *string);
static void append_attribute(StringInfo buf, HeapTuple tuple,
							 AttrNumber attno, Oid output);
static void append_sql_body(StringInfo buf, Oid function);
static char *line(const char *fingerprint, int wanted);

char *
siter_fingerprint_callback(const SiterCallbackDef *def)
{
	char	   *result;

	if (OidIsValid(def->function))
		result = function_fingerprint(def->function);
	else
		result = psprintf("statement\n\n%s", hash_text(def->statement));
	return psprintf("%s\n%s", result, kinds[def->kind]);
}

static char *
function_fingerprint(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	StringInfoData body;
	SiterOwnState own;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);

	/* names come out qualified, whatever the search_path */
	siter_own_enter(&own);
	initStringInfo(&body);
	appendStringInfo(&body, "%s %d %d",
					 get_language_name(proc->prolang, false),
					 proc->prosecdef, proc->proisstrict);
	append_attribute(&body, tuple, Anum_pg_proc_prosrc, F_TEXTOUT);
	append_attribute(&body, tuple, Anum_pg_proc_probin, F_TEXTOUT);
	append_attribute(&body, tuple, Anum_pg_proc_proconfig, F_ARRAY_OUT);
	append_sql_body(&body, function);
	result = psprintf("%s\n%s\n%s", format_procedure_qualified(function),
					  GetUserNameFromId(proc->proowner, false),
					  hash_text(body.data));
	siter_own_leave(&own);
	ReleaseSysCache(tuple);
	return result;
}

static char *
hash_text(const char *string)
{
	Datum		hash = DirectFunctionCall1(sha256_bytea,
										   CStringGetTextDatum(string));

	hash = DirectFunctionCall2(binary_encode, hash,
							   CStringGetTextDatum("hex"));
	return TextDatumGetCString(hash);
}

/* A column of the function's row in pg_proc as text */
static void
append_attribute(StringInfo buf, HeapTuple tuple, AttrNumber attno,
				 Oid output)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(PROCOID, tuple, attno, &isnull);

	appendStringInfoChar(buf, '\n');
	if (!isnull)
		appendStringInfoString(buf, OidOutputFunctionCall(output, value));
}

/* The body of a function written in standard SQL, as text without OIDs */
static void
append_sql_body(StringInfo buf, Oid function)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	flinfo;
	Datum		body;

	fmgr_info(F_PG_GET_FUNCTION_SQLBODY, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(function);
	fcinfo->args[0].isnull = false;
	body = FunctionCallInvoke(fcinfo);

	appendStringInfoChar(buf, '\n');
	if (!fcinfo->isnull)
		appendStringInfoString(buf, TextDatumGetCString(body));
}

char *
siter_fingerprint_compare(const char *stored, const char *current)
{
	char	   *was[NLINES];
	char	   *is[NLINES];

	if (strcmp(stored, current) == 0)
		return NULL;
	for (int i = 0; i < NLINES; i++)
	{
		was[i] = line(stored, i);
		is[i] = line(current, i);
	}

	if (strcmp(was[LINE_WHAT], is[LINE_WHAT]) != 0)
		return psprintf(_("The callback is now %s, it was %s."),
						is[LINE_WHAT], was[LINE_WHAT]);
	if (strcmp(was[LINE_OWNER], is[LINE_OWNER]) != 0)
		return psprintf(_("Function %s now belongs to \"%s\", not to \"%s\"."),
						is[LINE_WHAT], is[LINE_OWNER], was[LINE_OWNER]);
	if (strcmp(was[LINE_BODY], is[LINE_BODY]) != 0 &&
		is[LINE_OWNER][0] == '\0')
		return pstrdup(_("Its name stands for another statement now."));
	if (strcmp(was[LINE_BODY], is[LINE_BODY]) != 0)
		return psprintf(_("The callback, %s, has been replaced or altered."),
						is[LINE_WHAT]);
	return psprintf(_("The callback, %s, is now a %s, it was a %s."),
					is[LINE_WHAT], is[LINE_KIND], was[LINE_KIND]);
}

/* Line "wanted" (from 0) of a fingerprint */
static char *
line(const char *fingerprint, int wanted)
{
	const char *end;

	while (wanted-- > 0)
	{
		fingerprint = strchr(fingerprint, '\n');
		if (fingerprint == NULL)
			return "";
		fingerprint++;
	}
	end = strchr(fingerprint, '\n');
	return end ? pnstrdup(fingerprint, end - fingerprint) :
		pstrdup(fingerprint);
}
