/*-------------------------------------------------------------------------
 *
 * throttle_query.h
 *	  A query of the user's that says whether to wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_THROTTLE_QUERY_H
#define SITER_THROTTLE_QUERY_H

/*
 * It may take so long: while it is asked nobody looks whether the job is to be
 * paused or cancelled.
 */
#define SITER_THROTTLE_QUERY_TIMEOUT_MS 500

/* What takes longer is asked again for so long before that is an error */
#define SITER_THROTTLE_QUERY_PATIENCE_MS 5000

/*
 * Both need SPI connected, and the settings of the job in place.
 *
 * Errors: 22023 for anything but one SELECT of one boolean column, and what
 * parse analysis finds.
 */
extern void siter_throttle_query_check(const char *query);

/*
 * Ask it, in a subtransaction, which can write nothing for the moment.  True:
 * wait.
 *
 * Errors: as above; 02000 no row; 21000 more than one; 22004 NULL; 25006 it
 * wants to write; and its own.
 */
extern bool siter_throttle_query_ask(const char *query);

#endif							/* SITER_THROTTLE_QUERY_H */
