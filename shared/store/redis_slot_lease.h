#ifndef EASEL_STORE_REDIS_SLOT_LEASE_H
#define EASEL_STORE_REDIS_SLOT_LEASE_H
/*
 * redis_slot_lease - the slots that this process holds in Redis, and that they stay its own
 *
 * A slot in Redis is a lease: it ends by itself SLOT_LEASE_MS after it was last renewed, so that a machine
 * that is gone holds nobody up for longer.  One thread a process renews all of them every quarter of that,
 * and adds again what Redis has lost.  It also gives back what could not be given back when it ended.
 * There is no thread before the first take.
 *
 * For shared/store only.  Thread-safe; does not log.
 */
#include <stdbool.h>

#include "store/redis_store.h"

#define SLOT_LEASE_MS 10000

struct slot_leases;

/* One call's, from joining the line to the end of its slot.  The text fields stay as they are. */
struct slot_lease {
	struct slot_lease *next;
	struct slot_leases *of;
	enum { LEASE_WAITS, LEASE_HELD, LEASE_OVER } state;
	int64_t lapsed_us; /* of one that is over: from when on Redis will have forgotten it */
	char who[56];      /* MACHINE/PROCESS/NUMBER */
	const char *provider;
	const char *held; /* the slot: KEY:PROVIDER; while it waits no key's */
	unsigned n;
	char keys[][17]; /* that it may have: when it is held only one */
};

int leases_new(struct slot_leases **out, const char *state_dir, struct err *e);
/* Ends the thread, in a second or two at most.  Accepts NULL. */
void leases_free(struct slot_leases *l);

/* A new call.  NULL: ERR_CONFIG, ERR_STORAGE_FULL, ERR_INTERNAL. */
struct slot_lease *lease_begin(struct store *s, const struct slot_wish *w, struct err *e);
/* It has got a slot of its key number `key`, which is renewed from now on. */
void lease_hold(struct slot_lease *l, unsigned key);
/*
 * Gives back a slot or a place in the line.  Tries for a moment, unless `later`: Redis does not answer; else
 * the thread goes on trying.
 */
void lease_end(struct slot_lease *l, bool later);

/* How long a lease is; and, for tests, how long it is from now on. */
int64_t lease_ms(void);
void lease_ms_set(int64_t ms);

#endif
