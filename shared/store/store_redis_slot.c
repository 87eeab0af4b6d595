/*
 * Slots in Redis: what a provider's calls of all machines hold and wait for.
 *
 * Each who waits asks again and again; a call is served when fewer stand before it in the line of a key than
 * slots of that key are free.  Nothing is given to somebody who does not ask: who has died blocks the line
 * only until its process is found dead by another of its machine, or for SEEN_MS.
 *
 * What it promises: a slot that is held is given to nobody else as long as its process can renew the lease.
 * A process that cannot for a whole lease - it was stopped, or cut off from a Redis that others reach - may
 * be one of two.  What a Redis forgot in a power cut is said again by those who hold it, and a server that has
 * just begun gives nothing out until they have (SETTLE_MS); a replica that takes over is none.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alive.h"
#include "base/stack.h"
#include "base/tick.h"
#include "store/redis_slot_lease.h"
#include "store/slot_words.h"

#define ASK_MS     20   /* how often the first in the line asks */
#define ASK_MAX_MS 1000 /* and those far behind */
#define LOOK_MS    100  /* how often it looks for the dead of this machine */
#define SEEN_MS    3000 /* whoever has not asked for so long is passed over until it does */
#define SETTLE_MS  (lease_ms() * 3 / 10) /* longer than until the next renewal */
#define LEAST_MS   200                   /* for one word with Redis, however late it is */
#define LONG_MS    500                   /* a sleep that the stack is trimmed for each time */

enum { SAID_WAIT, SAID_GRANTED, SAID_FULL };

struct waiter {
	struct store *store;
	struct slot_lease *lease;
	int64_t concurrency;
	int64_t ticket; /* 0: none yet */
	int64_t look_us;
	unsigned place, key;
	bool trimmed;
};

static struct deadline
to_ask(const struct deadline *d)
{
	struct deadline least = deadline_in_ms(LEAST_MS);

	return least.at_us > d->at_us ? least : *d;
}

/* Takes back what a dead process of this machine has left. */
static int
bury(const struct waiter *w, uint64_t process, const struct deadline *d, struct err *e)
{
	char owner[40];
	struct redis_args a;
	int64_t done;

	(void)snprintf(owner, sizeof(owner), "%016llx/%016llx/",
		       (unsigned long long)alive_machine(), (unsigned long long)process);
	args_begin(&a, NULL);
	arg_text(&a, w->lease->provider);
	arg_text(&a, owner);
	for (unsigned i = 0; i < w->lease->n; i++)
		arg_text(&a, w->lease->keys[i]);
	return redis_eval_i64(w->store, SCRIPT_SLOT_BURY, &a, &done, d, e);
}

static int
bury_all(const struct waiter *w, const redisReply *owners, bool *buried, const struct deadline *d,
	 struct err *e)
{
	for (size_t i = 0; answer_at(owners, i); i++) {
		uint64_t process = strtoull(answer_text(answer_at(owners, i)), NULL, 16);

		if (alive_is(process))
			continue;
		if (bury(w, process, d, e) < 0)
			return -1;
		*buried = true;
	}
	return 0;
}

/* One of SAID_…, or -1.  *again: some were buried, which may have been in the way. */
static int
ask(struct waiter *w, bool *again, const struct deadline *until, struct err *e)
{
	struct deadline d = to_ask(until);
	bool look = clock_us() >= w->look_us;
	AUTO_REPLY reply = NULL;
	struct redis_args a;
	char machine[20] = "";
	int64_t said;

	*again = false;
	if (look)
		(void)snprintf(machine, sizeof(machine), "%016llx/",
			       (unsigned long long)alive_machine());
	args_begin(&a, NULL);
	arg_text(&a, w->lease->provider);
	arg_text(&a, w->lease->who);
	arg_i64(&a, w->ticket);
	arg_i64(&a, w->concurrency);
	arg_i64(&a, lease_ms());
	arg_i64(&a, SEEN_MS);
	arg_i64(&a, SLOT_LINE_MAX);
	arg_i64(&a, SETTLE_MS);
	arg_text(&a, machine);
	for (unsigned i = 0; i < w->lease->n; i++)
		arg_text(&a, w->lease->keys[i]);
	reply = redis_eval(w->store, SCRIPT_SLOT_TAKE, &a, &d, e);
	if (!reply)
		return -1;
	said = answer_i64(answer_at(reply, 0));
	if (said == SAID_GRANTED)
		w->key = (unsigned)answer_i64(answer_at(reply, 1));
	if (said != SAID_WAIT)
		return (int)said;
	w->place = (unsigned)answer_i64(answer_at(reply, 1));
	w->ticket = answer_i64(answer_at(reply, 2));
	if (!look)
		return SAID_WAIT;
	w->look_us = clock_us() + LOOK_MS * 1000;
	return bury_all(w, answer_at(reply, 3), again, &d, e) < 0 ? -1 : SAID_WAIT;
}

/* Until it is time to ask again.  False: nobody waits for it any more. */
static bool
sleep_in_line(struct waiter *w, int64_t left_ms)
{
	/* As many go on at once as there are slots of a key. */
	int64_t ms = ASK_MS * ((w->place + w->concurrency - 1) / w->concurrency);

	if (ms > ASK_MAX_MS)
		ms = ASK_MAX_MS;
	if (ms > left_ms)
		ms = left_ms;
	if (!w->trimmed || ms >= LONG_MS)
		stack_trim();
	w->trimmed = true;
	return tick_pause(ms, true);
}

static int
wait_in_line(struct waiter *w, const struct deadline *d, struct err *e)
{
	const char *provider = w->lease->provider;

	for (;;) {
		bool again;
		int said = ask(w, &again, d, e);
		int64_t left_ms = deadline_left_ms(d);

		if (said == SAID_GRANTED || said < 0)
			return said < 0 ? -1 : 0;
		if (said == SAID_FULL)
			return slot_line_full(provider, e);
		if (again)
			continue;
		if (!left_ms)
			return slot_too_late(provider, w->place, e);
		if (!sleep_in_line(w, left_ms))
			return slot_left_by_all(provider, e);
	}
}

static int
slot_take(struct store *s, struct slot *slot, const struct slot_wish *wish,
	  const struct deadline *d, struct err *e)
{
	struct waiter w = { .store = s, .concurrency = wish->concurrency };

	w.lease = lease_begin(s, wish, e);
	if (!w.lease)
		return -1;
	if (wait_in_line(&w, d, e) < 0) {
		lease_end(w.lease, e->kind == ERR_STORE);
		return -1;
	}
	lease_hold(w.lease, w.key);
	*slot = (struct slot){ .store = s, .key = w.key, .at = w.lease };
	return 0;
}

static void
slot_done(struct slot *slot)
{
	lease_end(slot->at, false);
}

static int
slots_open(void **slots, const char *state_dir, struct err *e)
{
	return leases_new((struct slot_leases **)slots, state_dir, e);
}

static void
slots_close(void *slots)
{
	leases_free(slots);
}

const struct slot_driver redis_slot = {
	.open = slots_open,
	.close = slots_close,
	.slot_take = slot_take,
	.slot_done = slot_done,
};
