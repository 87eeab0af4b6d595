#include "http/sse.h"

#include <stdlib.h>
#include <string.h>

#include "http/frame.h"
#include "http/reply_base64.h"

#define TICK_MAX_US 1000000 /* a client that has left is noticed that late */

void
sse_init(struct sse *s, struct request *r)
{
	*s = (struct sse){ .r = r, .written_us = clock_us() };
}

/* -1: the client has left. */
static int
gone(struct sse *s, struct err *e)
{
	s->left = true;
	s->r->broken = true; /* nothing more is written, and the log says so */
	return err_set(e, ERR_GONE, "%s", "");
}

int
sse_begin(struct sse *s, struct err *e)
{
	if (s->left)
		return gone(s, e);
	if (s->begun)
		return 0;
	s->begun = true;
	reply_header(s->r, "cache-control", "no-cache");
	reply_header(s->r, "x-accel-buffering", "no"); /* nginx: pass it on as it comes */
	if (reply_stream(s->r, "text/event-stream; charset=utf-8", e) < 0)
		return e->kind == ERR_GONE ? gone(s, e) : -1;
	return 0;
}

static int
text(struct sse *s, const char *p, struct err *e)
{
	return reply_write(s->r, p, strlen(p), e);
}

/* What an event begins with. */
static int
event_begin(struct sse *s, const char *name, struct err *e)
{
	if (sse_begin(s, e) < 0)
		return -1;
	if (name && (text(s, "event: ", e) < 0 || text(s, name, e) < 0 || text(s, "\n", e) < 0))
		return -1;
	return text(s, "data: ", e);
}

/* The empty line that makes readers take it, and the way to the client. */
static int
end(struct sse *s, int rc, struct err *e)
{
	struct err ignored;

	if (rc == 0 && text(s, "\n\n", e) == 0 && reply_end(s->r, e) == 0) {
		s->written_us = clock_us();
		return 0;
	}
	if (e->kind == ERR_GONE)
		return gone(s, e);
	/* What was begun cannot be taken back; an error will follow, which must stand by itself. */
	(void)reply_write(s->r, "\n\n", 2, &ignored);
	return -1;
}

int
sse_event(struct sse *s, const char *name, const char *data, struct err *e)
{
	int rc = event_begin(s, name, e);

	if (rc == 0)
		rc = text(s, data, e);
	return end(s, rc, e);
}

int
sse_event_base64(struct sse *s, const char *name, const char *before, int fd, uint64_t bytes,
		 const char *after, struct err *e)
{
	int rc = event_begin(s, name, e);

	if (rc == 0)
		rc = text(s, before, e);
	if (rc == 0)
		rc = reply_base64(s->r, fd, bytes, e);
	if (rc == 0)
		rc = text(s, after, e);
	return end(s, rc, e);
}

int
sse_comment(struct sse *s, const char *comment, struct err *e)
{
	int rc = sse_begin(s, e);

	if (rc == 0)
		rc = text(s, ": ", e);
	if (rc == 0)
		rc = text(s, comment, e);
	return end(s, rc, e);
}

static int64_t
every_us(const struct sse *s)
{
	return s->r->frame->config->server.stream_keep_alive_ms * 1000;
}

bool
sse_keep_alive(struct sse *s)
{
	struct err e;

	if (!s->left && request_is_left(s->r))
		(void)gone(s, &e);
	if (!s->left && clock_us() - s->written_us >= every_us(s))
		(void)sse_comment(s, "keep-alive", &e);
	return !s->left;
}

int64_t
sse_tick_us(const struct sse *s)
{
	int64_t us = every_us(s) / 2; /* so that no silence is much longer than it */

	return us < TICK_MAX_US ? us : TICK_MAX_US;
}

void
sse_error(struct sse *s, struct err *e, json_t *in_error, json_t *beside)
{
	static const char plain[] = "{\"type\":\"error\",\"error\":" ERROR_PLAIN "}";
	json_t *error, *event;
	struct err ignored;
	char *data;

	if (s->begun && !s->left) {
		reply_complete_error(s->r, e);
		error = error_json(e, request_lang(s->r), s->r->id);
		event = json_pack("{s:s, s:o}", "type", "error", "error", error);
		(void)json_object_update(error, in_error);
		(void)json_object_update(event, beside);
		data = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(12));
		json_decref(event);
		(void)sse_event(s, s->nameless ? NULL : "error", data ? data : plain, &ignored);
		free(data);
		s->r->code = err_code(e);
	}
	json_decref(in_error);
	json_decref(beside);
}
