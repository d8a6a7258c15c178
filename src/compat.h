/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15, 16, 17 and 18.
 *
 * The only file that may ask for the server's version: everything else uses
 * the newest server's spelling, and older servers get it from here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_COMPAT_H
#define SITER_COMPAT_H

#include "access/tupdesc.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/copy.h"
#include "commands/explain.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
#include "storage/procnumber.h"
#else
#include "storage/backendid.h"
#endif

#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

#if PG_VERSION_NUM < 150000
#error "StreamIter needs PostgreSQL 15 or newer"
#endif

/* 18 shows a module's name and version in pg_get_loaded_modules() */
#if PG_VERSION_NUM >= 180000
#define SITER_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "streamiter", .version = STREAMITER_VERSION)
#else
#define SITER_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 18 says before a declaration, as C11 does, that a function does not return */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* Minor releases of 15 differ in whether they have these of 16 */
#ifndef palloc_object
#define palloc_object(type) ((type *) palloc(sizeof(type)))
#define palloc0_object(type) ((type *) palloc0(sizeof(type)))
#define palloc_array(type, count) ((type *) palloc(sizeof(type) * (count)))
#define palloc0_array(type, count) ((type *) palloc0(sizeof(type) * (count)))
#endif

/* 16 folded the per-catalog privilege checks into one */
#if PG_VERSION_NUM < 160000
static inline AclResult
siter_proc_aclcheck(Oid function, Oid role, AclMode mode)
{
	return pg_proc_aclcheck(function, role, mode);
}

static inline AclResult
siter_namespace_aclcheck(Oid schema, Oid role, AclMode mode)
{
	return pg_namespace_aclcheck(schema, role, mode);
}
#else
static inline AclResult
siter_proc_aclcheck(Oid function, Oid role, AclMode mode)
{
	return object_aclcheck(ProcedureRelationId, function, role, mode);
}

static inline AclResult
siter_namespace_aclcheck(Oid schema, Oid role, AclMode mode)
{
	return object_aclcheck(NamespaceRelationId, schema, role, mode);
}
#endif

/* 16 can report bad names without raising an error; we do not use that */
#if PG_VERSION_NUM < 160000
static inline TypeName *
siter_type_name_parse(const char *type_name)
{
	return typeStringToTypeName(type_name);
}
#else
static inline TypeName *
siter_type_name_parse(const char *type_name)
{
	return typeStringToTypeName(type_name, NULL);
}
#endif

/* 18 knows NOT NULL constraints that old rows may break (NOT VALID) */
static inline bool
siter_attribute_not_null(TupleDesc tupdesc, int i)
{
#if PG_VERSION_NUM >= 180000
	return TupleDescCompactAttr(tupdesc, i)->attnullability == ATTNULLABLE_VALID;
#else
	return TupleDescAttr(tupdesc, i)->attnotnull;
#endif
}

/* 18 lets RETURNING name the old and the new row, with a node of its own */
static inline bool
siter_update_returns(const UpdateStmt *update)
{
#if PG_VERSION_NUM >= 180000
	return update->returningClause != NULL;
#else
	return update->returningList != NIL;
#endif
}

/* 17 can ask for stronger modes too */
#if PG_VERSION_NUM < 170000
static inline bool
siter_lock_held_by_me(const LOCKTAG *tag, LOCKMODE mode)
{
	return LockHeldByMe(tag, mode);
}
#else
static inline bool
siter_lock_held_by_me(const LOCKTAG *tag, LOCKMODE mode)
{
	return LockHeldByMe(tag, mode, false);
}
#endif

/* 17 has names for what extensions wait for */
static inline uint32
siter_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* 17 has shared memory that needs no preloading; elsewhere NULL */
static inline void *
siter_dsm_segment(const char *name, Size size, void (*init) (void *memory))
{
#if PG_VERSION_NUM >= 170000
	bool		found;

	return GetNamedDSMSegment(name, size, init, &found);
#else
	return NULL;
#endif
}

/* 17 numbers backends from 0; < 0: this process has no number */
static inline int
siter_backend_number(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyBackendId - 1;
#endif
}

/* 16 says at the same time how many there are */
static inline struct config_generic **
siter_guc_variables(int *count)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(count);
#else
	*count = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/* 16 lets COPY TO hand its rows to a function */
static inline CopyToState
siter_begin_copy_to(ParseState *pstate, RawStmt *query, const char *path,
					List *options)
{
#if PG_VERSION_NUM >= 160000
	return BeginCopyTo(pstate, NULL, query, InvalidOid, path, false, NULL,
					   NIL, options);
#else
	return BeginCopyTo(pstate, NULL, query, InvalidOid, path, false, NIL,
					   options);
#endif
}

/* Before 17 a process knows by what it was made from */
#ifndef AmBackgroundWorkerProcess
#define AmBackgroundWorkerProcess() IsBackgroundWorker
#endif

/* 17 lets workers work as roles that may not log in */
#if PG_VERSION_NUM >= 170000
#define SITER_WORKER_CONNECT_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#define SITER_WORKERS_NEED_LOGIN false
#else
#define SITER_WORKER_CONNECT_FLAGS 0
#define SITER_WORKERS_NEED_LOGIN true
#endif

#endif							/* SITER_COMPAT_H */
