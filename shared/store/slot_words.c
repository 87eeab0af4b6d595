#include "store/slot_words.h"

#include <stdio.h>

#include "store/store_slot.h"

static int
in_line_for(const char *provider, struct err *e)
{
	e->stage = "queue";
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", provider);
	return -1;
}

int
slot_too_late(const char *provider, unsigned place, struct err *e)
{
	if (place)
		(void)err_set(e, ERR_DEADLINE,
			      "waiting for a free slot at %s (place %u in the line)", provider,
			      place);
	else
		(void)err_set(e, ERR_DEADLINE, "waiting for a free slot at %s", provider);
	return in_line_for(provider, e);
}

int
slot_line_full(const char *provider, struct err *e)
{
	(void)err_set(e, ERR_OVERLOADED, "%d requests wait for %s", SLOT_LINE_MAX, provider);
	e->retry_after_s = 1;
	e->stage = "queue";
	return -1;
}

int
slot_left_by_all(const char *provider, struct err *e)
{
	(void)err_set(e, ERR_GONE, "%s", "");
	return in_line_for(provider, e);
}
