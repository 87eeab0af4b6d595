/* Slots in Redis: leases, several machines, and a Redis that comes and goes. */
#include "slot_fixture.h"

#include <dirent.h>

#include "store/redis_slot_lease.h"

/* Short enough to wait for, long enough for a slow machine to renew it in time. */
#define SHORT_MS 2000

static int
setup_short(void **state)
{
	lease_ms_set(SHORT_MS);
	return setup_redis(state);
}

static int
teardown_short(void **state)
{
	int rc = teardown_any(state);

	lease_ms_set(SLOT_LEASE_MS);
	return rc;
}

/* How many members there are of a sorted set; past the store. */
static long long
size_of(const char *key)
{
	redisReply *r = redisCommand(rd.admin, "ZCARD %s", key);
	long long n = r ? r->integer : -1;

	if (r)
		freeReplyObject(r);
	return n;
}

#define HELD "easel:slot:0000000000001111:sim"

static void
wait_ms(int64_t ms)
{
	struct deadline d = deadline_in_ms(ms);

	while (!deadline_over(&d))
		nap();
}

/* ---- leases ---- */

static void
a_lease_is_renewed_as_long_as_it_is_held(void **state)
{
	pid_t holder = process(hold_for_ever, 1);
	struct slot s;

	(void)state;
	UNTIL(atomic_load(&shared->norder) == 1);
	TOO_LATE(take(&s, 3 * SHORT_MS));
	killed(holder);
}

static void
the_lease_of_another_machine_ends_by_itself_and_not_before(void **state)
{
	pid_t holder = process_of(other_dir, hold_for_ever, 1);
	struct slot s;
	int64_t start;

	(void)state;
	UNTIL(atomic_load(&shared->norder) == 1);
	start = clock_us();
	killed(holder);
	TOO_LATE(take(&s, SHORT_MS / 4)); /* it does not know that it is dead */
	TAKEN(take(&s, FAR_MS));
	assert_in_range(ms_since(start), SHORT_MS / 2, 2 * SHORT_MS);
	store_slot_done(&s);
}

static void
who_waited_on_a_machine_that_is_gone_is_passed_over(void **state)
{
	pid_t holder = process(hold_for_ever, 1), waiter = process_of(other_dir, hold_for_ever, 2);
	_Atomic int64_t got_us = 0;
	int64_t start;
	pthread_t t;
	void *failed;

	(void)state;
	UNTIL(atomic_load(&shared->norder) == 1);
	/* Whichever of them was first. */
	if (shared->order[0] == 2) {
		pid_t other = holder;

		holder = waiter;
		waiter = other;
	}
	UNTIL(are_waiting(1));
	assert_int_equal(pthread_create(&t, NULL, take_once, &got_us), 0);
	UNTIL(are_waiting(2));
	start = clock_us();
	killed(waiter);
	killed(holder);
	assert_int_equal(pthread_join(t, &failed), 0);
	assert_null(failed);
	assert_in_range((got_us - start) / 1000, 0, 3000 + 2 * SHORT_MS);
	assert_int_equal(shared->norder, 1);
}

static void
nothing_is_left_when_all_is_given_back(void **state)
{
	struct slot_wish both = wish_of("sim", two_keys, 2, 1);
	struct slot a, b, c;

	(void)state;
	TAKEN(take_wish(&a, &both, 0));
	TAKEN(take_wish(&b, &both, 0));
	TOO_LATE(take_wish(&c, &both, 100));
	assert_int_equal(size_of(HELD), 1);
	store_slot_done(&a);
	store_slot_done(&b);
	assert_int_equal(size_of(HELD), 0);
	assert_int_equal(size_of("easel:slot-line:sim"), 0);
	assert_int_equal(size_of("easel:slot-seen:sim"), 0);
	assert_int_equal(size_of("easel:slot-queue:0000000000001111:sim"), 0);
	assert_int_equal(size_of("easel:slot-queue:0000000000002222:sim"), 0);
}

static unsigned
threads(void)
{
	DIR *list = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(list);
	while (readdir(list))
		n++;
	(void)closedir(list);
	return n;
}

static void
there_is_a_thread_only_after_something_was_taken(void **state)
{
	unsigned before = threads();
	struct slot s;

	(void)state;
	(void)mine();
	assert_int_equal(threads(), before);
	TAKEN(take(&s, 0));
	store_slot_done(&s);
	assert_int_equal(threads(), before + 1);
	store_free(TAKE_PTR(store));
	assert_int_equal(threads(), before);
}

/* ---- several machines ---- */

static int
come_and_go(int number)
{
	struct slot s;

	for (int i = 0; i < 10; i++) {
		if (take(&s, FAR_MS) < 0)
			return 1;
		if (atomic_fetch_add(&shared->inside, 1))
			atomic_store(&shared->most, 2);
		nap();
		(void)atomic_fetch_sub(&shared->inside, 1);
		store_slot_done(&s);
		(void)atomic_fetch_add(&shared->done[number], 1);
	}
	return 0;
}

static void
two_machines_share_one_limit(void **state)
{
	pid_t pids[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		pids[i] = process_of(i % 2 ? other_dir : dir, come_and_go, i);
	for (int i = 0; i < 4; i++)
		ended(pids[i]);
	assert_int_equal(shared->most, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(shared->done[i], 10);
}

/* ---- a Redis that comes and goes ---- */

static void
what_redis_has_lost_is_said_again(void **state)
{
	struct slot held, s;

	(void)state;
	TAKEN(take(&held, 0));
	redis_say("FLUSHALL");
	UNTIL(size_of(HELD) == 1);
	TOO_LATE(take(&s, 100));
	store_slot_done(&held);
	TAKEN(take(&s, 0));
	store_slot_done(&s);
}

/* Its own thread takes what another machine may not have before. */
static void
a_slot_stays_its_holders(struct slot *held)
{
	struct slot s;

	assert_int_equal(take(&s, SHORT_MS), -1);
	if (e.kind != ERR_DEADLINE)
		fail_msg("%s, %s", err_code(&e), e.detail);
	store_slot_done(held);
	TAKEN(take(&s, FAR_MS));
	store_slot_done(&s);
}

static void
a_redis_that_was_away_for_longer_than_a_lease_gives_nothing_away(void **state)
{
	struct slot held;

	(void)state;
	TAKEN(take(&held, 0));
	redis_kill(SIGKILL);
	wait_ms(SHORT_MS + SHORT_MS / 4);
	assert_int_equal(redis_start(), 0);
	a_slot_stays_its_holders(&held);
}

static void
a_redis_that_forgot_everything_gives_nothing_away(void **state)
{
	struct slot held;

	(void)state;
	TAKEN(take(&held, 0));
	redis_kill(SIGKILL);
	redis_forget();
	assert_int_equal(redis_start(), 0);
	a_slot_stays_its_holders(&held);
}

static void
what_ends_while_redis_is_away_is_given_back_later(void **state)
{
	struct slot s;
	int64_t start;

	(void)state;
	TAKEN(take(&s, 0));
	redis_kill(SIGKILL);
	start = clock_us();
	store_slot_done(&s);
	assert_in_range(ms_since(start), 0, 2000);
	assert_int_equal(redis_start(), 0);
	UNTIL(size_of(HELD) == 0);
	assert_in_range(ms_since(start), 0, SLOT_LEASE_MS - 2000); /* not because it lapsed */
	TAKEN(take(&s, FAR_MS));
	store_slot_done(&s);
}

static void
a_redis_that_does_not_answer_is_an_error_in_time(void **state)
{
	struct slot s;
	int64_t start;

	(void)state;
	TAKEN(take(&s, 0));
	store_slot_done(&s);
	(void)kill(rd.pid, SIGSTOP);
	start = clock_us();
	assert_int_equal(take(&s, 500), -1);
	(void)kill(rd.pid, SIGCONT);
	assert_int_equal(e.kind, ERR_STORE);
	assert_in_range(ms_since(start), 400, 2500);
	store_slot_done(&s); /* there is none */
	/* What it may have given to nobody comes back. */
	start = clock_us();
	TAKEN(take(&s, FAR_MS));
	assert_in_range(ms_since(start), 0, SLOT_LEASE_MS - 2000);
	store_slot_done(&s);
}

static int
begin(void **state)
{
	(void)state;
	return redis_begin();
}

static int
end(void **state)
{
	(void)state;
	redis_end();
	return 0;
}

int
main(void)
{
#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup_redis, teardown_any)
#define SHORT(name) cmocka_unit_test_setup_teardown(name, setup_short, teardown_short)
	const struct CMUnitTest tests[] = {
		SHORT(a_lease_is_renewed_as_long_as_it_is_held),
		SHORT(the_lease_of_another_machine_ends_by_itself_and_not_before),
		SHORT(who_waited_on_a_machine_that_is_gone_is_passed_over),
		TEST(nothing_is_left_when_all_is_given_back),
		TEST(there_is_a_thread_only_after_something_was_taken),
		TEST(two_machines_share_one_limit),
		SHORT(what_redis_has_lost_is_said_again),
		SHORT(a_redis_that_was_away_for_longer_than_a_lease_gives_nothing_away),
		SHORT(a_redis_that_forgot_everything_gives_nothing_away),
		TEST(what_ends_while_redis_is_away_is_given_back_later),
		TEST(a_redis_that_does_not_answer_is_an_error_in_time),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
