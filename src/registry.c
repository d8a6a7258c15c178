/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Registered callbacks: names that stand for functions and statements.
 *
 * The table streamiter.callback holds names only: schema, function, argument
 * types, owner.  OIDs of functions survive neither a dump nor pg_upgrade.
 * Names are data here: they are looked up in the catalog and never become
 * part of a statement.
 *
 * Registering gives no rights.  Whoever starts a walk needs USAGE on the
 * schema and EXECUTE on the function, as if he called it by name, and a name
 * stands for what its user or a superuser registered, so that nobody can
 * make another run his code by taking a name first.
 *
 * Nobody but the extension's owner can read or write the table.  Users get
 * there through the functions below, which run fixed statements as that
 * owner, always on rows of the current user or, reading, of superusers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "native.h"
#include "own.h"
#include "registry.h"
#include "statement.h"
#include "table.h"

/* A name is as long as an identifier may be */
#define MAX_NAME_LENGTH (NAMEDATALEN - 1)

/* What streamiter.callback.kind says */
static const char *const kind_names[] = {
	[SITER_ROW_FUNCTION] = "row function",
	[SITER_BATCH_FUNCTION] = "batch function",
	[SITER_BATCH_STATEMENT] = "batch statement",
	[SITER_RANGE_STATEMENT] = "range statement",
	[SITER_NATIVE] = "native",
};

/*
 * Roles are dropped without asking us: what they registered is swept here,
 * before a new role could come to the same OID.
 */
static const char *const sweep_sql =
"DELETE FROM streamiter.callback c"
" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r"
"  WHERE r.oid OPERATOR(pg_catalog.=) c.owner)";

static const char *const insert_sql =
"INSERT INTO streamiter.callback"
" (owner, name, kind, function_schema, function_name, argument_types,"
"  statement)"
" VALUES ($1, $2, $3, $4, $5, $6, $7)"
" ON CONFLICT (owner, name) DO NOTHING";

static const char *const delete_sql =
"DELETE FROM streamiter.callback c"
" WHERE c.owner OPERATOR(pg_catalog.=) $1"
" AND c.name OPERATOR(pg_catalog.=) $2";

/* One's own first; then those of superusers, of which there may be two */
static SiterTableStatement find_callback = {
	"SELECT c.kind, c.statement, c.function_schema, c.function_name,"
	"  c.argument_types, r.rolname,"
	"  c.owner OPERATOR(pg_catalog.=) $1"
	" FROM streamiter.callback c"
	" JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) c.owner"
	" WHERE c.name OPERATOR(pg_catalog.=) $2"
	" AND (c.owner OPERATOR(pg_catalog.=) $1 OR r.rolsuper)"
	" ORDER BY c.owner OPERATOR(pg_catalog.=) $1 DESC, r.rolname LIMIT 2",
	2, {OIDOID, TEXTOID}
};

/* The columns of find_callback */
enum
{
	FIND_KIND = 1,
	FIND_STATEMENT,
	FIND_SCHEMA,
	FIND_FUNCTION,
	FIND_TYPES,
	FIND_OWNER,
	FIND_OWN
};

/* A function, by the names that find it again */
typedef struct FunctionName
{
	const char *schema;
	const char *function;
	ArrayType  *types;			/* text[] */
} FunctionName;

PG_FUNCTION_INFO_V1(streamiter_register_callback);
PG_FUNCTION_INFO_V1(streamiter_register_statement);
PG_FUNCTION_INFO_V1(streamiter_unregister_callback);
PG_FUNCTION_INFO_V1(streamiter_callback_usable);

static const char *
text_arg(FunctionCallInfo fcinfo, int arg, const char *parameter)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", parameter)));
	return text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

static void
check_name(const char *name)
{
	if (name[strspn(name, " \t\r\n\f\v")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a callback must not be empty"),
				 errhint("Choose a name that streamiter.for_each() can be given.")));
	if (strlen(name) > MAX_NAME_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a callback is too long"),
				 errdetail("It has %zu bytes.", strlen(name)),
				 errhint("Choose a name of at most %d bytes.",
						 MAX_NAME_LENGTH)));
	if (strpbrk(name, "()") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the callback name \"%s\" looks like a signature",
						name),
				 errhint("Choose a name without parentheses; a signature can be given to streamiter.for_each() without being registered.")));
}

/* The kind that "per" asks for */
static SiterCallbackKind
kind_from_per(const char *per, const char *per1, SiterCallbackKind kind1,
			  const char *per2, SiterCallbackKind kind2)
{
	if (strcmp(per, per1) == 0)
		return kind1;
	if (strcmp(per, per2) == 0)
		return kind2;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("per must be \"%s\" or \"%s\", not \"%s\"",
					per1, per2, per)));
	return kind1;				/* keep compiler quiet */
}

static SiterCallbackKind
kind_from_name(const char *kind_name)
{
	for (int kind = 0; kind < lengthof(kind_names); kind++)
	{
		if (strcmp(kind_names[kind], kind_name) == 0)
			return (SiterCallbackKind) kind;
	}
	elog(ERROR, "unknown kind of callback \"%s\"", kind_name);
	return SITER_ROW_FUNCTION;	/* keep compiler quiet */
}

/*
 * Functions and their names
 */

static void
refuse_temporary(Oid schema, const char *name)
{
	/* The schema will be another session's, with that one's functions in it */
	if (isAnyTempNamespace(schema))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("callback \"%s\" cannot be a temporary function, or one of temporary types",
						name),
				 errdetail("Registered callbacks outlive the session."),
				 errhint("Give its signature to streamiter.for_each() instead.")));
}

static Oid
type_schema(Oid type)
{
	return GetSysCacheOid1(TYPEOID, Anum_pg_type_typnamespace,
						   ObjectIdGetDatum(type));
}

/* A type as text that means the same under any search_path */
static char *
type_to_name(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);
}

/* The reverse of it, or InvalidOid */
static Oid
type_from_name(const char *type_name)
{
	TypeName   *parsed = siter_type_name_parse(type_name);
	char	   *schema_name;
	char	   *name;
	Oid			schema;
	Oid			type;

	/*
	 * By hand, for the server's own function raises an error where the user
	 * lacks USAGE on the type's schema, which calling a function takes not.
	 */
	DeconstructQualifiedName(parsed->names, &schema_name, &name);
	if (schema_name == NULL)
		return InvalidOid;
	schema = get_namespace_oid(schema_name, true);
	type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						   CStringGetDatum(name), ObjectIdGetDatum(schema));
	if (OidIsValid(type) && parsed->arrayBounds != NIL)
		type = get_array_type(type);
	return type;
}

static FunctionName *
function_to_name(Oid function, const char *callback)
{
	FunctionName *result = palloc(sizeof(FunctionName));
	HeapTuple	tuple;
	Form_pg_proc proc;
	Datum	   *types;

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);

	refuse_temporary(proc->pronamespace, callback);
	types = palloc(sizeof(Datum) * proc->pronargs);
	for (int i = 0; i < proc->pronargs; i++)
	{
		Oid			type = proc->proargtypes.values[i];
		Oid			element = get_element_type(type);

		if (OidIsValid(element))
			refuse_temporary(type_schema(element), callback);
		refuse_temporary(type_schema(type), callback);
		types[i] = CStringGetTextDatum(type_to_name(type));
	}

	result->schema = get_namespace_name(proc->pronamespace);
	result->function = pstrdup(NameStr(proc->proname));
	result->types = construct_array(types, proc->pronargs, TEXTOID, -1, false,
									TYPALIGN_INT);
	ReleaseSysCache(tuple);
	return result;
}

/* The function that the names stand for now, or InvalidOid */
static Oid
function_from_name(const FunctionName *name)
{
	Oid			schema = get_namespace_oid(name->schema, true);
	Datum	   *type_names;
	int			ntypes;
	oidvector  *types;

	if (!OidIsValid(schema) || isAnyTempNamespace(schema))
		return InvalidOid;

	deconstruct_array(name->types, TEXTOID, -1, false, TYPALIGN_INT,
					  &type_names, NULL, &ntypes);
	types = buildoidvector(NULL, ntypes);
	for (int i = 0; i < ntypes; i++)
	{
		types->values[i] = type_from_name(TextDatumGetCString(type_names[i]));
		if (!OidIsValid(types->values[i]))
			return InvalidOid;
	}
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum(name->function),
						   PointerGetDatum(types), ObjectIdGetDatum(schema));
}

static char *
function_signature(const FunctionName *name)
{
	StringInfoData signature;
	Datum	   *type_names;
	int			ntypes;

	initStringInfo(&signature);
	appendStringInfo(&signature, "%s(",
					 quote_qualified_identifier(name->schema, name->function));
	deconstruct_array(name->types, TEXTOID, -1, false, TYPALIGN_INT,
					  &type_names, NULL, &ntypes);
	for (int i = 0; i < ntypes; i++)
		appendStringInfo(&signature, "%s%s", i > 0 ? ", " : "",
						 TextDatumGetCString(type_names[i]));
	appendStringInfoChar(&signature, ')');
	return signature.data;
}

/*
 * The table
 */

static Oid
callback_table(void)
{
	return get_relname_relid("callback",
							 get_namespace_oid("streamiter", false));
}

/* What siter_registry_version() watches and returns */
static Oid	watched_table = InvalidOid;
static uint64 version = 0;

static void
note_invalidation(Datum arg, Oid table)
{
	if (table == InvalidOid || table == watched_table)
	{
		/* the extension may have been created anew */
		watched_table = InvalidOid;
		version++;
	}
}

uint64
siter_registry_version(void)
{
	static bool watching = false;

	if (!watching)
		CacheRegisterRelcacheCallback(note_invalidation, (Datum) 0);
	watching = true;
	if (!OidIsValid(watched_table))
		watched_table = callback_table();
	return version;
}

/* Change the table, and tell all sessions that it has changed */
static void
own_execute(const char *sql, int expected, int nargs, Oid *types,
			Datum *values, const char *nulls)
{
	SiterOwnState own;
	int			rc;

	siter_own_enter(&own);
	rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	siter_own_leave(&own);
	CacheInvalidateRelcacheByRelid(callback_table());
	if (rc != expected)
		elog(ERROR, "unexpected result %s of a statement on the registry",
			 SPI_result_code_string(rc));
}

/* Exactly one of "function" and "statement" is given */
static void
registry_insert(const char *name, SiterCallbackKind kind,
				const FunctionName *function, const char *statement)
{
	Oid			types[7] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTARRAYOID, TEXTOID};
	Datum		values[7] = {0};
	char		nulls[7] = {' ', ' ', ' ', 'n', 'n', 'n', 'n'};

	values[0] = ObjectIdGetDatum(GetUserId());
	values[1] = CStringGetTextDatum(name);
	values[2] = CStringGetTextDatum(kind_names[kind]);
	if (function != NULL)
	{
		values[3] = CStringGetTextDatum(function->schema);
		values[4] = CStringGetTextDatum(function->function);
		values[5] = PointerGetDatum(function->types);
		nulls[3] = nulls[4] = nulls[5] = ' ';
	}
	else
	{
		values[6] = CStringGetTextDatum(statement);
		nulls[6] = ' ';
	}

	SPI_connect();
	own_execute(sweep_sql, SPI_OK_DELETE, 0, NULL, NULL, NULL);
	own_execute(insert_sql, SPI_OK_INSERT, 7, types, values, nulls);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("callback \"%s\" is already registered", name),
				 errhint("Use streamiter.unregister_callback() first, or choose another name.")));
	SPI_finish();
}

/* The value of a column of find_callback's first row, NULL if it is one */
static char *
found_text(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

static bool
found_own(void)
{
	bool		isnull;

	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, FIND_OWN,
									  &isnull));
}

/* Run find_callback; false if there is no such callback.  SPI is connected. */
static bool
find_row(const char *name)
{
	SiterTableValue values[2];

	values[0] = SITER_VALUE(ObjectIdGetDatum(GetUserId()));
	values[1] = siter_table_text_param(name);
	return siter_table_execute(&find_callback, values) > 0;
}

/* Two superusers registered the name, and the user did not */
static void
refuse_ambiguous(const char *name)
{
	if (SPI_processed > 1 && !found_own())
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_FUNCTION),
				 errmsg("callback name \"%s\" is ambiguous", name),
				 errdetail("It was registered by the superusers %s and %s.",
						   quote_identifier(found_text(FIND_OWNER)),
						   quote_identifier(SPI_getvalue(SPI_tuptable->vals[1],
														 SPI_tuptable->tupdesc,
														 FIND_OWNER))),
				 errhint("Register the callback under a name of your own, or give its signature.")));
}

/*
 * The function that find_callback's first row stands for, if the user could call
 * it by that name and it still is what was registered.
 */
static Oid
found_function(const char *name, SiterCallbackKind kind)
{
	FunctionName function;
	AclResult	aclresult;
	bool		isnull;
	Oid			schema;
	Oid			result;

	function.schema = found_text(FIND_SCHEMA);
	function.function = found_text(FIND_FUNCTION);
	function.types = DatumGetArrayTypeP(SPI_getbinval(SPI_tuptable->vals[0],
													  SPI_tuptable->tupdesc,
													  FIND_TYPES, &isnull));

	result = function_from_name(&function);
	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s of callback \"%s\" does not exist",
						function_signature(&function), name),
				 errhint("It was dropped, renamed or moved since it was registered: unregister the callback, and register the function that is meant.")));

	schema = get_namespace_oid(function.schema, false);
	aclresult = siter_namespace_aclcheck(schema, GetUserId(), ACL_USAGE);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_SCHEMA, function.schema);

	if (siter_native_is_handler(result) != (kind == SITER_NATIVE))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function %s of callback \"%s\" is no longer of kind \"%s\"",
						function_signature(&function), name,
						kind_names[kind]),
				 errhint("Unregister the callback, and register it anew.")));
	return result;
}

SiterCallbackDef *
siter_registry_find(const char *name)
{
	SiterCallbackDef *def = palloc0(sizeof(SiterCallbackDef));
	MemoryContext caller_context = CurrentMemoryContext;

	SPI_connect();
	if (!find_row(name))
	{
		SPI_finish();
		return NULL;
	}
	refuse_ambiguous(name);

	def->kind = kind_from_name(found_text(FIND_KIND));
	if (def->kind == SITER_BATCH_STATEMENT ||
		def->kind == SITER_RANGE_STATEMENT)
		def->statement = MemoryContextStrdup(caller_context,
											 found_text(FIND_STATEMENT));
	else
		def->function = found_function(name, def->kind);
	def->name = MemoryContextStrdup(caller_context, name);
	SPI_finish();
	return def;
}

/*
 * What is called with arrays must take them.  Whether they fit the columns is
 * seen when there are some.
 */
static void
check_takes_arrays(Oid function, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);

	/* those that have a default may be left out */
	for (int i = 0; i < proc->pronargs - proc->pronargdefaults; i++)
	{
		Oid			type = proc->proargtypes.values[i];
		char		category;
		bool		preferred;

		/* a user's type may come with a cast */
		get_type_category_preferred(type, &category, &preferred);
		if (category == TYPCATEGORY_ARRAY ||
			category == TYPCATEGORY_PSEUDOTYPE ||
			category == TYPCATEGORY_USER)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function %s of callback \"%s\" cannot be called per batch",
						format_procedure(function), name),
				 errdetail("Its parameter %d has type %s, which takes no array.",
						   i + 1, format_type_be(type)),
				 errhint("Use a function of one array for each column, or of one array of rows; or register it with per => 'row'.")));
	}
	ReleaseSysCache(tuple);
}

/*
 * The functions of SQL
 */

Datum
streamiter_register_callback(PG_FUNCTION_ARGS)
{
	const char *name = text_arg(fcinfo, 0, "name");
	const char *per = text_arg(fcinfo, 2, "per");
	SiterCallbackKind kind;
	Oid			function;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("function must not be NULL")));
	function = PG_GETARG_OID(1);

	check_name(name);
	kind = kind_from_per(per, "row", SITER_ROW_FUNCTION,
						 "batch", SITER_BATCH_FUNCTION);
	siter_callback_check_function(function, name);

	/* A handler's routine says itself whether it wants rows or batches */
	if (siter_native_is_handler(function))
		kind = SITER_NATIVE;

	if (kind == SITER_BATCH_FUNCTION)
		check_takes_arrays(function, name);
	registry_insert(name, kind, function_to_name(function, name), NULL);
	PG_RETURN_VOID();
}

Datum
streamiter_register_statement(PG_FUNCTION_ARGS)
{
	const char *name = text_arg(fcinfo, 0, "name");
	const char *statement = text_arg(fcinfo, 1, "statement");
	const char *per = text_arg(fcinfo, 2, "per");
	SiterCallbackKind kind;

	check_name(name);
	kind = kind_from_per(per, "batch", SITER_BATCH_STATEMENT,
						 "range", SITER_RANGE_STATEMENT);
	siter_statement_check(name, statement);
	if (!siter_statement_has_params(statement))
		ereport(WARNING,
				(errmsg("the statement of callback \"%s\" uses no parameter",
						name),
				 errdetail("It will do the same for each batch, whatever rows there are in it."),
				 kind == SITER_RANGE_STATEMENT ?
				 errhint("$1 is the first key of the batch, $2 the last.") :
				 errhint("$n is the array of the values of column n.")));
	registry_insert(name, kind, NULL, statement);
	PG_RETURN_VOID();
}

Datum
streamiter_unregister_callback(PG_FUNCTION_ARGS)
{
	const char *name = text_arg(fcinfo, 0, "name");
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(GetUserId());
	values[1] = CStringGetTextDatum(name);

	SPI_connect();
	own_execute(delete_sql, SPI_OK_DELETE, 2, types, values, NULL);
	if (SPI_processed == 0)
	{
		bool		others = find_row(name);

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("you have registered no callback \"%s\"", name),
				 others ?
				 errhint("It belongs to role %s, who alone can unregister it.",
						 quote_identifier(found_text(FIND_OWNER))) :
				 errhint("The view streamiter.callbacks shows those that there are.")));
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* For the view: could the user call the function of these names? */
Datum
streamiter_callback_usable(PG_FUNCTION_ARGS)
{
	FunctionName name;
	Oid			function;
	Oid			schema;

	name.schema = text_to_cstring(PG_GETARG_TEXT_PP(0));
	name.function = text_to_cstring(PG_GETARG_TEXT_PP(1));
	name.types = PG_GETARG_ARRAYTYPE_P(2);
	if (array_contains_nulls(name.types))
		PG_RETURN_BOOL(false);

	function = function_from_name(&name);
	if (!OidIsValid(function))
		PG_RETURN_BOOL(false);
	schema = get_namespace_oid(name.schema, false);
	PG_RETURN_BOOL(siter_namespace_aclcheck(schema, GetUserId(),
											ACL_USAGE) == ACLCHECK_OK &&
				   siter_proc_aclcheck(function, GetUserId(),
									   ACL_EXECUTE) == ACLCHECK_OK);
}
