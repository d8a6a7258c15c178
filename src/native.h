/*-------------------------------------------------------------------------
 *
 * native.h
 *	  Native callbacks: which functions are their handlers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_NATIVE_H
#define SITER_NATIVE_H

/*
 * Is this function the handler of a native callback, that is, has it one
 * parameter of type internal, the result streamiter.callback_handler, and
 * the language C?  False if there is no such function.
 *
 * Nothing else may be called as a handler: the server has dozens of functions
 * from internal to internal, and most would crash it.
 */
extern bool siter_native_is_handler(Oid function);

#endif							/* SITER_NATIVE_H */
