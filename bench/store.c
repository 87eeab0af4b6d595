/*
 * store URL STATE_DIR [QUEUED] [SECONDS] - what the store can carry, as JSON on standard output
 *
 * Durable submissions a second from 64 threads (a web program's many requests), until QUEUED tasks wait; then
 * the time of each claim with all of them waiting; then status reads from 8 threads.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "store/store_task.h"

#define ADDERS  64
#define READERS 8
#define CLAIMS  3000

static struct store *store;
static _Atomic long queued, reads;
static long want;
static int64_t read_until_us;
static char (*ids)[40];

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
	while ((n = atomic_fetch_add(&queued, 1)) < want) {
		struct task_record t = {
			.created_ms = clock_wall_ms(),
			.request = (char *)"{\"model\":\"m\",\"prompt\":\"a red rose\"}"
		};

		id_make("task_", t.id, sizeof(t.id));
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
		(void)atomic_fetch_add(&reads, 1);
	}
	return NULL;
}

static double
run(void *(*fn)(void *), int n)
{
	pthread_t thread[ADDERS];
	int64_t start = clock_us();

	for (int i = 0; i < n; i++)
		(void)pthread_create(&thread[i], NULL, fn, (void *)(uintptr_t)(i + 1));
	for (int i = 0; i < n; i++)
		(void)pthread_join(thread[i], NULL);
	return (double)(clock_us() - start) / 1e6;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	static int64_t took[CLAIMS];
	int64_t p50_us, p99_us;
	struct deadline d = deadline_in_ms(600000);
	double adding, reading;
	struct err e;
	int n = 0;

	want = argc > 3 ? strtol(argv[3], NULL, 10) : 100000;
	ids = calloc((size_t)want, sizeof(*ids));
	if (argc < 3 || !ids || store_open(&store, argv[1], argv[2], true, &e) < 0)
		return 1;
	adding = run(add_thread, ADDERS);
	for (; n < CLAIMS && n < want / 2; n++) {
		int64_t start = clock_us();
		enum task_found found;
		struct task_record t;

		if (store_task_claim(store, "bench", 600000, &t, &found, &d, &e) < 0)
			die("claim", &e);
		took[n] = clock_us() - start;
		if (found == TASK_NONE)
			break;
		task_record_done(&t);
	}
	qsort(took, (size_t)n, sizeof(*took), by_size);
	read_until_us = clock_us() + (argc > 4 ? strtol(argv[4], NULL, 10) : 5) * 1000000;
	reading = run(read_thread, READERS);
	p50_us = took[n / 2];
	p99_us = took[n * 99 / 100];
	(void)printf("{\"queued\":%ld,\"adds_s\":%.0f,\"claims\":%d,\"claim_p50_ms\":%.3f,"
		     "\"claim_p99_ms\":%.3f,\"claim_max_ms\":%.3f,\"reads_s\":%.0f}\n",
		     want, (double)want / adding, n, (double)p50_us / 1e3, (double)p99_us / 1e3,
		     (double)took[n - 1] / 1e3, (double)reads / reading);
	store_free(store);
	return 0;
}
