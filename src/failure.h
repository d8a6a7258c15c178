/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  What an error means for a walk: end it, try again, or set a row aside.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_FAILURE_H
#define SITER_FAILURE_H

typedef enum SiterFailureClass
{
	SITER_FAILURE_FATAL,		/* says nothing about the row: end the walk */
	SITER_FAILURE_RETRY,		/* another session's doing: may go well later */
	SITER_FAILURE_SKIP			/* the row's own: may be set aside */
} SiterFailureClass;

extern SiterFailureClass siter_failure_classify(int sqlstate);

#endif							/* SITER_FAILURE_H */
