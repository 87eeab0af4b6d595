#include "store/redis_slot_lease.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alive.h"

#define STACK_BYTES (256 * 1024)
#define AT_ONCE     60  /* slots that one script renews */
#define GIVE_MS     250 /* that the end of a call may wait for Redis */
#define AGAIN_MS    50  /* after Redis did not answer; holders must be sooner than who waits */

struct slot_leases {
	char *state_dir;
	pthread_mutex_t mutex;  /* guards what follows */
	pthread_cond_t woken;   /* the thread has something to do; both on CLOCK_MONOTONIC */
	pthread_cond_t renewed; /* no renewal is on its way any more */
	struct store *store;    /* NULL: nothing was ever taken */
	struct slot_lease *all; /* held, or over and not given back yet */
	uint64_t numbers;       /* given out so far */
	/*
	 * A renewal is on its way: none may be given back before it has come, or it would be added again, and
	 * none is freed, because the thread walks along them.
	 */
	bool renewing;
	bool stop;
	pthread_t thread;
};

static _Atomic int64_t length_ms = SLOT_LEASE_MS;

int64_t
lease_ms(void)
{
	return atomic_load(&length_ms);
}

void
lease_ms_set(int64_t ms)
{
	atomic_store(&length_ms, ms);
}

/* ---- the thread; with the lock held, which is released while Redis is spoken to ---- */

/* From *at on, as many as go into one script. */
static void
args_of_held(struct redis_args *a, const struct slot_lease **at)
{
	args_begin(a, NULL);
	arg_i64(a, lease_ms());
	for (unsigned n = 0; *at && n < AT_ONCE; *at = (*at)->next)
		if ((*at)->state == LEASE_HELD) {
			arg_text(a, (*at)->held);
			arg_text(a, (*at)->who);
			n++;
		}
}

/* Renews all of them.  False: Redis does not answer. */
static bool
renew_all(struct slot_leases *l)
{
	const struct slot_lease *at = l->all;
	bool fine = true;

	l->renewing = true;
	while (fine && at) {
		struct deadline d = deadline_in_ms(lease_ms() / 4);
		struct redis_args a;
		struct err e;
		int64_t done;

		args_of_held(&a, &at);
		if (a.n <= 4)
			break;
		(void)pthread_mutex_unlock(&l->mutex);
		fine = redis_eval_i64(l->store, SCRIPT_SLOT_RENEW, &a, &done, &d, &e) == 0;
		(void)pthread_mutex_lock(&l->mutex);
	}
	l->renewing = false;
	(void)pthread_cond_broadcast(&l->renewed);
	return fine;
}

/* Without the lock. */
static bool
give_back(struct store *s, const struct slot_lease *l, int64_t ms)
{
	struct deadline d = deadline_in_ms(ms);
	struct redis_args a;
	struct err e;
	int64_t done;

	args_begin(&a, NULL);
	arg_text(&a, l->provider);
	arg_text(&a, l->who);
	for (unsigned i = 0; i < l->n; i++)
		arg_text(&a, l->keys[i]);
	return redis_eval_i64(s, SCRIPT_SLOT_DONE, &a, &done, &d, &e) == 0;
}

static struct slot_lease **
first_over(struct slot_leases *l)
{
	struct slot_lease **at = &l->all;

	while (*at && (*at)->state != LEASE_OVER)
		at = &(*at)->next;
	return at;
}

/* False: Redis does not answer. */
static bool
give_back_all(struct slot_leases *l)
{
	struct slot_lease **at, *one;
	bool fine = true;

	while (fine && *(at = first_over(l))) {
		one = *at;
		*at = one->next;
		(void)pthread_mutex_unlock(&l->mutex);
		fine = give_back(l->store, one, GIVE_MS) || clock_us() > one->lapsed_us;
		(void)pthread_mutex_lock(&l->mutex);
		if (fine) {
			free(one);
		} else {
			one->next = l->all;
			l->all = one;
		}
	}
	return fine;
}

/* False: it was not signalled until then. */
static bool
wait_for(struct slot_leases *l, pthread_cond_t *what, const struct deadline *d)
{
	struct timespec at = { d->at_us / 1000000, d->at_us % 1000000 * 1000 };

	return pthread_cond_timedwait(what, &l->mutex, &at) == 0;
}

static void *
thread_main(void *arg)
{
	struct slot_leases *l = arg;
	struct deadline next = deadline_in_ms(lease_ms() / 4);

	(void)pthread_mutex_lock(&l->mutex);
	while (!l->stop) {
		bool fine = true;

		if (!l->all) {
			(void)pthread_cond_wait(&l->woken, &l->mutex);
			next = deadline_in_ms(lease_ms() / 4);
			continue;
		}
		if (deadline_over(&next)) {
			fine = renew_all(l);
			next = deadline_in_ms(fine ? lease_ms() / 4 : AGAIN_MS);
		}
		fine = fine && give_back_all(l);
		if (!l->stop && !(fine && *first_over(l))) {
			struct deadline soon = deadline_in_ms(AGAIN_MS);

			(void)wait_for(l, &l->woken, fine ? &next : &soon);
		}
	}
	(void)give_back_all(l);
	(void)pthread_mutex_unlock(&l->mutex);
	return NULL;
}

static int
start(struct slot_leases *l)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int code;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&l->thread, &attr, thread_main, l);
	if (code == 0)
		(void)pthread_setname_np(l->thread, "slot-leases");
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return code;
}

/* ---- one lease ---- */

/* At the first take.  With the lock held. */
static int
open_all(struct slot_leases *l, struct store *s, struct err *e)
{
	if (l->store)
		return 0;
	if (alive_open(l->state_dir, e) < 0)
		return -1;
	l->store = s;
	if (start(l) == 0)
		return 0;
	l->store = NULL;
	alive_close();
	return err_set(e, ERR_INTERNAL, "no thread can be started");
}

struct slot_lease *
lease_begin(struct store *s, const struct slot_wish *w, struct err *e)
{
	struct slot_leases *l = s->slots;
	size_t len = strlen(w->provider) + 1,
	       all = sizeof(struct slot_lease) + w->n * sizeof(char[17]);
	struct slot_lease *one = calloc(1, all + 17 + len);
	uint64_t number = 0;
	char *held;
	int rc;

	if (!one) {
		(void)err_set(e, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	(void)pthread_mutex_lock(&l->mutex);
	rc = open_all(l, s, e);
	if (rc == 0)
		number = ++l->numbers;
	(void)pthread_mutex_unlock(&l->mutex);
	if (rc < 0) {
		free(one);
		return NULL;
	}
	one->of = l;
	one->n = w->n;
	for (unsigned i = 0; i < w->n; i++)
		(void)snprintf(one->keys[i], sizeof(one->keys[i]), "%016llx",
			       (unsigned long long)w->keys[i]);
	held = (char *)one + all;
	one->held = held;
	(void)memset(held, '0', 16);
	held[16] = ':';
	one->provider = memcpy(held + 17, w->provider, len);
	(void)snprintf(one->who, sizeof(one->who), "%016llx/%016llx/%llx",
		       (unsigned long long)alive_machine(), (unsigned long long)alive_self(),
		       (unsigned long long)number);
	return one;
}

void
lease_hold(struct slot_lease *one, unsigned key)
{
	struct slot_leases *l = one->of;

	(void)memmove(one->keys[0], one->keys[key], sizeof(one->keys[0]));
	(void)memcpy((char *)one->held, one->keys[0], 16);
	one->n = 1;
	(void)pthread_mutex_lock(&l->mutex);
	one->state = LEASE_HELD;
	one->next = l->all;
	l->all = one;
	if (!one->next) /* the thread sleeps without an end */
		(void)pthread_cond_signal(&l->woken);
	(void)pthread_mutex_unlock(&l->mutex);
}

/* Out of the list, where it is in it.  With the lock held. */
static void
unlink_one(struct slot_leases *l, const struct slot_lease *one)
{
	struct slot_lease **at = &l->all;

	while (*at && *at != one)
		at = &(*at)->next;
	if (*at)
		*at = one->next;
}

static void
leave_to_thread(struct slot_leases *l, struct slot_lease *one, bool listed)
{
	one->state = LEASE_OVER;
	one->lapsed_us = clock_us() + 2 * lease_ms() * 1000;
	if (!listed) {
		one->next = l->all;
		l->all = one;
	}
	(void)pthread_cond_signal(&l->woken);
}

void
lease_end(struct slot_lease *one, bool later)
{
	struct slot_leases *l = one->of;
	struct deadline d = deadline_in_ms(GIVE_MS);
	bool listed = one->state == LEASE_HELD, now = !later;

	(void)pthread_mutex_lock(&l->mutex);
	while (now && listed && l->renewing)
		now = wait_for(l, &l->renewed, &d);
	if (now && listed)
		unlink_one(l, one);
	else if (!now)
		leave_to_thread(l, one, listed);
	(void)pthread_mutex_unlock(&l->mutex);
	if (!now)
		return;
	if (give_back(l->store, one, GIVE_MS)) {
		free(one);
		return;
	}
	(void)pthread_mutex_lock(&l->mutex);
	leave_to_thread(l, one, false);
	(void)pthread_mutex_unlock(&l->mutex);
}

/* ---- of a process ---- */

int
leases_new(struct slot_leases **out, const char *state_dir, struct err *e)
{
	struct slot_leases *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l || !(l->state_dir = strdup(state_dir))) {
		free(l);
		return err_set(e, ERR_INTERNAL, "out of memory");
	}
	(void)pthread_mutex_init(&l->mutex, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&l->woken, &attr);
	(void)pthread_cond_init(&l->renewed, &attr);
	(void)pthread_condattr_destroy(&attr);
	*out = l;
	return 0;
}

void
leases_free(struct slot_leases *l)
{
	struct slot_lease *one;

	if (!l)
		return;
	if (l->store) {
		(void)pthread_mutex_lock(&l->mutex);
		l->stop = true;
		(void)pthread_cond_signal(&l->woken);
		(void)pthread_mutex_unlock(&l->mutex);
		(void)pthread_join(l->thread, NULL);
		alive_close();
	}
	while ((one = l->all)) {
		l->all = one->next;
		free(one);
	}
	(void)pthread_cond_destroy(&l->woken);
	(void)pthread_cond_destroy(&l->renewed);
	(void)pthread_mutex_destroy(&l->mutex);
	free(l->state_dir);
	free(l);
}
