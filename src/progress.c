/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far walks are, for other sessions to see.
 *
 * Each backend has a slot in shared memory for the walk that it is on.  From
 * 17 on such memory is there for the asking; before, only when the library is
 * in shared_preload_libraries.  Without it the progress of a walk that takes
 * long stands before its statement in pg_stat_activity.
 *
 * Nothing here costs anything for a row: a batch costs a look at the clock and
 * an uncontended spinlock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "progress.h"
#include "progress_line.h"

/* Changes with the structs below: a segment outlives a library */
#define SEGMENT_NAME "streamiter_progress_v1"

/* How much of query and callback is shown */
#define MAX_QUERY 1024
#define MAX_CALLBACK 256

/* Without shared memory: a shorter walk is not shown; nor is it more often */
#define ACTIVITY_INTERVAL USECS_PER_SEC

/* What a slot says */
typedef struct ProgressState
{
	int			pid;			/* 0: the slot is not in use */
	Oid			database;
	Oid			role;
	TimestampTz started;
	TimestampTz updated;
	int64		rows;
	int64		skipped;
	int64		total;
	SiterMeter	meter;
	char		query[MAX_QUERY];
	char		callback[MAX_CALLBACK];
} ProgressState;

typedef struct ProgressSlot
{
	slock_t		mutex;

	/* under the mutex; only the backend of this number writes it */
	ProgressState state;
} ProgressSlot;

/* One for each backend that there can be, by its number */
typedef struct ProgressShared
{
	int			nslots;			/* fixed when the memory is made */
	ProgressSlot slots[FLEXIBLE_ARRAY_MEMBER];
} ProgressShared;

struct SiterProgress
{
	ProgressSlot *slot;			/* NULL: there is no shared memory */
	ProgressState own;			/* as it is in the slot, for us to read */
	char	   *statement;		/* as pg_stat_activity had it; NULL: it has */
	uint64		query_id;
};

PG_FUNCTION_INFO_V1(streamiter_progress_walks);

static ProgressShared *shared = NULL;
static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static SiterProgress current;
static bool active = false;

static void request_shared(void);
static void start_shared(void);
static Size shared_size(void);
static void init_shared(void *memory);
static void attach_shared(void);
static void free_slot(int code, Datum arg);
static void show_activity(SiterProgress *progress);
static void restore_activity(SiterProgress *progress);
static void copy_text(char *to, const char *from, int size);

void
siter_progress_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared;
}

static void
request_shared(void)
{
	if (previous_shmem_request_hook != NULL)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
}

static void
start_shared(void)
{
	bool		found;

	if (previous_shmem_startup_hook != NULL)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(SEGMENT_NAME, shared_size(), &found);
	if (!found)
		init_shared(shared);
	LWLockRelease(AddinShmemInitLock);
}

static Size
shared_size(void)
{
	return add_size(offsetof(ProgressShared, slots),
					mul_size(MaxBackends, sizeof(ProgressSlot)));
}

static void
init_shared(void *memory)
{
	ProgressShared *fresh = (ProgressShared *) memory;

	fresh->nslots = MaxBackends;
	for (int i = 0; i < fresh->nslots; i++)
	{
		SpinLockInit(&fresh->slots[i].mutex);
		memset(&fresh->slots[i].state, 0, sizeof(ProgressState));
	}
}

/* Leaves it NULL where it cannot be had */
static void
attach_shared(void)
{
	if (shared == NULL)
		shared = (ProgressShared *) siter_dsm_segment(SEGMENT_NAME,
													  shared_size(),
													  init_shared);
}

SiterProgress *
siter_progress_begin(const char *query, const char *callback, double total)
{
	static bool exit_callback_set = false;
	int			number = siter_backend_number();
	TimestampTz now = GetCurrentTimestamp();
	ProgressState *own = &current.own;

	if (active)
		return NULL;

	attach_shared();
	own->pid = MyProcPid;
	own->database = MyDatabaseId;
	own->role = GetUserId();
	own->started = own->updated = now;
	own->rows = own->skipped = 0;
	own->total = total < 1e15 ? (int64) total : (int64) 1e15;
	siter_meter_start(&own->meter, 0, now);
	copy_text(own->query, query, MAX_QUERY);
	copy_text(own->callback, callback, MAX_CALLBACK);

	current.slot = NULL;
	if (shared != NULL && number >= 0 && number < shared->nslots)
	{
		if (!exit_callback_set)
			before_shmem_exit(free_slot, (Datum) 0);
		exit_callback_set = true;
		current.slot = &shared->slots[number];
		SpinLockAcquire(&current.slot->mutex);
		current.slot->state = *own;
		SpinLockRelease(&current.slot->mutex);
	}
	active = true;
	return &current;
}

void
siter_progress_note(SiterProgress *progress, int64 rows, int64 skipped)
{
	ProgressState *own = &progress->own;
	ProgressSlot *slot = progress->slot;
	TimestampTz now = GetCurrentTimestamp();

	own->rows = rows;
	own->skipped = skipped;
	siter_meter_note(&own->meter, rows, now);
	if (slot != NULL)
	{
		own->updated = now;
		SpinLockAcquire(&slot->mutex);
		slot->state.rows = rows;
		slot->state.skipped = skipped;
		slot->state.updated = now;
		slot->state.meter = own->meter;
		SpinLockRelease(&slot->mutex);
	}
	else if (now - own->updated >= ACTIVITY_INTERVAL)
	{
		own->updated = now;
		show_activity(progress);
	}
}

void
siter_progress_end(SiterProgress *progress)
{
	if (progress->slot != NULL)
		free_slot(0, (Datum) 0);
	restore_activity(progress);
	active = false;
}

/* Also when the backend ends amid a walk */
static void
free_slot(int code, Datum arg)
{
	ProgressSlot *slot = current.slot;

	if (slot == NULL)
		return;
	SpinLockAcquire(&slot->mutex);
	slot->state.pid = 0;
	SpinLockRelease(&slot->mutex);
	current.slot = NULL;
}

static void
show_activity(SiterProgress *progress)
{
	ProgressState *own = &progress->own;
	char	   *line;
	char	   *text;

	if (MyBEEntry == NULL || !pgstat_track_activities)
		return;
	if (progress->statement == NULL)
	{
		progress->statement = MemoryContextStrdup(TopMemoryContext,
												  MyBEEntry->st_activity_raw);
		progress->query_id = pgstat_get_my_query_id();
	}
	line = siter_progress_line(own->rows, own->total, false,
							   siter_meter_rate(&own->meter, own->rows,
												own->updated));
	text = psprintf("%s: %s", line, progress->statement);

	pgstat_report_activity(STATE_RUNNING, text);
	pgstat_report_query_id(progress->query_id, true);
	pfree(text);
	pfree(line);
}

static void
restore_activity(SiterProgress *progress)
{
	if (progress->statement == NULL)
		return;
	pgstat_report_activity(STATE_RUNNING, progress->statement);
	pgstat_report_query_id(progress->query_id, true);
	pfree(progress->statement);
	progress->statement = NULL;
}

/* Cut where it is too long, between two characters */
static void
copy_text(char *to, const char *from, int size)
{
	int			length = pg_mbcliplen(from, strlen(from), size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

static bool
may_see(const ProgressState *state)
{
	return state->pid != 0 && state->database == MyDatabaseId &&
		(has_privs_of_role(GetUserId(), state->role) ||
		 has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS));
}

/* For the view: the walks that are under way, as far as the user may know */
Datum
streamiter_progress_walks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	attach_shared();
	for (int i = 0; shared != NULL && i < shared->nslots; i++)
	{
		ProgressState state;
		Datum		values[10];
		bool		nulls[10] = {0};

		SpinLockAcquire(&shared->slots[i].mutex);
		state = shared->slots[i].state;
		SpinLockRelease(&shared->slots[i].mutex);
		if (!may_see(&state))
			continue;

		values[0] = Int32GetDatum(state.pid);
		values[1] = ObjectIdGetDatum(state.role);
		values[2] = CStringGetTextDatum(state.query);
		values[3] = CStringGetTextDatum(state.callback);
		values[4] = TimestampTzGetDatum(state.started);
		values[5] = TimestampTzGetDatum(state.updated);
		values[6] = Int64GetDatum(state.rows);
		values[7] = Int64GetDatum(state.skipped);
		values[8] = Int64GetDatum(state.total);
		values[9] = Float8GetDatum(siter_meter_rate(&state.meter, state.rows,
													state.updated));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
