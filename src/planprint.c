/*-------------------------------------------------------------------------
 *
 * planprint.c
 *	  Plans, as EXPLAIN shows them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "planprint.h"

char *
siter_planprint(PlannedStmt *stmt, int nparams, const Oid *types)
{
	ParamListInfo params = makeParamList(nparams);
	ExplainState *es = NewExplainState();
	QueryDesc  *desc;

	for (int i = 0; i < nparams; i++)
	{
		params->params[i].value = (Datum) 0;
		params->params[i].isnull = true;
		params->params[i].pflags = 0;
		params->params[i].ptype = types[i];
	}

	desc = CreateQueryDesc(stmt, "", GetActiveSnapshot(), InvalidSnapshot,
						   None_Receiver, params, NULL, 0);
	ExecutorStart(desc, EXEC_FLAG_EXPLAIN_ONLY);
	es->costs = false;
	ExplainBeginOutput(es);
	ExplainPrintPlan(es, desc);
	ExplainEndOutput(es);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);

	if (es->str->len > 0 && es->str->data[es->str->len - 1] == '\n')
		es->str->data[--es->str->len] = '\0';
	return es->str->data;
}
