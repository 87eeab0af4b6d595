/* The table of limits beside an SQLite database; what both stores must do alike is test_store_limits.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "http/duration.h"
#include "store/limit_table.h"
#include "store/store_driver.h"

#define KILLS  60
#define ROUNDS 100000
#ifdef EASEL_SANITIZED
#define COST_NS_MAX 20000
#else
#define COST_NS_MAX 3000 /* measured: some 250; this machine may be busy */
#endif

static char dir[64], file[96];
static struct store *l;
static struct err e;

static struct deadline
soon(void)
{
	return deadline_in_ms(10000);
}

/* The limits alone: the table needs no database. */
static int
limits_open(struct store **out, const char *state_dir)
{
	struct store *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->driver = &store_sqlite;
	e = (struct err){ 0 };
	if (store_limit_open(s, state_dir, &e) < 0) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

static struct store *
open_again(void)
{
	struct store *out = NULL;

	assert_int_equal(limits_open(&out, dir), 0);
	return out;
}

static int
take_with(struct store *from, const char *key, struct limit_set set, struct grant *g)
{
	struct deadline d = soon();

	e = (struct err){ 0 };
	return store_limit_take(from, key, &set, g, &d, &e);
}

static int
take(const char *key, struct limit_set set, struct grant *g)
{
	return take_with(l, key, set, g);
}

static int
take_images(struct grant *g, int64_t n)
{
	struct deadline d = soon();

	e = (struct err){ 0 };
	return store_limit_take_images(l, g, n, &d, &e);
}

static void
sleep_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) < 0)
		;
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/run/limits", dir);
	l = open_again();
	return 0;
}

static int
teardown(void **state)
{
	char run[96];

	(void)state;
	store_free(l);
	l = NULL;
	(void)unlink(file);
	(void)snprintf(run, sizeof(run), "%s/run", dir);
	(void)rmdir(run);
	return rmdir(dir);
}

/* ---- over processes ---- */

static void
a_process_killed_anywhere_leaves_a_good_table(void **state)
{
	const struct limit_set set = { .concurrent = 4, .images_per_day = 1000000000 };
	struct grant g[4];

	(void)state;
	for (int i = 0; i < KILLS; i++) {
		int status, ready[2];
		char c;
		pid_t pid;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			struct store *own;

			if (limits_open(&own, dir) < 0)
				_exit(1);
			(void)!write(ready[1], "r", 1);
			for (;;) {
				struct deadline d = soon();

				if (take_with(own, "key_a", set, &g[0]) == 0)
					(void)store_limit_take_images(own, &g[0], 2, &d, &e);
				store_limit_give(own, &g[0], 1);
			}
		}
		assert_int_equal(read(ready[0], &c, 1), 1);
		sleep_ms(i % 3);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		(void)close(ready[0]);
		(void)close(ready[1]);
	}
	store_free(l);
	l = open_again();
	for (int i = 0; i < 4; i++)
		assert_int_equal(take("key_a", set, &g[i]), 0);
	assert_int_equal(take("key_a", set, &g[0]), -1);
}

static void
no_more_processes_are_let_in_than_there_is_room_for(void **state)
{
	static struct store *many[LIMIT_TABLE_PROCESSES];
	struct store *more;

	(void)state;
	for (int i = 0; i < LIMIT_TABLE_PROCESSES - 1; i++)
		many[i] = open_again();
	assert_int_equal(limits_open(&more, dir), -1);
	assert_int_equal(e.kind, ERR_OVERLOADED);
	store_free(many[7]);
	many[7] = open_again();
	for (int i = 0; i < LIMIT_TABLE_PROCESSES - 1; i++)
		store_free(many[i]);
}

/* ---- the table ---- */

static void
more_keys_than_places_push_out_the_oldest_but_never_one_in_use(void **state)
{
	const struct limit_set set = { .concurrent = 1, .images_per_day = 100 };
	struct grant held, g;
	char key[32];

	(void)state;
	assert_int_equal(take("key_held", set, &held), 0);
	assert_int_equal(take_images(&held, 5), 0);
	for (int i = 0; i < LIMIT_TABLE_KEYS * 4; i++) {
		(void)snprintf(key, sizeof(key), "key_%d", i);
		assert_int_equal(take(key, set, &g), 0);
		store_limit_give(l, &g, 0);
	}
	assert_int_equal(take("key_held", set, &g), -1);
	store_limit_give(l, &held, 5);
	assert_int_equal(take("key_held", set, &g), 0);
	assert_int_equal(g.images.remaining, 95);
	store_limit_give(l, &g, 0);
}

static void
a_file_of_another_version_or_of_nonsense_is_replaced(void **state)
{
	const struct limit_set set = { .requests_per_minute = 1 };
	struct grant g;

	(void)state;
	for (int i = 0; i < 2; i++) {
		static const char text[8192] = "this is no table";
		int fd;

		/* Not cut short: who has it open goes on with it. */
		assert_int_equal(unlink(file), 0);
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, text, i ? sizeof(text) : 5), i ? sizeof(text) : 5);
		(void)close(fd);
		store_free(l);
		l = open_again();
		assert_int_equal(take("key_a", set, &g), 0);
		assert_int_equal(take("key_a", set, &g), -1);
	}
}

static void
only_its_owner_may_read_it(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
a_folder_that_cannot_be_used_is_said(void **state)
{
	struct store *other;

	(void)state;
	assert_int_equal(limits_open(&other, "/proc/nowhere"), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
}

static void
a_request_costs_little(void **state)
{
	const struct limit_set set = { .requests_per_minute = 1000000000,
				       .concurrent = 1024,
				       .images_per_day = 1000000000 };
	int64_t start_us = clock_us(), ns;
	struct grant g;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(take("key_01jd0000000000000000000000", set, &g), 0);
		assert_int_equal(take_images(&g, 1), 0);
		store_limit_give(l, &g, 1);
	}
	ns = (clock_us() - start_us) * 1000 / ROUNDS;
	print_message("one request: %lld ns\n", (long long)ns);
	assert_true(ns < COST_NS_MAX);
}

static void
durations_are_written_as_openai_writes_them(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0ms" },          { 20, "20ms" },          { 999, "999ms" },
		{ 1000, "1s" },        { 1001, "2s" },          { 59000, "59s" },
		{ 59500, "1m0s" },     { 360000, "6m0s" },      { 3599000, "59m59s" },
		{ 3600000, "1h0m0s" }, { 86399999, "24h0m0s" }, { 3723000, "1h2m3s" },
	};
	char text[DURATION_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		duration_text(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_process_killed_anywhere_leaves_a_good_table),
		T(no_more_processes_are_let_in_than_there_is_room_for),
		T(more_keys_than_places_push_out_the_oldest_but_never_one_in_use),
		T(a_file_of_another_version_or_of_nonsense_is_replaced),
		T(only_its_owner_may_read_it),
		T(a_folder_that_cannot_be_used_is_said),
		T(a_request_costs_little),
		T(durations_are_written_as_openai_writes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
