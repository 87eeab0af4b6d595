#ifndef EASEL_TESTS_FILES_HELP_H
#define EASEL_TESTS_FILES_HELP_H
/*
 * files_help - for the tests of what lies in shared/files: pictures made on the spot, a folder that
 * is removed again, and system calls that count and, when told to, fail
 *
 * The calls are defined here and go to the kernel themselves, so that libeasel's end up here too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/filestore.h"

/* ---- system calls ---- */

static struct {
	atomic_int opens, writes, links, renames, statvfs;
	bool no_tmpfile;             /* O_TMPFILE is not supported */
	bool no_proc;                /* /proc is not there */
	bool no_noreplace;           /* RENAME_NOREPLACE is not supported */
	int open_errno, write_errno; /* 0: none */
	int write_after;             /* so many writes succeed first */
	size_t write_at_most;        /* 0: all */
	bool write_interrupted;      /* every other write returns EINTR */
	bool room_is_told;           /* statvfs says what stands here */
	uint64_t room_bytes, room_files;
} sys;

static void
sys_reset(void)
{
	memset(&sys, 0, sizeof(sys));
}

static int
sys_error(int errnum)
{
	errno = errnum;
	return -1;
}

int openat(int dir, const char *path, int flags, ...);
ssize_t write(int fd, const void *p, size_t n);
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int fstatvfs(int fd, struct statvfs *v);

int
openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
		sys.opens++;
		if ((flags & O_TMPFILE) == O_TMPFILE && sys.no_tmpfile)
			return sys_error(EOPNOTSUPP);
		if (sys.open_errno)
			return sys_error(sys.open_errno);
	}
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	int count = ++sys.writes;

	if (sys.write_errno && count > sys.write_after)
		return sys_error(sys.write_errno);
	if (sys.write_interrupted && count % 2)
		return sys_error(EINTR);
	if (sys.write_at_most && n > sys.write_at_most)
		n = sys.write_at_most;
	return syscall(SYS_write, fd, p, n);
}

int
linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	sys.links++;
	if (sys.no_proc && !strncmp(from, "/proc/", 6))
		return sys_error(ENOENT);
	return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	sys.renames++;
	if (sys.no_noreplace)
		return sys_error(EINVAL);
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int
fstatvfs(int fd, struct statvfs *v)
{
	sys.statvfs++;
	if (!sys.room_is_told) /* glibc's, by another name */
		return fstatvfs64(fd, (struct statvfs64 *)v);
	*v = (struct statvfs){ .f_frsize = 1,
			       .f_bavail = sys.room_bytes,
			       .f_files = sys.room_files ? sys.room_files : 0,
			       .f_favail = sys.room_files };
	return 0;
}

/* ---- a folder ---- */

static char help_dir[64], help_files[80];

/* A state folder with nothing in it. */
static int
help_setup(void **state)
{
	(void)state;
	sys_reset();
	(void)snprintf(help_dir, sizeof(help_dir), "/tmp/easel-test-XXXXXX");
	if (!mkdtemp(help_dir))
		return -1;
	(void)snprintf(help_files, sizeof(help_files), "%s/files", help_dir);
	return 0;
}

/* How many files lie in the folder; the last one's name goes to `name`, if there is one. */
static unsigned
help_count(char name[64])
{
	DIR *d = opendir(help_files);
	unsigned n = 0;

	for (struct dirent *f; d && (f = readdir(d));)
		if (f->d_name[0] != '.') {
			if (name)
				(void)snprintf(name, 64, "%.63s", f->d_name);
			n++;
		}
	if (d)
		(void)closedir(d);
	return n;
}

static void
help_remove_all(void)
{
	char name[64], path[160];

	while (help_count(name)) {
		(void)snprintf(path, sizeof(path), "%s/%s", help_files, name);
		if (unlink(path) < 0)
			return;
	}
}

static int
help_teardown(void **state)
{
	(void)state;
	sys_reset();
	help_remove_all();
	(void)rmdir(help_files);
	return rmdir(help_dir);
}

/* A whole file; free() it.  NULL when it cannot be read. */
static inline unsigned char *
help_read(struct filestore *fs, const struct picture *p, size_t *n)
{
	struct err e;
	struct stat st;
	unsigned char *data;
	int fd = filestore_read(fs, p, &e);

	if (fd < 0)
		return NULL;
	data = fstat(fd, &st) < 0 ? NULL : malloc((size_t)st.st_size + 1);
	*n = data ? (size_t)st.st_size : 0;
	if (data && read(fd, data, *n + 1) != (ssize_t)*n) {
		free(data);
		data = NULL;
	}
	(void)close(fd);
	return data;
}

/* ---- pictures ---- */

/* n bytes (at least 64) with the head and the end of a picture of w by h, noise between; free() it. */
static unsigned char *
help_picture(enum picture_type type, uint32_t w, uint32_t h, size_t n)
{
	unsigned char *p = malloc(n);
	size_t riff = n - 8;
	const unsigned char png[24] = { 0x89,
					'P',
					'N',
					'G',
					'\r',
					'\n',
					0x1a,
					'\n',
					0,
					0,
					0,
					13,
					'I',
					'H',
					'D',
					'R',
					(unsigned char)(w >> 24),
					(unsigned char)(w >> 16),
					(unsigned char)(w >> 8),
					(unsigned char)w,
					(unsigned char)(h >> 24),
					(unsigned char)(h >> 16),
					(unsigned char)(h >> 8),
					(unsigned char)h };
	const unsigned char jpeg[13] = { 0xff,
					 0xd8,
					 0xff,
					 0xc0,
					 0,
					 17,
					 8,
					 (unsigned char)(h >> 8),
					 (unsigned char)h,
					 (unsigned char)(w >> 8),
					 (unsigned char)w,
					 3,
					 1 };
	const unsigned char webp[30] = { 'R',
					 'I',
					 'F',
					 'F',
					 (unsigned char)riff,
					 (unsigned char)(riff >> 8),
					 (unsigned char)(riff >> 16),
					 (unsigned char)(riff >> 24),
					 'W',
					 'E',
					 'B',
					 'P',
					 'V',
					 'P',
					 '8',
					 'X',
					 10,
					 0,
					 0,
					 0,
					 0,
					 0,
					 0,
					 0,
					 (unsigned char)(w - 1),
					 (unsigned char)((w - 1) >> 8),
					 (unsigned char)((w - 1) >> 16),
					 (unsigned char)(h - 1),
					 (unsigned char)((h - 1) >> 8),
					 (unsigned char)((h - 1) >> 16) };

	if (!p)
		abort();
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(rand() >> 6);
	if (type == PICTURE_PNG) {
		memcpy(p, png, sizeof(png));
		memcpy(p + n - 12, "\0\0\0\0IEND\xae\x42\x60\x82", 12);
	} else if (type == PICTURE_JPEG) {
		memcpy(p, jpeg, sizeof(jpeg));
		memcpy(p + n - 2, "\xff\xd9", 2);
	} else {
		memcpy(p, webp, sizeof(webp));
	}
	return p;
}

#endif
