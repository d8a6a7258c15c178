/*
 * xlsx: a workbook of the rows of the bench's account table, by libxlsxwriter
 * in its constant-memory mode, from values that are there already.
 *
 *	xlsx FILE ROWS
 */
#include <stdio.h>
#include <stdlib.h>

#include <xlsxwriter.h>

#define MAX_SHEET_ROWS 1048576

int
main(int argc, char **argv)
{
	lxw_workbook_options options = {.constant_memory = LXW_TRUE};
	lxw_workbook *workbook;
	lxw_worksheet *worksheet = NULL;
	long		rows;
	lxw_row_t	row = MAX_SHEET_ROWS;

	if (argc != 3)
		return 2;
	rows = atol(argv[2]);
	workbook = workbook_new_opt(argv[1], &options);
	for (long id = 1; id <= rows; id++)
	{
		char		name[40];

		if (row == MAX_SHEET_ROWS)
		{
			worksheet = workbook_add_worksheet(workbook, NULL);
			worksheet_write_string(worksheet, 0, 0, "id", NULL);
			worksheet_write_string(worksheet, 0, 1, "branch", NULL);
			worksheet_write_string(worksheet, 0, 2, "name", NULL);
			worksheet_freeze_panes(worksheet, 1, 0);
			row = 1;
		}
		snprintf(name, sizeof(name), "account %ld", id);
		worksheet_write_number(worksheet, row, 0, id, NULL);
		worksheet_write_number(worksheet, row, 1, id % 1000, NULL);
		worksheet_write_string(worksheet, row, 2, name, NULL);
		row++;
	}
	return workbook_close(workbook) == LXW_NO_ERROR ? 0 : 1;
}
