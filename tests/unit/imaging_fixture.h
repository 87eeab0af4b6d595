#ifndef EASEL_TESTS_IMAGING_FIXTURE_H
#define EASEL_TESTS_IMAGING_FIXTURE_H
/*
 * imaging_fixture - a file store in a temporary folder, and the helper of this build
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "files/imaging.h"

#define IMAGE_BYTES  (64U << 20)
#define IMAGE_PIXELS (64U << 20)
#define PATIENCE_MS  120000 /* a slow machine under a sanitizer */

struct fixture {
	char dir[64], files[80], libexec[512];
	struct filestore *fs;
};

static struct fixture fx;

static void
find_helper(void)
{
	const char *given = getenv("EASEL_LIBEXEC");
	char *slash;
	ssize_t n;

	if (given) {
		(void)snprintf(fx.libexec, sizeof(fx.libexec), "%s", given);
		return;
	}
	n = readlink("/proc/self/exe", fx.libexec, sizeof(fx.libexec) - 32);
	assert_true(n > 0);
	fx.libexec[n] = '\0';
	slash = strrchr(fx.libexec, '/');
	(void)snprintf(slash, 32, "/../../libexec");
	assert_int_equal(setenv("EASEL_LIBEXEC", fx.libexec, 1), 0);
}

static int
fixture_setup(void **state)
{
	struct err e;

	(void)state;
	(void)snprintf(fx.dir, sizeof(fx.dir), "/tmp/easel-imaging-XXXXXX");
	assert_non_null(mkdtemp(fx.dir));
	(void)snprintf(fx.files, sizeof(fx.files), "%s/files", fx.dir);
	find_helper();
	assert_int_equal(filestore_open(&fx.fs, "file:files", fx.dir, IMAGE_BYTES, IMAGE_PIXELS, 0,
					&e),
			 0);
	assert_int_equal(imaging_init(&e), 0);
	return 0;
}

/* Calls fn (or nothing) for each file in the store; returns how many there are. */
static unsigned
each_file(void (*fn)(int dir, const char *name))
{
	DIR *d = opendir(fx.files);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(d);
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.') {
			n++;
			if (fn)
				fn(dirfd(d), entry->d_name);
		}
	closedir(d);
	return n;
}

static void
remove_file(int dir, const char *name)
{
	(void)unlinkat(dir, name, 0);
}

static int
fixture_teardown(void **state)
{
	(void)state;
	filestore_free(fx.fs);
	(void)each_file(remove_file);
	(void)rmdir(fx.files);
	(void)rmdir(fx.dir);
	return 0;
}

/* The bytes of a stored picture. */
static struct buf
content(const struct picture *p)
{
	struct buf b = BUF_INIT(IMAGE_BYTES);
	struct err e;
	int fd = filestore_read(fx.fs, p, &e);
	ssize_t n;

	assert_true(fd >= 0);
	do {
		assert_int_equal(buf_room(&b, 65536), 0);
		n = read(fd, b.p + b.len, 65536);
		assert_true(n >= 0);
		b.len += (size_t)n;
	} while (n > 0);
	close(fd);
	return b;
}

static inline bool
same_content(const struct picture *a, const struct picture *b)
{
	struct buf x = content(a), y = content(b);
	bool same = x.len == y.len && !memcmp(x.p, y.p, x.len);

	buf_done(&x);
	buf_done(&y);
	return same;
}

/* No process that we started is left, running or unreaped. */
static inline void
assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

#endif
