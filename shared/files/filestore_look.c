#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/filestore_own.h"

/* ---- names ---- */

static bool
id_is_valid(const char *id)
{
	return strnlen(id, PICTURE_ID) == PICTURE_ID - 1 &&
	       strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz") == PICTURE_ID - 1;
}

void
filestore_name(const struct picture *p, char out[NAME_SIZE])
{
	(void)snprintf(out, NAME_SIZE, "%.*s.%s", PICTURE_ID - 1, p->id,
		       picture_extension(p->type));
}

void
thumbnail_path(const struct picture *p, char out[THUMBNAIL_PATH])
{
	(void)snprintf(out, THUMBNAIL_PATH, FILES_PATH "%.*s" THUMBNAIL_END, PICTURE_ID - 1, p->id);
}

void
picture_path(const struct picture *p, char out[PICTURE_PATH])
{
	(void)snprintf(out, PICTURE_PATH, FILES_PATH "%.*s.%s", PICTURE_ID - 1, p->id,
		       picture_extension(p->type));
}

/* ---- one picture ---- */

int
filestore_read(struct filestore *fs, const struct picture *p, struct err *e)
{
	char name[NAME_SIZE];
	int fd, errnum;

	if (!id_is_valid(p->id) || p->type == PICTURE_NONE)
		return err_set(e, ERR_NOT_FOUND, "picture");
	filestore_name(p, name);
	fd = openat(fs->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	errnum = errno;
	if (errnum == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "picture");
	(void)err_set(e, ERR_INTERNAL, "a stored picture cannot be read");
	err_detail(e, "open: %s", strerrordesc_np(errnum));
	return -1;
}

void
filestore_remove(struct filestore *fs, const struct picture *p)
{
	char name[NAME_SIZE];

	if (!id_is_valid(p->id) || p->type == PICTURE_NONE)
		return;
	filestore_name(p, name);
	(void)unlinkat(fs->dir, name, 0);
}

bool
filestore_has_thumbnail(struct filestore *fs, const struct picture *p)
{
	char path[THUMBNAIL_PATH];

	thumbnail_path(p, path);
	return id_is_valid(p->id) &&
	       faccessat(fs->dir, path + strlen(FILES_PATH), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void
filestore_remove_thumbnail(struct filestore *fs, const struct picture *p)
{
	char path[THUMBNAIL_PATH];

	if (!id_is_valid(p->id))
		return;
	thumbnail_path(p, path);
	(void)unlinkat(fs->dir, path + strlen(FILES_PATH), 0);
}

int64_t
filestore_bytes(struct filestore *fs, const struct picture *p)
{
	char name[NAME_SIZE];
	struct stat st;

	if (!id_is_valid(p->id) || p->type == PICTURE_NONE)
		return -1;
	filestore_name(p, name);
	return fstatat(fs->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
		       ? st.st_size
		       : -1;
}

/* ---- tidying up ---- */

/* What a name says; the picture's id and type. */
static enum file_kind
kind_of(const char *name, struct picture *p)
{
	const char *rest = name + PICTURE_ID - 1;

	*p = (struct picture){ .type = PICTURE_NONE };
	if (!strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)))
		return FILE_TEMPORARY;
	if (strnlen(name, PICTURE_ID) < PICTURE_ID)
		return FILE_OTHER;
	memcpy(p->id, name, PICTURE_ID - 1);
	if (!id_is_valid(p->id))
		return FILE_OTHER;
	if (!strcmp(rest, THUMBNAIL_END))
		return FILE_THUMBNAIL;
	if (*rest == '.')
		p->type = picture_by_name(rest);
	return p->type != PICTURE_NONE ? FILE_PICTURE : FILE_OTHER;
}

int
filestore_each(struct filestore *fs, void (*fn)(const struct file_found *f, void *arg), void *arg,
	       struct err *e)
{
	int fd = openat(fs->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;
	struct stat st;

	if (!dir) {
		int errnum = errno;

		if (fd >= 0)
			(void)close(fd);
		(void)err_set(e, ERR_INTERNAL, "the pictures' folder cannot be read");
		err_detail(e, "opendir: %s", strerrordesc_np(errnum));
		return -1;
	}
	while ((d = readdir(dir))) {
		struct file_found f;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    fstatat(fs->dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		f.kind = kind_of(d->d_name, &f.picture);
		if (!S_ISREG(st.st_mode))
			f.kind = FILE_OTHER;
		(void)snprintf(f.name, sizeof(f.name), "%.63s", d->d_name);
		f.bytes = st.st_size;
		f.picture.bytes = (uint64_t)st.st_size;
		f.changed_ms = st.st_mtim.tv_sec * 1000LL + st.st_mtim.tv_nsec / 1000000;
		fn(&f, arg);
	}
	(void)closedir(dir);
	return 0;
}

void
filestore_remove_found(struct filestore *fs, const struct file_found *f)
{
	if (f->kind != FILE_OTHER)
		(void)unlinkat(fs->dir, f->name, 0);
}
