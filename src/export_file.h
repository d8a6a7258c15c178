/*-------------------------------------------------------------------------
 *
 * export_file.h
 *	  A file that readers see when it is complete, and never before.
 *
 * It is written under a temporary name in the folder where it is to be, put
 * safely on disk, and then renamed.  The temporary name is PATH.streamiter,
 * so that the next export to the same path knows a leftover of a crash when
 * it sees one, and replaces it; while an export is at work the file is locked
 * (flock), so that two of them do not meet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SITER_EXPORT_FILE_H
#define SITER_EXPORT_FILE_H

typedef struct SiterExportFile
{
	const char *path;			/* where it is going to be */
	const char *temp_path;		/* where it is now; formats may open it */
	int			fd;				/* the same, open for writing, and locked */
	mode_t		mode;			/* permissions that it is going to have */
	dev_t		device;			/* which file it is */
	ino_t		inode;
	char	   *buffer;			/* of siter_export_file_write() */
	size_t		buffered;
	bool		exists;			/* under its temporary name */
	uint64		bytes;			/* how long it has become, when finished */
} SiterExportFile;

/*
 * Create an empty file for "path".  It goes away, unless it was finished
 * before, with CurrentMemoryContext at the latest.
 *
 * Errors: 42602 for a relative path or one within the data directory; 42809
 * where there is something else than a regular file; 55006 while another
 * export writes the same file; 58P01, 42501, 53100 and the like where the
 * system refuses.
 */
extern SiterExportFile *siter_export_file_create(const char *path);

/* Append some bytes.  Not for those who open temp_path themselves */
extern void siter_export_file_write(SiterExportFile *file,
									const char *data, size_t size);

/* All has been written, and is safe on disk when this returns */
extern void siter_export_file_finish(SiterExportFile *file);

/* Remove it, if it is not finished; raises no error */
extern void siter_export_file_abandon(SiterExportFile *file);

#endif							/* SITER_EXPORT_FILE_H */
