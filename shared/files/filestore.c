#include "files/filestore_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/id.h"

#define FOLDER_MODE  0755 /* the web server, perhaps another user, reads it */
#define PARENT_MODE  0700
#define FILE_MODE    0644
#define ROOM_AGE_US  100000
#define PROC_FD_SIZE 32 /* "/proc/self/fd/2147483647" */

static void
temp_name(const char *id, char out[NAME_SIZE])
{
	(void)snprintf(out, NAME_SIZE, TEMP_PREFIX "%.*s", PICTURE_ID - 1, id);
}

/* ---- files that nobody sees yet ---- */

static int
open_temp(struct filestore *fs, const char *id)
{
	char name[NAME_SIZE];

	if (fs->unnamed)
		return openat(fs->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FILE_MODE);
	temp_name(id, name);
	return openat(fs->dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, FILE_MODE);
}

/* AT_EMPTY_PATH asks for a capability, except for one's own files since Linux 6.10; else /proc. */
static int
link_unnamed(struct filestore *fs, int fd, const char *name)
{
	char proc[PROC_FD_SIZE];

	if (!fs->by_proc)
		return linkat(fd, "", fs->dir, name, AT_EMPTY_PATH);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, proc, fs->dir, name, AT_SYMLINK_FOLLOW);
}

static int
rename_new(struct filestore *fs, const char *from, const char *to)
{
	if (renameat2(fs->dir, from, fs->dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* a file system that cannot: link() does not replace either */
	if (linkat(fs->dir, from, fs->dir, to, 0) < 0)
		return -1;
	(void)unlinkat(fs->dir, from, 0);
	return 0;
}

int
filestore_failed(struct filestore *fs, const char *doing, int errnum, struct err *e)
{
	if (errnum == ENOSPC || errnum == EDQUOT) {
		atomic_store(&fs->asked_us, 0); /* whatever statvfs said is no longer true */
		(void)err_set(e, ERR_STORAGE_FULL, "the disk is full");
	} else {
		(void)err_set(e, ERR_INTERNAL, "a picture could not be stored");
	}
	e->may_have_been_billed = true;
	err_detail(e, "%s: %s", doing, strerrordesc_np(errnum));
	return -1;
}

int
filestore_create(struct filestore *fs, const char id[PICTURE_ID], struct err *e)
{
	int fd = open_temp(fs, id);

	if (fd < 0)
		return filestore_failed(fs, "making a file", errno, e);
	return fd;
}

int
filestore_unnamed(struct filestore *fs, struct err *e)
{
	char id[PICTURE_ID], name[NAME_SIZE];
	int fd;

	id_make("", id, sizeof(id));
	fd = filestore_create(fs, id, e);
	if (fd >= 0 && !fs->unnamed) {
		temp_name(id, name);
		(void)unlinkat(fs->dir, name, 0);
	}
	return fd;
}

static int
publish(struct filestore *fs, int fd, const struct picture *p, const char *name, bool may_exist,
	struct err *e)
{
	char temp[NAME_SIZE];
	int rc;

	temp_name(p->id, temp);
	rc = fs->chmod ? fchmod(fd, FILE_MODE) : 0;
	if (rc == 0)
		rc = fs->unnamed ? link_unnamed(fs, fd, name) : rename_new(fs, temp, name);
	if (rc < 0 && may_exist && errno == EEXIST) {
		filestore_drop(fs, fd, p->id);
		return 0;
	}
	if (rc < 0) {
		(void)filestore_failed(fs, "publishing a file", errno, e);
		filestore_drop(fs, fd, p->id);
		return -1;
	}
	(void)close(fd);
	return 0;
}

static _Thread_local struct {
	void (*fn)(void *self, const struct picture *p);
	void *self;
} on_publish;

void
filestore_on_publish(void (*fn)(void *self, const struct picture *p), void *self)
{
	on_publish.fn = fn;
	on_publish.self = self;
}

int
filestore_publish(struct filestore *fs, int fd, const struct picture *p, struct err *e)
{
	char name[NAME_SIZE];

	filestore_name(p, name);
	if (on_publish.fn)
		on_publish.fn(on_publish.self, p);
	return publish(fs, fd, p, name, false, e);
}

int
filestore_publish_thumbnail(struct filestore *fs, int fd, const struct picture *t,
			    const struct picture *p, struct err *e)
{
	char path[THUMBNAIL_PATH];

	thumbnail_path(p, path);
	return publish(fs, fd, t, path + strlen(FILES_PATH), true, e);
}

void
filestore_drop(struct filestore *fs, int fd, const char id[PICTURE_ID])
{
	char name[NAME_SIZE];

	if (!fs->unnamed) {
		temp_name(id, name);
		(void)unlinkat(fs->dir, name, 0);
	}
	(void)close(fd);
}

/* ---- opening ---- */

/* Makes the folder and what is missing above it. */
static int
make_folder(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(path, PARENT_MODE) < 0 && errno != EEXIST) {
			*p = '/';
			return -1;
		}
		*p = '/';
	}
	if (mkdir(path, FOLDER_MODE) == 0)
		return chmod(path, FOLDER_MODE); /* whatever the umask */
	return errno == EEXIST ? 0 : -1;
}

/* Removes what was being written when its process died. */
static void
remove_leftovers(struct filestore *fs)
{
	int fd = openat(fs->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	time_t now = time(NULL);
	struct dirent *d;
	struct stat st;
	DIR *dir;

	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir) {
		(void)close(fd);
		return;
	}
	while ((d = readdir(dir)))
		if (!strncmp(d->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) &&
		    fstatat(fs->dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_mtime < now - FILE_LEFTOVER_MS / 1000)
			(void)unlinkat(fs->dir, d->d_name, 0);
	(void)closedir(dir);
}

/* Tries out how files can be made here, by making one. */
static int
try_out(struct filestore *fs)
{
	char id[PICTURE_ID], name[NAME_SIZE];
	struct stat st;
	int fd;

	id_make("", id, sizeof(id));
	temp_name(id, name);
	fs->unnamed = true;
	fd = open_temp(fs, id);
	fs->by_proc = fd >= 0 && link_unnamed(fs, fd, name) < 0;
	if (fd < 0 || (fs->by_proc && link_unnamed(fs, fd, name) < 0)) {
		if (fd >= 0)
			(void)close(fd);
		fs->unnamed = false;
		fd = open_temp(fs, id);
	}
	if (fd < 0) {
		/* A full disk is no reason not to start: filestore_room() will say so. */
		fs->chmod = true;
		return errno == ENOSPC || errno == EDQUOT ? 0 : -1;
	}
	fs->chmod = fstat(fd, &st) < 0 || (st.st_mode & 07777) != FILE_MODE;
	(void)unlinkat(fs->dir, name, 0);
	(void)close(fd);
	return 0;
}

static int
folder_of(const char *url, const char *state_dir, char path[PATH_MAX], struct err *e)
{
	const char *dir = url + 5;
	int n;

	if (strncmp(url, "file:", 5) != 0 || !*dir)
		return err_set(e, ERR_CONFIG, "[files] url must be \"file:FOLDER\"");
	if (!strncmp(dir, "///", 3)) /* file:///srv/pictures */
		dir += 2;
	if (*dir == '/')
		n = snprintf(path, PATH_MAX, "%s", dir);
	else
		n = snprintf(path, PATH_MAX, "%s/%s", state_dir, dir);
	if (n < 0 || n >= PATH_MAX)
		return err_set(e, ERR_CONFIG, "[files] url: its folder's name is too long");
	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	return 0;
}

/* Opens what `fs` is to be, which stays the caller's. */
static int
open_folder(struct filestore *fs, const char *url, const char *state_dir, struct err *e)
{
	char path[PATH_MAX];
	int errnum;

	if (folder_of(url, state_dir, path, e) < 0)
		return -1;
	if (make_folder(path) == 0 &&
	    (fs->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0 && try_out(fs) == 0) {
		if (!fs->unnamed)
			remove_leftovers(fs);
		return 0;
	}
	errnum = errno;
	(void)err_set(e, ERR_CONFIG,
		      "[files] url: its folder cannot be made, or not be written to");
	err_detail(e, "%s: %s", path, strerrordesc_np(errnum));
	return -1;
}

int
filestore_open(struct filestore **out, const char *url, const char *state_dir, uint64_t image_bytes,
	       uint64_t image_pixels, uint64_t max_bytes, struct err *e)
{
	struct filestore *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return err_set(e, ERR_INTERNAL, "out of memory");
	fs->dir = -1;
	fs->image_bytes = image_bytes ? image_bytes : UINT64_MAX;
	fs->image_pixels = image_pixels ? image_pixels : UINT64_MAX;
	fs->max_bytes = max_bytes;
	if (open_folder(fs, url, state_dir, e) < 0) {
		filestore_free(fs);
		return -1;
	}
	*out = fs;
	return 0;
}

void
filestore_free(struct filestore *fs)
{
	if (!fs)
		return;
	if (fs->dir >= 0)
		(void)close(fs->dir);
	free(fs);
}

uint64_t
filestore_image_bytes(const struct filestore *fs)
{
	return fs->image_bytes;
}

uint64_t
filestore_image_pixels(const struct filestore *fs)
{
	return fs->image_pixels;
}

/* ---- using ---- */

int
filestore_room(struct filestore *fs, unsigned n, struct err *e)
{
	uint64_t each =
		fs->image_bytes < PICTURE_RESERVE_BYTES ? fs->image_bytes : PICTURE_RESERVE_BYTES;
	int64_t now = clock_us(), asked = atomic_load(&fs->asked_us);
	struct statvfs v;

	if (!asked || now - asked >= ROOM_AGE_US) {
		if (fstatvfs(fs->dir, &v) < 0) {
			int errnum = errno;

			(void)err_set(e, ERR_INTERNAL, "the pictures' folder does not answer");
			err_detail(e, "statvfs: %s", strerrordesc_np(errnum));
			return -1;
		}
		atomic_store(&fs->free_bytes, (uint64_t)v.f_bavail * v.f_frsize);
		/* some file systems count no inodes */
		atomic_store(&fs->free_files, v.f_files ? (uint64_t)v.f_favail : UINT64_MAX);
		atomic_store(&fs->asked_us, now);
	}
	if (atomic_load(&fs->free_bytes) / each < n || atomic_load(&fs->free_files) < n)
		return err_set(e, ERR_STORAGE_FULL,
			       "the disk cannot hold %u more; nothing was bought", n);
	return 0;
}
