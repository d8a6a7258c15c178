/*-------------------------------------------------------------------------
 *
 * export_csv.c
 *	  CSV, as the server's own COPY writes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "tcop/tcopprot.h"

#include "compat.h"
#include "export.h"

extern const SiterExportFormat siter_export_csv;

static List *
add_string(List *list, const char *name, char *value)
{
	if (value == NULL)
		return list;
	return lappend(list, makeDefElem(pstrdup(name),
									 (Node *) makeString(value), -1));
}

/* What would have been in the parentheses of a COPY */
static List *
copy_options(const SiterExportOptions *options)
{
	List	   *list = add_string(NIL, "format", pstrdup("csv"));
	List	   *force_quote = NIL;
	ListCell   *lc;

	if (options->given & SITER_EXPORT_HEADER)
		list = lappend(list, makeDefElem("header",
										 (Node *) makeBoolean(options->header),
										 -1));
	list = add_string(list, "delimiter", options->delimiter);
	list = add_string(list, "quote", options->quote);
	list = add_string(list, "escape", options->escape);
	list = add_string(list, "null", options->null_string);
	list = add_string(list, "encoding", options->encoding);
	foreach(lc, options->force_quote)
		force_quote = lappend(force_quote, makeString(lfirst(lc)));
	if (options->force_quote_all)
		list = lappend(list, makeDefElem("force_quote",
										 (Node *) makeNode(A_Star), -1));
	else if (force_quote != NIL)
		list = lappend(list, makeDefElem("force_quote", (Node *) force_quote,
										 -1));
	return list;
}

static uint64
write_csv(SiterExport *export, const SiterSource *source)
{
	ParseState *pstate = make_parsestate(NULL);
	CopyToState copy;
	uint64		rows;

	pstate->p_sourcetext = source->query;
	copy = siter_begin_copy_to(pstate,
							   linitial_node(RawStmt, pg_parse_query(source->query)),
							   export->file->temp_path,
							   copy_options(&export->options));
	rows = DoCopyTo(copy);
	EndCopyTo(copy);
	free_parsestate(pstate);
	return rows;
}

const SiterExportFormat siter_export_csv = {
	.name = "csv",
	.options = SITER_EXPORT_HEADER | SITER_EXPORT_DELIMITER |
	SITER_EXPORT_QUOTE | SITER_EXPORT_ESCAPE | SITER_EXPORT_NULL_STRING |
	SITER_EXPORT_FORCE_QUOTE | SITER_EXPORT_ENCODING,
	.write = write_csv
};
