#ifndef EASEL_BASE_DEADLINE_H
#define EASEL_BASE_DEADLINE_H
/*
 * deadline - an absolute point on CLOCK_MONOTONIC
 *
 * Made once for a request, at accept, and handed down unchanged: every wait in Easel asks
 * deadline_left_ms() how long it may last.  Thread-safe.
 */
#include <stdbool.h>
#include <stdint.h>

struct deadline {
	int64_t at_us;
	/*
	 * Sooner than that, for work that may outlive its request: as long as nothing has left that a provider
	 * may have accepted, it must not leave after this.  0: there is no such difference.
	 */
	int64_t first_us;
};

int64_t clock_us(void);      /* CLOCK_MONOTONIC */
int64_t clock_wall_ms(void); /* CLOCK_REALTIME: for display and records only */

struct deadline deadline_in_ms(int64_t ms);         /* ms <= 0: already over */
int64_t deadline_left_ms(const struct deadline *d); /* rounded up, never below 0 */
bool deadline_over(const struct deadline *d);
/* Until when something may begin to leave: *d without a later end. */
struct deadline deadline_to_begin(const struct deadline *d);
/* The sooner of *d and `ms` from now. */
struct deadline deadline_sooner(const struct deadline *d, int64_t ms);

#endif
