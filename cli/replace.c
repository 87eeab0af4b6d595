/*
 * replace - the reload as the supervisor sees it: processes that take each other's places
 */
#include <signal.h>

#include "base/log.h"
#include "run.h"

#define RELOAD_LIMIT_MS 10000 /* for the new programs to come up */

void
reload_abandon(struct run *r, const char *why)
{
	log_error(NULL, "the reload is given up: %s; the old configuration stays", why);
	r->settle_by_us = 0;
	for (size_t i = 0; i < r->old.n; i++) {
		struct aside *old = &r->old.v[i];
		struct child *c = &r->s->children[old->index], new = *c;

		if (old->told)
			continue;
		*c = old->child;
		if (!c->pid) /* it died meanwhile */
			c->restart_at_us = clock_us();
		old->child = new; /* what it has taken it shall finish */
	}
	asides_finish(&r->old);
	r->s->reload.abandon(r->s->reload.arg);
}

static void
begin(struct run *r)
{
	struct err e;

	r->reload_again = false;
	log_info(NULL, "told to reload");
	if (r->s->reload.prepare(r->s->reload.arg) < 0)
		return;
	r->settle_by_us = clock_us() + RELOAD_LIMIT_MS * 1000LL;
	for (size_t i = 0; i < r->s->n && r->settle_by_us; i++) {
		struct child *c = &r->s->children[i];

		if (c->front || c->now_and_then)
			continue;
		if (asides_add(&r->old, c, i, &e) < 0) {
			reload_abandon(r, e.about);
			return;
		}
		c->pid = 0;
		c->restart_at_us = 0;
		c->quick_deaths = 0;
		if (child_start(c, &e) < 0)
			reload_abandon(r, e.about);
	}
}

/* The old web server takes nothing new; its successor accepts from the same socket. */
static void
replace_front(struct run *r)
{
	struct child *c = &r->s->children[0];
	struct err e;

	if (c->pid && asides_add(&r->old, c, 0, &e) == 0)
		c->pid = 0;
	c->quick_deaths = 0;
	if (c->pid) /* no memory: it is replaced the hard way */
		run_tell(c, SIGINT);
	else
		run_start(r, c);
}

static void
commit(struct run *r)
{
	r->settle_by_us = 0;
	if (r->s->reload.commit(r->s->reload.arg))
		replace_front(r);
	asides_finish(&r->old);
	log_info(NULL, "reloaded: the programs that ran finish what they have in hand");
}

void
reload_go_on(struct run *r)
{
	if (r->settle_by_us) {
		if (r->s->reload.ready(r->s->reload.arg))
			commit(r);
		else if (clock_us() >= r->settle_by_us)
			reload_abandon(r, "the new programs do not come up");
	}
	if (!r->settle_by_us && r->reload_again)
		begin(r);
}
