#ifndef EASEL_BASE_TICK_H
#define EASEL_BASE_TICK_H
/*
 * tick - what a thread has to do now and then while it waits for something else
 *
 * A stream needs a comment every so often, a lease to be renewed, a client that has left to be noticed:
 * by the very thread that waits for a provider, so that nothing is shared and no thread is added.
 * Whoever has such a duty sets a tick for its thread; whoever waits (net/, store_slot, pauses, the
 * WebSocket) never waits longer than tick_wait_ms() at a time and calls tick() in between.
 */
#include <stdbool.h>
#include <stdint.h>

struct tick {
	/* What is to be done; must not block for long. */
	void (*fn)(void *self);
	void *self;
	int64_t every_us;
	int64_t next_us; /* clock_us() of the next time; 0: at the first tick() */
	/*
	 * clock_us() of something that must not come late, or 0: then fn is called besides, and waits that can
	 * end to the millisecond.  fn sets it anew.
	 */
	int64_t due_us;
	/*
	 * Set by fn: nobody waits for the result any more.  What was not yet bought need not be; what was
	 * is finished all the same.
	 */
	bool forsaken;
};

/* This thread's tick from now on; NULL: none.  Returns the one before, for nesting. */
struct tick *tick_set(struct tick *t);

/* Calls the thread's fn when it is time.  Cheap when it is not. */
void tick(void);
void tick_at(int64_t now_us); /* … by who has just looked at the clock */

/* Calls it at once: something has come that it may want to see, a picture while others are still made. */
void tick_now(void);

/* The lesser of ms and the time until the next tick, at least 1 (0 when ms is 0). */
int64_t tick_wait_ms(int64_t ms);

/* How long until something is due that must not come late; INT64_MAX: nothing is. */
int64_t tick_due_ms(void);

/* Has this thread's tick found that nobody waits any more? */
bool tick_forsaken(void);

/* Sleeps for so long, with the ticks that fall into it.  False: it ended early, because nobody waits any
 * more and `unless_forsaken`. */
bool tick_pause(int64_t ms, bool unless_forsaken);

#endif
