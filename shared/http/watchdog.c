#include "http/watchdog.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "base/deadline.h"

/* One cache line for each request in hand. */
struct place {
	_Atomic int64_t until_us; /* 0: free */
	_Atomic(const char *)
		stage; /* the same address in the parent: it forked, and did not exec */
	char request[40];
} __attribute__((aligned(64)));

struct watchdog {
	unsigned n;
	_Atomic unsigned used;    /* of the places, at most */
	_Atomic unsigned next;    /* where the next new thread tries first */
	_Atomic int64_t alive_us; /* in the future: still starting */
	struct place places[];
};

static struct watchdog *board;
static bool with_alarm;
static _Thread_local struct place *mine;
static _Thread_local unsigned hint; /* 1 + the place that this thread had last */

static size_t
bytes(unsigned n)
{
	return sizeof(struct watchdog) + n * sizeof(struct place);
}

struct watchdog *
watchdog_new(unsigned requests)
{
	struct watchdog *w = mmap(NULL, bytes(requests), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (w == MAP_FAILED)
		return NULL;
	w->n = requests;
	atomic_store(&w->alive_us, clock_us() + WATCHDOG_START_MS * 1000);
	return w;
}

void
watchdog_free(struct watchdog *w)
{
	if (w)
		(void)munmap(w, bytes(w->n));
}

bool
watchdog_late(const struct watchdog *w, struct overdue *o)
{
	int64_t now_us = clock_us(), alive_us = atomic_load(&w->alive_us);
	int64_t latest_us = now_us - WATCHDOG_MARGIN_MS * 1000;
	unsigned used = atomic_load(&w->used);
	bool late = false;

	for (unsigned i = 0; i < used && i < w->n; i++) {
		int64_t until_us = atomic_load(&w->places[i].until_us);

		if (!until_us || until_us > latest_us)
			continue;
		late = true;
		latest_us = until_us;
		o->stage = atomic_load(&w->places[i].stage);
		o->late_ms = (now_us - until_us) / 1000;
		memcpy(o->request, w->places[i].request, sizeof(o->request));
		o->request[sizeof(o->request) - 1] = '\0';
	}
	if (late || now_us - alive_us < WATCHDOG_SIGN_MS * 1000)
		return late;
	*o = (struct overdue){ .stage = "idle", .late_ms = (now_us - alive_us) / 1000 };
	return true;
}

void
watchdog_use(struct watchdog *w)
{
	board = w;
}

void
watchdog_use_alarm(void)
{
	with_alarm = true;
}

void
watchdog_alive(void)
{
	if (board)
		atomic_store_explicit(&board->alive_us, clock_us(), memory_order_relaxed);
}

static void
set_alarm(int64_t until_us)
{
	int64_t left_us = until_us - clock_us() + WATCHDOG_MARGIN_MS * 1000;
	struct itimerval t = { .it_value = { .tv_sec = left_us / 1000000,
					     .tv_usec = left_us % 1000000 } };

	if (left_us > 0)
		(void)setitimer(ITIMER_REAL, &t, NULL);
}

/* A free place, the one this thread had last if it can be; NULL: there are more threads than places. */
static struct place *
take_place(void)
{
	unsigned at = hint ? hint - 1 : atomic_fetch_add(&board->next, 1);

	for (unsigned i = 0; i < board->n; i++, at++) {
		struct place *p = &board->places[at % board->n];
		int64_t is_free = 0;
		unsigned used;

		/* Taken, but not late before the rest of it is there. */
		if (!atomic_compare_exchange_strong(&p->until_us, &is_free, INT64_MAX))
			continue;
		hint = at % board->n + 1;
		used = atomic_load(&board->used);
		while (used < hint && !atomic_compare_exchange_weak(&board->used, &used, hint))
			;
		return p;
	}
	return NULL;
}

void
watchdog_begin(const char *request, int64_t until_us)
{
	if (with_alarm)
		set_alarm(until_us);
	if (!board)
		return;
	mine = take_place();
	if (!mine)
		return;
	(void)snprintf(mine->request, sizeof(mine->request), "%s", request);
	atomic_store_explicit(&mine->stage, "recv", memory_order_relaxed);
	atomic_store_explicit(&mine->until_us, until_us, memory_order_release);
}

void
watchdog_until(int64_t until_us)
{
	if (with_alarm)
		set_alarm(until_us);
	if (mine)
		atomic_store_explicit(&mine->until_us, until_us, memory_order_release);
}

void
watchdog_stage(const char *stage)
{
	if (mine)
		atomic_store_explicit(&mine->stage, stage, memory_order_relaxed);
}

void
watchdog_end(void)
{
	const struct itimerval off = { 0 };

	if (with_alarm)
		(void)setitimer(ITIMER_REAL, &off, NULL);
	if (mine)
		atomic_store_explicit(&mine->until_us, 0, memory_order_release);
	mine = NULL;
}
