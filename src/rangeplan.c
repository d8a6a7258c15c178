/*-------------------------------------------------------------------------
 *
 * rangeplan.c
 *	  The prepared statements of a keyset.
 *
 * A run reads batch after batch by the same few statements, so they are kept:
 * parsing one takes a third of what an empty batch costs.  PostgreSQL parses
 * and plans it again when the source changes under it.  Saved plans belong to
 * the session, not to a memory context; a callback on the keyset's context
 * sees to it that they go with the keyset, error or not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "compat.h"
#include "rangeplan.h"

/* More than a run needs: rows or keys, first batch or next, one per limit */
#define MAX_PLANS 8

typedef struct RangePlan
{
	SiterKeySelect select;
	SPIPlanPtr	plan;			/* NULL: not in use */
	SiterSource *source;
	MemoryContext context;		/* of the source */
} RangePlan;

struct SiterRangePlans
{
	RangePlan	plans[MAX_PLANS];
	int			next;			/* to be replaced next */
	MemoryContextCallback callback;
};

static struct SiterRangePlans *make_plans(SiterKeyset *keyset);
static void forget(RangePlan *plan);
static void forget_all(void *arg);
static void prepare(RangePlan *plan, SiterKeyset *keyset,
					const SiterKeySelect *select);
static bool same_select(const SiterKeySelect *a, const SiterKeySelect *b);

SiterSource *
siter_rangeplan_get(SiterKeyset *keyset, const SiterKeySelect *select)
{
	struct SiterRangePlans *plans = keyset->plans;
	RangePlan  *plan;

	if (plans == NULL)
		plans = keyset->plans = make_plans(keyset);

	for (int i = 0; i < MAX_PLANS; i++)
		if (plans->plans[i].plan != NULL &&
			same_select(&plans->plans[i].select, select))
			return plans->plans[i].source;

	plan = &plans->plans[plans->next];
	plans->next = (plans->next + 1) % MAX_PLANS;
	forget(plan);
	prepare(plan, keyset, select);
	return plan->source;
}

static struct SiterRangePlans *
make_plans(SiterKeyset *keyset)
{
	struct SiterRangePlans *plans;

	plans = (struct SiterRangePlans *)
		MemoryContextAllocZero(keyset->context,
							   sizeof(struct SiterRangePlans));
	plans->callback.func = forget_all;
	plans->callback.arg = plans;
	MemoryContextRegisterResetCallback(keyset->context, &plans->callback);
	return plans;
}

/* The plans only: contexts below the keyset's are gone already */
static void
forget_all(void *arg)
{
	struct SiterRangePlans *plans = (struct SiterRangePlans *) arg;

	for (int i = 0; i < MAX_PLANS; i++)
		if (plans->plans[i].plan != NULL)
			SPI_freeplan(plans->plans[i].plan);
}

static void
forget(RangePlan *plan)
{
	if (plan->plan == NULL)
		return;
	SPI_freeplan(plan->plan);
	plan->plan = NULL;
	MemoryContextDelete(plan->context);
}

static void
prepare(RangePlan *plan, SiterKeyset *keyset, const SiterKeySelect *select)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "streamiter statement",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	SiterArgs	args = {0};
	SiterSource *source;

	args.types = palloc_array(Oid, 2 * keyset->ncolumns);
	args.values = palloc0_array(Datum, 2 * keyset->ncolumns);
	args.nargs = siter_keysql_param_types(keyset, select, args.types);
	source = siter_source_prepare(siter_keysql_select(keyset, select), &args,
								  0);
	MemoryContextSwitchTo(oldcontext);

	/* From here on it lives as long as the keyset; nothing fails any more */
	MemoryContextSetParent(context, keyset->context);
	SPI_keepplan(source->plan);
	plan->select = *select;
	plan->context = context;
	plan->source = source;
	plan->plan = source->plan;
}

static bool
same_select(const SiterKeySelect *a, const SiterKeySelect *b)
{
	return a->has_lower == b->has_lower && a->has_upper == b->has_upper &&
		a->keys_only == b->keys_only && a->for_update == b->for_update &&
		a->order == b->order && a->offset == b->offset &&
		a->limit == b->limit;
}
