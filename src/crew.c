/*-------------------------------------------------------------------------
 *
 * crew.c
 *	  Background workers: starting them, and seeing that they end.
 *
 * Helpers do not outlive their leader.  It ends them when it fails or is
 * cancelled, and when its process exits; should even that not come about, the
 * segment says that it has left, and they look at it between two batches.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "crew.h"
#include "session.h"

StaticAssertDecl(sizeof(SiterWorkerArgs) <= BGW_EXTRALEN,
				 "arguments must fit into bgw_extra");

/* This process's helpers; a process leads one run at a time */
typedef struct Crew
{
	dsm_segment *segment;		/* NULL: there is no crew */
	SiterTeam  *team;
	int			nworkers;
	BackgroundWorkerHandle **handles;
} Crew;

static Crew crew;

static BackgroundWorkerHandle *start(const SiterJob *job,
									 const SiterWorkerArgs *args);
static void on_exit_of_leader(int code, Datum arg);
static void terminate_all(void);

void
siter_crew_check(const SiterJob *job)
{
	HeapTuple	tuple;
	bool		can_login;

	if (GetUserId() != job->owner || InSecurityRestrictedOperation() ||
		InLocalUserIdChange())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot start workers for job \"%s\" here", job->name),
				 errdetail("They work as the job's owner, and may do all that the owner may."),
				 errhint("Call it outside of SECURITY DEFINER functions.")));

	if (!SITER_WORKERS_NEED_LOGIN)
		return;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(job->owner));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for role %u", job->owner);
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("workers cannot work as role \"%s\", which is not permitted to log in",
						GetUserNameFromId(job->owner, false)),
				 errhint("Run the job with one worker, or let its owner log in; from PostgreSQL 17 on that is not needed.")));
}

void
siter_crew_start_leader(const SiterJob *job, const SiterBudget *budget)
{
	SiterWorkerArgs args = {.budget = *budget};

	if (start(job, &args) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start job \"%s\": all background worker slots are in use",
						job->name),
				 errhint("CALL streamiter.run() works without one. You might need to increase max_worker_processes.")));
}

/* NULL if there is no slot for it */
static BackgroundWorkerHandle *
start(const SiterJob *job, const SiterWorkerArgs *args)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;
	SiterWorkerArgs all = *args;

	all.database = MyDatabaseId;
	all.owner = job->owner;
	all.job_id = job->id;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "$libdir/streamiter",
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "siter_worker_main",
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name),
			 "streamiter worker for job \"%s\"", job->name);
	strlcpy(worker.bgw_type, "streamiter worker", sizeof(worker.bgw_type));
	memcpy(worker.bgw_extra, &all, sizeof(all));

	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

SiterTeam *
siter_crew_launch(const SiterJob *job, SiterTeam *team)
{
	static bool registered = false;
	Size		team_size = MAXALIGN(siter_team_size(team->nmembers));
	Size		settings_size;
	char	   *settings = siter_session_save(&settings_size);
	SiterWorkerArgs args = {0};
	MemoryContext oldcontext;
	dsm_segment *segment;
	int			wanted = team->nmembers - 1;

	(void) siter_crew_dismiss();
	if (!registered)
		before_shmem_exit(on_exit_of_leader, (Datum) 0);
	registered = true;

	segment = dsm_create(add_size(team_size, settings_size),
						 DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (segment != NULL)
	{
		/* from here on errors leave it to siter_crew_dismiss() */
		oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		crew.handles = palloc0_array(BackgroundWorkerHandle *, wanted);
		crew.segment = segment;
		dsm_pin_mapping(crew.segment);
		crew.team = dsm_segment_address(crew.segment);
		siter_team_copy(crew.team, team);
		memcpy((char *) crew.team + team_size, settings, settings_size);

		args.segment = dsm_segment_handle(crew.segment);
		for (; crew.nworkers < wanted; crew.nworkers++)
		{
			args.member = crew.nworkers + 1;
			crew.handles[crew.nworkers] = start(job, &args);
			if (crew.handles[crew.nworkers] == NULL)
				break;
		}
		MemoryContextSwitchTo(oldcontext);
	}

	if (crew.nworkers < wanted)
		ereport(NOTICE,
				(errmsg("job \"%s\" goes on with %d of %d workers",
						job->name, crew.nworkers + 1, wanted + 1),
				 errdetail("All background worker slots, or all segments of dynamic shared memory, are in use."),
				 errhint("You might need to increase max_worker_processes.")));
	return crew.segment != NULL ? crew.team : team;
}

const char *
siter_crew_settings(SiterTeam *team)
{
	return (char *) team + MAXALIGN(siter_team_size(team->nmembers));
}

bool
siter_crew_await(void)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000);

	for (int i = 0; i < crew.nworkers; i++)
	{
		pid_t		pid;

		while (GetBackgroundWorkerPid(crew.handles[i], &pid) != BGWH_STOPPED)
		{
			long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
															   end);

			if (left <= 0)
				return false;
			(void) WaitLatch(MyLatch,
							 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 left, WAIT_EVENT_BGWORKER_SHUTDOWN);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	return true;
}

void
siter_crew_hurry(void)
{
	terminate_all();
}

int
siter_crew_dismiss(void)
{
	dsm_segment *segment = crew.segment;
	int			nworkers = crew.nworkers;

	if (segment == NULL)
		return 0;
	siter_team_leave(crew.team, SITER_LEADER, 0);
	terminate_all();
	for (int i = 0; i < nworkers; i++)
		pfree(crew.handles[i]);
	pfree(crew.handles);
	memset(&crew, 0, sizeof(crew));
	dsm_detach(segment);
	return nworkers;
}

/* Those that have ended do not mind */
static void
terminate_all(void)
{
	for (int i = 0; i < crew.nworkers; i++)
		TerminateBackgroundWorker(crew.handles[i]);
}

static void
on_exit_of_leader(int code, Datum arg)
{
	if (crew.segment == NULL)
		return;
	siter_team_leave(crew.team, SITER_LEADER, 0);
	terminate_all();
}
