/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  What an error means for a walk: end it, try again, or set a row aside.
 *
 * Skipping a row is right only when the error is about the row.  A cancelled
 * statement, a full disk or a broken session would "skip" every row that
 * follows, and the walk would end as if its work were done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "batch_timer.h"
#include "failure.h"
#include "utils/errcodes.h"

SiterFailureClass
siter_failure_classify(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_LOCK_NOT_AVAILABLE:
			return SITER_FAILURE_RETRY;
		case SITER_ERRCODE_TIMEOUT:
			return SITER_FAILURE_SKIP;
		case ERRCODE_ASSERT_FAILURE:
			return SITER_FAILURE_FATAL;
	}

	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case MAKE_SQLSTATE('2', '5', '0', '0', '0'):	/* transaction state */
		case MAKE_SQLSTATE('2', '6', '0', '0', '0'):	/* statement name */
		case MAKE_SQLSTATE('2', 'D', '0', '0', '0'):	/* termination */
		case MAKE_SQLSTATE('3', '4', '0', '0', '0'):	/* cursor name */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* resources */
		case MAKE_SQLSTATE('5', '4', '0', '0', '0'):	/* program limits */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* cancel, shutdown */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system, I/O */
		case MAKE_SQLSTATE('X', 'X', '0', '0', '0'):	/* internal */
			return SITER_FAILURE_FATAL;
	}

	return SITER_FAILURE_SKIP;
}
