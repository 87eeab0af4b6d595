/* shared/job/slots: order, limits, deadlines, and what the dead leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/fingerprint.h"
#include "base/deadline.h"
#include "job/slots.h"

#define WAITERS 12
#define ROUNDS  40
#define FAR_MS  20000

static char dir[64];
static _Thread_local struct err e;

/* Seen by every process of a test. */
static struct {
	_Atomic int inside, most, ready, go;
	_Atomic int order[64], norder;
	_Atomic long done[WAITERS];
} * shared;

static const char *const one_key[] = { "sk-one-0123456789" };
static const char *const two_keys[] = { "sk-one-0123456789", "sk-two-0123456789" };

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(fingerprint_init(dir, &e), 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	return 0;
}

static int
teardown(void **state)
{
	char command[128];
	pid_t pid;
	int status;

	(void)state;
	slots_close();
	(void)munmap(shared, sizeof(*shared));
	pid = fork();
	if (pid == 0) {
		(void)snprintf(command, sizeof(command), "%s", dir);
		(void)execlp("rm", "rm", "-rf", command, (char *)NULL);
		_exit(1);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static struct slot_wish
wish_of(const char *provider, const char *const *keys, unsigned n, int64_t concurrency)
{
	return (struct slot_wish){ provider, keys, n, concurrency };
}

static int
take(struct slot *s, int64_t ms)
{
	struct slot_wish w = wish_of("sim", one_key, 1, 1);
	struct deadline d = deadline_in_ms(ms);

	e = (struct err){ 0 };
	return slot_take(s, &w, &d, &e);
}

static void
nap(void)
{
	(void)usleep(1000);
}

/* Waits for a condition, at most FAR_MS. */
#define UNTIL(condition)                                         \
	do {                                                     \
		struct deadline until_ = deadline_in_ms(FAR_MS); \
		while (!(condition)) {                           \
			assert_false(deadline_over(&until_));    \
			nap();                                   \
		}                                                \
	} while (0)

/* A process of the installation: opens, runs fn, and ends with its answer. */
static pid_t
process(int (*fn)(int), int arg)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int rc = slots_open(dir, &e) < 0 ? 99 : fn(arg);

		slots_close();
		_exit(rc);
	}
	return pid;
}

static void
ended(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
killed(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* ---- one process ---- */

static void
gives_as_many_as_there_are_and_takes_them_back(void **state)
{
	static const int64_t rows[] = { 1, 2, 7 };

	(void)state;
	assert_int_equal(slots_open(dir, &e), 0);
	for (size_t r = 0; r < 3; r++) {
		struct slot held[8], more;
		char name[8];
		struct slot_wish w;
		struct deadline now = { 0 };

		(void)snprintf(name, sizeof(name), "p%zu", r);
		w = wish_of(name, one_key, 1, rows[r]);
		for (int64_t i = 0; i < rows[r]; i++)
			assert_int_equal(slot_take(&held[i], &w, &now, &e), 0);
		assert_int_equal(slot_take(&more, &w, &now, &e), -1);
		assert_int_equal(e.kind, ERR_DEADLINE);
		slot_done(&held[0]);
		assert_int_equal(slot_take(&more, &w, &now, &e), 0);
		assert_int_equal(slot_take(&held[0], &w, &now, &e), -1);
		slot_done(&more);
		slot_done(&more); /* once is enough; twice does no harm */
		for (int64_t i = 1; i < rows[r]; i++)
			slot_done(&held[i]);
	}
}

static void
a_wait_that_ends_at_the_deadline_says_where(void **state)
{
	struct slot held, second;
	int64_t start = clock_us(), took_ms;

	(void)state;
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(take(&held, 0), 0);
	assert_int_equal(take(&second, 300), -1);
	took_ms = (clock_us() - start) / 1000;
	assert_int_equal(e.kind, ERR_DEADLINE);
	assert_string_equal(e.stage, "queue");
	assert_string_equal(e.about, "waiting for a free slot at sim (place 1 in the line)");
	assert_string_equal(e.upstream.name, "sim");
	assert_false(e.may_have_been_billed);
	assert_in_range(took_ms, 300, 1300);
	/* It left the line: the slot goes to the next one who asks. */
	slot_done(&held);
	assert_int_equal(take(&second, 0), 0);
	slot_done(&second);
}

static void
each_provider_and_each_key_has_slots_of_its_own(void **state)
{
	struct deadline now = { 0 };
	struct slot a, b, c, d;
	struct slot_wish both = wish_of("sim", two_keys, 2, 1);
	struct slot_wish second = wish_of("sim", two_keys + 1, 1, 1);
	struct slot_wish other = wish_of("sim_", two_keys, 2, 1);
	struct slot_wish odd = wish_of("../sim/名", one_key, 1, 1);

	(void)state;
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(slot_take(&a, &both, &now, &e), 0);
	assert_int_equal(slot_take(&b, &both, &now, &e), 0);
	assert_int_not_equal(a.key, b.key);
	assert_int_equal(slot_take(&c, &both, &now, &e), -1);
	assert_int_equal(slot_take(&c, &second, &now, &e), -1);
	/* The key that is asked for alone is found under its own number. */
	slot_done(a.key == 1 ? &a : &b);
	assert_int_equal(slot_take(&c, &second, &now, &e), 0);
	assert_int_equal(c.key, 0);
	assert_int_equal(slot_take(&d, &other, &now, &e), 0);
	slot_done(&d);
	assert_int_equal(slot_take(&d, &odd, &now, &e), 0);
	slot_done(&d);
	slot_done(&c);
	slot_done(&a);
	slot_done(&b);
}

static void
more_keys_than_it_can_tell_apart_come_and_go(void **state)
{
	struct deadline now = { 0 };

	(void)state;
	assert_int_equal(slots_open(dir, &e), 0);
	/* Keys are replaced over the years: nobody stands for the old ones any more. */
	for (int i = 0; i < 3 * SLOT_KEYS_MAX; i++) {
		char key[32];
		const char *keys[] = { key };
		struct slot_wish w = wish_of("sim", keys, 1, 1);
		struct slot s, t;

		(void)snprintf(key, sizeof(key), "sk-%d", i);
		assert_int_equal(slot_take(&s, &w, &now, &e), 0);
		assert_int_equal(slot_take(&t, &w, &now, &e), -1);
		slot_done(&s);
	}
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
	slot_done(&s);
	return NULL;
}

/* How many wait, as another process would find out: by what it is told. */
static bool
are_waiting(int n)
{
	struct slot s;
	char expected[80];

	(void)snprintf(expected, sizeof(expected), "(place %d in the line)", n + 1);
	return take(&s, 1) < 0 && strstr(e.about, expected);
}

static void
threads_are_served_in_the_order_they_came(void **state)
{
	pthread_t t[WAITERS];
	struct slot held;
	void *failed;

	(void)state;
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(take(&held, 0), 0);
	for (int i = 0; i < WAITERS; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, take_in_thread, (void *)(intptr_t)i),
				 0);
		UNTIL(are_waiting(i + 1));
	}
	slot_done(&held);
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
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(take(&held, 0), 0);
	assert_int_equal(pthread_create(&t, NULL, take_in_thread, NULL), 0);
	UNTIL(are_waiting(1)); /* each of its looks was one who gave up */
	slot_done(&held);
	assert_int_equal(pthread_join(t, &failed), 0);
	assert_null(failed);
}

/* ---- several processes ---- */

static int
contend(int number)
{
	struct slot_wish w = wish_of("sim", one_key, 1, 2);
	struct deadline d = deadline_in_ms(FAR_MS);
	struct slot s;

	for (int i = 0; i < ROUNDS; i++) {
		int inside;

		if (slot_take(&s, &w, &d, &e) < 0)
			return 1;
		inside = atomic_fetch_add(&shared->inside, 1) + 1;
		if (inside > atomic_load(&shared->most))
			atomic_store(&shared->most, inside);
		if (i % 4 == 0)
			nap();
		(void)atomic_fetch_sub(&shared->inside, 1);
		slot_done(&s);
		(void)atomic_fetch_add(&shared->done[number], 1);
	}
	return 0;
}

static void
processes_never_hold_more_than_allowed_and_all_get_their_turn(void **state)
{
	pid_t pids[WAITERS];

	(void)state;
	for (int i = 0; i < WAITERS; i++)
		pids[i] = process(contend, i);
	for (int i = 0; i < WAITERS; i++)
		ended(pids[i]);
	assert_in_range(shared->most, 1, 2);
	for (int i = 0; i < WAITERS; i++)
		assert_int_equal(shared->done[i], ROUNDS);
}

static int
queue_up(int number)
{
	struct slot s;

	if (take(&s, FAR_MS) < 0)
		return 1;
	shared->order[atomic_fetch_add(&shared->norder, 1)] = number;
	slot_done(&s);
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

			while (atomic_load(&shared->go) != i + 1)
				nap();
			if (slots_open(dir, &e) == 0)
				rc = queue_up(i);
			slots_close();
			_exit(rc);
		}
	}
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(take(&held, 0), 0);
	for (int i = 0; i < WAITERS; i++) {
		atomic_store(&shared->go, i + 1);
		UNTIL(are_waiting(i + 1));
	}
	slot_done(&held);
	for (int i = 0; i < WAITERS; i++)
		ended(pids[i]);
	for (int i = 0; i < WAITERS; i++)
		assert_int_equal(shared->order[i], i);
}

static int
hold_for_ever(int number)
{
	struct slot s;

	if (take(&s, FAR_MS) < 0)
		return 1;
	shared->order[atomic_fetch_add(&shared->norder, 1)] = number;
	for (;;)
		(void)pause();
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
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(take(&s, 50), -1);
	assert_int_equal(e.kind, ERR_DEADLINE);
	start = clock_us();
	killed(holder);
	assert_int_equal(take(&s, FAR_MS), 0);
	assert_in_range((clock_us() - start) / 1000, 0, 1000);
	slot_done(&s);
}

static void *
take_once(void *arg)
{
	struct slot s;

	if (take(&s, FAR_MS) < 0)
		return arg;
	atomic_store((_Atomic int64_t *)arg, clock_us());
	slot_done(&s);
	return NULL;
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
	assert_int_equal(slots_open(dir, &e), 0);
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
	assert_int_equal(slots_open(dir, &e), 0);
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
		slot_done(&s);
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
	assert_int_equal(slots_open(dir, &e), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(take(&s, 2000), 0);
		slot_done(&s);
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
	assert_int_equal(slots_open("/proc/nowhere", &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(slots_open(dir, &e), -1);
	assert_int_equal(take(&s, 0), 0);
	slot_done(&s);
	slots_close();

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
	assert_int_equal(slots_open(dir, &e), 0);
	assert_int_equal(take(&s, 0), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
}

static void
refuses_a_wish_that_is_none(void **state)
{
	struct deadline now = { 0 };
	struct slot s;
	struct slot_wish rows[] = { wish_of("sim", one_key, 0, 1), wish_of("sim", one_key, 1, 0),
				    wish_of("sim", one_key, SLOT_KEYS_MAX + 1, 1) };

	(void)state;
	assert_int_equal(slots_open(dir, &e), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(slot_take(&s, &rows[i], &now, &e), -1);
		assert_int_equal(e.kind, ERR_INTERNAL);
		slot_done(&s); /* nothing was taken */
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(gives_as_many_as_there_are_and_takes_them_back),
		TEST(a_wait_that_ends_at_the_deadline_says_where),
		TEST(each_provider_and_each_key_has_slots_of_its_own),
		TEST(more_keys_than_it_can_tell_apart_come_and_go),
		TEST(threads_are_served_in_the_order_they_came),
		TEST(one_who_gives_up_does_not_hold_up_the_others),
		TEST(processes_never_hold_more_than_allowed_and_all_get_their_turn),
		TEST(processes_are_served_in_the_order_they_came),
		TEST(a_killed_holder_loses_its_slot_within_a_second),
		TEST(one_who_waits_gets_the_slot_of_a_killed_holder_within_a_second),
		TEST(a_killed_waiter_is_passed_over),
		TEST(wherever_the_kill_hits_the_slot_comes_back),
		TEST(refuses_a_file_it_cannot_use),
		TEST(refuses_a_wish_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
