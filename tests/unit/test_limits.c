#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/limits.h"

#define PROCESSES 4
#define THREADS   4
#define KILLS     60
#define ROUNDS    100000
#ifdef EASEL_SANITIZED
#define COST_NS_MAX 20000
#else
#define COST_NS_MAX 3000 /* measured: some 250; this machine may be busy */
#endif

static char dir[64], file[96];
static struct limits *l;
static struct err e;

static const struct limit_set none = { 0 };

static struct deadline
soon(void)
{
	return deadline_in_ms(10000);
}

static struct limits *
open_again(void)
{
	struct limits *out = NULL;

	e = (struct err){ 0 };
	assert_int_equal(limits_open(&out, dir, &e), 0);
	return out;
}

static int
take_with(struct limits *from, const char *key, struct limit_set set, struct grant *g)
{
	struct deadline d = soon();

	e = (struct err){ 0 };
	return limits_take(from, key, &set, g, &d, &e);
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
	return limits_take_images(l, g, n, &d, &e);
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
	limits_free(l);
	l = NULL;
	(void)unlink(file);
	(void)snprintf(run, sizeof(run), "%s/run", dir);
	(void)rmdir(run);
	return rmdir(dir);
}

/* ---- requests a minute ---- */

static void
as_many_requests_pass_as_the_limit_says_and_the_next_is_told_when(void **state)
{
	const struct limit_set set = { .requests_per_minute = 5 };
	struct grant g;

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(take("key_a", set, &g), 0);
		assert_int_equal(g.requests.limit, 5);
		assert_int_equal(g.requests.remaining, 4 - i);
		assert_in_range(g.requests.reset_ms, 12000 * (i + 1) - 1000, 12000 * (i + 1));
		limits_give(l, &g, 0);
	}
	assert_int_equal(take("key_a", set, &g), -1);
	assert_int_equal(e.kind, ERR_RATE_LIMITED);
	assert_string_equal(e.stage, "limit");
	assert_non_null(strstr(e.about, "requests_per_minute = 5"));
	assert_int_equal(g.requests.remaining, 0);
	assert_in_range(g.retry_ms, 11000, 12000);
	assert_in_range(e.retry_after_s, 11, 12);
	assert_true(e.retry_after_s * 1000 >= g.retry_ms);
	/* Another key has its own. */
	assert_int_equal(take("key_b", set, &g), 0);
	limits_give(l, &g, 0);
}

static void
who_waits_as_long_as_it_is_told_is_let_in(void **state)
{
	const struct limit_set set = { .requests_per_minute = 600 };
	struct grant g;
	int n = 0;

	(void)state;
	while (take("key_a", set, &g) == 0) {
		limits_give(l, &g, 0);
		assert_true(++n < 100000);
	}
	assert_true(n >= 600);
	assert_in_range(g.retry_ms, 1, 100);
	sleep_ms(g.retry_ms);
	assert_int_equal(take("key_a", set, &g), 0);
	limits_give(l, &g, 0);
}

static void
a_refused_request_takes_nothing(void **state)
{
	const struct limit_set set = { .requests_per_minute = 2 };
	struct grant g, first;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take("key_a", set, &first), -1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(take("key_a", set, &g), -1);
	assert_true(g.retry_ms <= first.retry_ms);
	limits_give(l, &g, 0); /* harmless */
	assert_false(g.held);
}

static void
without_limits_nothing_is_counted(void **state)
{
	struct grant g;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(take("key_a", none, &g), 0);
	assert_int_equal(g.requests.limit, 0);
	assert_int_equal(g.images.limit, 0);
	assert_int_equal(take_images(&g, 1000000), 0);
	limits_give(l, &g, 5);
}

/* ---- at once ---- */

static void
only_so_many_requests_are_in_hand_at_once(void **state)
{
	const struct limit_set set = { .concurrent = 3 };
	struct grant g[4];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(take("key_a", set, &g[i]), 0);
	assert_int_equal(take("key_a", set, &g[3]), -1);
	assert_int_equal(e.kind, ERR_RATE_LIMITED);
	assert_non_null(strstr(e.about, "concurrent = 3"));
	assert_int_equal(e.retry_after_s, 1);
	limits_give(l, &g[1], 0);
	limits_give(l, &g[1], 0); /* once is enough */
	assert_int_equal(take("key_a", set, &g[3]), 0);
	assert_int_equal(take("key_a", set, &g[1]), -1);
	limits_give(l, &g[0], 0);
	limits_give(l, &g[2], 0);
	limits_give(l, &g[3], 0);
}

static void
a_request_refused_for_want_of_a_place_is_not_counted_for_the_minute(void **state)
{
	const struct limit_set set = { .concurrent = 1, .requests_per_minute = 10 };
	struct grant g, refused;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(take("key_a", set, &refused), -1);
		assert_non_null(strstr(e.about, "concurrent"));
		assert_int_equal(refused.requests.remaining, 9);
	}
	limits_give(l, &g, 0);
}

/* ---- over processes ---- */

struct shared {
	_Atomic int in_hand, most, passed, start;
};

static void
count_in(struct shared *s)
{
	int now = ++s->in_hand, most = s->most;

	while (now > most && !__atomic_compare_exchange_n((int *)&s->most, &most, now, false,
							  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static struct shared *shared;
static struct limits *theirs;
static struct limit_set theirs_set;

static void *
compete(void *arg)
{
	struct deadline end = deadline_in_ms(300);
	struct grant g;

	(void)arg;
	while (!deadline_over(&end)) {
		struct deadline d = soon();
		struct err ignored;

		if (limits_take(theirs, "key_a", &theirs_set, &g, &d, &ignored) < 0)
			continue;
		shared->passed++;
		count_in(shared);
		for (int i = 0; i < 20; i++)
			(void)sched_yield();
		shared->in_hand--;
		limits_give(theirs, &g, 0);
	}
	return NULL;
}

static void
a_child_competes(void)
{
	pthread_t t[THREADS];
	struct err ignored;

	if (limits_open(&theirs, dir, &ignored) < 0)
		_exit(1);
	while (!shared->start)
		(void)sched_yield();
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, compete, NULL) != 0)
			_exit(2);
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(t[i], NULL);
	limits_free(theirs);
	_exit(0);
}

static void
compete_in_processes(struct limit_set set)
{
	pid_t pid[PROCESSES];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	theirs_set = set;
	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (!pid[i])
			a_child_competes();
	}
	shared->start = 1;
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
}

static void
the_places_are_exact_over_processes_and_threads(void **state)
{
	(void)state;
	compete_in_processes((struct limit_set){ .concurrent = 5 });
	assert_int_equal(shared->most, 5);
	assert_int_equal(shared->in_hand, 0);
	assert_true(shared->passed > 5);
	(void)munmap(shared, sizeof(*shared));
}

static void
the_requests_of_a_minute_are_exact_over_processes_and_threads(void **state)
{
	int64_t start_us = clock_us();

	(void)state;
	compete_in_processes((struct limit_set){ .requests_per_minute = 120 });
	/* One more for each half second that has passed. */
	assert_in_range(shared->passed, 120, 120 + (clock_us() - start_us) / 500000 + 1);
	(void)munmap(shared, sizeof(*shared));
}

static void
a_killed_process_gives_back_what_it_held(void **state)
{
	const struct limit_set set = { .concurrent = 3 };
	struct grant g[3];
	int status, ready[2];
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct limits *own;

		if (limits_open(&own, dir, &e) < 0)
			_exit(1);
		for (int i = 0; i < 3; i++)
			(void)take_with(own, "key_a", set, &g[i]);
		(void)!write(ready[1], "r", 1);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(take("key_a", set, &g[0]), -1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	sleep_ms(150); /* it was looked for the dead just now */
	for (int i = 0; i < 3; i++)
		assert_int_equal(take("key_a", set, &g[i]), 0);
	assert_int_equal(take("key_a", set, &g[0]), -1);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

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
			struct limits *own;

			if (limits_open(&own, dir, &e) < 0)
				_exit(1);
			(void)!write(ready[1], "r", 1);
			for (;;) {
				struct deadline d = soon();

				if (take_with(own, "key_a", set, &g[0]) == 0)
					(void)limits_take_images(own, &g[0], 2, &d, &e);
				limits_give(own, &g[0], 1);
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
	limits_free(l);
	l = open_again();
	for (int i = 0; i < 4; i++)
		assert_int_equal(take("key_a", set, &g[i]), 0);
	assert_int_equal(take("key_a", set, &g[0]), -1);
}

static void
no_more_processes_are_let_in_than_there_is_room_for(void **state)
{
	static struct limits *many[LIMITS_PROCESSES];
	struct limits *more;

	(void)state;
	for (int i = 0; i < LIMITS_PROCESSES - 1; i++)
		many[i] = open_again();
	assert_int_equal(limits_open(&more, dir, &e), -1);
	assert_int_equal(e.kind, ERR_OVERLOADED);
	limits_free(many[7]);
	many[7] = open_again();
	for (int i = 0; i < LIMITS_PROCESSES - 1; i++)
		limits_free(many[i]);
}

/* ---- pictures a day ---- */

static void
the_days_pictures_are_counted_when_they_are_asked_for(void **state)
{
	const struct limit_set set = { .images_per_day = 10 };
	struct grant g;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.limit, 10);
	assert_int_equal(g.images.remaining, 10);
	assert_in_range(g.images.reset_ms, 1, 86400000);
	assert_int_equal(take_images(&g, 8), 0);
	assert_int_equal(g.images.remaining, 2);
	limits_give(l, &g, 8);

	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 2);
	assert_int_equal(take_images(&g, 3), -1);
	assert_int_equal(e.kind, ERR_RATE_LIMITED);
	assert_non_null(strstr(e.about, "images_per_day = 10"));
	assert_int_equal(g.images.remaining, 2);
	assert_int_equal(g.retry_ms, g.images.reset_ms);
	assert_int_equal(take_images(&g, 2), 0);
	limits_give(l, &g, 2);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 1), -1);
	limits_give(l, &g, 0);
}

static void
pictures_that_did_not_come_are_given_back(void **state)
{
	const struct limit_set set = { .images_per_day = 10 };
	struct grant g;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 10), 0);
	limits_give(l, &g, 4);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 6);
	assert_int_equal(take_images(&g, 6), 0);
	g.day--; /* asked for yesterday: nothing of today's goes back */
	limits_give(l, &g, 0);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 0);
	limits_give(l, &g, 0);
}

static void
the_days_pictures_survive_a_restart(void **state)
{
	const struct limit_set set = { .images_per_day = 10, .concurrent = 1 };
	struct grant g;
	struct stat st;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 7), 0);
	limits_free(l); /* with a request in hand */
	l = open_again();
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 3);
	limits_give(l, &g, 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
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
	for (int i = 0; i < LIMITS_KEYS * 4; i++) {
		(void)snprintf(key, sizeof(key), "key_%d", i);
		assert_int_equal(take(key, set, &g), 0);
		limits_give(l, &g, 0);
	}
	assert_int_equal(take("key_held", set, &g), -1);
	limits_give(l, &held, 5);
	assert_int_equal(take("key_held", set, &g), 0);
	assert_int_equal(g.images.remaining, 95);
	limits_give(l, &g, 0);
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
		limits_free(l);
		l = open_again();
		assert_int_equal(take("key_a", set, &g), 0);
		assert_int_equal(take("key_a", set, &g), -1);
	}
}

static void
a_folder_that_cannot_be_used_is_said(void **state)
{
	struct limits *other;

	(void)state;
	assert_int_equal(limits_open(&other, "/proc/nowhere", &e), -1);
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
		limits_give(l, &g, 1);
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
	char text[LIMITS_DURATION_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		limits_duration(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(as_many_requests_pass_as_the_limit_says_and_the_next_is_told_when),
		T(who_waits_as_long_as_it_is_told_is_let_in),
		T(a_refused_request_takes_nothing),
		T(without_limits_nothing_is_counted),
		T(only_so_many_requests_are_in_hand_at_once),
		T(a_request_refused_for_want_of_a_place_is_not_counted_for_the_minute),
		T(the_places_are_exact_over_processes_and_threads),
		T(the_requests_of_a_minute_are_exact_over_processes_and_threads),
		T(a_killed_process_gives_back_what_it_held),
		T(a_process_killed_anywhere_leaves_a_good_table),
		T(no_more_processes_are_let_in_than_there_is_room_for),
		T(the_days_pictures_are_counted_when_they_are_asked_for),
		T(pictures_that_did_not_come_are_given_back),
		T(the_days_pictures_survive_a_restart),
		T(more_keys_than_places_push_out_the_oldest_but_never_one_in_use),
		T(a_file_of_another_version_or_of_nonsense_is_replaced),
		T(a_folder_that_cannot_be_used_is_said),
		T(a_request_costs_little),
		T(durations_are_written_as_openai_writes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
