#ifndef EASEL_TESTS_SLOT_FIXTURE_H
#define EASEL_TESTS_SLOT_FIXTURE_H
/*
 * slot_fixture - processes of one installation, or of several, that take slots of a store of either kind
 *
 * Each process opens the store for itself: mine().  A store is never carried across fork(), so a test forks
 * before it takes something itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "redis_fixture.h"
#include "base/deadline.h"
#include "store/store_slot.h"

#define WAITERS 12
#define FAR_MS  30000

static char dir[64], other_dir[64]; /* state folders of two machines */
static const char *url;
static struct store *store;
static _Thread_local struct err e;

/* Seen by every process of a test. */
static struct {
	_Atomic int inside, most, ready, go;
	_Atomic int order[64], norder;
	_Atomic long done[WAITERS];
} * shared;

static const uint64_t one_key[] = { 0x1111 }, two_keys[] = { 0x1111, 0x2222 };

__attribute__((unused)) static int
begin_any(const char *which)
{
	struct err why;

	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	(void)snprintf(other_dir, sizeof(other_dir), "/tmp/easel-test-XXXXXX");
	url = which;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || !mkdtemp(dir) || !mkdtemp(other_dir) ||
	    store_open(&store, url, dir, true, &why) < 0)
		return -1;
	store_free(TAKE_PTR(store));
	return 0;
}

__attribute__((unused)) static int
setup_sqlite(void **state)
{
	(void)state;
	return begin_any("sqlite:t.db");
}

__attribute__((unused)) static int
setup_redis(void **state)
{
	(void)state;
	redis_say("FLUSHALL");
	return redis_settle() < 0 ? -1 : begin_any(rd.url);
}

__attribute__((unused)) static int
teardown_any(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	store_free(TAKE_PTR(store));
	(void)munmap(shared, sizeof(*shared));
	pid = fork();
	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", dir, other_dir, (char *)NULL);
		_exit(1);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* This process's store. */
static struct store *
mine(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	int rc = 0;

	(void)pthread_mutex_lock(&mutex);
	if (!store)
		rc = store_open(&store, url, dir, false, &e);
	(void)pthread_mutex_unlock(&mutex);
	if (rc < 0)
		fail_msg("store_open: %s %s %s", err_code(&e), e.about, e.detail);
	return store;
}

__attribute__((unused)) static struct slot_wish
wish_of(const char *provider, const uint64_t *keys, unsigned n, int64_t concurrency)
{
	return (struct slot_wish){ provider, keys, n, concurrency };
}

static int
take_wish(struct slot *s, const struct slot_wish *w, int64_t ms)
{
	struct deadline d = { 0 };

	if (ms > 0)
		d = deadline_in_ms(ms);
	e = (struct err){ 0 };
	return store_slot_take(mine(), s, w, &d, &e);
}

static int
take(struct slot *s, int64_t ms)
{
	struct slot_wish w = wish_of("sim", one_key, 1, 1);

	return take_wish(s, &w, ms);
}

/* It must be had. */
#define TAKEN(call)                                                                         \
	do {                                                                                \
		if ((call) != 0)                                                            \
			fail_msg("%s: %s, %s, %s", #call, err_code(&e), e.about, e.detail); \
	} while (0)

/* Nothing is to be had, for no other reason than time. */
#define TOO_LATE(call)                                                                 \
	do {                                                                           \
		assert_int_equal(call, -1);                                            \
		if (e.kind != ERR_DEADLINE)                                            \
			fail_msg("%s: %s, %s", #call, err_code(&e), e.detail);         \
	} while (0)

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

__attribute__((unused)) static int64_t
ms_since(int64_t start_us)
{
	return (clock_us() - start_us) / 1000;
}

/* A process of the machine whose state folder is `at`: runs fn, and ends with its answer. */
static pid_t
process_of(const char *at, int (*fn)(int), int arg)
{
	pid_t pid;

	assert_null(store);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int rc;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		rc = store_open(&store, url, at, at == other_dir, &e) < 0 ? 99 : fn(arg);

		store_free(store);
		_exit(rc);
	}
	return pid;
}

__attribute__((unused)) static pid_t
process(int (*fn)(int), int arg)
{
	return process_of(dir, fn, arg);
}

__attribute__((unused)) static void
ended(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

__attribute__((unused)) static void
killed(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* How many wait, as another process would find out: by what it is told. */
__attribute__((unused)) static bool
are_waiting(int n)
{
	struct slot s;
	char expected[80];

	(void)snprintf(expected, sizeof(expected), "(place %d in the line)", n + 1);
	if (take(&s, 1) < 0)
		return strstr(e.about, expected) != NULL;
	store_slot_done(&s);
	return false;
}

__attribute__((unused)) static int
hold_for_ever(int number)
{
	struct slot s;

	if (take(&s, FAR_MS) < 0)
		return 1;
	shared->order[atomic_fetch_add(&shared->norder, 1)] = number;
	for (;;)
		(void)pause();
}

/* When it got it, or an error. */
__attribute__((unused)) static void *
take_once(void *arg)
{
	struct slot s;

	if (take(&s, FAR_MS) < 0)
		return arg;
	atomic_store((_Atomic int64_t *)arg, clock_us());
	store_slot_done(&s);
	return NULL;
}

#endif
