/*-------------------------------------------------------------------------
 *
 * session.c
 *	  What a session has set, for processes that work for it.
 *
 * A helper that fires triggers where its leader does not, because somebody
 * has set session_replication_role, would do other work than the leader.  So
 * it gets the leader's settings: those of the database, of the role, of the
 * connection and of SET.  Each goes with who set it and with what rights, so
 * that nothing may be set here that might not there.  After guc.c, where
 * parallel queries' workers get them; that code restores more than a process
 * of another login can have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#include "compat.h"
#include "session.h"

/* How a value came about */
typedef struct Origin
{
	GucContext	context;
	Oid			role;
} Origin;

static bool is_carried(const struct config_generic *setting);

/* Name, value and origin of each; an empty name ends the list */
char *
siter_session_save(Size *size)
{
	int			nsettings;
	struct config_generic **settings = siter_guc_variables(&nsettings);
	StringInfoData saved;

	initStringInfo(&saved);
	for (int i = 0; i < nsettings; i++)
	{
		struct config_generic *setting = settings[i];
		Origin		origin = {setting->scontext, setting->srole};
		const char *value;

		if (!is_carried(setting))
			continue;
		value = GetConfigOption(setting->name, true, false);
		if (value == NULL)
			continue;
		appendBinaryStringInfo(&saved, setting->name,
							   strlen(setting->name) + 1);
		appendBinaryStringInfo(&saved, value, strlen(value) + 1);
		appendBinaryStringInfo(&saved, (char *) &origin, sizeof(Origin));
	}
	appendStringInfoChar(&saved, '\0');
	*size = saved.len;
	return saved.data;
}

/* Who works, in which transaction and for which client, is not for sale */
static bool
is_carried(const struct config_generic *setting)
{
	static const char *const own[] = {
		"client_encoding", "role", "seed", "session_authorization",
		"transaction_deferrable", "transaction_isolation",
		"transaction_read_only"
	};

	if (setting->context != PGC_USERSET && setting->context != PGC_SUSET)
		return false;
	if (setting->source < PGC_S_DATABASE || setting->source == PGC_S_OVERRIDE)
		return false;
	for (int i = 0; i < lengthof(own); i++)
	{
		if (strcmp(setting->name, own[i]) == 0)
			return false;
	}
	return true;
}

void
siter_session_restore(const char *saved)
{
	while (*saved != '\0')
	{
		const char *name = saved;
		const char *value = name + strlen(name) + 1;
		Origin		origin;

		memcpy(&origin, value + strlen(value) + 1, sizeof(Origin));
		saved = value + strlen(value) + 1 + sizeof(Origin);
		(void) set_config_option_ext(name, value, origin.context,
									 PGC_S_SESSION, origin.role,
									 GUC_ACTION_SET, true, ERROR, false);
	}
}
