#ifndef EASEL_STORE_LOCKOUT_H
#define EASEL_STORE_LOCKOUT_H
/*
 * lockout - what one more failed login means, in both drivers
 */
#include "store/store_user.h"

/* Counts it: how long it locks doubles with each, up to the rule's most. */
static inline void
lockout_count(const struct lockout_rule *rule, int64_t now_ms, struct lockout *l)
{
	int64_t beyond = ++l->count - rule->free, ms = rule->first_ms;

	l->until_ms = 0;
	if (beyond <= 0)
		return;
	while (--beyond > 0 && ms < rule->max_ms)
		ms *= 2;
	l->until_ms = now_ms + (ms < rule->max_ms ? ms : rule->max_ms);
}

/* Never forgotten while it still locks. */
static inline int64_t
lockout_forget_at(const struct lockout_rule *rule, int64_t now_ms, const struct lockout *l)
{
	return (l->until_ms > now_ms ? l->until_ms : now_ms) + rule->forget_ms;
}

#endif
