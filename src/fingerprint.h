/*-------------------------------------------------------------------------
 *
 * fingerprint.h
 *	  Noticing that a callback is no longer what it was.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_FINGERPRINT_H
#define SITER_FINGERPRINT_H

#include "callback.h"

/*
 * A text that says which function or statement a callback is, whose, and
 * what it does.  It does not depend on OIDs or on the session's settings.
 */
extern char *siter_fingerprint_callback(const SiterCallbackDef *def);

/*
 * Compare two of them.  NULL when they agree, else one sentence per change,
 * fit for a DETAIL.
 */
extern char *siter_fingerprint_compare(const char *stored,
									   const char *current);

#endif							/* SITER_FINGERPRINT_H */
