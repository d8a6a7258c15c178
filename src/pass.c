/*-------------------------------------------------------------------------
 *
 * pass.c
 *	  The beginning and the end of a pass over a job's source.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "pass.h"
#include "range.h"

static void set_total(SiterRunner *runner, const SiterKey *upper);

void
siter_pass_begin(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);
	SiterRange	all = {NULL, NULL};
	SiterKey   *upper;
	Datum		upper_text = (Datum) 0;

	siter_range_check_nulls(runner->keyset);
	upper = siter_range_last(runner->keyset, &all);
	if (upper != NULL)
		upper_text = siter_key_encode(runner->keyset, upper);

	runner->attempt.phase = SITER_PHASE_SAVE;
	siter_ledger_begin_pass(runner->job, &runner->run, upper_text,
							upper == NULL);
	set_total(runner, upper);
	siter_attempt_leave(runner, nestlevel);
}

/*
 * How many rows the pass will come to.  It stays as it is, right or wrong, so
 * that the percentage cannot fall.
 */
static void
set_total(SiterRunner *runner, const SiterKey *upper)
{
	SiterRange	range = {NULL, upper};

	if (upper == NULL)
		siter_ledger_set_total(&runner->run, 0, true);
	else if (siter_exact_totals)
		siter_ledger_set_total(&runner->run,
							   siter_range_count(runner->keyset, &range),
							   true);
	else
		siter_ledger_set_total(&runner->run,
							   (int64) Min(siter_range_estimate(runner->keyset,
																&range),
										   SITER_MAX_ESTIMATE),
							   false);
}

void
siter_pass_end(SiterRunner *runner)
{
	int			nestlevel = siter_attempt_enter(runner);

	siter_range_check_nulls(runner->keyset);
	siter_attempt_leave(runner, nestlevel);
}
