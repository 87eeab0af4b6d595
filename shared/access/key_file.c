#include "access/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/id.h"

static int
file_failed(struct err *e, const char *name, const char *what)
{
	int saved = errno;

	(void)err_set(e, ERR_CONFIG, "%s in state_dir cannot be %s.", name, what);
	err_detail(e, "%s: %s", name, strerror(saved));
	return -1;
}

/* 1 read, 0 there is none, -1 *e. */
static int
read_key(int dir, const char *name, unsigned char key[KEY_FILE_BYTES], struct err *e)
{
	AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	unsigned char bytes[KEY_FILE_BYTES + 1];

	if (fd < 0)
		return errno == ENOENT ? 0 : file_failed(e, name, "read");
	if (read(fd, bytes, sizeof(bytes)) != KEY_FILE_BYTES)
		return err_set(e, ERR_CONFIG,
			       "%s in state_dir is damaged: it must be %d bytes long. Remove it; "
			       "a new one will be made.",
			       name, KEY_FILE_BYTES);
	memcpy(key, bytes, KEY_FILE_BYTES);
	explicit_bzero(bytes, sizeof(bytes));
	return 1;
}

/*
 * The file appears under its name whole, by link(), which does not replace: of processes that start at
 * once the first one's key stands, and all read that.
 */
static int
make_key(int dir, const char *name, struct err *e)
{
	unsigned char fresh[KEY_FILE_BYTES];
	char temporary[ID_TEXT + 64], prefix[64];
	AUTO_FD int fd = -1;
	int rc = -1;

	(void)snprintf(prefix, sizeof(prefix), ".%s.", name);
	id_make(prefix, temporary, sizeof(temporary));
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "no random numbers");
	randombytes_buf(fresh, sizeof(fresh));
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return file_failed(e, name, "made");
	if (fchmod(fd, 0600) == 0 && write(fd, fresh, sizeof(fresh)) == sizeof(fresh) &&
	    fsync(fd) == 0 && (linkat(dir, temporary, dir, name, 0) == 0 || errno == EEXIST))
		rc = 0;
	else
		(void)file_failed(e, name, "made");
	(void)unlinkat(dir, temporary, 0);
	explicit_bzero(fresh, sizeof(fresh));
	return rc;
}

int
key_file(const char *state_dir, const char *name, unsigned char key[KEY_FILE_BYTES], struct err *e)
{
	AUTO_FD int dir = -1;
	int got;

	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		return file_failed(e, name, "made");
	dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return file_failed(e, name, "read");
	got = read_key(dir, name, key, e);
	if (got == 0)
		got = make_key(dir, name, e) < 0 ? -1 : read_key(dir, name, key, e);
	if (got == 0)
		return file_failed(e, name, "read");
	return got < 0 ? -1 : 0;
}
