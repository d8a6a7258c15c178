/*-------------------------------------------------------------------------
 *
 * batch_timer.c
 *	  A time limit for a piece of work that is not the whole statement.
 *
 * The server has one flag for "cancel what you are doing", and does not tell
 * who has set it: it thinks that whoever did wants the whole statement to
 * end.  Our timer wants only a batch to end, and a user who cancels in the
 * same moment must not be taken for the timer.  So as long as a timer runs we
 * watch the signal that every other cancel comes with: pg_cancel_backend(),
 * the client's own, and statement_timeout.  It goes on to the server's
 * handler, and we only remember it.  Whenever both have come, the user's
 * counts.
 *
 * lock_timeout sends the same signal to its own process, but is no cancel.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

#include "batch_timer.h"

static volatile sig_atomic_t timed_out;
static volatile sig_atomic_t user_cancelled;

static TimeoutId timer = MAX_TIMEOUTS;	/* until it is registered */
static bool running;
static const char *timeout_message;
static struct sigaction server_action;

static void watch_cancels(void);
static bool stop(bool cancelled);
static void handle_timeout(void);
static void handle_cancel(int signo, siginfo_t *info, void *context);

void
siter_batch_timer_start(int64 ms, const char *message)
{
	Assert(!running);
	if (ms <= 0)
		return;
	if (timer == MAX_TIMEOUTS)
		timer = RegisterTimeout(USER_TIMEOUT, handle_timeout);

	timed_out = user_cancelled = false;
	timeout_message = message;
	running = true;
	watch_cancels();
	enable_timeout_after(timer, (int) Min(ms, INT_MAX));
}

static void
watch_cancels(void)
{
	struct sigaction action;

	if (sigaction(SIGINT, NULL, &server_action) < 0)
		elog(ERROR, "could not read a signal's handler: %m");
	action = server_action;
	action.sa_sigaction = handle_cancel;
	action.sa_flags |= SA_SIGINFO;
	if (sigaction(SIGINT, &action, NULL) < 0)
		elog(ERROR, "could not set a signal's handler: %m");

	/* one that came before belongs to the work that is to begin */
	if (QueryCancelPending)
		user_cancelled = true;
}

/*
 * Stop the timer.  True if time was up, and the user has not cancelled as
 * well.  "cancelled": the work has been.
 */
static bool
stop(bool cancelled)
{
	bool		ours;

	if (!running)
		return false;
	running = false;
	disable_timeout(timer, false);
	ours = timed_out && !user_cancelled;

	/*
	 * A timeout that came too late to cancel anything must not cancel what is
	 * next, nor must a cancel that came with it cancel twice.  Should the
	 * user do so in this very moment, it is remembered before the server's
	 * flag is set, so that we do not take that for ours.
	 */
	if (ours || (timed_out && cancelled))
	{
		QueryCancelPending = false;
		if (ours && user_cancelled)
			InterruptPending = QueryCancelPending = true;
	}
	(void) sigaction(SIGINT, &server_action, NULL);
	return ours;
}

void
siter_batch_timer_finish(void)
{
	if (stop(false))
		ereport(ERROR,
				(errcode(SITER_ERRCODE_TIMEOUT),
				 errmsg("%s", timeout_message)));
}

void
siter_batch_timer_fail(ErrorData *error)
{
	bool		cancelled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;

	if (stop(cancelled) && cancelled)
	{
		error->sqlerrcode = SITER_ERRCODE_TIMEOUT;
		error->message = pstrdup(timeout_message);
	}
}

/*
 * In a signal handler: what StatementCancelHandler does, but remembered, and
 * not a second time after the user has done it.
 */
static void
handle_timeout(void)
{
	if (user_cancelled)
		return;
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/* The same */
static void
handle_cancel(int signo, siginfo_t *info, void *context)
{
	if (info->si_pid != MyProcPid ||
		!get_timeout_indicator(LOCK_TIMEOUT, false))
		user_cancelled = true;

	if (server_action.sa_flags & SA_SIGINFO)
		server_action.sa_sigaction(signo, info, context);
	else if (server_action.sa_handler != SIG_IGN &&
			 server_action.sa_handler != SIG_DFL)
		server_action.sa_handler(signo);
}
