#undef _FORTIFY_SOURCE /* its openat() is inline, and files_help.h has one of its own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <pthread.h>
#include <time.h>

#include "files_help.h"

#include "base/deadline.h"
#include "base/id.h"
#include "files/sink.h"

static struct filestore *
open_files(void)
{
	struct filestore *fs = NULL;
	struct err e;

	assert_int_equal(filestore_open(&fs, "file:files", help_dir, 1 << 20, 1 << 20, 0, &e), 0);
	assert_non_null(fs);
	return fs;
}

static void
put_file(const char *name, const char *text, int age_s)
{
	struct timespec t[2] = { { .tv_sec = time(NULL) - age_s },
				 { .tv_sec = time(NULL) - age_s } };
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", help_files, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(futimens(fd, t), 0);
	(void)close(fd);
}

static bool
is_there(const char *name)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", help_files, name);
	return access(path, F_OK) == 0;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* Stores one picture by hand, as the sink does. */
static int
store(struct filestore *fs, struct picture *p, struct err *e)
{
	int fd = filestore_create(fs, p->id, e);

	if (fd < 0)
		return -1;
	assert_int_equal(write(fd, "picture", 7), 7);
	return filestore_publish(fs, fd, p, e);
}

static void
the_folder_is_made_for_the_web_server_to_read(void **state)
{
	mode_t before = umask(077);
	AUTO_PTR(filestore) fs = NULL;
	struct err e;
	char deep[128];

	(void)state;
	(void)snprintf(deep, sizeof(deep), "file:%s/a/b/", help_dir);
	assert_int_equal(filestore_open(&fs, deep, "/nowhere", 0, 0, 0, &e), 0);
	(void)umask(before);
	(void)snprintf(deep, sizeof(deep), "%s/a/b", help_dir);
	assert_int_equal(mode_of(deep), 0755);
	assert_int_equal(rmdir(deep), 0);
	(void)snprintf(deep, sizeof(deep), "%s/a", help_dir);
	assert_int_equal(mode_of(deep), 0700);
	assert_int_equal(rmdir(deep), 0);
}

static void
a_folder_that_cannot_be_is_refused(void **state)
{
	static const char *const urls[] = {
		"s3://bucket/prefix",       "file:",         "files", "",
		"file:/proc/nothing/files", "file:/dev/null"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		struct filestore *fs = NULL;
		struct err e = { .kind = ERR_NONE };

		assert_int_equal(filestore_open(&fs, urls[i], help_dir, 0, 0, 0, &e), -1);
		assert_int_equal(e.kind, ERR_CONFIG);
		assert_null(fs);
		assert_null(strstr(e.about, help_dir));
	}
}

static void
a_folder_may_have_a_long_name_but_not_any(void **state)
{
	char url[PATH_MAX + 32];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct filestore *fs = NULL;
		struct err e = { .kind = ERR_NONE };
		size_t n = strlen(help_dir) + 1; /* "DIR/" */

		/* "./" over and over, up to PATH_MAX with its NUL, and one "/" more */
		memset(url, '/', sizeof(url));
		memcpy(url, "file:", strlen("file:"));
		for (size_t k = 5; k < PATH_MAX - 1 - n; k += 2)
			url[k] = '.';
		url[5 + PATH_MAX - 1 - n + i] = '\0';
		assert_int_equal(filestore_open(&fs, url, help_dir, 0, 0, 0, &e), i ? -1 : 0);
		assert_int_equal(e.kind, i ? ERR_CONFIG : ERR_NONE);
		filestore_free(fs);
	}
}

static void
only_old_leftovers_are_removed(void **state)
{
	(void)state;
	filestore_free(open_files());
	put_file("tmp-old", "x", 3700);
	put_file("tmp-young", "x", 3500);
	put_file("old.png", "x", 3700);
	sys.no_tmpfile = true;
	filestore_free(open_files());
	assert_false(is_there("tmp-old"));
	assert_true(is_there("tmp-young"));
	assert_true(is_there("old.png"));
	assert_int_equal(help_count(NULL), 2);
}

/* The ways to make a file that nobody sees, by what the file system lacks. */
static const struct {
	bool no_tmpfile, no_proc, no_noreplace;
} lacks[] = { { 0 }, { .no_tmpfile = true }, { .no_proc = true }, { true, false, true } };
#define EACH_LACK(i) for (size_t i = 0; i < sizeof(lacks) / sizeof(*lacks); i++)

static void
lack(size_t i)
{
	sys_reset();
	sys.no_tmpfile = lacks[i].no_tmpfile;
	sys.no_proc = lacks[i].no_proc;
	sys.no_noreplace = lacks[i].no_noreplace;
}

static void
a_picture_appears_only_when_it_is_published(void **state)
{
	(void)state;
	EACH_LACK(i)
	{
		struct picture p = { .type = PICTURE_WEBP };
		AUTO_PTR(filestore) fs = NULL;
		char path[PICTURE_PATH];
		struct err e;
		int fd;

		lack(i);
		fs = open_files();
		assert_int_equal(help_count(NULL), 0);
		id_make("", p.id, sizeof(p.id));
		fd = filestore_create(fs, p.id, &e);
		assert_true(fd >= 0);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		picture_path(&p, path);
		assert_memory_equal(path, "/files/", 7);
		assert_string_equal(path + 7 + PICTURE_ID - 1, ".webp");
		assert_false(is_there(path + 7));
		assert_int_equal(filestore_publish(fs, fd, &p, &e), 0);
		assert_true(is_there(path + 7));
		assert_int_equal(help_count(NULL), 1);
		filestore_remove(fs, &p);
		assert_int_equal(help_count(NULL), 0);

		fd = filestore_create(fs, p.id, &e);
		assert_true(fd >= 0);
		filestore_drop(fs, fd, p.id);
		assert_int_equal(help_count(NULL), 0);
	}
}

static void
no_picture_is_ever_replaced(void **state)
{
	(void)state;
	EACH_LACK(i)
	{
		struct picture p = { .id = "0123456789abcdefghjkmnpqrs", .type = PICTURE_PNG };
		AUTO_PTR(filestore) fs = NULL;
		AUTO_FREE unsigned char *data = NULL;
		struct err e = { .kind = ERR_NONE };
		size_t n = 0;

		lack(i);
		fs = open_files();
		put_file("0123456789abcdefghjkmnpqrs.png", "the first", 0);
		assert_int_equal(store(fs, &p, &e), -1);
		assert_int_equal(e.kind, ERR_INTERNAL);
		assert_int_equal(help_count(NULL), 1);
		data = help_read(fs, &p, &n);
		assert_int_equal(n, 9);
		assert_memory_equal(data, "the first", 9);
		help_remove_all();
	}
}

static void
a_picture_is_readable_by_all_whatever_the_umask(void **state)
{
	(void)state;
	EACH_LACK(i)
	{
		struct picture p = { .type = PICTURE_JPEG };
		AUTO_PTR(filestore) fs = NULL;
		char path[PICTURE_PATH], full[200];
		mode_t before = umask(077);
		struct err e;

		lack(i);
		fs = open_files();
		id_make("", p.id, sizeof(p.id));
		assert_int_equal(store(fs, &p, &e), 0);
		(void)umask(before);
		picture_path(&p, path);
		(void)snprintf(full, sizeof(full), "%s%s", help_dir, path);
		assert_int_equal(mode_of(full), 0644);
		help_remove_all();
	}
}

static void
reading_finds_what_is_there_and_nothing_else(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	struct picture p = { .type = PICTURE_PNG }, q;
	AUTO_FREE unsigned char *data = NULL;
	size_t n = 0;
	struct err e;

	(void)state;
	id_make("", p.id, sizeof(p.id));
	assert_int_equal(store(fs, &p, &e), 0);
	data = help_read(fs, &p, &n);
	assert_int_equal(n, 7);
	assert_memory_equal(data, "picture", 7);

	q = p;
	q.type = PICTURE_JPEG;
	assert_int_equal(filestore_read(fs, &q, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	q = p;
	q.type = PICTURE_NONE;
	assert_int_equal(filestore_read(fs, &q, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	/* an id that is none leads nowhere, not even when such a file is there */
	q = (struct picture){ .id = "../../../../../../tmp/01234", .type = PICTURE_PNG };
	assert_int_equal(filestore_read(fs, &q, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	put_file("short.png", "x", 0);
	q = (struct picture){ .id = "short", .type = PICTURE_PNG };
	assert_int_equal(filestore_read(fs, &q, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	filestore_remove(fs, &q);
	assert_true(is_there("short.png"));

	filestore_remove(fs, &p);
	assert_int_equal(filestore_read(fs, &p, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	filestore_remove(fs, &p); /* a missing one is no error */
}

static void
there_is_room_for_exactly_what_fits(void **state)
{
	static const uint64_t MB = 1 << 20, none = 1000;
	static const struct {
		uint64_t image_bytes, room_bytes, room_files;
		unsigned n;
		bool fits;
	} rows[] = {
		{ 50 * MB, 50 * MB, none, 1, true },
		{ 50 * MB, 50 * MB - 1, none, 1, false },
		{ 50 * MB, 500 * MB, none, 10, true },
		{ 50 * MB, 500 * MB - 1, none, 10, false },
		{ 1, 10, none, 10, true },
		{ 1, 9, none, 10, false },
		/* no limit, or a very generous one: the reserve */
		{ 0, PICTURE_RESERVE_BYTES, none, 1, true },
		{ 0, PICTURE_RESERVE_BYTES - 1, none, 1, false },
		{ UINT64_MAX, 10 * PICTURE_RESERVE_BYTES, none, 10, true },
		{ 1ull << 40, 10 * PICTURE_RESERVE_BYTES - 1, none, 10, false },
		/* inodes */
		{ MB, 100 * MB, 3, 3, true },
		{ MB, 100 * MB, 3, 4, false },
		{ MB, 100 * MB, 0, 4, true }, /* not counted there */
		{ MB, 0, none, 0, true },
	};

	(void)state;
	sys.room_is_told = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO_PTR(filestore) fs = NULL;
		struct err e = { .kind = ERR_NONE };

		sys.room_bytes = rows[i].room_bytes;
		sys.room_files = rows[i].room_files;
		assert_int_equal(filestore_open(&fs, "file:files", help_dir, rows[i].image_bytes, 0,
						0, &e),
				 0);
		assert_int_equal(filestore_room(fs, rows[i].n, &e), rows[i].fits ? 0 : -1);
		assert_int_equal(e.kind, rows[i].fits ? ERR_NONE : ERR_STORAGE_FULL);
		assert_false(e.may_have_been_billed);
	}
}

static void
the_disk_is_asked_again_after_a_while_and_after_it_was_full(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	int64_t before, asked;
	struct err e;

	(void)state;
	sys.room_is_told = true;
	sys.room_bytes = 1 << 30;
	before = clock_us();
	assert_int_equal(filestore_room(fs, 1, &e), 0);
	assert_int_equal(sys.statvfs, 1);
	sys.room_bytes = 0;
	while (filestore_room(fs, 1, &e) == 0)
		assert_true(clock_us() - before < 60000000);
	asked = clock_us();
	assert_true(asked - before >= 100000);
	assert_int_equal(sys.statvfs, 2);

	/* a write that fails is newer than what statvfs said */
	sys.room_bytes = 1 << 30;
	assert_int_equal(filestore_failed(fs, "writing", ENOSPC, &e), -1);
	assert_int_equal(e.kind, ERR_STORAGE_FULL);
	assert_int_equal(filestore_room(fs, 1, &e), 0);
	assert_int_equal(sys.statvfs, 3);
}

static void
the_kernels_own_figure_is_understood(void **state)
{
	AUTO_PTR(filestore) fs = NULL;
	struct err e;

	(void)state;
	assert_int_equal(filestore_open(&fs, "file:files", help_dir, 1, 0, 0, &e), 0);
	assert_int_equal(filestore_room(fs, 1, &e), 0);
	assert_int_equal(sys.statvfs, 1);
}

#define THREADS 8
#define EACH    40

static struct filestore *shared;
static struct picture stored[THREADS][EACH];
static atomic_uint failures;

static void *
store_many(void *arg)
{
	size_t t = (size_t)(uintptr_t)arg;

	for (size_t i = 0; i < EACH; i++) {
		struct picture *p = &stored[t][i];
		size_t n = 1000 + t * 100 + i;
		AUTO_FREE unsigned char *data = help_picture(PICTURE_PNG, 10, 10, n);
		AUTO(sink) s;
		struct err e;

		memset(data + 24, (int)(t * EACH + i) & 0xff, n - 36);
		sink_init(&s, shared);
		if (filestore_room(shared, 1, &e) < 0 || sink_bytes(&s, data, n, &e) < 0 ||
		    sink_finish(&s, p, &e) < 0)
			failures++;
		if (i % 4 == 3)
			filestore_remove(shared, p);
	}
	return NULL;
}

static void
many_threads_store_side_by_side(void **state)
{
	(void)state;
	for (size_t lacking = 0; lacking < 2; lacking++) {
		pthread_t threads[THREADS];
		size_t kept = 0;

		lack(lacking);
		failures = 0;
		shared = open_files();
		for (size_t t = 0; t < THREADS; t++)
			assert_int_equal(pthread_create(&threads[t], NULL, store_many,
							(void *)(uintptr_t)t),
					 0);
		for (size_t t = 0; t < THREADS; t++)
			assert_int_equal(pthread_join(threads[t], NULL), 0);
		assert_int_equal(failures, 0);
		for (size_t t = 0; t < THREADS; t++)
			for (size_t i = 0; i < EACH; i++) {
				size_t n = 0;
				AUTO_FREE unsigned char *data =
					help_read(shared, &stored[t][i], &n);

				assert_int_equal(data != NULL, i % 4 != 3);
				if (!data)
					continue;
				kept++;
				assert_int_equal(n, 1000 + t * 100 + i);
				for (size_t k = 24; k < n - 12; k++)
					assert_int_equal(data[k], (t * EACH + i) & 0xff);
			}
		assert_int_equal(help_count(NULL), kept);
		filestore_free(shared);
		help_remove_all();
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, help_setup, help_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_folder_is_made_for_the_web_server_to_read),
		TEST(a_folder_that_cannot_be_is_refused),
		TEST(a_folder_may_have_a_long_name_but_not_any),
		TEST(only_old_leftovers_are_removed),
		TEST(a_picture_appears_only_when_it_is_published),
		TEST(no_picture_is_ever_replaced),
		TEST(a_picture_is_readable_by_all_whatever_the_umask),
		TEST(reading_finds_what_is_there_and_nothing_else),
		TEST(there_is_room_for_exactly_what_fits),
		TEST(the_disk_is_asked_again_after_a_while_and_after_it_was_full),
		TEST(the_kernels_own_figure_is_understood),
		TEST(many_threads_store_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
