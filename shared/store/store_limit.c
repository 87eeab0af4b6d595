/* The limits: what is the same whichever store counts. */
#include "store/store_limit.h"

#include <stdio.h>

#include "store/store_driver.h"

int
store_limit_open(struct store *s, const char *state_dir, struct err *e)
{
	return s->driver->limit->limit_open(s, state_dir, e);
}

int
store_limit_take(struct store *s, const char *key_id, const struct limit_set *set, struct grant *g,
		 const struct deadline *d, struct err *e)
{
	*g = (struct grant){ .set = *set };
	if (!set->requests_per_minute && !set->concurrent && !set->images_per_day)
		return 0;
	if (s->driver->limit->limit_take(s, key_id, set, g, d, e) < 0)
		return -1;
	g->held = true;
	g->retry_ms = 0;
	return 0;
}

int
store_limit_take_images(struct store *s, struct grant *g, int64_t pictures,
			const struct deadline *d, struct err *e)
{
	if (!g->held || !g->set.images_per_day)
		return 0;
	return s->driver->limit->limit_take_images(s, g, pictures, d, e);
}

void
store_limit_keep(struct store *s, struct grant *g, const struct deadline *until)
{
	if (g->held && !g->left)
		s->driver->limit->limit_keep(s, g, until);
}

void
store_limit_leave(struct store *s, struct grant *g)
{
	if (!g->held || g->left)
		return;
	s->driver->limit->limit_leave(s, g);
	g->left = true;
}

void
store_limit_give(struct store *s, struct grant *g, int64_t came)
{
	if (!g->held)
		return;
	s->driver->limit->limit_give(s, g, came > 0 ? came : 0);
	g->pictures = 0;
	g->left = true;
	g->held = false;
}

int
limit_refuse(struct grant *g, int64_t retry_ms, struct err *e, const char *name, int64_t limit)
{
	g->retry_ms = retry_ms;
	(void)err_set(e, ERR_RATE_LIMITED, "%s = %lld for this key", name, (long long)limit);
	e->retry_after_s = (int)((retry_ms + 999) / 1000);
	e->stage = "limit";
	return -1;
}
