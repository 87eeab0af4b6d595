#ifndef EASEL_STORE_STORE_SLOT_H
#define EASEL_STORE_STORE_SLOT_H
/*
 * store_slot - a provider's `concurrency`, held over every process of the installation
 *
 * A provider's credential may be used by so many calls at once.  Whoever wants one more stands in one
 * line a provider, first come first served, until a slot of any credential it can use is free or its
 * deadline passes.  store_slot_done() gives the slot back however the call ended; a process that dies
 * gives back its slots and its places in the line within some 100 ms, should anybody on its machine wait
 * for them.
 *
 * With SQLite the line lies in a mapped file a provider, state_dir/run/slots/NAME, on one machine
 * (slot_file.h).  With Redis it lies there, for all machines alike; there each slot is a lease that its
 * process renews, and what that promises is in store_redis_slot.c.
 *
 * Opened by the first take, so that who takes none pays nothing.  Blocking; thread-safe; does not log.
 */
#include <stdint.h>

#include "store/store.h"

#define SLOT_KEYS_MAX 64   /* credentials of one provider that are told apart */
#define SLOT_LINE_MAX 4096 /* calls of one provider: those that hold a slot and those that wait */

/* A slot that is held; all zero: none. */
struct slot {
	struct store *store;
	unsigned key; /* which of the wish's */
	/* The driver's. */
	void *at;
	uint32_t entry;
	int64_t concurrency;
};

struct slot_wish {
	const char *provider;
	/*
	 * Any of these credentials.  Each is a number, the same on every machine and not 0: no credential reaches
	 * the store.
	 */
	const uint64_t *keys;
	unsigned n;          /* 1 .. SLOT_KEYS_MAX */
	int64_t concurrency; /* of each; 1 or more */
};

/*
 * 0: s->key is the credential to use.
 * -1: ERR_DEADLINE (stage "queue", with the place in the line), ERR_OVERLOADED (the line is full),
 *     ERR_GONE (this thread's tick found that nobody waits any more), ERR_STORE; ERR_STORAGE_FULL and
 *     ERR_CONFIG (a file below state_dir/run cannot be used).
 * A deadline that is over already takes a slot that is free.
 */
int store_slot_take(struct store *s, struct slot *slot, const struct slot_wish *w,
		    const struct deadline *d, struct err *e);
/* From any thread, before the store is freed.  Nothing when there is none; a second time does no harm. */
void store_slot_done(struct slot *slot);

#endif
