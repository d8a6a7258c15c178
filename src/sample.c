/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  Cutting a range into slices by the data's own distribution.
 *
 * Bounds are keys that are there, so any type will do, and skew evens out:
 * where the keys are dense, slices are narrow.  A big table is sampled by
 * pages (TABLESAMPLE SYSTEM), ignoring the source's filter: slices need not be
 * equal, there are several per worker.  What cannot be sampled (joins, foreign
 * tables, tables that the user may not read but through a view, and ranges
 * too narrow to be hit) is read once, its keys only, in flat memory: of the
 * keys seen so far only every n-th is kept, and n doubles when there are too
 * many.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "sample.h"

/* Pages to read per slice, and in all at least: neighbours share pages */
#define PAGES_PER_SLICE 24
#define MIN_PAGES 480

/* Keys to keep per slice, at most; and fewer than so many are no sample */
#define KEYS_PER_SLICE 64
#define MIN_KEYS_PER_SLICE 8

/* Keys are read so many at a time */
#define SAMPLE_CHUNK 1000

typedef struct SampledKeys
{
	SiterKey  **keys;			/* ascending, evenly spaced */
	int			nkeys;
	int			max_keys;
	uint64		step;			/* every so many rows one was kept */
	uint64		seen;
} SampledKeys;

static double table_pages(Oid table, bool *can_sample);
static char *sampling_source(const SiterKeyset *keyset, int nslices);
static SampledKeys *read_keys(SiterKeyset *keyset, const SiterRange *range,
							  char *source, int nslices);
static void keep_key(SampledKeys *sample, SiterKeyset *keyset,
					 TupleTableSlot *slot);

SiterKey **
siter_sample_bounds(SiterKeyset *keyset, const SiterRange *range, int nslices,
					int *nbounds)
{
	SampledKeys *sample = NULL;
	char	   *source;
	SiterKey  **bounds;
	const SiterKey *previous = range->lower;

	*nbounds = 0;
	if (nslices < 2)
		return NULL;

	source = sampling_source(keyset, nslices);
	if (source != NULL)
		sample = read_keys(keyset, range, source, nslices);
	if (sample == NULL || sample->nkeys < nslices * MIN_KEYS_PER_SLICE)
		sample = read_keys(keyset, range, NULL, nslices);
	if (sample->nkeys == 0)
		return NULL;

	bounds = palloc_array(SiterKey *, nslices - 1);
	for (int i = 1; i < nslices; i++)
	{
		int			at = (int) ((int64) i * sample->nkeys / nslices) - 1;
		SiterKey   *key;

		if (at < 0)
			continue;
		key = sample->keys[at];
		if (previous != NULL && siter_key_compare(keyset, previous, key) >= 0)
			continue;
		if (range->upper != NULL &&
			siter_key_compare(keyset, key, range->upper) >= 0)
			break;
		bounds[(*nbounds)++] = key;
		previous = key;
	}
	return *nbounds > 0 ? bounds : NULL;
}

/* Pages of a table with all its partitions */
static double
table_pages(Oid table, bool *can_sample)
{
	double		pages = 0;
	ListCell   *lc;

	*can_sample = true;
	foreach(lc, find_all_inheritors(table, AccessShareLock, NULL))
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
			pages += RelationGetNumberOfBlocks(rel);
		else if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
			*can_sample = false;
		relation_close(rel, NoLock);
	}
	return pages;
}

/* A source of some of the keys; NULL when all of them had better be read */
static char *
sampling_source(const SiterKeyset *keyset, int nslices)
{
	double		wanted = Max(PAGES_PER_SLICE * (double) nslices, MIN_PAGES);
	double		pages;
	bool		can_sample;
	StringInfoData buf;

	if (!OidIsValid(keyset->table) ||
		pg_class_aclcheck(keyset->table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return NULL;
	pages = table_pages(keyset->table, &can_sample);
	if (!can_sample || pages <= 2 * wanted)
		return NULL;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	for (int i = 0; i < keyset->ncolumns; i++)
		appendStringInfo(&buf, "%s%s AS %s", i > 0 ? ", " : "",
						 quote_identifier(get_attname(keyset->table,
													  keyset->columns[i].origin_attno,
													  false)),
						 quote_identifier(keyset->columns[i].name));
	appendStringInfo(&buf, " FROM %s%s TABLESAMPLE pg_catalog.system (%.10f)",
					 keyset->table_relkind == RELKIND_RELATION ? "ONLY " : "",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(keyset->table)),
												get_rel_name(keyset->table)),
					 100.0 * wanted / pages);
	return buf.data;
}

static SampledKeys *
read_keys(SiterKeyset *keyset, const SiterRange *range, char *source,
		  int nslices)
{
	SampledKeys *sample = palloc0_object(SampledKeys);
	SiterWalk  *walk;

	sample->step = 1;
	sample->max_keys = nslices * KEYS_PER_SLICE;
	sample->keys = palloc_array(SiterKey *, sample->max_keys);

	walk = siter_range_open_keys(keyset, range, source, SAMPLE_CHUNK);
	while (siter_walk_fetch(walk))
	{
		for (int i = 0; i < walk->batch.nrows; i++)
		{
			if (++sample->seen % sample->step == 0)
				keep_key(sample, keyset,
						 streamiter_batch_row(&walk->batch, i));
		}
	}
	siter_walk_close(walk);
	return sample;
}

static void
keep_key(SampledKeys *sample, SiterKeyset *keyset, TupleTableSlot *slot)
{
	/* Full: let every other one go */
	if (sample->nkeys == sample->max_keys)
	{
		for (int i = 0; i < sample->max_keys; i++)
		{
			if (i % 2 == 0)
				pfree(sample->keys[i]);
			else
				sample->keys[i / 2] = sample->keys[i];
		}
		sample->nkeys = sample->max_keys / 2;
		sample->step *= 2;
		if (sample->seen % sample->step != 0)
			return;
	}
	sample->keys[sample->nkeys++] = siter_key_from_slot(keyset, slot, true);
}
