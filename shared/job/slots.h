#ifndef EASEL_JOB_SLOTS_H
#define EASEL_JOB_SLOTS_H
/*
 * slots - a provider's `concurrency`, held over every process of the installation
 *
 * A provider's credential may be used by so many calls at once.  Whoever wants one more stands in one
 * line a provider, first come first served, until a slot of any credential it can use is free or its
 * deadline passes.  slot_done() gives the slot back however the call ended; a process that dies gives
 * back its slots and its places in the line within 100 ms.
 *
 * One mapped file a provider, state_dir/run/slots/NAME, on one machine.  A store that several machines
 * share can stand behind the same two functions.  Blocking; thread-safe; does not log.
 */
#include <stdint.h>

#include "base/deadline.h"
#include "base/err.h"

#define SLOT_KEYS_MAX 64 /* credentials of one provider that are told apart */

struct slot_line;

/* A slot that is held; all zero: none. */
struct slot {
	struct slot_line *line;
	uint32_t entry;
	unsigned key; /* which of the credentials it is for */
	int64_t concurrency;
};

struct slot_wish {
	const char *provider;
	const char *const *credentials; /* any of them */
	unsigned n;                     /* 1 .. SLOT_KEYS_MAX */
	int64_t concurrency;            /* of each; 1 or more */
};

/* Once a process, after fork, before threads: from here on the others can see that it lives. */
int slots_open(const char *state_dir, struct err *e);
void slots_close(void);

/*
 * 0: s->key is the credential to use.
 * -1: ERR_DEADLINE (stage "queue", with the place in the line), ERR_OVERLOADED (the line is full),
 *     ERR_STORAGE_FULL, ERR_CONFIG (the file cannot be used), ERR_GONE (this thread's tick found that
 *     nobody waits any more).  A deadline that is over already takes a slot
 *     that is free.
 */
int slot_take(struct slot *s, const struct slot_wish *w, const struct deadline *d, struct err *e);
void slot_done(struct slot *s);

#endif
