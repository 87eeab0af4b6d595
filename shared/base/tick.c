#include "base/tick.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "base/deadline.h"

static _Thread_local struct tick *mine;

struct tick *
tick_set(struct tick *t)
{
	struct tick *before = mine;

	mine = t;
	return before;
}

void
tick(void)
{
	if (mine)
		tick_at(clock_us());
}

void
tick_at(int64_t now_us)
{
	struct tick *t = mine;

	if (!t)
		return;
	if (now_us < t->next_us && (!t->due_us || now_us < t->due_us))
		return;
	t->next_us = now_us + t->every_us;
	t->fn(t->self);
}

void
tick_now(void)
{
	if (mine)
		mine->next_us = 0;
	tick();
}

int64_t
tick_wait_ms(int64_t ms)
{
	int64_t left_ms, at_us;

	if (!mine || ms <= 0)
		return ms;
	at_us = mine->due_us && mine->due_us < mine->next_us ? mine->due_us : mine->next_us;
	left_ms = (at_us - clock_us()) / 1000 + 1;
	if (left_ms < 1)
		left_ms = 1;
	return left_ms < ms ? left_ms : ms;
}

int64_t
tick_due_ms(void)
{
	int64_t left_us = mine && mine->due_us ? mine->due_us - clock_us() : INT64_MAX;

	if (left_us == INT64_MAX)
		return left_us;
	return left_us > 0 ? left_us / 1000 + 1 : 0;
}

bool
tick_forsaken(void)
{
	return mine && mine->forsaken;
}

bool
tick_pause(int64_t ms, bool unless_forsaken)
{
	while (ms > 0) {
		int64_t part_ms = tick_wait_ms(ms);
		struct timespec t = { part_ms / 1000, part_ms % 1000 * 1000000 };

		while (nanosleep(&t, &t) < 0 && errno == EINTR)
			;
		ms -= part_ms;
		tick();
		if (unless_forsaken && tick_forsaken())
			return false;
	}
	return true;
}
