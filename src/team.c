/*-------------------------------------------------------------------------
 *
 * team.c
 *	  What the processes that work on a job have to agree on.
 *
 * Which slice is whose is kept here only, not in the tables: a process that
 * dies leaves the team, and its slice is free for others, or for the next
 * run.  The position in the table says where to go on.
 *
 * max_rows is exact: a member takes rows from the budget before its batch and
 * gives back what it did not use.  When a member dies, the rows it had taken
 * are not given back, since its last batch may have been committed: rather a
 * batch too few than a row too many.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "team.h"

static void stop_if_used_up(SiterTeam *team);
static char *put_bytes(char *at, const char *end, const void *bytes,
					   int32 size);
static char *put_text(char *at, const char *end, const char *text);
static char *put_array(char *at, const char *end, Datum array);
static const char *get_bytes(const char *at, char **bytes, int32 *size);
static const char *get_text(const char *at, char **text);
static const char *get_array(const char *at, Datum *array);

Size
siter_team_size(int nmembers)
{
	return offsetof(SiterTeam, members) + sizeof(SiterMember) * nmembers;
}

SiterTeam *
siter_team_create(const SiterBudget *budget)
{
	SiterTeam  *team = palloc0(siter_team_size(budget->workers));

	SpinLockInit(&team->mutex);
	team->nmembers = budget->workers;
	team->deadline = budget->deadline;
	team->rows_left = budget->rows;
	return team;
}

void
siter_team_copy(SiterTeam *to, const SiterTeam *from)
{
	memcpy(to, from, siter_team_size(from->nmembers));
	SpinLockInit(&to->mutex);
}

bool
siter_team_take_rows(SiterTeam *team, int member, int64 wanted,
					 int64 *granted)
{
	SpinLockAcquire(&team->mutex);
	if (team->rows_left < 0)
		*granted = -1;
	else
	{
		*granted = Min(wanted, team->rows_left);
		team->rows_left -= *granted;
		team->members[member].granted = *granted;
	}
	SpinLockRelease(&team->mutex);
	return *granted != 0;
}

void
siter_team_used_rows(SiterTeam *team, int member, int64 used)
{
	SiterMember *me = &team->members[member];

	SpinLockAcquire(&team->mutex);
	if (team->rows_left >= 0)
		team->rows_left += Max(me->granted - used, 0);
	me->granted = 0;
	stop_if_used_up(team);
	SpinLockRelease(&team->mutex);
}

/* The mutex is held.  Nothing is left, and nobody will give any back */
static void
stop_if_used_up(SiterTeam *team)
{
	if (team->rows_left != 0 || team->outcome != SITER_OUTCOME_NONE)
		return;
	for (int i = 0; i < team->nmembers; i++)
	{
		if (team->members[i].granted > 0)
			return;
	}
	team->outcome = SITER_OUTCOME_STOPPED;
}

void
siter_team_add_rows(SiterTeam *team, int64 rows)
{
	SpinLockAcquire(&team->mutex);
	team->rows_done += rows;
	SpinLockRelease(&team->mutex);
}

int64
siter_team_rows_done(SiterTeam *team)
{
	int64		rows;

	SpinLockAcquire(&team->mutex);
	rows = team->rows_done;
	SpinLockRelease(&team->mutex);
	return rows;
}

void
siter_team_add_wait(SiterTeam *team, SiterThrottleReason reason,
					SiterTime waited)
{
	SpinLockAcquire(&team->mutex);
	team->waited[reason] += waited;
	SpinLockRelease(&team->mutex);
}

int
siter_team_nworking(SiterTeam *team)
{
	int			n = 0;

	SpinLockAcquire(&team->mutex);
	for (int i = 0; i < team->nmembers; i++)
		n += team->members[i].slice != 0 ? 1 : 0;
	SpinLockRelease(&team->mutex);
	return Max(n, 1);
}

int
siter_team_taken(SiterTeam *team, int member, int32 *slices)
{
	int			n = 0;

	SpinLockAcquire(&team->mutex);
	for (int i = 0; i < team->nmembers; i++)
	{
		if (i != member && team->members[i].slice != 0)
			slices[n++] = team->members[i].slice;
	}
	SpinLockRelease(&team->mutex);
	return n;
}

bool
siter_team_take_slice(SiterTeam *team, int member, int32 slice)
{
	bool		taken = false;

	SpinLockAcquire(&team->mutex);
	for (int i = 0; i < team->nmembers; i++)
	{
		if (i != member && team->members[i].slice == slice)
			taken = true;
	}
	if (!taken)
	{
		team->members[member].slice = slice;
		team->members[member].asks = false;
	}
	SpinLockRelease(&team->mutex);
	return !taken;
}

void
siter_team_release_slice(SiterTeam *team, int member)
{
	SpinLockAcquire(&team->mutex);
	team->members[member].slice = 0;
	SpinLockRelease(&team->mutex);
}

int32
siter_team_new_slice(SiterTeam *team)
{
	int32		number;

	SpinLockAcquire(&team->mutex);
	number = ++team->last_slice;
	SpinLockRelease(&team->mutex);
	return number;
}

void
siter_team_ask(SiterTeam *team, int member)
{
	SpinLockAcquire(&team->mutex);
	team->members[member].asks = true;
	SpinLockRelease(&team->mutex);
}

/* Each request is answered once; who still has nothing asks again */
bool
siter_team_answer(SiterTeam *team)
{
	bool		found = false;

	if (team->nmembers == 1)
		return false;

	SpinLockAcquire(&team->mutex);
	for (int i = 0; i < team->nmembers && !found; i++)
	{
		found = team->members[i].asks;
		team->members[i].asks = false;
	}
	SpinLockRelease(&team->mutex);
	return found;
}

SiterOutcome
siter_team_outcome(SiterTeam *team, int member)
{
	SiterOutcome outcome;

	SpinLockAcquire(&team->mutex);
	outcome = team->outcome;
	if (outcome == SITER_OUTCOME_NONE && team->leader_left &&
		member != SITER_LEADER)
		outcome = SITER_OUTCOME_STOPPED;
	SpinLockRelease(&team->mutex);
	return outcome;
}

void
siter_team_stop(SiterTeam *team, SiterOutcome outcome)
{
	SpinLockAcquire(&team->mutex);
	if (team->outcome == SITER_OUTCOME_NONE)
		team->outcome = outcome;
	SpinLockRelease(&team->mutex);
}

/*
 * The texts are written before has_error is set, by whoever was first to set
 * the outcome; so nobody holds the spinlock for long.
 */
void
siter_team_fail(SiterTeam *team, const ErrorData *error,
				Datum first, Datum last)
{
	const char *end = team->error + SITER_TEAM_ERROR_SIZE;
	char	   *at = team->error;
	bool		was_first;

	SpinLockAcquire(&team->mutex);
	was_first = team->outcome != SITER_OUTCOME_FAILED;
	team->outcome = SITER_OUTCOME_FAILED;
	SpinLockRelease(&team->mutex);
	if (!was_first)
		return;

	/* what is most needed first */
	at = put_bytes(at, end, &error->sqlerrcode, sizeof(int));
	at = put_array(at, end, first);
	at = put_array(at, end, last);
	at = put_text(at, end, error->schema_name);
	at = put_text(at, end, error->table_name);
	at = put_text(at, end, error->column_name);
	at = put_text(at, end, error->datatype_name);
	at = put_text(at, end, error->constraint_name);
	at = put_text(at, end, error->message);
	at = put_text(at, end, error->hint);
	at = put_text(at, end, error->detail);
	at = put_text(at, end, error->context);

	SpinLockAcquire(&team->mutex);
	team->has_error = true;
	SpinLockRelease(&team->mutex);
}

ErrorData *
siter_team_error(SiterTeam *team, Datum *first, Datum *last)
{
	ErrorData  *error;
	const char *at = team->error;
	char	   *sqlerrcode;
	int32		size;
	bool		found;

	SpinLockAcquire(&team->mutex);
	found = team->has_error;
	SpinLockRelease(&team->mutex);
	if (!found)
		return NULL;

	error = palloc0_object(ErrorData);
	error->elevel = ERROR;
	error->output_to_server = true;
	error->output_to_client = true;
	error->assoc_context = CurrentMemoryContext;
	at = get_bytes(at, &sqlerrcode, &size);
	memcpy(&error->sqlerrcode, sqlerrcode, sizeof(int));
	at = get_array(at, first);
	at = get_array(at, last);
	at = get_text(at, &error->schema_name);
	at = get_text(at, &error->table_name);
	at = get_text(at, &error->column_name);
	at = get_text(at, &error->datatype_name);
	at = get_text(at, &error->constraint_name);
	at = get_text(at, &error->message);
	at = get_text(at, &error->hint);
	at = get_text(at, &error->detail);
	(void) get_text(at, &error->context);
	return error;
}

void
siter_team_join(SiterTeam *team)
{
	SpinLockAcquire(&team->mutex);
	team->njoined++;
	SpinLockRelease(&team->mutex);
}

void
siter_team_leave(SiterTeam *team, int member, int64 retries)
{
	SpinLockAcquire(&team->mutex);
	memset(&team->members[member], 0, sizeof(SiterMember));
	team->retries += retries;
	stop_if_used_up(team);
	if (member == SITER_LEADER)
		team->leader_left = true;
	SpinLockRelease(&team->mutex);
}

/* A size, and so many bytes; size -1 for what is not there */
static char *
put_bytes(char *at, const char *end, const void *bytes, int32 size)
{
	if (bytes == NULL)
		size = -1;
	Assert(end - at >= (int) sizeof(int32) + Max(size, 0));
	memcpy(at, &size, sizeof(int32));
	at += sizeof(int32);
	if (bytes == NULL)
		return at;
	memcpy(at, bytes, size);
	return at + size;
}

/* Half of what is left, at most, so that the rest has a chance */
static char *
put_text(char *at, const char *end, const char *text)
{
	int			length = text == NULL ? 0 : strlen(text);
	int			space = Max((end - at) / 2 - (int) sizeof(int32), 0);

	if (length > space)
		length = pg_mbcliplen(text, length, space);
	return put_bytes(at, end, text, length);
}

/* Cut, it would be no array: all or nothing */
static char *
put_array(char *at, const char *end, Datum array)
{
	int			size = array == (Datum) 0 ? 0 :
	VARSIZE_ANY(DatumGetPointer(array));

	if (size == 0 || size > SITER_TEAM_ERROR_SIZE / 4)
		return put_bytes(at, end, NULL, 0);
	return put_bytes(at, end, DatumGetPointer(array), size);
}

static const char *
get_bytes(const char *at, char **bytes, int32 *size)
{
	memcpy(size, at, sizeof(int32));
	at += sizeof(int32);
	*bytes = NULL;
	if (*size < 0)
		return at;
	*bytes = palloc(*size + 1);
	memcpy(*bytes, at, *size);
	(*bytes)[*size] = '\0';
	return at + *size;
}

static const char *
get_text(const char *at, char **text)
{
	int32		size;

	return get_bytes(at, text, &size);
}

static const char *
get_array(const char *at, Datum *array)
{
	char	   *bytes;
	int32		size;

	at = get_bytes(at, &bytes, &size);
	*array = PointerGetDatum(bytes);
	return at;
}
