/*-------------------------------------------------------------------------
 *
 * options.h
 *	  Reading the arguments that several SQL functions share.
 *
 * Each message about a bad argument exists once.  NULL where a value is
 * needed: 22004; a value out of bounds: 22023.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_OPTIONS_H
#define SITER_OPTIONS_H

#include "fmgr.h"
#include "nodes/pg_list.h"

/* Argument "argno" as a C string; it must not be NULL */
extern char *siter_option_text(FunctionCallInfo fcinfo, int argno,
							   const char *name);

/* NULL: the setting streamiter.chunk_size */
extern int	siter_option_chunk_size(FunctionCallInfo fcinfo, int argno);

/* Whether errors are skipped: 'skip' or 'stop' */
extern bool siter_option_on_error(const char *on_error);

/* 0 or more; it must not be NULL */
extern int64 siter_option_max_skips(FunctionCallInfo fcinfo, int argno);

/* An interval in ms, 0 or more; it is not NULL.  A month has 30 days */
extern int64 siter_option_interval(FunctionCallInfo fcinfo, int argno,
								   const char *name);

/* A key, as a list of column names (char *); NIL: the primary key */
extern List *siter_option_key(FunctionCallInfo fcinfo, int argno);

/* A prefetch as the user gave it; see prefetch.h */
typedef struct SiterPrefetchText
{
	char	   *query;			/* NULL: there is none */
	char	   *key;
} SiterPrefetchText;

/*
 * prefetch and prefetch_key, arguments "argno" and the next: both are given or
 * neither, 22023
 */
extern SiterPrefetchText siter_option_prefetch(FunctionCallInfo fcinfo,
											   int argno);

#endif							/* SITER_OPTIONS_H */
