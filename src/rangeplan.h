/*-------------------------------------------------------------------------
 *
 * rangeplan.h
 *	  The prepared statements of a keyset.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_RANGEPLAN_H
#define SITER_RANGEPLAN_H

#include "keysql.h"
#include "source.h"

/*
 * The statement that "select" describes, prepared; it belongs to the keyset.
 * The caller sets the values of its arguments, for which there is room.  SPI
 * must be connected.
 */
extern SiterSource *siter_rangeplan_get(SiterKeyset *keyset,
										const SiterKeySelect *select);

#endif							/* SITER_RANGEPLAN_H */
