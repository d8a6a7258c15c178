/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  What the runner writes down: runs, slices, rows set aside.
 *
 * The position of a slice and the counters of its pass are one row, updated
 * once per batch, in the transaction that holds the batch's effects: so they
 * cannot disagree with them, or with each other.  What a run came to is the
 * difference between the counters at its end and at its beginning.
 *
 * The runner's lock keeps a second runner away; should it fail to, the
 * condition on run and old position will not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "guc.h"
#include "ledger.h"
#include "table.h"

/* $1: job.  The row that a crash left open gets what was committed */
static SiterTableStatement close_crashed_run = {
	"UPDATE streamiter.run r SET outcome = 'crashed',"
	"  ended = COALESCE(s.updated, r.started),"
	"  rows = COALESCE(s.rows OPERATOR(pg_catalog.-) r.base_rows, 0),"
	"  batches = COALESCE(s.batches OPERATOR(pg_catalog.-) r.base_batches, 0),"
	"  skipped = COALESCE(s.skipped OPERATOR(pg_catalog.-) r.base_skipped, 0),"
	"  retries = COALESCE(s.retries OPERATOR(pg_catalog.-) r.base_retries, 0),"
	"  not_called ="
	"   COALESCE(s.not_called OPERATOR(pg_catalog.-) r.base_not_called, 0),"
	"  affected = COALESCE(s.affected OPERATOR(pg_catalog.-) r.base_affected, 0),"
	"  wal_bytes = COALESCE(s.wal_bytes OPERATOR(pg_catalog.-) r.base_wal_bytes, 0)"
	" FROM (SELECT pg_catalog.max(updated) AS updated,"
	"   pg_catalog.sum(rows) AS rows,"
	"   pg_catalog.sum(batches) AS batches,"
	"   pg_catalog.sum(skipped) AS skipped,"
	"   pg_catalog.sum(retries) AS retries,"
	"   pg_catalog.sum(not_called) AS not_called,"
	"   pg_catalog.sum(affected) AS affected,"
	"   pg_catalog.sum(wal_bytes) AS wal_bytes"
	"  FROM streamiter.slice WHERE job_id OPERATOR(pg_catalog.=) $1"
	"  AND pass OPERATOR(pg_catalog.=)"
	"   (SELECT pg_catalog.max(pass) FROM streamiter.run"
	"   WHERE job_id OPERATOR(pg_catalog.=) $1 AND outcome IS NULL)) s"
	" WHERE r.job_id OPERATOR(pg_catalog.=) $1 AND r.outcome IS NULL",
	1, {INT4OID}
};

/*
 * $1: job, $2: whether a finished pass is to be followed by another, $3:
 * process.  A pass that has no slice yet was not begun.  One whose rows are
 * done is not finished before a run has said so: a run that was killed in
 * between has others go on with the pass, and not start over.  The total is
 * the pass's, from run to run.
 */
static SiterTableStatement insert_run = {
	"WITH s AS (SELECT pg_catalog.max(pass) AS pass,"
	"  pg_catalog.bool_and(done) AND $2 AND (SELECT"
	"   r.outcome IS NOT DISTINCT FROM 'finished'"
	"    OR r.pass OPERATOR(pg_catalog.>) pg_catalog.max(slice.pass)"
	"   FROM streamiter.run r WHERE r.job_id OPERATOR(pg_catalog.=) $1"
	"   ORDER BY r.id DESC LIMIT 1) AS over,"
	"  pg_catalog.sum(rows) AS rows, pg_catalog.sum(batches) AS batches,"
	"  pg_catalog.sum(skipped) AS skipped,"
	"  pg_catalog.sum(retries) AS retries,"
	"  pg_catalog.sum(not_called) AS not_called,"
	"  pg_catalog.sum(affected) AS affected,"
	"  pg_catalog.sum(wal_bytes) AS wal_bytes"
	" FROM streamiter.slice WHERE job_id OPERATOR(pg_catalog.=) $1)"
	" INSERT INTO streamiter.run"
	" (job_id, pid, started, pass, run_by, total_rows, total_is_exact,"
	"  base_rows, base_batches, base_skipped, base_retries, base_not_called,"
	"  base_affected, base_wal_bytes)"
	" SELECT $1, $3, pg_catalog.clock_timestamp(),"
	"  CASE WHEN s.over THEN s.pass OPERATOR(pg_catalog.+) 1"
	"   ELSE COALESCE(s.pass, (SELECT pg_catalog.max(r.pass)"
	"     OPERATOR(pg_catalog.+) 1"
	"    FROM streamiter.run r JOIN streamiter.job j"
	"     ON j.id OPERATOR(pg_catalog.=) r.job_id"
	"    WHERE r.job_id OPERATOR(pg_catalog.=) $1"
	"    AND r.id OPERATOR(pg_catalog.<=) j.last_forgotten_run),"
	"    (SELECT pg_catalog.max(r.pass) FROM streamiter.run r"
	"     WHERE r.job_id OPERATOR(pg_catalog.=) $1), 1) END,"
	"  SESSION_USER, l.total_rows, COALESCE(l.total_is_exact, false),"
	"  CASE WHEN s.over THEN 0 ELSE COALESCE(s.rows, 0) END,"
	"  CASE WHEN s.over THEN 0 ELSE COALESCE(s.batches, 0) END,"
	"  CASE WHEN s.over THEN 0 ELSE COALESCE(s.skipped, 0) END,"
	"  CASE WHEN s.over THEN 0 ELSE COALESCE(s.retries, 0) END,"
	"  CASE WHEN s.over THEN 0 ELSE COALESCE(s.not_called, 0) END,"
	"  CASE WHEN s.over THEN 0 ELSE COALESCE(s.affected, 0) END,"
	"  CASE WHEN s.over THEN 0 ELSE COALESCE(s.wal_bytes, 0) END"
	" FROM s LEFT JOIN LATERAL (SELECT r.total_rows, r.total_is_exact"
	"  FROM streamiter.run r WHERE r.job_id OPERATOR(pg_catalog.=) $1"
	"  AND r.pass OPERATOR(pg_catalog.=) s.pass AND NOT s.over"
	"  ORDER BY r.id DESC LIMIT 1) l ON true"
	" RETURNING id, pass, NOT EXISTS (SELECT FROM streamiter.slice"
	"  WHERE job_id OPERATOR(pg_catalog.=) run.job_id"
	"  AND pass OPERATOR(pg_catalog.=) run.pass), base_rows, total_rows",
	3, {INT4OID, BOOLOID, INT4OID}
};

/* $1: job, $2: how many are kept */
static SiterTableStatement prune_runs = {
	"DELETE FROM streamiter.run WHERE job_id OPERATOR(pg_catalog.=) $1"
	" AND id OPERATOR(pg_catalog.<=) (SELECT r.id FROM streamiter.run r"
	"  WHERE r.job_id OPERATOR(pg_catalog.=) $1"
	"  ORDER BY r.id DESC OFFSET $2 LIMIT 1)",
	2, {INT4OID, INT8OID}
};

static SiterTableStatement set_total = {
	"UPDATE streamiter.run SET total_rows = $2, total_is_exact = $3"
	" WHERE id OPERATOR(pg_catalog.=) $1",
	3, {INT8OID, INT8OID, BOOLOID}
};

static SiterTableStatement take_slices = {
	"UPDATE streamiter.slice SET run_id = $2, row_rate = NULL"
	" WHERE job_id OPERATOR(pg_catalog.=) $1",
	2, {INT4OID, INT8OID}
};

static SiterTableStatement delete_slices = {
	"DELETE FROM streamiter.slice WHERE job_id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement delete_skipped = {
	"DELETE FROM streamiter.skipped_row"
	" WHERE job_id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement insert_slice = {
	"INSERT INTO streamiter.slice"
	" (job_id, slice, pass, run_id, upper, done, updated)"
	" VALUES ($1, 1, $2, $3, $4, $5, pg_catalog.clock_timestamp())",
	5, {INT4OID, INT4OID, INT8OID, TEXTARRAYOID, BOOLOID}
};

static SiterTableStatement find_slices = {
	"SELECT slice, upper, position FROM streamiter.slice"
	" WHERE job_id OPERATOR(pg_catalog.=) $1 AND NOT done ORDER BY slice",
	1, {INT4OID}
};

static SiterTableStatement find_last_slice = {
	"SELECT COALESCE(pg_catalog.max(slice), 0) FROM streamiter.slice"
	" WHERE job_id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement find_next_slice = {
	"SELECT slice FROM streamiter.slice"
	" WHERE job_id OPERATOR(pg_catalog.=) $1 AND NOT done"
	" AND slice OPERATOR(pg_catalog.>) $2"
	" AND slice OPERATOR(pg_catalog.<>) ALL ($3) ORDER BY slice LIMIT 1",
	3, {INT4OID, INT4OID, INT4ARRAYOID}
};

static SiterTableStatement find_slice = {
	"SELECT upper, position FROM streamiter.slice"
	" WHERE job_id OPERATOR(pg_catalog.=) $1"
	" AND slice OPERATOR(pg_catalog.=) $2 AND NOT done",
	2, {INT4OID, INT4OID}
};

static SiterTableStatement add_slice = {
	"INSERT INTO streamiter.slice"
	" (job_id, slice, pass, run_id, lower, position, upper, done, updated)"
	" VALUES ($1, $2, $3, $4, $5, $5, $6, false,"
	"  pg_catalog.clock_timestamp())",
	6, {INT4OID, INT4OID, INT4OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID}
};

static SiterTableStatement shrink_slice = {
	"UPDATE streamiter.slice SET upper = $5"
	" WHERE job_id OPERATOR(pg_catalog.=) $1"
	" AND slice OPERATOR(pg_catalog.=) $2"
	" AND run_id OPERATOR(pg_catalog.=) $3 AND NOT done"
	" AND position IS NOT DISTINCT FROM $4",
	5, {INT4OID, INT4OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID}
};

static SiterTableStatement checkpoint = {
	"UPDATE streamiter.slice SET position = $5, done = $6,"
	"  rows = rows OPERATOR(pg_catalog.+) $7,"
	"  batches = batches OPERATOR(pg_catalog.+) $8,"
	"  skipped = skipped OPERATOR(pg_catalog.+) $9,"
	"  retries = retries OPERATOR(pg_catalog.+) $10,"
	"  not_called = not_called OPERATOR(pg_catalog.+) $11,"
	"  affected = affected OPERATOR(pg_catalog.+) $12,"
	"  wal_bytes = wal_bytes OPERATOR(pg_catalog.+) $13, row_rate = $14,"
	"  updated = pg_catalog.clock_timestamp()"
	" WHERE job_id OPERATOR(pg_catalog.=) $1"
	" AND slice OPERATOR(pg_catalog.=) $2"
	" AND run_id OPERATOR(pg_catalog.=) $3 AND NOT done"
	" AND position IS NOT DISTINCT FROM $4",
	14, {INT4OID, INT4OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID, BOOLOID,
	INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, FLOAT8OID}
};

/* Each pass has a first slice; only sums are of use */
static SiterTableStatement add_counters = {
	"UPDATE streamiter.slice SET"
	"  retries = retries OPERATOR(pg_catalog.+) $3,"
	"  not_called = not_called OPERATOR(pg_catalog.+) $4,"
	"  affected = affected OPERATOR(pg_catalog.+) $5,"
	"  wal_bytes = wal_bytes OPERATOR(pg_catalog.+) $6,"
	"  updated = pg_catalog.clock_timestamp()"
	" WHERE job_id OPERATOR(pg_catalog.=) $1"
	" AND slice OPERATOR(pg_catalog.=) 1"
	" AND run_id OPERATOR(pg_catalog.=) $2",
	6, {INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID}
};

static SiterTableStatement count_skipped = {
	"SELECT pg_catalog.count(*) FROM streamiter.skipped_row"
	" WHERE job_id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement insert_skipped = {
	"INSERT INTO streamiter.skipped_row"
	" (job_id, run_id, lower, key, row_data, attempts, sqlstate, message,"
	"  detail, hint, context, skipped_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
	"  pg_catalog.clock_timestamp())",
	11, {INT4OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID, JSONBOID, INT4OID,
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

static SiterTableStatement update_skipped = {
	"UPDATE streamiter.skipped_row SET run_id = $2, row_data = $3,"
	"  attempts = $4, sqlstate = $5, message = $6, detail = $7, hint = $8,"
	"  context = $9, retry_requested = false,"
	"  skipped_at = pg_catalog.clock_timestamp()"
	" WHERE id OPERATOR(pg_catalog.=) $1",
	9, {INT8OID, INT8OID, JSONBOID, INT4OID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID}
};

static SiterTableStatement delete_skipped_row = {
	"DELETE FROM streamiter.skipped_row WHERE id OPERATOR(pg_catalog.=) $1",
	1, {INT8OID}
};

static SiterTableStatement request_retries = {
	"UPDATE streamiter.skipped_row SET retry_requested = true"
	" WHERE job_id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static SiterTableStatement find_retries = {
	"SELECT id, lower, key, row_data, attempts FROM streamiter.skipped_row"
	" WHERE job_id OPERATOR(pg_catalog.=) $1 AND retry_requested ORDER BY id",
	1, {INT4OID}
};

static SiterTableStatement update_run = {
	"UPDATE streamiter.run r SET outcome = $3,"
	"  ended = pg_catalog.clock_timestamp(), sqlstate = $4, message = $5,"
	"  detail = $6, hint = $7, context = $8, first_key = $9, last_key = $10,"
	"  rows = COALESCE(s.rows OPERATOR(pg_catalog.-) r.base_rows, 0),"
	"  batches = COALESCE(s.batches OPERATOR(pg_catalog.-) r.base_batches, 0),"
	"  skipped = COALESCE(s.skipped OPERATOR(pg_catalog.-) r.base_skipped, 0),"
	"  retries = COALESCE(s.retries OPERATOR(pg_catalog.-) r.base_retries, 0)"
	"   OPERATOR(pg_catalog.+) $11,"
	"  not_called ="
	"   COALESCE(s.not_called OPERATOR(pg_catalog.-) r.base_not_called, 0),"
	"  affected = COALESCE(s.affected OPERATOR(pg_catalog.-) r.base_affected, 0),"
	"  wal_bytes = COALESCE(s.wal_bytes OPERATOR(pg_catalog.-) r.base_wal_bytes, 0),"
	"  wait_time = COALESCE($12, '{}')::jsonb"
	" FROM (SELECT pg_catalog.sum(rows) AS rows,"
	"   pg_catalog.sum(batches) AS batches,"
	"   pg_catalog.sum(skipped) AS skipped,"
	"   pg_catalog.sum(retries) AS retries,"
	"   pg_catalog.sum(not_called) AS not_called,"
	"   pg_catalog.sum(affected) AS affected,"
	"   pg_catalog.sum(wal_bytes) AS wal_bytes"
	"  FROM streamiter.slice WHERE job_id OPERATOR(pg_catalog.=) $1"
	"  AND run_id OPERATOR(pg_catalog.=) $2"
	"  AND pass OPERATOR(pg_catalog.=) (SELECT pass FROM streamiter.run"
	"   WHERE id OPERATOR(pg_catalog.=) $2)) s"
	" WHERE r.id OPERATOR(pg_catalog.=) $2"
	" RETURNING r.rows, r.batches, r.skipped, r.affected",
	12, {INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTARRAYOID, TEXTARRAYOID, INT8OID, TEXTOID}
};

static SiterTableStatement last_run = {
	"SELECT COALESCE(pg_catalog.max(id), 0) FROM streamiter.run"
	" WHERE job_id OPERATOR(pg_catalog.=) $1",
	1, {INT4OID}
};

static int	error_params(const ErrorData *error, SiterTableValue *values);

static SiterTableValue
job_param(const SiterJob *job)
{
	return SITER_VALUE(Int32GetDatum(job->id));
}

static SiterTableValue
int64_param(int64 value)
{
	return SITER_VALUE(Int64GetDatum(value));
}

/* A text[] or jsonb; 0 is NULL */
static SiterTableValue
pointer_param(Datum value)
{
	return value == (Datum) 0 ? SITER_NULL : SITER_VALUE(value);
}

/* The other way round */
static Datum
pointer_column(uint64 row, int column)
{
	SiterTableValue value = siter_table_value(row, column);

	return value.isnull ? (Datum) 0 : value.value;
}

void
siter_ledger_begin_run(const SiterJob *job, SiterRun *run)
{
	SiterTableValue values[3];

	values[0] = job_param(job);
	(void) siter_table_execute(&close_crashed_run, values);

	values[1] = SITER_VALUE(BoolGetDatum(job->repeat &&
										 siter_ledger_retries(job) == NIL));
	values[2] = SITER_VALUE(Int32GetDatum(MyProcPid));
	(void) siter_table_execute(&insert_run, values);
	run->id = siter_table_int64(0, 1);
	run->pass = siter_table_int32(0, 2);
	run->new_pass = siter_table_bool(0, 3);
	run->base_rows = siter_table_int64(0, 4);
	run->total_rows = siter_table_int64(0, 5);
	SPI_freetuptable(SPI_tuptable);

	values[1] = int64_param(siter_history_limit);
	(void) siter_table_execute(&prune_runs, values);

	values[1] = int64_param(run->id);
	(void) siter_table_execute(&take_slices, values);
}

void
siter_ledger_set_total(SiterRun *run, int64 rows, bool exact)
{
	SiterTableValue values[3];

	values[0] = int64_param(run->id);
	values[1] = int64_param(rows);
	values[2] = SITER_VALUE(BoolGetDatum(exact));
	(void) siter_table_execute(&set_total, values);
	run->total_rows = rows;
}

void
siter_ledger_begin_pass(const SiterJob *job, const SiterRun *run,
						Datum upper, bool done)
{
	SiterTableValue values[5];

	values[0] = job_param(job);
	(void) siter_table_execute(&delete_slices, values);
	(void) siter_table_execute(&delete_skipped, values);

	values[1] = SITER_VALUE(Int32GetDatum(run->pass));
	values[2] = int64_param(run->id);
	values[3] = pointer_param(upper);
	values[4] = SITER_VALUE(BoolGetDatum(done));
	(void) siter_table_execute(&insert_slice, values);
}

List *
siter_ledger_slices(const SiterJob *job)
{
	SiterTableValue value = job_param(job);
	uint64		found = siter_table_execute(&find_slices, &value);
	List	   *slices = NIL;

	for (uint64 i = 0; i < found; i++)
	{
		SiterSlice *slice = palloc0_object(SiterSlice);

		slice->number = siter_table_int32(i, 1);
		slice->upper = pointer_column(i, 2);
		slice->position = pointer_column(i, 3);
		slices = lappend(slices, slice);
	}
	SPI_freetuptable(SPI_tuptable);
	return slices;
}

int32
siter_ledger_last_slice(const SiterJob *job)
{
	SiterTableValue value = job_param(job);
	int32		number;

	(void) siter_table_execute(&find_last_slice, &value);
	number = siter_table_int32(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return number;
}

int32
siter_ledger_next_slice(const SiterJob *job, int32 after,
						const int32 *taken, int ntaken)
{
	Datum	   *numbers = palloc_array(Datum, Max(ntaken, 1));
	SiterTableValue values[3];
	int32		number = 0;

	for (int i = 0; i < ntaken; i++)
		numbers[i] = Int32GetDatum(taken[i]);
	values[0] = job_param(job);
	values[1] = SITER_VALUE(Int32GetDatum(after));
	values[2] = SITER_VALUE(PointerGetDatum(construct_array(numbers, ntaken,
															INT4OID, 4, true,
															TYPALIGN_INT)));
	if (siter_table_look(&find_next_slice, values) > 0)
		number = siter_table_int32(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return number;
}

bool
siter_ledger_get_slice(const SiterJob *job, int32 number, SiterSlice *slice)
{
	SiterTableValue values[2];
	bool		found;

	values[0] = job_param(job);
	values[1] = SITER_VALUE(Int32GetDatum(number));
	found = siter_table_look(&find_slice, values) > 0;
	if (found)
	{
		slice->number = number;
		slice->upper = pointer_column(0, 1);
		slice->position = pointer_column(0, 2);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

void
siter_ledger_add_slice(const SiterJob *job, const SiterRun *run,
					   int32 number, Datum lower, Datum upper)
{
	SiterTableValue values[6];

	values[0] = job_param(job);
	values[1] = SITER_VALUE(Int32GetDatum(number));
	values[2] = SITER_VALUE(Int32GetDatum(run->pass));
	values[3] = int64_param(run->id);
	values[4] = pointer_param(lower);
	values[5] = pointer_param(upper);
	(void) siter_table_execute(&add_slice, values);
}

bool
siter_ledger_shrink_slice(const SiterJob *job, const SiterRun *run,
						  int32 number, Datum position, Datum upper)
{
	SiterTableValue values[5];

	values[0] = job_param(job);
	values[1] = SITER_VALUE(Int32GetDatum(number));
	values[2] = int64_param(run->id);
	values[3] = pointer_param(position);
	values[4] = pointer_param(upper);
	return siter_table_execute(&shrink_slice, values) == 1;
}

bool
siter_ledger_checkpoint(const SiterJob *job, const SiterRun *run,
						int32 slice, Datum from, Datum to, bool done,
						const SiterCounters *count, double row_rate)
{
	SiterTableValue values[14];

	values[0] = job_param(job);
	values[1] = SITER_VALUE(Int32GetDatum(slice));
	values[2] = int64_param(run->id);
	values[3] = pointer_param(from);
	values[4] = pointer_param(to);
	values[5] = SITER_VALUE(BoolGetDatum(done));
	values[6] = int64_param(count->rows);
	values[7] = int64_param(count->batches);
	values[8] = int64_param(count->skipped);
	values[9] = int64_param(count->retries);
	values[10] = int64_param(count->not_called);
	values[11] = int64_param(count->affected);
	values[12] = int64_param(count->wal_bytes);
	values[13] = SITER_VALUE(Float8GetDatum(row_rate));
	return siter_table_execute(&checkpoint, values) == 1;
}

bool
siter_ledger_count(const SiterJob *job, const SiterRun *run,
				   const SiterCounters *count)
{
	SiterTableValue values[6];

	values[0] = job_param(job);
	values[1] = int64_param(run->id);
	values[2] = int64_param(count->retries);
	values[3] = int64_param(count->not_called);
	values[4] = int64_param(count->affected);
	values[5] = int64_param(count->wal_bytes);
	return siter_table_execute(&add_counters, values) == 1;
}

int64
siter_ledger_count_skipped(const SiterJob *job)
{
	SiterTableValue value = job_param(job);
	int64		count;

	/* also what others have just committed */
	(void) siter_table_look(&count_skipped, &value);
	count = siter_table_int64(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return count;
}

void
siter_ledger_skip(const SiterJob *job, const SiterRun *run,
				  const SiterSkippedRow *row, const ErrorData *error)
{
	SiterTableValue values[11];

	values[0] = job_param(job);
	values[1] = int64_param(run->id);
	values[2] = pointer_param(row->lower);
	values[3] = pointer_param(row->key);
	values[4] = pointer_param(row->row_data);
	values[5] = SITER_VALUE(Int32GetDatum(row->attempts));
	(void) error_params(error, &values[6]);
	(void) siter_table_execute(&insert_skipped, values);
}

int64
siter_ledger_request_retries(const SiterJob *job)
{
	SiterTableValue value = job_param(job);

	return siter_table_execute(&request_retries, &value);
}

List *
siter_ledger_retries(const SiterJob *job)
{
	SiterTableValue value = job_param(job);
	uint64		found = siter_table_execute(&find_retries, &value);
	List	   *rows = NIL;

	for (uint64 i = 0; i < found; i++)
	{
		SiterSkippedRow *row = palloc0_object(SiterSkippedRow);

		row->id = siter_table_int64(i, 1);
		row->lower = pointer_column(i, 2);
		row->key = pointer_column(i, 3);
		row->row_data = pointer_column(i, 4);
		row->attempts = siter_table_int32(i, 5);
		rows = lappend(rows, row);
	}
	SPI_freetuptable(SPI_tuptable);
	return rows;
}

bool
siter_ledger_unskip(const SiterSkippedRow *row)
{
	SiterTableValue value = int64_param(row->id);

	return siter_table_execute(&delete_skipped_row, &value) == 1;
}

void
siter_ledger_skip_again(const SiterRun *run, const SiterSkippedRow *row,
						const ErrorData *error)
{
	SiterTableValue values[9];

	values[0] = int64_param(row->id);
	values[1] = int64_param(run->id);
	values[2] = pointer_param(row->row_data);
	values[3] = SITER_VALUE(Int32GetDatum(row->attempts));
	(void) error_params(error, &values[4]);
	(void) siter_table_execute(&update_skipped, values);
}

/* SQLSTATE, message, detail, hint, context; "error" may be NULL */
static int
error_params(const ErrorData *error, SiterTableValue *values)
{
	int			n = 0;

	if (error == NULL)
	{
		while (n < 5)
			values[n++] = SITER_NULL;
		return n;
	}
	values[n++] = siter_table_text_param(unpack_sql_state(error->sqlerrcode));
	values[n++] = siter_table_text_param(error->message);
	values[n++] = siter_table_text_param(error->detail);
	values[n++] = siter_table_text_param(error->hint);
	values[n++] = siter_table_text_param(error->context);
	return n;
}

void
siter_ledger_end_run(const SiterJob *job, const SiterRun *run,
					 const char *outcome, const ErrorData *error,
					 Datum first_key, Datum last_key, int64 retries,
					 const char *waits, SiterCounters *total)
{
	SiterTableValue values[12];
	int			n = 0;

	values[n++] = job_param(job);
	values[n++] = int64_param(run->id);
	values[n++] = siter_table_text_param(outcome);
	n += error_params(error, &values[n]);
	values[n++] = pointer_param(first_key);
	values[n++] = pointer_param(last_key);
	values[n++] = int64_param(retries);
	values[n++] = siter_table_text_param(waits);
	if (siter_table_execute(&update_run, values) > 0)
	{
		total->rows = siter_table_int64(0, 1);
		total->batches = siter_table_int64(0, 2);
		total->skipped = siter_table_int64(0, 3);
		total->affected = siter_table_int64(0, 4);
	}
	SPI_freetuptable(SPI_tuptable);
}

void
siter_ledger_forget(SiterJob *job)
{
	SiterTableValue value = job_param(job);

	(void) siter_table_execute(&delete_slices, &value);
	(void) siter_table_execute(&delete_skipped, &value);
	(void) siter_table_execute(&last_run, &value);
	job->last_forgotten_run = siter_table_int64(0, 1);
	SPI_freetuptable(SPI_tuptable);
}
