/*-------------------------------------------------------------------------
 *
 * session.h
 *	  What a session has set, for processes that work for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_SESSION_H
#define SITER_SESSION_H

/*
 * The settings that are not what the server's configuration says, as one
 * piece of memory in CurrentMemoryContext.
 */
extern char *siter_session_save(Size *size);

/*
 * Set them in this process, for as long as it lives.  A transaction must be
 * under way.  Raises what SET would, 22023 for one.
 */
extern void siter_session_restore(const char *saved);

#endif							/* SITER_SESSION_H */
