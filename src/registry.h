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
 * that a superuser registered, never among another role's.  The function's
 * OID is looked up in the catalog now, but not yet checked or locked.
 * Returns NULL when there is none.  Raises 42883 when the function that the
 * name stands for is gone.
 */
extern SiterCallbackDef *siter_registry_find(const char *name);

#endif							/* SITER_REGISTRY_H */
