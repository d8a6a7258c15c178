/*-------------------------------------------------------------------------
 *
 * export_file.c
 *	  A file that readers see when it is complete, and never before.
 *
 * Who holds the lock on the temporary file writes it.  A leftover of a crash
 * is locked by nobody, since the kernel let go of it; it is removed and made
 * anew rather than written again, so that whoever still has the old one open,
 * or is late in removing it, cannot do any harm to the new one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/relpath.h"
#include "miscadmin.h"
#include "port.h"
#include "storage/fd.h"

#include "compat.h"
#include "export_file.h"

#define TEMP_SUFFIX ".streamiter"

#define BUFFER_SIZE (128 * 1024)

/* What COPY gives its files */
#define DEFAULT_MODE (S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)

static void check_path(SiterExportFile *file);
static void check_folder(const char *path);
static bool is_below(const char *path, const char *folder);
static void check_replaced(SiterExportFile *file);
static void create_temp(SiterExportFile *file);
static bool take_over(SiterExportFile *file);
static bool is_at_temp_path(const SiterExportFile *file);
static void flush_buffer(SiterExportFile *file);
static void cleanup(void *arg);

SiterExportFile *
siter_export_file_create(const char *path)
{
	SiterExportFile *file = palloc0_object(SiterExportFile);
	MemoryContextCallback *callback = palloc0_object(MemoryContextCallback);
	char	   *canonical = pstrdup(path);

	canonicalize_path(canonical);
	file->path = canonical;
	file->temp_path = psprintf("%s" TEMP_SUFFIX, canonical);
	file->fd = -1;
	file->buffer = palloc(BUFFER_SIZE);
	check_path(file);
	check_folder(canonical);
	check_replaced(file);

	/* a session that is terminated passes no PG_CATCH() */
	callback->func = cleanup;
	callback->arg = file;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	create_temp(file);
	return file;
}

static void
check_path(SiterExportFile *file)
{
	if (!is_absolute_path(file->path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("relative path not allowed for export"),
				 errhint("Give the file's whole path on the server.")));
	if (strlen(file->temp_path) >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("path of an export is too long"),
				 errdetail("It may have %d bytes.",
						   (int) (MAXPGPATH - sizeof(TEMP_SUFFIX)))));
}

/*
 * The server's own files are no place for an export, by whatever way one gets
 * there: a rename would replace pg_hba.conf without a word.
 */
static void
check_folder(const char *path)
{
	char	   *folder = pstrdup(path);
	char		real_folder[PATH_MAX];
	char	   *tablespace;
	size_t		length = strlen(TABLESPACE_VERSION_DIRECTORY);

	get_parent_directory(folder);
	if (realpath(folder, real_folder) == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not find folder \"%s\": %m", folder),
				 errhint("The folder must be on the server, and open to the account that the server runs as.")));
	tablespace = strstr(real_folder, "/" TABLESPACE_VERSION_DIRECTORY);
	if (is_below(real_folder, DataDir) || is_below(real_folder, "pg_wal") ||
		(tablespace != NULL && (tablespace[length + 1] == '/' ||
								tablespace[length + 1] == '\0')))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("cannot export to \"%s\"", path),
				 errdetail("This folder belongs to the server's own files.")));
}

/* Whether a real path leads into a folder, itself included */
static bool
is_below(const char *path, const char *folder)
{
	char		real_folder[PATH_MAX];

	return realpath(folder, real_folder) != NULL &&
		path_is_prefix_of_path(real_folder, path);
}

/* What is there already, if anything is */
static void
check_replaced(SiterExportFile *file)
{
	struct stat st;

	file->mode = DEFAULT_MODE;
	if (lstat(file->path, &st) != 0)
	{
		if (errno != ENOENT)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat file \"%s\": %m", file->path)));
		return;
	}
	if (S_ISDIR(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a directory", file->path)));
	if (!S_ISREG(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", file->path),
				 errdetail("An export is written beside its path and then renamed, which would replace a link, a pipe or a device.")));
	if (access(file->path, R_OK | W_OK) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not replace file \"%s\": %m", file->path)));

	/* who was kept from reading the old one shall not read the new one */
	file->mode = st.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
}

static void
create_temp(SiterExportFile *file)
{
	struct stat st;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		file->fd = OpenTransientFilePerm(file->temp_path,
										 O_RDWR | O_CREAT | O_EXCL | PG_BINARY,
										 S_IRUSR | S_IWUSR);
		if (file->fd >= 0)
		{
			if (!take_over(file))
				continue;
			break;
		}
		if (errno != EEXIST)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not create file \"%s\": %m",
							file->temp_path)));

		/* somebody's, or nobody's? */
		file->fd = OpenTransientFile(file->temp_path,
									 O_RDWR | O_NOFOLLOW | O_NONBLOCK | PG_BINARY);
		if (file->fd < 0 && errno == ENOENT)
			continue;
		if (file->fd < 0 || fstat(file->fd, &st) != 0 ||
			!S_ISREG(st.st_mode) || st.st_uid != geteuid())
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is in the way", file->temp_path),
					 errdetail("An export writes its file under this name first, and this is nothing that an export has left."),
					 errhint("Remove it.")));
		if (take_over(file))
		{
			unlink(file->temp_path);
			CloseTransientFile(file->fd);
			file->fd = -1;
		}
	}
	file->exists = true;
}

/*
 * Lock the open file.  Returns false, with the file closed, if meanwhile
 * another is there under its name.
 */
static bool
take_over(SiterExportFile *file)
{
	struct stat st;

	/* not every file system has locks: then it must do without */
	if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another export is writing \"%s\"", file->path)));
	if (fstat(file->fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", file->temp_path)));
	file->device = st.st_dev;
	file->inode = st.st_ino;
	if (is_at_temp_path(file))
		return true;
	CloseTransientFile(file->fd);
	file->fd = -1;
	return false;
}

static bool
is_at_temp_path(const SiterExportFile *file)
{
	struct stat st;

	return lstat(file->temp_path, &st) == 0 &&
		st.st_dev == file->device && st.st_ino == file->inode;
}

void
siter_export_file_write(SiterExportFile *file, const char *data, size_t size)
{
	while (size > 0)
	{
		size_t		part = Min(size, BUFFER_SIZE - file->buffered);

		memcpy(file->buffer + file->buffered, data, part);
		file->buffered += part;
		data += part;
		size -= part;
		if (file->buffered == BUFFER_SIZE)
			flush_buffer(file);
	}
}

static void
flush_buffer(SiterExportFile *file)
{
	const char *data = file->buffer;

	while (file->buffered > 0)
	{
		ssize_t		written;

		errno = 0;
		written = write(file->fd, data, file->buffered);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			/* if write didn't set errno, assume problem is no disk space */
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write to file \"%s\": %m",
							file->temp_path)));
		}
		data += written;
		file->buffered -= written;
	}
}

void
siter_export_file_finish(SiterExportFile *file)
{
	struct stat st;

	flush_buffer(file);
	if (fstat(file->fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", file->temp_path)));
	if (!is_at_temp_path(file))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("file \"%s\" is no longer what the export has written",
						file->temp_path),
				 errdetail("It was replaced or removed from outside the server.")));
	file->bytes = st.st_size;
	if (fchmod(file->fd, file->mode) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not set permissions of file \"%s\": %m",
						file->temp_path)));

	/* flushes the file, and the folder when its entry is there */
	durable_rename(file->temp_path, file->path, ERROR);
	file->exists = false;
	CloseTransientFile(file->fd);
	file->fd = -1;
}

void
siter_export_file_abandon(SiterExportFile *file)
{
	if (!file->exists)
		return;
	file->exists = false;
	if (is_at_temp_path(file))
		unlink(file->temp_path);
}

static void
cleanup(void *arg)
{
	siter_export_file_abandon((SiterExportFile *) arg);
}
