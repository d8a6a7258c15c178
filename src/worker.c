/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  What runs in a background worker.
 *
 * A worker connects as the job's owner.  One kind leads a run of its own, as
 * a CALL would; the other helps a leader with his.  Both work transaction by
 * transaction, as in a procedure, and that takes what CALL provides: a portal
 * to hold what outlives commits.  So we make one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "compat.h"
#include "crew.h"
#include "run.h"

PGDLLEXPORT void siter_worker_main(Datum main_arg);

static void begin_call(void);
static void end_call(void);
static void lead(const SiterWorkerArgs *args);
static void help(const SiterWorkerArgs *args);
static void leave(dsm_segment *segment, Datum arg);

void
siter_worker_main(Datum main_arg)
{
	SiterWorkerArgs args;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args.database, args.owner,
											  SITER_WORKER_CONNECT_FLAGS);

	if (args.member == SITER_LEADER)
		lead(&args);
	else
		help(&args);
	proc_exit(0);
}

/*
 * What CALL does before it calls a procedure: a transaction, a portal that is
 * being run, and in it what is to survive commits.
 */
static void
begin_call(void)
{
	Portal		portal;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	portal = CreateNewPortal();
	portal->visible = false;
	portal->status = PORTAL_READY;
	MarkPortalActive(portal);
	ActivePortal = portal;
	PortalContext = portal->portalContext;
	SPI_connect_ext(SPI_OPT_NONATOMIC);
}

static void
end_call(void)
{
	Portal		portal = ActivePortal;

	SPI_finish();
	ForgetPortalSnapshots();
	portal->status = PORTAL_DONE;
	ActivePortal = NULL;
	PortalContext = NULL;
	MemoryContextSwitchTo(TopTransactionContext);
	PortalDrop(portal, false);
	CommitTransactionCommand();
}

/* Errors end the process; they are in the log, and in streamiter.runs */
static void
lead(const SiterWorkerArgs *args)
{
	SiterJob   *job;

	begin_call();
	job = siter_job_by_id(args->job_id);
	if (job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the job has been dropped")));
	siter_run(job->name, &args->budget);
	end_call();
}

static void
help(const SiterWorkerArgs *args)
{
	dsm_segment *segment = dsm_attach(args->segment);
	SiterTeam  *team;

	/* the leader has gone already */
	if (segment == NULL)
		return;
	dsm_pin_mapping(segment);
	team = dsm_segment_address(segment);
	on_dsm_detach(segment, leave, Int32GetDatum(args->member));

	begin_call();
	siter_run_help(args->job_id, team, args->member,
				   siter_crew_settings(team));
	end_call();
}

/* However it ends, its slice is free for others */
static void
leave(dsm_segment *segment, Datum arg)
{
	siter_team_leave(dsm_segment_address(segment), DatumGetInt32(arg), 0);
}
