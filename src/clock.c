/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  Time, and waiting, for what paces a walk.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"

#include "clock.h"

static SiterTime now(void);
static void wait(SiterTime duration, uint32 wait_event);

static const SiterClock real_clock = {now, wait};

const SiterClock *siter_clock = &real_clock;

static SiterTime
now(void)
{
	instr_time	time;

	INSTR_TIME_SET_CURRENT(time);
	return (SiterTime) INSTR_TIME_GET_MICROSEC(time);
}

static void
wait(SiterTime duration, uint32 wait_event)
{
	/* rounded up, or a wait would end before its time and be made again */
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) ((Max(duration, 0) + 999) / 1000), wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}
