#include "provider/novelai_error.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/json_splice.h"

#define LOCKED_S 3 /* clients that never meet the lock leave that between two pictures */

static size_t
first_value(const char *body, size_t n)
{
	size_t at = strspn(body, " \t\r\n"), end = n;
	json_auto_t *v = NULL;
	struct err ignored;

	if (body[at] == '{')
		end = json_value_end(body, n, at);
	return json_read(body, end, &v, &ignored) == 0 ? end : n;
}

static void
becomes(struct err *e, enum err_kind kind)
{
	e->kind = kind;
	e->status = e->party = 0;
	e->param[0] = '\0';
}

int
novelai_error(const struct upstream_failure *f, const char *body, size_t n, struct err *e)
{
	int status = f->head->status;
	const char *said;

	(void)upstream_error(f, body, first_value(body, n), e);
	said = e->upstream.message;
	if ((status == 400 && strcasestr(said, "refresh novelai")) ||
	    (status == 404 && strcasestr(said, "deprecat")))
		becomes(e, ERR_UP_MOVED);
	else if (status == 400 && strcasestr(said, "model") && strcasestr(said, "doesn't exist"))
		becomes(e, ERR_UP_NOT_FOUND);
	else if (status == 409)
		becomes(e, ERR_UP_RATE);
	if (e->kind == ERR_UP_RATE && !e->retry_after_s)
		e->retry_after_s = LOCKED_S;
	return -1;
}
