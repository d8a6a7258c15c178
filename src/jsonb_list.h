/*-------------------------------------------------------------------------
 *
 * jsonb_list.h
 *	  Values of type jsonb, collected one by one for an array of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_JSONB_LIST_H
#define SITER_JSONB_LIST_H

#include "utils/jsonb.h"

typedef struct SiterJsonbElement
{
	struct SiterJsonbElement *next;
	Jsonb	   *jsonb;
} SiterJsonbElement;

/* All zeroes: empty */
typedef struct SiterJsonbList
{
	int			nelements;
	SiterJsonbElement *head;
	SiterJsonbElement *tail;
} SiterJsonbList;

/* Add a copy of an object or an array, allocated in CurrentMemoryContext */
extern void siter_jsonb_list_add(SiterJsonbList *list, const Jsonb *jsonb);

/*
 * All of them as one jsonb array, in CurrentMemoryContext; it frees the list.
 * Errors: 54000 if that is larger than a jsonb array can be.
 */
extern Datum siter_jsonb_list_to_array(SiterJsonbList *list);

#endif							/* SITER_JSONB_LIST_H */
