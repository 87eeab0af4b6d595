/*
 * Many workers on one queue, in either kind of store: threads, and processes that are killed in the middle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <sys/mman.h>

#include "store_fixture.h"

#define TASKS   300
#define LANES   6 /* the last one is "": nothing waits for anything there */
#define THREADS 8
#define WORKERS 4
#define KILLS   25

/* What happened, seen by every process; it survives those that are killed. */
static struct seen {
	_Atomic int claimed[TASKS], bought[TASKS], running[LANES], last[LANES], wrong;
} * seen;

static const char *url;

static int
map_seen(void)
{
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return -1;
	for (int i = 0; i < LANES; i++)
		seen->last[i] = -1;
	return 0;
}

static int
begin_sqlite(void **state)
{
	url = "sqlite:t.db";
	return map_seen() < 0 ? -1 : setup_sqlite(state);
}

static int
begin_on_redis(void **state)
{
	url = rd.url;
	return map_seen() < 0 ? -1 : setup_redis(state);
}

static int
end_any(void **state)
{
	(void)munmap(seen, sizeof(*seen));
	return teardown_any(state);
}

static int
lane_of(int task)
{
	return task % LANES;
}

static void
fill_the_queue(void)
{
	for (int i = 0; i < TASKS; i++)
		add(text("%d", i), lane_of(i) == LANES - 1 ? "" : text("account %d", lane_of(i)));
}

static int
number_of(const struct task_record *t)
{
	return (int)strtol(t->id, NULL, 10);
}

static void
wrong_if(bool is)
{
	if (is)
		seen->wrong++;
}

/* ---- threads ---- */

static void
work_on(const struct task_record *t)
{
	struct task_end end = { .status = TASK_SUCCESS };
	int n = number_of(t), lane = lane_of(n);
	enum task_status ended;
	struct err own;
	bool held = false;

	wrong_if(seen->claimed[n]++ != 0);
	if (lane < LANES - 1) {
		wrong_if(seen->running[lane]++ != 0);
		wrong_if(atomic_exchange(&seen->last[lane], n) >= n);
		seen->running[lane]--;
	}
	wrong_if(store_task_finish(s, t->id, t->fence, &end, &held, &ended, &d, &own) < 0 || !held);
}

static void *
thread_works(void *arg)
{
	struct task_counts n;
	struct err own;

	(void)arg;
	do {
		AUTO(task_record) t = { 0 };
		enum task_found found = TASK_NONE;

		if (store_task_claim(s, "thread", 60000, &t, &found, &d, &own) < 0 ||
		    store_task_counts(s, &n, &d, &own) < 0) {
			seen->wrong++;
			break;
		}
		if (found != TASK_NONE)
			work_on(&t);
	} while (n.n[TASK_SUCCESS] < TASKS && !deadline_over(&d));
	return NULL;
}

static void
threads_take_each_task_once_and_each_lane_in_order(void **state)
{
	pthread_t thread[THREADS];

	(void)state;
	fill_the_queue();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, thread_works, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(thread[i], NULL);
	assert_int_equal(seen->wrong, 0);
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(seen->claimed[i], 1);
}

/* ---- processes ---- */

static void
finish_as(struct store *own, const struct task_record *t, enum task_status status, struct err *oe)
{
	struct task_end end = { .status = status };
	enum task_status ended;
	bool held;

	(void)store_task_finish(own, t->id, t->fence, &end, &held, &ended, &d, oe);
}

/* As a worker must: nothing is bought before that is durable, and nothing twice. */
static void
buy(struct store *own, const struct task_record *t, enum task_found found, struct err *oe)
{
	struct task_step go = { .dispatched = true };
	struct task_again again_how = { 0 };
	enum task_status now;
	bool held = false;

	if (found == TASK_ORPHAN && t->dispatched) {
		finish_as(own, t, TASK_FAILURE, oe);
		return;
	}
	if (found == TASK_ORPHAN) {
		(void)store_task_requeue(own, t->id, t->fence, &again_how, &held, &now, &d, oe);
		return;
	}
	if (store_task_advance(own, t->id, t->fence, &go, &held, &d, oe) < 0 || !held)
		return;
	seen->bought[number_of(t)]++;
	finish_as(own, t, TASK_SUCCESS, oe);
}

static void
process_works(void)
{
	static const struct timespec pause = { .tv_nsec = 2000000 };
	struct store *own;
	struct err oe;

	if (store_open(&own, url, dir, false, &oe) < 0)
		_exit(1);
	for (;;) {
		struct task_record t = { 0 };
		enum task_found found = TASK_NONE;

		if (store_task_claim(own, "process", 250, &t, &found, &d, &oe) == 0 &&
		    found != TASK_NONE)
			buy(own, &t, found, &oe);
		else
			(void)nanosleep(&pause, NULL);
		task_record_done(&t);
	}
}

static pid_t
start_worker(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			process_works();
		_exit(1);
	}
	return pid;
}

static void
kill_worker(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void
wait_until_all_ended(void)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };
	struct task_counts n;

	do {
		(void)nanosleep(&pause, NULL);
		assert_false(deadline_over(&d));
		OK(store_task_counts(s, &n, &d, &e));
	} while (n.n[TASK_PENDING] + n.n[TASK_STARTED] + n.n[TASK_RETRY] > 0);
	assert_int_equal(n.n[TASK_SUCCESS] + n.n[TASK_FAILURE], TASKS);
}

static void
count_bought(const struct task_record *t, void *arg)
{
	int n = number_of(t);

	(void)arg;
	assert_in_range(seen->bought[n], 0, 1);
	/* What did not end well was begun by one who died: at most one each time. */
	if (t->status == TASK_SUCCESS)
		assert_int_equal(seen->bought[n], 1);
	else
		n_collected++;
}

static void
nothing_is_lost_or_bought_twice_when_workers_are_killed(void **state)
{
	struct task_query all = { .status = -1, .limit = TASKS + 1 };
	pid_t worker[WORKERS];
	unsigned seed = 4711;

	(void)state;
	fill_the_queue();
	/* No store is carried into a child. */
	store_free(TAKE_PTR(s));
	for (int i = 0; i < WORKERS; i++)
		worker[i] = start_worker();
	for (int k = 0; k < KILLS; k++) {
		struct timespec pause = { .tv_nsec = rand_r(&seed) % 40000000 };
		int who = rand_r(&seed) % WORKERS;

		(void)nanosleep(&pause, NULL);
		kill_worker(worker[who]);
		worker[who] = start_worker();
	}
	OK(store_open(&s, url, dir, false, &e));
	wait_until_all_ended();
	for (int i = 0; i < WORKERS; i++)
		kill_worker(worker[i]);
	(void)collected(0);
	OK(store_task_list(s, &all, count_bought, NULL, &d, &e));
	assert_in_range(collected(0), 0, KILLS);
}

int
main(void)
{
#define TEST(begin, name)                                     \
	{                                                     \
#begin ": " #name, name, begin, end_any, NULL \
	}
	const struct CMUnitTest tests[] = {
		TEST(begin_sqlite, threads_take_each_task_once_and_each_lane_in_order),
		TEST(begin_on_redis, threads_take_each_task_once_and_each_lane_in_order),
		TEST(begin_sqlite, nothing_is_lost_or_bought_twice_when_workers_are_killed),
		TEST(begin_on_redis, nothing_is_lost_or_bought_twice_when_workers_are_killed),
	};

	return cmocka_run_group_tests(tests, begin_redis, end_redis);
}
