/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  Time, and waiting, for what paces a walk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_CLOCK_H
#define SITER_CLOCK_H

/* Microseconds since some moment; never steps back, whatever a day's time does */
typedef int64 SiterTime;

#define SITER_MS(ms) ((SiterTime) (ms) * 1000)
#define SITER_SECOND SITER_MS(1000)

/* Tests have a clock of their own, and wait without waiting */
typedef struct SiterClock
{
	SiterTime	(*now) (void);

	/*
	 * Wait so long, or until the latch is set, which others do to cancel or
	 * stop a backend.  Raises what they want of it.
	 */
	void		(*wait) (SiterTime duration, uint32 wait_event);
} SiterClock;

extern const SiterClock *siter_clock;

#endif							/* SITER_CLOCK_H */
