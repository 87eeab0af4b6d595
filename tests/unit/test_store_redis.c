/* What only a Redis can do to us: restart, hang, refuse, be set up wrongly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>

#include "store_fixture.h"

#define ADDERS 4

static void
works_over_a_local_socket(void **state)
{
	struct store *other;

	(void)state;
	OK(store_open(&other, rd.unix_url, dir, false, &e));
	add("a1", "");
	store_free(TAKE_PTR(s));
	s = other;
	assert_string_equal(claim_all(), "a1");
}

static void
goes_on_when_its_scripts_are_forgotten(void **state)
{
	(void)state;
	add("a1", "");
	redis_say("SCRIPT FLUSH");
	add("a2", "");
	assert_string_equal(claim_all(), "a1 a2");
}

static void
tells_which_setting_loses_data(void **state)
{
	struct store *other = NULL;

	(void)state;
	redis_say("CONFIG SET maxmemory-policy allkeys-lru");
	assert_int_equal(store_open(&other, rd.url, dir, false, &e), -1);
	redis_say("CONFIG SET maxmemory-policy noeviction");
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_non_null(strstr(e.about, "maxmemory-policy allkeys-lru"));
}

static void
collect_remark(const char *sentence, void *arg)
{
	(void)arg;
	collect(sentence);
}

static void
says_what_may_be_lost(void **state)
{
	(void)state;
	(void)collected(0);
	OK(store_remarks(s, collect_remark, NULL, &d, &e));
	assert_int_equal(collected(0), 0);
	redis_say("CONFIG SET appendonly no");
	OK(store_remarks(s, collect_remark, NULL, &d, &e));
	redis_say("CONFIG SET appendonly yes");
	assert_non_null(strstr(collection, "appendonly yes"));
	assert_int_equal(collected(0), 1);
}

static void
names_what_is_missing_or_too_new(void **state)
{
	struct store *other = NULL;

	(void)state;
	redis_say("DEL easel:schema");
	assert_int_equal(store_open(&other, rd.url, dir, false, &e), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
	assert_int_equal(store_ping(s, &d, &e), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
	redis_say("SET easel:schema 99");
	assert_int_equal(store_open(&other, rd.url, dir, true, &e), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_TOO_NEW);
	assert_string_equal(e.found, "99");
}

static void
names_what_is_damaged_and_mends_the_queue(void **state)
{
	static const char *const keys[] = { "ready", "leases", "running", "counts", "lane:" };
	struct store *other = NULL;

	(void)state;
	add("a1", "a");
	assert_string_equal(claim_all(), "a1");
	add("a2", "a");
	add("b1", "");
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		uint64_t place;

		redis_say(text("SET easel:%s oops", keys[i]));
		assert_int_equal(store_ping(s, &d, &e), -1);
		assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
		assert_string_equal(e.about, text("easel:%s", keys[i]));
		OK(store_open(&other, rd.url, dir, true, &e));
		store_free(TAKE_PTR(other));
		OK(store_ping(s, &d, &e));
		OK(store_task_position(s, "b1", NULL, &place, &d, &e));
		assert_int_equal(place, 1);
	}
	assert_string_equal(claim_all(), "b1");
	end_task("a1", 1, TASK_SUCCESS);
	assert_string_equal(claim_all(), "a2");
}

static void
tells_no_password(void **state)
{
	struct store *other = NULL;

	(void)state;
	assert_int_equal(store_open(&other, text("redis://easel:hunter2@127.0.0.1:%d/0", rd.port),
				    dir, false, &e),
			 -1);
	assert_int_equal(e.kind, ERR_STORE);
	assert_non_null(strstr(e.detail, "WRONGPASS"));
	assert_null(strstr(e.detail, "hunter2"));
	assert_null(strstr(e.about, "hunter2"));
}

static void
its_user_may_touch_nothing_else(void **state)
{
	static const char *const refused[] = { "SET other 1",     "GET other",    "FLUSHALL",
					       "KEYS easel:*",    "CONFIG GET *", "SHUTDOWN",
					       "ACL LIST",        "SCRIPT FLUSH", "MONITOR",
					       "RENAME easel:a b" };
	redisContext *c = redisConnectUnix(rd.socket);
	redisReply *r = redisCommand(c, "AUTH easel %s", REDIS_PASSWORD);

	(void)state;
	assert_int_equal(r->type, REDIS_REPLY_STATUS);
	freeReplyObject(r);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		r = redisCommand(c, refused[i]);
		assert_int_equal(r->type, REDIS_REPLY_ERROR);
		if (!strstr(r->str, "NOPERM"))
			fail_msg("%s: %s", refused[i], r->str);
		freeReplyObject(r);
	}
	redisFree(c);
}

static void
waits_for_a_redis_that_hangs_no_longer_than_the_deadline(void **state)
{
	struct deadline short_one = deadline_in_ms(200);
	struct task_counts n;
	int64_t start = clock_us();

	(void)state;
	(void)kill(rd.pid, SIGSTOP);
	assert_int_equal(store_task_counts(s, &n, &short_one, &e), -1);
	(void)kill(rd.pid, SIGCONT);
	assert_int_equal(e.kind, ERR_STORE);
	assert_in_range(clock_us() - start, 150000, 4000000);
	OK(store_task_counts(s, &n, &d, &e));
}

static void *
continue_later(void *arg)
{
	static const struct timespec pause = { .tv_nsec = 100000000 };

	(void)nanosleep(&pause, NULL);
	(void)kill(rd.pid, SIGCONT);
	return arg;
}

static void
a_wait_that_is_over_still_has_time_to_look(void **state)
{
	struct deadline over = deadline_in_ms(0);
	uint32_t seen = 0;
	pthread_t thread;

	(void)state;
	add("a1", "");
	(void)kill(rd.pid, SIGSTOP);
	assert_int_equal(pthread_create(&thread, NULL, continue_later, NULL), 0);
	OK(store_task_wait(s, TASK_WAIT_QUEUE, &seen, &over, &e));
	(void)pthread_join(thread, NULL);
	assert_int_not_equal(seen, 0);
}

static void
says_so_when_nobody_answers(void **state)
{
	struct task_counts n;
	struct deadline soon = deadline_in_ms(100);

	(void)state;
	redis_kill(SIGTERM);
	assert_int_equal(store_task_counts(s, &n, &soon, &e), -1);
	assert_int_equal(e.kind, ERR_STORE);
	assert_int_equal(redis_start(), 0);
	OK(store_task_counts(s, &n, &d, &e));
}

static _Atomic int acknowledged, failed;
static _Atomic bool enough;
static char known[4096][40];

static void *
adds_all_the_time(void *arg)
{
	int who = (int)(intptr_t)arg;

	for (int i = 0; !enough && i < 1000; i++) {
		struct deadline soon = deadline_in_ms(10000);
		struct task_record t;
		char id[40];
		struct err own;
		bool added;

		(void)snprintf(id, sizeof(id), "task_%d_%d", who, i);
		t = a_task(id, "");
		if (store_task_add(s, &t, NULL, NULL, &added, &soon, &own) < 0)
			failed++;
		else
			memcpy(known[acknowledged++], id, sizeof(id));
	}
	return NULL;
}

static void
loses_nothing_that_was_acknowledged_when_it_is_killed(void **state)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	pthread_t thread[ADDERS];

	(void)state;
	for (int i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, adds_all_the_time,
						(void *)(intptr_t)i),
				 0);
	while (acknowledged < 50)
		(void)nanosleep(&pause, NULL);
	redis_kill(SIGKILL);
	assert_int_equal(redis_start(), 0);
	enough = true;
	for (int i = 0; i < ADDERS; i++)
		(void)pthread_join(thread[i], NULL);
	for (int i = 0; i < acknowledged; i++) {
		AUTO(task_record) t = { 0 };
		bool is;

		OK(store_task_get(s, known[i], &t, &is, &d, &e));
		assert_true(is);
	}
	/* Each thread had one on its way, and a restart takes less than what they wait. */
	assert_in_range(failed, 0, ADDERS);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_redis, teardown_any)
	const struct CMUnitTest tests[] = {
		TEST(works_over_a_local_socket),
		TEST(goes_on_when_its_scripts_are_forgotten),
		TEST(tells_which_setting_loses_data),
		TEST(says_what_may_be_lost),
		TEST(names_what_is_missing_or_too_new),
		TEST(names_what_is_damaged_and_mends_the_queue),
		TEST(tells_no_password),
		TEST(its_user_may_touch_nothing_else),
		TEST(waits_for_a_redis_that_hangs_no_longer_than_the_deadline),
		TEST(a_wait_that_is_over_still_has_time_to_look),
		TEST(says_so_when_nobody_answers),
		TEST(loses_nothing_that_was_acknowledged_when_it_is_killed),
	};

	return cmocka_run_group_tests(tests, begin_redis, end_redis);
}
