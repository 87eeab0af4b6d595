/*
 * store URL STATE_DIR [QUEUED] [SECONDS] - what the store can carry, as JSON on standard output
 * store URL STATE_DIR QUEUED fill OWNER  - queues that many tasks and prints their ids
 *
 * Each from two processes, as a program has workers: durable submissions a second from 64 threads (a web program's
 * many requests), until QUEUED tasks wait; then the time of each claim, four threads at it, with all of them
 * waiting; then status reads from 8 threads.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/id.h"
#include "store/store_task.h"

#define PROCESSES 2
#define ADDERS    64
#define CLAIMERS  4
#define READERS   8
#define CLAIMS    3000

static struct store *store;
static const char *url, *state_dir;
static const char *owner; /* NULL: fifty of them */
static long want;
static int64_t read_until_us;
static char (*ids)[40]; /* shared by the processes, as is … */
static struct {
	_Atomic long queued, claimed, reads;
	int64_t took_us[CLAIMS];
} * all;

static void
die(const char *what, const struct err *e)
{
	(void)fprintf(stderr, "store: %s: %s, %s\n", what, err_code(e), e->detail);
	exit(1);
}

static void *
add_thread(void *arg)
{
	struct deadline d = deadline_in_ms(600000);
	struct err e;
	bool added;
	long n;

	(void)arg;
	while ((n = atomic_fetch_add(&all->queued, 1)) < want) {
		struct task_record t = {
			.created_ms = clock_wall_ms(),
			.request = (char *)"{\"model\":\"m\",\"prompt\":\"a red rose\"}"
		};

		id_make("task_", t.id, sizeof(t.id));
		if (owner)
			(void)snprintf(t.owner, sizeof(t.owner), "%s", owner);
		else
			(void)snprintf(t.owner, sizeof(t.owner), "key_%ld", n % 50);
		if (n % 2)
			(void)snprintf(t.lane, sizeof(t.lane), "account %ld", n % 1000);
		memcpy(ids[n], t.id, sizeof(t.id));
		if (store_task_add(store, &t, NULL, NULL, &added, &d, &e) < 0)
			die("add", &e);
	}
	return NULL;
}

static void *
read_thread(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct deadline d = deadline_in_ms(600000);
	struct err e;
	bool found;

	while (clock_us() < read_until_us) {
		struct task_record t;

		if (store_task_get(store, ids[(unsigned)rand_r(&seed) % want], &t, &found, &d, &e) <
			    0 ||
		    !found)
			die("get", &e);
		task_record_done(&t);
		(void)atomic_fetch_add(&all->reads, 1);
	}
	return NULL;
}

static void *
claim_thread(void *arg)
{
	struct deadline d = deadline_in_ms(600000);
	long most = CLAIMS < want / 2 ? CLAIMS : want / 2, n;
	struct err e;

	(void)arg;
	while ((n = atomic_fetch_add(&all->claimed, 1)) < most) {
		int64_t start = clock_us();
		enum task_found found;
		struct task_record t;

		if (store_task_claim(store, "bench", 600000, &t, &found, &d, &e) < 0)
			die("claim", &e);
		all->took_us[n] = clock_us() - start;
		if (found != TASK_NONE)
			task_record_done(&t);
	}
	return NULL;
}

/* In a process of its own. */
static void
run_here(void *(*fn)(void *), int n)
{
	pthread_t thread[ADDERS];
	struct err e;

	if (store_open(&store, url, state_dir, false, &e) < 0)
		die("open", &e);
	for (int i = 0; i < n; i++)
		(void)pthread_create(&thread[i], NULL, fn, (void *)(uintptr_t)(getpid() + i));
	for (int i = 0; i < n; i++)
		(void)pthread_join(thread[i], NULL);
	store_free(store);
	_exit(0);
}

/* n threads of fn, in all processes together; the seconds. */
static double
run(void *(*fn)(void *), int n)
{
	int64_t start = clock_us();
	int status;

	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			run_here(fn, n / PROCESSES);
	while (wait(&status) > 0)
		if (status)
			exit(1);
	return (double)(clock_us() - start) / 1e6;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void *
share(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	return p;
}

int
main(int argc, char **argv)
{
	double adding, reading;
	struct err e;
	long n, half, most;

	if (argc < 3)
		return 2;
	url = argv[1];
	state_dir = argv[2];
	want = argc > 3 ? strtol(argv[3], NULL, 10) : 100000;
	ids = share((size_t)want * sizeof(*ids));
	all = share(sizeof(*all));
	if (store_open(&store, url, state_dir, true, &e) < 0)
		die("open", &e);
	store_free(store); /* never carried across fork() */
	if (argc == 6 && !strcmp(argv[4], "fill"))
		owner = argv[5];
	adding = run(add_thread, ADDERS);
	for (n = 0; owner && n < want; n++)
		(void)puts(ids[n]);
	if (owner)
		return 0;
	(void)run(claim_thread, CLAIMERS);
	n = CLAIMS < want / 2 ? CLAIMS : want / 2;
	qsort(all->took_us, (size_t)n, sizeof(*all->took_us), by_size);
	half = n / 2;
	most = n * 99 / 100;
	read_until_us = clock_us() + (argc > 4 ? strtol(argv[4], NULL, 10) : 5) * 1000000;
	reading = run(read_thread, READERS);
	(void)printf("{\"queued\":%ld,\"adds_s\":%.0f,\"claims\":%ld,\"claim_p50_ms\":%.3f,"
		     "\"claim_p99_ms\":%.3f,\"claim_max_ms\":%.3f,\"reads_s\":%.0f}\n",
		     want, (double)want / adding, n, (double)all->took_us[half] / 1e3,
		     (double)all->took_us[most] / 1e3, (double)all->took_us[n - 1] / 1e3,
		     (double)all->reads / reading);
	return 0;
}
