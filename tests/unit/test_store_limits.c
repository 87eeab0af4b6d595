/*
 * What a key may ask for, whichever store counts: each test runs beside an SQLite database, and against a
 * redis-server of its own.  Below, what only machines that share a Redis can come to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/alive.h"
#include "store/store_limit.h"
#include "store_fixture.h"

#define PROCESSES 4
#define THREADS   4
#define KEYS      300
#ifdef EASEL_SANITIZED
#define SLOW 5
#else
#define SLOW 2
#endif

static const struct limit_set none = { 0 };
static const char *url;

static struct store *
open_counting(const char *state_dir)
{
	struct store *out = NULL;

	OK(store_open(&out, url, state_dir, true, &e));
	OK(store_limit_open(out, state_dir, &e));
	return out;
}

/* What was open when it was forked is its parent's. */
static struct store *
open_in_child(const char *state_dir)
{
	struct store *out = NULL;

	alive_close();
	if (store_open(&out, url, state_dir, true, &e) < 0 ||
	    store_limit_open(out, state_dir, &e) < 0)
		_exit(1);
	return out;
}

static int
take(const char *key, struct limit_set set, struct grant *g)
{
	e = (struct err){ 0 };
	return store_limit_take(s, key, &set, g, &d, &e);
}

static int
take_images(struct grant *g, int64_t n)
{
	e = (struct err){ 0 };
	return store_limit_take_images(s, g, n, &d, &e);
}

static void
sleep_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) < 0)
		;
}

static int
counting_sqlite(void **state)
{
	url = "sqlite:t.db";
	if (setup_sqlite(state) < 0)
		return -1;
	OK(store_limit_open(s, dir, &e));
	return 0;
}

static int
counting_redis(void **state)
{
	url = rd.url;
	if (setup_redis(state) < 0)
		return -1;
	OK(store_limit_open(s, dir, &e));
	return 0;
}

static int
teardown_counting(void **state)
{
	static const char *const names[] = { "run/limits", "run/alive", "b/run/alive" };
	static const char *const folders[] = { "run", "b/run", "b" };

	store_free(TAKE_PTR(s));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void)unlink(text("%s/%s", dir, names[i]));
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		(void)rmdir(text("%s/%s", dir, folders[i]));
	return teardown_any(state);
}

/* A process that has some requests of key_a in hand until it is killed. */
struct child {
	pid_t pid;
};

static void
begin_child(struct child *c, const char *state_dir, struct limit_set set, int n)
{
	int ready[2];
	char said;

	assert_int_equal(pipe(ready), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid) {
		struct grant g;

		s = open_in_child(state_dir);
		for (int i = 0; i < n; i++)
			if (take("key_a", set, &g) < 0)
				_exit(2);
		(void)!write(ready[1], "r", 1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &said, 1), 1);
	(void)close(ready[0]);
}

static void
kill_child(const struct child *c)
{
	int status;

	assert_int_equal(kill(c->pid, SIGKILL), 0);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFSIGNALED(status));
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
		store_limit_give(s, &g, 0);
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
	store_limit_give(s, &g, 0);
}

static void
who_waits_as_long_as_it_is_told_is_let_in(void **state)
{
	const struct limit_set set = { .requests_per_minute = 600 };
	struct grant g;
	int n = 0;

	(void)state;
	while (take("key_a", set, &g) == 0) {
		store_limit_give(s, &g, 0);
		assert_true(++n < 100000);
	}
	assert_true(n >= 600);
	assert_in_range(g.retry_ms, 1, 100);
	sleep_ms(g.retry_ms);
	assert_int_equal(take("key_a", set, &g), 0);
	store_limit_give(s, &g, 0);
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
	store_limit_give(s, &g, 0); /* harmless */
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
	store_limit_give(s, &g, 5);
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
	store_limit_give(s, &g[1], 0);
	store_limit_give(s, &g[1], 0); /* once is enough */
	assert_int_equal(take("key_a", set, &g[3]), 0);
	assert_int_equal(take("key_a", set, &g[1]), -1);
	store_limit_give(s, &g[0], 0);
	store_limit_give(s, &g[2], 0);
	store_limit_give(s, &g[3], 0);
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
	store_limit_give(s, &g, 0);
}

/* ---- over processes ---- */

struct shared {
	_Atomic int in_hand, most, passed, start;
};

static struct shared *shared;

static void
count_in(void)
{
	int now = ++shared->in_hand, most = shared->most;

	while (now > most && !__atomic_compare_exchange_n((int *)&shared->most, &most, now, false,
							  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static struct store *theirs;
static struct limit_set theirs_set;

static void *
compete(void *arg)
{
	struct deadline end = deadline_in_ms(300);
	struct grant g;

	(void)arg;
	/* Long enough for as many at once as may be. */
	while (!deadline_over(&end) ||
	       (shared->most < theirs_set.concurrent && !deadline_over(&d))) {
		struct err ignored;

		if (store_limit_take(theirs, "key_a", &theirs_set, &g, &d, &ignored) < 0)
			continue;
		shared->passed++;
		count_in();
		for (int i = 0; i < 20; i++)
			(void)sched_yield();
		shared->in_hand--;
		store_limit_give(theirs, &g, 0);
	}
	return NULL;
}

static void
a_child_competes(void)
{
	pthread_t t[THREADS];

	theirs = open_in_child(dir);
	while (!shared->start)
		(void)sched_yield();
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, compete, NULL) != 0)
			_exit(2);
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(t[i], NULL);
	store_free(theirs);
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
	struct child c;

	(void)state;
	begin_child(&c, dir, set, 3);
	assert_int_equal(take("key_a", set, &g[0]), -1);
	kill_child(&c);
	sleep_ms(150); /* it was looked for the dead just now */
	for (int i = 0; i < 3; i++)
		assert_int_equal(take("key_a", set, &g[i]), 0);
	assert_int_equal(take("key_a", set, &g[0]), -1);
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
	store_limit_give(s, &g, 8);

	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 2);
	assert_int_equal(take_images(&g, 3), -1);
	assert_int_equal(e.kind, ERR_RATE_LIMITED);
	assert_non_null(strstr(e.about, "images_per_day = 10"));
	assert_int_equal(g.images.remaining, 2);
	assert_int_equal(g.retry_ms, g.images.reset_ms);
	assert_int_equal(take_images(&g, 2), 0);
	store_limit_give(s, &g, 2);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 1), -1);
	store_limit_give(s, &g, 0);
}

static void
pictures_that_did_not_come_are_given_back(void **state)
{
	const struct limit_set set = { .images_per_day = 10 };
	struct grant g;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 10), 0);
	store_limit_give(s, &g, 4);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 6);
	assert_int_equal(take_images(&g, 6), 0);
	g.day--; /* asked for yesterday: nothing of today's goes back */
	store_limit_give(s, &g, 0);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 0);
	store_limit_give(s, &g, 0);
}

static void
the_days_pictures_survive_a_restart(void **state)
{
	const struct limit_set set = { .images_per_day = 10, .concurrent = 1 };
	struct grant g;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 7), 0);
	store_free(TAKE_PTR(s)); /* with a request in hand */
	s = open_counting(dir);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 3);
	store_limit_give(s, &g, 0);
}

/* ---- to the end ---- */

static void
who_leaves_is_not_in_hand_and_keeps_its_pictures(void **state)
{
	const struct limit_set set = { .concurrent = 1, .images_per_day = 10 };
	struct grant g, other;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 6), 0);
	assert_int_equal(take("key_a", set, &other), -1);
	assert_int_equal(other.images.remaining, 4);
	store_limit_leave(s, &g);
	store_limit_leave(s, &g);
	assert_int_equal(take("key_a", set, &other), 0);
	assert_int_equal(other.images.remaining, 4);
	/* What leaves twice must not free another's place. */
	store_limit_give(s, &g, 1);
	store_limit_give(s, &g, 0);
	store_limit_leave(s, &g);
	assert_int_equal(take("key_a", set, &g), -1);
	assert_int_equal(g.images.remaining, 9);
	store_limit_give(s, &other, 0);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 9);
	store_limit_give(s, &g, 5); /* it had none */
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 9);
}

static void
a_request_may_take_pictures_more_than_once(void **state)
{
	const struct limit_set set = { .images_per_day = 10 };
	struct grant g, other;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 3), 0);
	assert_int_equal(take_images(&g, 4), 0);
	assert_int_equal(g.images.remaining, 3);
	assert_int_equal(take_images(&g, 4), -1);
	assert_int_equal(take_images(&g, 3), 0);
	store_limit_give(s, &g, 2);
	assert_int_equal(take("key_a", set, &other), 0);
	assert_int_equal(other.images.remaining, 8);
}

static void
at_midnight_the_days_pictures_begin_anew(void **state)
{
	const struct limit_set set = { .images_per_day = 10 };
	struct grant g, other;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	/* As if three had been taken before it. */
	g.day--;
	g.pictures = 3;
	assert_int_equal(take_images(&g, 2), 0);
	assert_int_equal(g.images.remaining, 8);
	store_limit_give(s, &g, 0);
	assert_int_equal(take("key_a", set, &other), 0);
	assert_int_equal(other.images.remaining, 10);
	assert_int_equal(take_images(&other, 11), -1);
}

static void
a_limit_that_is_lowered_holds_at_once(void **state)
{
	const struct limit_set many = { .requests_per_minute = 600,
					.concurrent = 5,
					.images_per_day = 100 },
			       few = { .requests_per_minute = 600,
				       .concurrent = 2,
				       .images_per_day = 10 };
	struct grant g[3], other;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(take("key_a", many, &g[i]), 0);
	assert_int_equal(take_images(&g[0], 20), 0);
	assert_int_equal(take("key_a", few, &other), -1);
	assert_non_null(strstr(e.about, "concurrent = 2"));
	assert_int_equal(other.images.remaining, 0);
	store_limit_give(s, &g[1], 0);
	store_limit_give(s, &g[2], 0);
	assert_int_equal(take("key_a", few, &other), 0);
	assert_int_equal(take_images(&other, 1), -1);
	assert_int_equal(take("key_a", (struct limit_set){ .requests_per_minute = 2 }, &g[1]), 0);
	assert_int_equal(take("key_a", (struct limit_set){ .requests_per_minute = 2 }, &g[1]), -1);
}

static void
each_of_many_keys_has_its_own(void **state)
{
	const struct limit_set set = { .requests_per_minute = 2,
				       .concurrent = 1,
				       .images_per_day = 3 };
	static struct grant g[KEYS];
	struct grant other;

	(void)state;
	for (int i = 0; i < KEYS; i++) {
		assert_int_equal(take(text("key_%d", i), set, &g[i]), 0);
		assert_int_equal(take_images(&g[i], 2), 0);
	}
	for (int i = 0; i < KEYS; i++) {
		assert_int_equal(take(text("key_%d", i), set, &other), -1);
		assert_non_null(strstr(e.about, "concurrent"));
		assert_int_equal(other.requests.remaining, 1);
		assert_int_equal(other.images.remaining, 1);
		store_limit_give(s, &g[i], 1);
		assert_int_equal(take(text("key_%d", i), set, &g[i]), 0);
		assert_int_equal(g[i].images.remaining, 2);
		store_limit_give(s, &g[i], 0);
		assert_int_equal(take(text("key_%d", i), set, &other), -1);
		assert_non_null(strstr(e.about, "requests_per_minute"));
	}
}

static void
what_lasts_longer_is_held_longer(void **state)
{
	const struct limit_set set = { .concurrent = 1 };
	struct deadline far = deadline_in_ms(3600000);
	struct grant g, other;

	(void)state;
	store_limit_keep(s, &(struct grant){ 0 }, &far);
	assert_int_equal(take("key_a", set, &g), 0);
	store_limit_keep(s, &g, &far);
	assert_int_equal(take("key_a", set, &other), -1);
	store_limit_give(s, &g, 0);
	store_limit_keep(s, &g, &far); /* it is done, and stays so */
	assert_int_equal(take("key_a", set, &other), 0);
}

/* ---- Redis ---- */

/* What Redis answers its operator with; -1: no number.  `script` may be NULL. */
static int64_t
ask_with(const char *command, const char *script)
{
	redisReply *r =
		script ? redisCommand(rd.admin, command, script) : redisCommand(rd.admin, command);
	int64_t n;

	assert_non_null(r);
	n = r->type == REDIS_REPLY_INTEGER  ? r->integer
	    : r->type == REDIS_REPLY_STRING ? strtoll(r->str, NULL, 10)
					    : -1;
	freeReplyObject(r);
	return n;
}

static int64_t
ask(const char *command)
{
	return ask_with(command, NULL);
}

/* When the place of key_a that lapses last does so, in milliseconds from now. */
static int64_t
lapses_in_ms(void)
{
	return ask_with("EVAL %s 0", "local t = redis.call('TIME')\n"
				     "return redis.call('ZREVRANGE', 'easel:limit-held:key_a', 0, "
				     "0, 'WITHSCORES')[2]"
				     " - t[1] * 1000 - math.floor(t[2] / 1000)");
}

static void
machines_that_share_a_redis_share_the_limits(void **state)
{
	const struct limit_set set = { .requests_per_minute = 6, .concurrent = 3 };
	struct grant g[3];
	struct child c;

	(void)state;
	begin_child(&c, text("%s/b", dir), set, 2);
	assert_int_equal(take("key_a", set, &g[0]), 0);
	assert_int_equal(g[0].requests.remaining, 3);
	assert_int_equal(take("key_a", set, &g[1]), -1);
	assert_non_null(strstr(e.about, "concurrent = 3"));
	/* Who is dead on another machine cannot be known here. */
	kill_child(&c);
	sleep_ms(150);
	assert_int_equal(take("key_a", set, &g[1]), -1);
	store_limit_give(s, &g[0], 0);
	/* Its places lapse. */
	assert_int_equal(ask_with("EVAL %s 0",
				  "local k = 'easel:limit-held:key_a'\n"
				  "for _, m in ipairs(redis.call('ZRANGE', k, 0, 1)) do\n"
				  " redis.call('ZADD', k, 1, m)\n"
				  "end\n"
				  "return 2"),
			 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(take("key_a", set, &g[i]), 0);
	assert_int_equal(g[2].requests.remaining, 0);
	assert_int_equal(take("key_a", set, &g[0]), -1);
	assert_non_null(strstr(e.about, "requests_per_minute = 6"));
}

static void
a_place_lapses_some_time_after_its_deadline(void **state)
{
	const struct limit_set set = { .concurrent = 3 };
	struct deadline near = deadline_in_ms(30000), far = deadline_in_ms(600000);
	struct grant g;

	(void)state;
	OK(store_limit_take(s, "key_a", &set, &g, &near, &e));
	assert_in_range(lapses_in_ms(), STORE_LIMIT_MARGIN_MS + 20000,
			STORE_LIMIT_MARGIN_MS + 30000);
	assert_in_range(ask("PTTL easel:limit-held:key_a"), STORE_LIMIT_MARGIN_MS + 20000,
			STORE_LIMIT_MARGIN_MS + 30001);
	store_limit_keep(s, &g, &far);
	assert_in_range(lapses_in_ms(), STORE_LIMIT_MARGIN_MS + 580000,
			STORE_LIMIT_MARGIN_MS + 600000);
	store_limit_keep(s, &g, &near); /* never sooner */
	assert_in_range(lapses_in_ms(), STORE_LIMIT_MARGIN_MS + 580000,
			STORE_LIMIT_MARGIN_MS + 600000);
	assert_true(ask("PTTL easel:limit-held:key_a") > STORE_LIMIT_MARGIN_MS + 580000);
}

static void
nothing_stays_that_no_longer_matters(void **state)
{
	const struct limit_set set = { .requests_per_minute = 60,
				       .concurrent = 3,
				       .images_per_day = 5 };
	struct grant g;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 5), 0);
	assert_in_range(ask("PTTL easel:limit-minute:key_a"), 1, 1002);
	assert_in_range(ask(text("PTTL easel:limit-images:%u:key_a", g.day)), 1,
			86400000 + 3600000);
	assert_int_equal(ask(text("HLEN easel:limit-images:%u:key_a", g.day)), 2);
	store_limit_give(s, &g, 4);
	assert_int_equal(ask("EXISTS easel:limit-held:key_a"), 0);
	assert_int_equal(ask(text("HLEN easel:limit-images:%u:key_a", g.day)), 1);
	assert_int_equal(ask(text("HGET easel:limit-images:%u:key_a n", g.day)), 4);
}

static int64_t
commands(void)
{
	redisReply *r = redisCommand(rd.admin, "INFO commandstats");
	const char *at;
	int64_t n = 0;

	assert_non_null(r);
	for (at = strstr(r->str, "cmdstat_eval"); at; at = strstr(at + 1, "cmdstat_eval"))
		n += strtoll(strchr(at, '=') + 1, NULL, 10);
	freeReplyObject(r);
	return n;
}

static void
a_request_asks_no_more_often_than_it_must(void **state)
{
	static const struct {
		struct limit_set set;
		int64_t images;
		int commands;
	} rows[] = {
		{ { 0 }, 4, 0 },
		{ { .requests_per_minute = 1000 }, 4, 1 },
		{ { .requests_per_minute = 1000, .concurrent = 10 }, 4, 2 },
		{ { .images_per_day = 100 }, 0, 1 },
		{ { .images_per_day = 100 }, 4, 3 },
		{ { .concurrent = 10, .images_per_day = 100 }, 4, 3 },
	};

	(void)state;
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			int64_t before = commands();
			struct grant g;

			assert_int_equal(take("key_a", rows[i].set, &g), 0);
			if (rows[i].images)
				assert_int_equal(take_images(&g, rows[i].images), 0);
			store_limit_give(s, &g, rows[i].images);
			/* In the first round Redis does not know the scripts. */
			if (round)
				assert_int_equal(commands() - before, rows[i].commands);
		}
}

static void
what_is_sent_twice_counts_once(void **state)
{
	const struct limit_set set = { .images_per_day = 10 };
	struct grant g, twice;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	twice = g;
	assert_int_equal(take_images(&g, 8), 0);
	assert_int_equal(take_images(&twice, 8), 0);
	assert_int_equal(twice.images.remaining, 2);
	store_limit_give(s, &g, 3);
	store_limit_give(s, &twice, 3);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 7);
}

/* Until all is given back that could not be. */
static void
take_at_last(const struct limit_set set, struct grant *g)
{
	while (take("key_a", set, g) < 0) {
		assert_false(deadline_over(&d));
		sleep_ms(20);
	}
}

static void
what_a_dead_redis_was_not_given_it_is_given_later(void **state)
{
	const struct limit_set set = { .concurrent = 20, .images_per_day = 100 };
	struct grant g[20], other;
	int64_t start_us;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(take("key_a", set, &g[i]), 0);
		assert_int_equal(take_images(&g[i], 5), 0);
	}
	redis_kill(SIGKILL);
	start_us = clock_us();
	for (int i = 0; i < 20; i++)
		store_limit_give(s, &g[i], 2);
	/* One has waited for it, the others knew. */
	assert_true(clock_us() - start_us < (STORE_LIMIT_GIVE_MS + 1500) * 1000 * SLOW);
	assert_int_equal(redis_start(), 0);
	take_at_last(set, &other);
	while (other.images.remaining < 60) {
		assert_false(deadline_over(&d));
		store_limit_give(s, &other, 0);
		sleep_ms(20);
		assert_int_equal(take("key_a", set, &other), 0);
	}
	assert_int_equal(other.images.remaining, 60);
	for (int i = 1; i < 20; i++)
		assert_int_equal(take("key_a", set, &g[i]), 0);
	assert_int_equal(take("key_a", set, &g[0]), -1);
	assert_int_equal(e.kind, ERR_RATE_LIMITED);
}

static void
a_redis_that_hangs_is_an_error_in_time(void **state)
{
	const struct limit_set set = { .requests_per_minute = 100, .concurrent = 2 };
	struct grant g, other;
	int64_t start_us;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(kill(rd.pid, SIGSTOP), 0);
	start_us = clock_us();
	for (int i = 0; i < 3; i++) {
		struct deadline near = deadline_in_ms(200);

		assert_int_equal(store_limit_take(s, "key_a", &set, &other, &near, &e), -1);
		assert_int_equal(e.kind, ERR_STORE);
		assert_false(other.held);
		store_limit_give(s, &other, 0);
	}
	store_limit_give(s, &g, 0);
	assert_true(clock_us() - start_us < (600 + STORE_LIMIT_GIVE_MS + 1500) * 1000 * SLOW);
	assert_int_equal(kill(rd.pid, SIGCONT), 0);
	/* What it was told meanwhile it may have done: all of it comes back. */
	take_at_last(set, &g);
	take_at_last(set, &other);
	assert_int_equal(take("key_a", set, &(struct grant){ 0 }), -1);
	assert_int_equal(e.kind, ERR_RATE_LIMITED);
}

static void
a_redis_that_was_emptied_begins_anew(void **state)
{
	const struct limit_set set = { .requests_per_minute = 1,
				       .concurrent = 1,
				       .images_per_day = 4 };
	struct grant g;

	(void)state;
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(take_images(&g, 4), 0);
	redis_say("FLUSHALL");
	store_limit_give(s, &g, 0);
	assert_int_equal(take("key_a", set, &g), 0);
	assert_int_equal(g.images.remaining, 4);
}

/* clang-format off */
#define EVERY_TEST(driver) \
	TEST(driver, as_many_requests_pass_as_the_limit_says_and_the_next_is_told_when) \
	TEST(driver, who_waits_as_long_as_it_is_told_is_let_in) \
	TEST(driver, a_refused_request_takes_nothing) \
	TEST(driver, without_limits_nothing_is_counted) \
	TEST(driver, only_so_many_requests_are_in_hand_at_once) \
	TEST(driver, a_request_refused_for_want_of_a_place_is_not_counted_for_the_minute) \
	TEST(driver, the_places_are_exact_over_processes_and_threads) \
	TEST(driver, the_requests_of_a_minute_are_exact_over_processes_and_threads) \
	TEST(driver, a_killed_process_gives_back_what_it_held) \
	TEST(driver, the_days_pictures_are_counted_when_they_are_asked_for) \
	TEST(driver, pictures_that_did_not_come_are_given_back) \
	TEST(driver, the_days_pictures_survive_a_restart) \
	TEST(driver, who_leaves_is_not_in_hand_and_keeps_its_pictures) \
	TEST(driver, a_request_may_take_pictures_more_than_once) \
	TEST(driver, at_midnight_the_days_pictures_begin_anew) \
	TEST(driver, a_limit_that_is_lowered_holds_at_once) \
	TEST(driver, each_of_many_keys_has_its_own) \
	TEST(driver, what_lasts_longer_is_held_longer)

#define ONLY_REDIS \
	TEST(redis, machines_that_share_a_redis_share_the_limits) \
	TEST(redis, a_place_lapses_some_time_after_its_deadline) \
	TEST(redis, nothing_stays_that_no_longer_matters) \
	TEST(redis, a_request_asks_no_more_often_than_it_must) \
	TEST(redis, what_is_sent_twice_counts_once) \
	TEST(redis, what_a_dead_redis_was_not_given_it_is_given_later) \
	TEST(redis, a_redis_that_hangs_is_an_error_in_time) \
	TEST(redis, a_redis_that_was_emptied_begins_anew)
/* clang-format on */

int
main(void)
{
#define TEST(driver, name) { #driver ": " #name, name, counting_##driver, teardown_counting, NULL },
	const struct CMUnitTest tests[] = { EVERY_TEST(sqlite) EVERY_TEST(redis) ONLY_REDIS };

	return cmocka_run_group_tests(tests, begin_redis, end_redis);
}
