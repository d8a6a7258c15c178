/*-------------------------------------------------------------------------
 *
 * own.h
 *	  Running statements of our own on our own tables.
 *
 * Users cannot reach the extension's tables; our C functions can, after
 * they have checked what the user may do.  Between siter_own_enter() and
 * siter_own_leave() the extension's owner is the current user and
 * search_path is pinned, so nothing that a user wrote may run in between.
 * Both must be called in the same transaction: no user switch ever crosses
 * a commit.  An error in between needs no clean-up: the transaction's abort
 * restores user and settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_OWN_H
#define SITER_OWN_H

typedef struct SiterOwnState
{
	Oid			save_userid;
	int			save_sec_context;
	int			save_nestlevel;
} SiterOwnState;

extern void siter_own_enter(SiterOwnState *state);
extern void siter_own_leave(const SiterOwnState *state);

#endif							/* SITER_OWN_H */
