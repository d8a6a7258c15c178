/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  Registered callbacks: names that stand for functions and statements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_REGISTRY_H
#define SITER_REGISTRY_H

#include "callback.h"

/*
 * Look a name up among the current user's own callbacks, then among those
 * that a superuser registered, never among another role's.  The function is
 * looked up in the catalog now, but neither locked yet nor checked; that the
 * user could call it by its name, as far as the schema goes, is.  The result
 * is allocated in CurrentMemoryContext; NULL when there is no such callback.
 *
 * Errors: 42883 the function that the name stands for is gone; 42501 no USAGE
 * on its schema; 42809 it has become another kind of callback; 42725 two
 * superusers registered the name.
 */
extern SiterCallbackDef *siter_registry_find(const char *name);

/*
 * Another number whenever a callback may have been registered or forgotten,
 * here or elsewhere, since the last call.  As with all changes to catalogs,
 * those of others are seen from the next transaction on.
 */
extern uint64 siter_registry_version(void);

#endif							/* SITER_REGISTRY_H */
