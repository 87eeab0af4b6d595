/* store_slot.h for both kinds of store: order, limits, deadlines, and what the dead leave behind. */
#include "slot_fixture.h"

#include <dirent.h>

#include "base/tick.h"

#define ROUNDS 40

/* ---- one process ---- */

static void
gives_as_many_as_there_are_and_takes_them_back(void **state)
{
	static const int64_t rows[] = { 1, 2, 7 };

	(void)state;
	for (size_t r = 0; r < 3; r++) {
		struct slot held[8], more;
		char name[8];
		struct slot_wish w;

		(void)snprintf(name, sizeof(name), "p%zu", r);
		w = wish_of(name, one_key, 1, rows[r]);
		for (int64_t i = 0; i < rows[r]; i++)
			TAKEN(take_wish(&held[i], &w, 0));
		TOO_LATE(take_wish(&more, &w, 0));
		store_slot_done(&held[0]);
		TAKEN(take_wish(&more, &w, 0));
		TOO_LATE(take_wish(&held[0], &w, 0));
		store_slot_done(&more);
		store_slot_done(&more); /* once is enough; twice does no harm */
		for (int64_t i = 1; i < rows[r]; i++)
			store_slot_done(&held[i]);
	}
}

static void
a_wait_that_ends_at_the_deadline_says_where(void **state)
{
	struct slot held, second;
	int64_t start, took_ms;

	(void)state;
	TAKEN(take(&held, 0));
	start = clock_us();
	TOO_LATE(take(&second, 300));
	took_ms = ms_since(start);
	assert_string_equal(e.stage, "queue");
	assert_string_equal(e.about, "waiting for a free slot at sim (place 1 in the line)");
	assert_string_equal(e.upstream.name, "sim");
	assert_false(e.may_have_been_billed);
	assert_in_range(took_ms, 300, 1300);
	/* It left the line: the slot goes to the next one who asks. */
	store_slot_done(&held);
	TAKEN(take(&second, 0));
	store_slot_done(&second);
}

static void
each_provider_and_each_key_has_slots_of_its_own(void **state)
{
	struct slot a, b, c, d;
	struct slot_wish both = wish_of("sim", two_keys, 2, 1);
	struct slot_wish second = wish_of("sim", two_keys + 1, 1, 1);
	struct slot_wish other = wish_of("sim_", two_keys, 2, 1);
	struct slot_wish odd = wish_of("../sim/名", one_key, 1, 1);

	(void)state;
	TAKEN(take_wish(&a, &both, 0));
	TAKEN(take_wish(&b, &both, 0));
	assert_int_not_equal(a.key, b.key);
	TOO_LATE(take_wish(&c, &both, 0));
	TOO_LATE(take_wish(&c, &second, 0));
	/* The key that is asked for alone is found under its own number. */
	store_slot_done(a.key == 1 ? &a : &b);
	TAKEN(take_wish(&c, &second, 0));
	assert_int_equal(c.key, 0);
	TAKEN(take_wish(&d, &other, 0));
	store_slot_done(&d);
	TAKEN(take_wish(&d, &odd, 0));
	store_slot_done(&d);
	store_slot_done(&c);
	store_slot_done(&a);
	store_slot_done(&b);
}

static void
more_keys_than_it_can_tell_apart_come_and_go(void **state)
{
	(void)state;
	/* Keys are replaced over the years: nobody stands for the old ones any more. */
	for (uint64_t i = 1; i <= 3 * SLOT_KEYS_MAX; i++) {
		struct slot_wish w = wish_of("sim", &i, 1, 1);
		struct slot s, t;

		TAKEN(take_wish(&s, &w, 0));
		TOO_LATE(take_wish(&t, &w, 0));
		store_slot_done(&s);
	}
}

static void
as_many_keys_as_there_may_be_are_told_apart(void **state)
{
	struct slot held[SLOT_KEYS_MAX], more;
	uint64_t keys[SLOT_KEYS_MAX], seen = 0;
	struct slot_wish w = wish_of("sim", keys, SLOT_KEYS_MAX, 1);

	(void)state;
	for (unsigned i = 0; i < SLOT_KEYS_MAX; i++)
		keys[i] = i + 1;
	for (unsigned i = 0; i < SLOT_KEYS_MAX; i++) {
		TAKEN(take_wish(&held[i], &w, 0));
		seen |= 1ULL << held[i].key;
	}
	assert_true(seen == UINT64_MAX);
	TOO_LATE(take_wish(&more, &w, 30));
	for (unsigned i = 0; i < SLOT_KEYS_MAX; i++)
		store_slot_done(&held[i]);
}

static void *
take_second_key(void *arg)
{
	struct slot_wish w = wish_of("sim", two_keys + 1, 1, 1);
	struct slot s;

	(void)arg;
	if (take_wish(&s, &w, FAR_MS) < 0)
		return shared;
	atomic_store(&shared->ready, 1);
	store_slot_done(&s);
	return NULL;
}

static void
who_waits_for_a_busy_key_holds_nobody_up_who_wants_another(void **state)
{
	struct slot_wish both = wish_of("sim", two_keys, 2, 1);
	struct slot a, b;
	pthread_t t[2];
	void *failed;
	_Atomic int64_t got_us = 0;

	(void)state;
	TAKEN(take_wish(&a, &both, 0));
	TAKEN(take_wish(&b, &both, 0));
	assert_int_equal(pthread_create(&t[0], NULL, take_once, &got_us), 0); /* the first key */
	UNTIL(are_waiting(1));
	assert_int_equal(pthread_create(&t[1], NULL, take_second_key, NULL), 0);
	UNTIL(are_waiting(2));
	store_slot_done(a.key == 1 ? &a : &b);
	assert_int_equal(pthread_join(t[1], &failed), 0);
	assert_null(failed);
	assert_int_equal(shared->ready, 1);
	assert_int_equal(got_us, 0);
	store_slot_done(&a);
	store_slot_done(&b);
	assert_int_equal(pthread_join(t[0], &failed), 0);
	assert_null(failed);
}

static void
a_line_that_is_full_takes_nobody_more(void **state)
{
	struct slot *held = calloc(SLOT_LINE_MAX, sizeof(*held)), more;
	struct slot_wish w = wish_of("sim", one_key, 1, SLOT_LINE_MAX + 10);

	(void)state;
	assert_non_null(held);
	for (unsigned i = 0; i < SLOT_LINE_MAX; i++)
		TAKEN(take_wish(&held[i], &w, 0));
	assert_int_equal(take_wish(&more, &w, FAR_MS), -1);
	assert_int_equal(e.kind, ERR_OVERLOADED);
	assert_string_equal(e.stage, "queue");
	assert_true(e.retry_after_s > 0);
	store_slot_done(&held[7]);
	TAKEN(take_wish(&held[7], &w, 0));
	assert_int_equal(take_wish(&more, &w, 0), -1);
	assert_int_equal(e.kind, ERR_OVERLOADED);
	for (unsigned i = 0; i < SLOT_LINE_MAX; i++)
		store_slot_done(&held[i]);
	free(held);
}

static void *
give_back(void *slot)
{
	store_slot_done(slot);
	return NULL;
}

static void
another_thread_may_give_it_back(void **state)
{
	struct slot s;
	pthread_t t;

	(void)state;
	TAKEN(take(&s, 0));
	assert_int_equal(pthread_create(&t, NULL, give_back, &s), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	TAKEN(take(&s, 0));
	store_slot_done(&s);
}

static void
forsake(void *self)
{
	struct tick *t = self;

	t->forsaken = true;
}

static void
who_has_left_leaves_the_line(void **state)
{
	struct tick t = { .fn = forsake, .self = &t, .every_us = 5000 };
	struct slot held, other;
	int rc;

	(void)state;
	TAKEN(take(&held, 0));
	t.next_us = clock_us() + 50000;
	(void)tick_set(&t);
	rc = take(&other, FAR_MS);
	(void)tick_set(NULL);
	assert_int_equal(rc, -1);
	assert_int_equal(e.kind, ERR_GONE);
	assert_string_equal(e.stage, "queue");
	assert_string_equal(e.upstream.name, "sim");
	/* Its place went with it. */
	assert_true(are_waiting(0));
	store_slot_done(&held);
	TAKEN(take(&other, 0));
	store_slot_done(&other);
}

static void *
take_in_thread(void *arg)
{
	int number = (int)(intptr_t)arg;
	struct slot s;

	if (take(&s, FAR_MS) < 0)
		return arg;
	shared->order[atomic_fetch_add(&shared->norder, 1)] = number;
	if (atomic_fetch_add(&shared->inside, 1))
		atomic_store(&shared->most, 2);
	nap();
	(void)atomic_fetch_sub(&shared->inside, 1);
	store_slot_done(&s);
	return NULL;
}

static void
threads_are_served_in_the_order_they_came(void **state)
{
	pthread_t t[WAITERS];
	struct slot held;
	void *failed;

	(void)state;
	TAKEN(take(&held, 0));
	for (int i = 0; i < WAITERS; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, take_in_thread, (void *)(intptr_t)i),
				 0);
		UNTIL(are_waiting(i + 1));
	}
	store_slot_done(&held);
	for (int i = 0; i < WAITERS; i++) {
		assert_int_equal(pthread_join(t[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(shared->most, 0);
	for (int i = 0; i < WAITERS; i++)
		assert_int_equal(shared->order[i], i);
}

static void
one_who_gives_up_does_not_hold_up_the_others(void **state)
{
	struct slot held;
	pthread_t t;
	void *failed;

	(void)state;
	TAKEN(take(&held, 0));
	assert_int_equal(pthread_create(&t, NULL, take_in_thread, NULL), 0);
	UNTIL(are_waiting(1)); /* each of its looks was one who gave up */
	store_slot_done(&held);
	assert_int_equal(pthread_join(t, &failed), 0);
	assert_null(failed);
}

/* ---- several processes ---- */

static int rounds; /* of each process */

static int
contend(int number)
{
	struct slot_wish w = wish_of("sim", one_key, 1, 2);
	struct slot s;

	for (int i = 0; i < rounds; i++) {
		int inside;

		if (take_wish(&s, &w, FAR_MS) < 0)
			return 1;
		inside = atomic_fetch_add(&shared->inside, 1) + 1;
		if (inside > atomic_load(&shared->most))
			atomic_store(&shared->most, inside);
		if (i % 4 == 0)
			nap();
		(void)atomic_fetch_sub(&shared->inside, 1);
		store_slot_done(&s);
		(void)atomic_fetch_add(&shared->done[number], 1);
	}
	return 0;
}

static void
processes_never_hold_more_than_allowed_and_all_get_their_turn(void **state)
{
	pid_t pids[WAITERS];

	(void)state;
	rounds = url == rd.url ? ROUNDS / 4 : ROUNDS; /* there a turn takes 20 ms */
	for (int i = 0; i < WAITERS; i++)
		pids[i] = process(contend, i);
	for (int i = 0; i < WAITERS; i++)
		ended(pids[i]);
	assert_in_range(shared->most, 1, 2);
	for (int i = 0; i < WAITERS; i++)
		assert_int_equal(shared->done[i], rounds);
}

static int
queue_up(int number)
{
	struct slot s;

	if (take(&s, FAR_MS) < 0)
		return 1;
	shared->order[atomic_fetch_add(&shared->norder, 1)] = number;
	store_slot_done(&s);
	return 0;
}

static void
processes_are_served_in_the_order_they_came(void **state)
{
	pid_t pids[WAITERS];
	struct slot held;

	(void)state;
	/* Forked before anything is opened: a child must not share what its parent has. */
	for (int i = 0; i < WAITERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			int rc = 98;

			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (atomic_load(&shared->go) != i + 1)
				nap();
			if (store_open(&store, url, dir, false, &e) == 0)
				rc = queue_up(i);
			store_free(store);
			_exit(rc);
		}
	}
	TAKEN(take(&held, 0));
	for (int i = 0; i < WAITERS; i++) {
		atomic_store(&shared->go, i + 1);
		UNTIL(are_waiting(i + 1));
	}
	store_slot_done(&held);
	for (int i = 0; i < WAITERS; i++)
		ended(pids[i]);
	for (int i = 0; i < WAITERS; i++)
		assert_int_equal(shared->order[i], i);
}

static int
wait_for_ever(int number)
{
	atomic_store(&shared->ready, 1);
	return hold_for_ever(number);
}

static void
a_killed_holder_loses_its_slot_within_a_second(void **state)
{
	pid_t holder = process(hold_for_ever, 1);
	struct slot s;
	int64_t start;

	(void)state;
	UNTIL(atomic_load(&shared->norder) == 1);
	TOO_LATE(take(&s, 50));
	start = clock_us();
	killed(holder);
	TAKEN(take(&s, FAR_MS));
	assert_in_range(ms_since(start), 0, 1000);
	store_slot_done(&s);
}

static void
one_who_waits_gets_the_slot_of_a_killed_holder_within_a_second(void **state)
{
	pid_t holder = process(hold_for_ever, 1);
	_Atomic int64_t got_us = 0;
	pthread_t t;
	void *failed;
	int64_t start;

	(void)state;
	UNTIL(atomic_load(&shared->norder) == 1);
	assert_int_equal(pthread_create(&t, NULL, take_once, &got_us), 0);
	UNTIL(are_waiting(1));
	start = clock_us();
	killed(holder);
	assert_int_equal(pthread_join(t, &failed), 0);
	assert_null(failed);
	assert_in_range((got_us - start) / 1000, 0, 1000);
}

static void
a_killed_waiter_is_passed_over(void **state)
{
	pid_t holder = process(hold_for_ever, 1), waiter;
	_Atomic int64_t got_us = 0;
	pthread_t t;
	void *failed;

	(void)state;
	UNTIL(atomic_load(&shared->norder) == 1);
	waiter = process(wait_for_ever, 2);
	UNTIL(atomic_load(&shared->ready) && are_waiting(1));
	assert_int_equal(pthread_create(&t, NULL, take_once, &got_us), 0);
	UNTIL(are_waiting(2));
	killed(waiter);
	killed(holder);
	assert_int_equal(pthread_join(t, &failed), 0);
	assert_null(failed);
	assert_int_equal(shared->norder, 1); /* the dead one never had it */
}

static int
take_and_die(int number)
{
	struct slot s;

	(void)number;
	atomic_store(&shared->ready, 1);
	while (take(&s, FAR_MS) == 0)
		store_slot_done(&s);
	return 1;
}

static void
wherever_the_kill_hits_the_slot_comes_back(void **state)
{
	struct slot s;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		pid_t a, b;

		atomic_store(&shared->ready, 0);
		a = process(take_and_die, 0);
		b = process(take_and_die, 0);
		UNTIL(atomic_load(&shared->ready));
		(void)usleep((unsigned)(i * 37 % 1000));
		killed(a);
		killed(b);
	}
	for (int i = 0; i < 3; i++) {
		TAKEN(take(&s, 2000));
		store_slot_done(&s);
	}
}

/* ---- what is not ours ---- */

static void
refuses_a_file_it_cannot_use(void **state)
{
	struct slot s;
	struct dirent *entry;
	struct stat st;
	char path[160];
	int fd = -1;
	DIR *list;

	(void)state;
	/* Nothing is opened before it is needed. */
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	(void)mine();
	assert_int_not_equal(access(path, F_OK), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	fd = -1;
	assert_int_equal(take(&s, 0), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_int_equal(unlink(path), 0);
	TAKEN(take(&s, 0));
	store_slot_done(&s);
	store_free(TAKE_PTR(store));

	/* Another layout under this name: it is not touched. */
	(void)snprintf(path, sizeof(path), "%s/run/slots", dir);
	list = opendir(path);
	assert_non_null(list);
	while ((entry = readdir(list)))
		if (!strncmp(entry->d_name, "sim.", 4))
			fd = openat(dirfd(list), entry->d_name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(dirfd(list), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(st.st_blocks * 512 >= st.st_size); /* no hole: SIGBUS on a full disk */
	assert_int_equal(pwrite(fd, "garbage!", 8, 0), 8);
	(void)close(fd);
	(void)closedir(list);
	assert_int_equal(take(&s, 0), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
}

static void
refuses_a_wish_that_is_none(void **state)
{
	uint64_t keys[SLOT_KEYS_MAX + 1] = { 1 };
	struct slot_wish rows[] = { wish_of("sim", keys, 0, 1), wish_of("sim", keys, 1, 0),
				    wish_of("sim", keys, SLOT_KEYS_MAX + 1, 1) };
	struct slot s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(take_wish(&s, &rows[i], 0), -1);
		assert_int_equal(e.kind, ERR_INTERNAL);
		store_slot_done(&s); /* nothing was taken */
	}
}

static int
begin_redis(void **state)
{
	(void)state;
	return redis_begin();
}

static int
end_redis(void **state)
{
	(void)state;
	redis_end();
	return 0;
}

int
main(void)
{
#define SQLITE(name)                                                     \
	{                                                                \
		"sqlite: " #name, name, setup_sqlite, teardown_any, NULL \
	}
#define REDIS(name)                                                    \
	{                                                              \
		"redis: " #name, name, setup_redis, teardown_any, NULL \
	}
#define BOTH(name) SQLITE(name), REDIS(name)
	const struct CMUnitTest tests[] = {
		BOTH(gives_as_many_as_there_are_and_takes_them_back),
		BOTH(a_wait_that_ends_at_the_deadline_says_where),
		BOTH(each_provider_and_each_key_has_slots_of_its_own),
		BOTH(more_keys_than_it_can_tell_apart_come_and_go),
		BOTH(as_many_keys_as_there_may_be_are_told_apart),
		BOTH(who_waits_for_a_busy_key_holds_nobody_up_who_wants_another),
		BOTH(a_line_that_is_full_takes_nobody_more),
		BOTH(another_thread_may_give_it_back),
		BOTH(who_has_left_leaves_the_line),
		BOTH(threads_are_served_in_the_order_they_came),
		BOTH(one_who_gives_up_does_not_hold_up_the_others),
		BOTH(processes_never_hold_more_than_allowed_and_all_get_their_turn),
		BOTH(processes_are_served_in_the_order_they_came),
		BOTH(a_killed_holder_loses_its_slot_within_a_second),
		BOTH(one_who_waits_gets_the_slot_of_a_killed_holder_within_a_second),
		BOTH(a_killed_waiter_is_passed_over),
		BOTH(wherever_the_kill_hits_the_slot_comes_back),
		SQLITE(refuses_a_file_it_cannot_use),
		BOTH(refuses_a_wish_that_is_none),
	};

	return cmocka_run_group_tests(tests, begin_redis, end_redis);
}
