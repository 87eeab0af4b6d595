/* The line of a store that is one machine's: beside SQLite, not in it, because a slot must cost nothing. */
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alive.h"
#include "base/stack.h"
#include "base/tick.h"
#include "store/slot_file.h"
#include "store/slot_words.h"
#include "store/sqlite_store.h"

#define LOOK_MS     100 /* how often the first in the line looks for the dead */
#define LOOK_MAX_MS 500 /* and those far behind */
#define ALIVE_KNOWN 32  /* processes that one look asks the kernel about only once */

/* ---- the line; all of these with the lock held ---- */

static uint32_t
state_of(const struct slot_entry *n)
{
	return atomic_load_explicit(&n->state, memory_order_acquire);
}

static void
wake(struct slot_entry *n)
{
	(void)syscall(SYS_futex, &n->state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Takes back what the dead have left. */
static void
bury(struct slot_line *l)
{
	uint64_t alive[ALIVE_KNOWN]; /* asked already: many entries have one owner */
	unsigned n_alive = 0;

	for (uint32_t i = 0; i < l->h->used; i++) {
		struct slot_entry *n = &l->entries[i];
		unsigned k = 0;

		if (state_of(n) == ENTRY_FREE)
			continue;
		while (k < n_alive && alive[k] != n->owner)
			k++;
		if (k < n_alive)
			continue;
		if (!alive_is(n->owner))
			atomic_store_explicit(&n->state, ENTRY_FREE, memory_order_release);
		else if (n_alive < ALIVE_KNOWN)
			alive[n_alive++] = n->owner;
	}
}

/* The keys of which fewer than `concurrency` are in use, as bits. */
static uint64_t
free_keys(const struct slot_line *l, int64_t concurrency)
{
	int64_t held[SLOT_KEYS_MAX] = { 0 };
	uint64_t bits = 0;

	for (uint32_t i = 0; i < l->h->used; i++)
		if (state_of(&l->entries[i]) == ENTRY_HOLDING)
			held[l->entries[i].key % SLOT_KEYS_MAX]++;
	for (unsigned k = 0; k < SLOT_KEYS_MAX; k++)
		if (held[k] < concurrency)
			bits |= 1ULL << k;
	return bits;
}

/* Who has waited longest for one of these keys, or NULL. */
static struct slot_entry *
first_waiting(const struct slot_line *l, uint64_t keys)
{
	struct slot_entry *first = NULL;

	for (uint32_t i = 0; i < l->h->used; i++) {
		struct slot_entry *n = &l->entries[i];

		if (state_of(n) == ENTRY_WAITING && (n->wanted & keys) &&
		    (!first || n->ticket < first->ticket))
			first = n;
	}
	return first;
}

/* Gives every free slot to whoever is first in the line for it. */
static void
grant(struct slot_line *l, int64_t concurrency)
{
	struct slot_entry *n;

	for (;;) {
		uint64_t keys = free_keys(l, concurrency);
		uint32_t waiting = ENTRY_WAITING;

		n = first_waiting(l, keys);
		if (!n)
			return;
		n->key = (uint32_t)__builtin_ctzll(n->wanted & keys);
		/* Fails when its owner has just given up: the next one, then. */
		if (atomic_compare_exchange_strong(&n->state, &waiting, ENTRY_HOLDING))
			wake(n);
	}
}

/*
 * The place of a key in the header's list, where it is put when it is new; -1: no place is left.
 * spoken_for: places that the caller has found already, as bits.
 */
static int
key_place(struct slot_line *l, uint64_t id, uint64_t spoken_for)
{
	int place = -1;

	for (int k = 0; k < SLOT_KEYS_MAX; k++)
		if (l->h->keys[k] == id)
			return k;
	/* A key that nobody stands for any more was probably replaced in the configuration. */
	for (uint32_t i = 0; i < l->h->used; i++)
		if (state_of(&l->entries[i]) != ENTRY_FREE)
			spoken_for |= l->entries[i].wanted;
	for (int k = SLOT_KEYS_MAX - 1; k >= 0; k--)
		if (!(spoken_for & 1ULL << k) && (place < 0 || !l->h->keys[k] || l->h->keys[place]))
			place = k;
	if (place >= 0)
		l->h->keys[place] = id;
	return place;
}

/* The place of a waiter: 1 is the first. */
static unsigned
place_of(const struct slot_line *l, const struct slot_entry *self)
{
	unsigned place = 1;

	for (uint32_t i = 0; i < l->h->used; i++) {
		const struct slot_entry *n = &l->entries[i];

		place += state_of(n) == ENTRY_WAITING && n->ticket < self->ticket;
	}
	return place;
}

/* A new last one in the line, or NULL when it is full. */
static struct slot_entry *
join(struct slot_line *l, uint64_t wanted)
{
	struct slot_entry *n = NULL;

	for (uint32_t i = 0; i < l->h->used && !n; i++)
		if (state_of(&l->entries[i]) == ENTRY_FREE)
			n = &l->entries[i];
	if (!n && l->h->used < SLOT_LINE_MAX)
		n = &l->entries[l->h->used++];
	if (!n)
		return NULL;
	n->owner = alive_self();
	n->ticket = l->h->tickets++;
	n->wanted = wanted;
	n->key = 0;
	atomic_store_explicit(&n->state, ENTRY_WAITING, memory_order_release);
	return n;
}

/* ---- one caller ---- */

struct waiter {
	struct slot_line *line;
	struct slot_entry *entry;
	int64_t concurrency;
	unsigned place;
	int places[SLOT_KEYS_MAX]; /* of its credentials in the header's list */
};

/* Joins the line, and has the slot already when one is free.  -1: the line is full. */
static int
enter(struct waiter *w, const struct slot_wish *wish)
{
	uint64_t wanted = 0;

	if (!slot_file_lock(w->line))
		return 0;
	for (unsigned k = 0; k < wish->n; k++) {
		w->places[k] = key_place(w->line, wish->keys[k], wanted);
		wanted |= w->places[k] >= 0 ? 1ULL << w->places[k] : 0;
	}
	w->entry = wanted ? join(w->line, wanted) : NULL;
	if (w->entry) {
		grant(w->line, w->concurrency);
		if (state_of(w->entry) == ENTRY_WAITING) {
			bury(w->line);
			grant(w->line, w->concurrency);
			w->place = place_of(w->line, w->entry);
		}
	}
	slot_file_unlock(w->line);
	return w->entry ? 0 : -1;
}

/* Whoever sleeps looks now and then whether somebody before it has died. */
static void
look(struct waiter *w)
{
	if (!slot_file_lock(w->line))
		return;
	bury(w->line);
	grant(w->line, w->concurrency);
	w->place = place_of(w->line, w->entry);
	slot_file_unlock(w->line);
}

/* Sleeps until it is granted something, at most until it is time to look. */
static void
sleep_in_line(const struct waiter *w, int64_t left_ms)
{
	int64_t ms = (int64_t)LOOK_MS * w->place;
	struct timespec t;

	if (ms > LOOK_MAX_MS)
		ms = LOOK_MAX_MS;
	if (ms > left_ms)
		ms = left_ms;
	ms = tick_wait_ms(ms);
	t = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	(void)syscall(SYS_futex, &w->entry->state, FUTEX_WAIT, ENTRY_WAITING, &t, NULL, 0);
}

static bool
is_granted(const struct waiter *w)
{
	return state_of(w->entry) == ENTRY_HOLDING;
}

/* Leaves the line; false: it was granted a slot at the last moment. */
static bool
leave(struct waiter *w)
{
	uint32_t waiting = ENTRY_WAITING;

	return atomic_compare_exchange_strong(&w->entry->state, &waiting, ENTRY_FREE);
}

static void
keep(struct slot *s, const struct waiter *w, const struct slot_wish *wish)
{
	*s = (struct slot){ .at = w->line,
			    .entry = (uint32_t)(w->entry - w->line->entries),
			    .concurrency = wish->concurrency };
	while (s->key + 1 < wish->n && w->places[s->key] != (int)w->entry->key)
		s->key++;
}

static int
slot_take(struct store *store, struct slot *s, const struct slot_wish *wish,
	  const struct deadline *d, struct err *e)
{
	struct waiter w = { .concurrency = wish->concurrency };
	bool trimmed = false;

	w.line = slot_file_of(store->slots, wish->provider, e);
	if (!w.line)
		return -1;
	do {
		if (enter(&w, wish) < 0)
			return slot_line_full(wish->provider, e);
	} while (!w.entry && !deadline_over(d));
	if (!w.entry)
		return slot_too_late(wish->provider, 0, e);
	while (!is_granted(&w)) {
		int64_t left_ms = deadline_left_ms(d);

		if (!left_ms && leave(&w))
			return slot_too_late(wish->provider, w.place, e);
		if (!left_ms)
			break;
		if (!trimmed)
			stack_trim();
		trimmed = true;
		sleep_in_line(&w, left_ms);
		tick();
		if (tick_forsaken() && leave(&w))
			return slot_left_by_all(wish->provider, e);
		if (!is_granted(&w))
			look(&w);
	}
	keep(s, &w, wish);
	s->store = store;
	return 0;
}

static void
slot_done(struct slot *s)
{
	struct slot_line *l = s->at;

	atomic_store_explicit(&l->entries[s->entry].state, ENTRY_FREE, memory_order_release);
	/* Should the lock not be had, the first in the line finds out within LOOK_MS. */
	if (slot_file_lock(l)) {
		grant(l, s->concurrency);
		slot_file_unlock(l);
	}
}

static int
slots_open(void **slots, const char *state_dir, struct err *e)
{
	return slot_files_new((struct slot_files **)slots, state_dir, e);
}

static void
slots_close(void *slots)
{
	slot_files_free(slots);
}

const struct slot_driver local_slot = {
	.open = slots_open,
	.close = slots_close,
	.slot_take = slot_take,
	.slot_done = slot_done,
};
