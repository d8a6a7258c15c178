/*-------------------------------------------------------------------------
 *
 * jsonb_list.c
 *	  Values of type jsonb, collected one by one for an array of them.
 *
 * Elsewhere a jsonb value is made from a tree of JsonbValues, which takes
 * several times its size.  Complete values need only be lined up behind a
 * header; what that looks like is said at JsonbContainer and JEntry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jsonb_list.h"

void
siter_jsonb_list_add(SiterJsonbList *list, const Jsonb *jsonb)
{
	SiterJsonbElement *element = palloc(sizeof(SiterJsonbElement));

	Assert(!JB_ROOT_IS_SCALAR(jsonb));
	element->next = NULL;
	element->jsonb = palloc(VARSIZE(jsonb));
	memcpy(element->jsonb, jsonb, VARSIZE(jsonb));
	if (list->head == NULL)
		list->head = element;
	else
		list->tail->next = element;
	list->tail = element;
	list->nelements++;
}

Datum
siter_jsonb_list_to_array(SiterJsonbList *list)
{
	Size		header = offsetof(JsonbContainer, children) +
	sizeof(JEntry) * list->nelements;
	Size		size = 0;
	Size		end = 0;
	Jsonb	   *array;
	char	   *data;
	SiterJsonbElement *element;
	SiterJsonbElement *next;

	for (element = list->head; element != NULL; element = element->next)
		size = INTALIGN(size) + VARSIZE(element->jsonb) - VARHDRSZ;
	if (size > JENTRY_OFFLENMASK || list->nelements > (int) JB_CMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("related rows are too large for a jsonb array"),
				 errdetail("They take %zu bytes, and an array can take %u.",
						   size, JENTRY_OFFLENMASK)));

	array = (Jsonb *) palloc0(VARHDRSZ + header + size);
	SET_VARSIZE(array, VARHDRSZ + header + size);
	array->root.header = JB_FARRAY | list->nelements;
	data = (char *) &array->root + header;

	element = list->head;
	for (int i = 0; i < list->nelements; i++, element = next)
	{
		Size		length = VARSIZE(element->jsonb) - VARHDRSZ;
		Size		start = end;

		memcpy(data + INTALIGN(start), &element->jsonb->root, length);
		end = INTALIGN(start) + length;

		/* the padding in front of an element belongs to it */
		array->root.children[i] = JENTRY_ISCONTAINER;
		if (i % JB_OFFSET_STRIDE == 0)
			array->root.children[i] |= JENTRY_HAS_OFF | (JEntry) end;
		else
			array->root.children[i] |= (JEntry) (end - start);

		next = element->next;
		pfree(element->jsonb);
		pfree(element);
	}
	memset(list, 0, sizeof(SiterJsonbList));
	return JsonbPGetDatum(array);
}
