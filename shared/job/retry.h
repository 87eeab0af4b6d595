#ifndef EASEL_JOB_RETRY_H
#define EASEL_JOB_RETRY_H
/*
 * retry - after which failures something else may be tried, and when
 *
 * Never after one that may have bought a picture: that would buy another.  Of the others some pass by
 * themselves, some are the fault of one key or one provider, some of the request.
 */
#include <stdint.h>

#include "base/deadline.h"
#include "base/err.h"

#define RETRY_ATTEMPTS_MAX 3     /* with one key and one model */
#define RETRY_WAIT_MAX_MS  30000 /* longer waits are the caller's: the answer says how long */
#define RETRY_USEFUL_MS    1000 /* so much must be left after a wait, where nothing better is known */

/* May the same request to the same provider succeed in a moment?  No name, no connection, 408, 425,
 * 429, a 503 or 529 that says it was too busy to begin. */
bool retry_may_pass(const struct err *e);

/*
 * May another model do what this one did not?  Whenever nothing was bought, unless the request is at
 * fault (its content, its parameters) or we are (no room, an error of our own).
 */
bool retry_elsewhere(const struct err *e);

/*
 * How long to wait before attempt number `waits` + 2: half a second, doubled each time up to eight, a
 * quarter more or less; and never less than what the provider asked for.
 * random: any number.
 */
int64_t retry_wait_ms(unsigned waits, int64_t asked_ms, uint32_t random);

#endif
