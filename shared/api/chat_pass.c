#include "api/chat_pass.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/tick.h"
#include "http/reply.h"
#include "provider/upstream_said.h"

#define HELD_BYTES  ((size_t)16 << 20) /* of an answer, or of a stream's line: the rest flows */
#define HELD_VALUES 3000000 /* in it: log probabilities of every token are a value in six bytes */
#define KEY_BYTES   ((size_t)16 << 10) /* no key is as long */
#define FIRST_BYTES 256                /* that tell a stream from an error in its place */

void
chat_pass_headers(struct request *r, const struct model_conf *model, unsigned attempts)
{
	reply_header(r, "x-easel-model", "%s", model->id);
	if (attempts)
		reply_header(r, "x-easel-attempts", "%u", attempts);
}

/* ---- receiving ---- */

static int
on_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct chat_pass *p = self;

	(void)e;
	p->head = h;
	(void)snprintf(p->type, sizeof(p->type), "%s", h->content_type);
	if (h->status < 200 || h->status >= 300 || strstr(p->type, "html"))
		p->how = PASS_ERROR;
	else
		p->how = !strcmp(p->type, "text/event-stream") ? PASS_STREAM : PASS_WHOLE;
	if (p->how == PASS_WHOLE && p->stream && p->events_bytes > HELD_BYTES)
		p->text.max = p->events_bytes;
	return 0;
}

/* Does a stream begin with an error, or with something that is no stream?  Some providers answer 200 first. */
static bool
begins_badly(const struct buf *text)
{
	const char *s = buf_str(text);

	s += strspn(s, " \t\r\n");
	if (!strncasecmp(s, "event: error", 12))
		return true;
	if (!strncasecmp(s, "data:", 5))
		s += 5 + strspn(s + 5, " ");
	return !strncmp(s, "{\"error\"", 8) || *s == '<';
}

/* Enough of a stream to tell what it is: a line's end, or so many bytes. */
static bool
is_clear(const struct buf *text)
{
	const char *s = buf_str(text);

	s += strspn(s, "\r\n");
	return text->len >= FIRST_BYTES || strchr(s, '\n');
}

static int
send(struct chat_pass *p, const char *bytes, size_t n, struct err *e)
{
	AUTO_FREE char *copy = NULL;

	if (!n)
		return 0;
	if (key_turn_is_in(p->turn, bytes, n)) {
		copy = malloc(n);
		if (!copy)
			return err_set(e, ERR_INTERNAL, "out of memory");
		memcpy(copy, bytes, n);
		key_turn_scrub_bytes(p->turn, copy, n);
		bytes = copy;
	}
	if (reply_write(p->r, bytes, n, e) < 0)
		return -1;
	p->unsent = true;
	return 0;
}

/* All but the end of what is held, which may be the beginning of a key. */
static int
send_held(struct chat_pass *p, struct err *e)
{
	size_t n = p->text.len > KEY_BYTES ? p->text.len - KEY_BYTES : 0;

	if (!n)
		return 0;
	key_turn_scrub_bytes(p->turn, p->text.p, p->text.len);
	if (send(p, p->text.p, n, e) < 0)
		return -1;
	memmove(p->text.p, p->text.p + n, p->text.len - n);
	p->text.len -= n;
	return 0;
}

/* Keeps it for later; what is longer than there is room for goes out as it comes. */
static int
hold(struct chat_pass *p, const char *bytes, size_t n, struct err *e)
{
	p->flows = p->flows || n > p->text.max - p->text.len;
	if (p->flows && send_held(p, e) < 0)
		return -1;
	return buf_add(&p->text, bytes, n) < 0 ? err_set(e, ERR_INTERNAL, "out of memory") : 0;
}

/*
 * Whole lines at once; the beginning of one waits for its end, which usually came with it: should the provider
 * break off there, the error that follows would be part of that line.
 */
static int
send_lines(struct chat_pass *p, const char *bytes, size_t n, struct err *e)
{
	const char *last = memrchr(bytes, '\n', n);
	size_t whole = last ? (size_t)(last - bytes) + 1 : 0;

	if (whole && p->text.len) { /* a line that came in two pieces goes out in one */
		if (hold(p, bytes, whole, e) < 0 || send(p, p->text.p, p->text.len, e) < 0)
			return -1;
		buf_clear(&p->text);
		p->flows = false;
	} else if (send(p, bytes, whole, e) < 0) {
		return -1;
	}
	return n > whole ? hold(p, bytes + whole, n - whole, e) : 0;
}

static int
stream_data(struct chat_pass *p, const char *bytes, size_t n, struct err *e)
{
	struct buf first;
	int rc;

	if (p->sse->begun)
		return send_lines(p, bytes, n, e);
	if (buf_add(&p->text, bytes, n) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (!is_clear(&p->text))
		return 0;
	if (begins_badly(&p->text)) {
		p->how = PASS_ERROR;
		return 0;
	}
	chat_pass_headers(p->r, p->model, p->attempts);
	if (sse_begin(p->sse, e) < 0)
		return -1;
	first = p->text;
	p->text = (struct buf)BUF_INIT(HELD_BYTES);
	rc = send_lines(p, first.p, first.len, e);
	buf_done(&first);
	return rc;
}

/* No error is as long as an answer that begins before it is whole. */
static int
begin_whole(struct chat_pass *p, struct err *e)
{
	const char *s = buf_str(&p->text);

	if (s[strspn(s, " \t\r\n")] != '{')
		return err_set(e, ERR_UP_GARBAGE, "it is not JSON");
	chat_pass_headers(p->r, p->model, p->attempts);
	return reply_begin(p->r, p->head->status, "application/json", p->head->content_length, e);
}

static int
whole_data(struct chat_pass *p, const char *bytes, size_t n, struct err *e)
{
	if (!p->flows && n > p->text.max - p->text.len) {
		if (p->stream) /* its events are made of all of it */
			return err_set(e, ERR_UP_TOO_LARGE, "more than %zu bytes", p->text.max);
		if (begin_whole(p, e) < 0)
			return -1;
	}
	return hold(p, bytes, n, e);
}

/* All that came together goes out together, at once. */
static int
on_caught_up(void *self, struct err *e)
{
	struct chat_pass *p = self;

	if (tick_forsaken()) /* this process ends */
		return err_set(e, ERR_STOPPING, "%s", "");
	if (request_is_left(p->r)) /* every further word costs somebody money */
		return err_set(e, ERR_GONE, "%s", "");
	if (!p->unsent)
		return 0;
	p->unsent = false;
	p->sse->written_us = clock_us();
	return reply_end(p->r, e);
}

static int
on_data(void *self, const char *bytes, size_t n, struct err *e)
{
	struct chat_pass *p = self;

	if (p->how == PASS_STREAM)
		return stream_data(p, bytes, n, e);
	if (p->how == PASS_WHOLE)
		return whole_data(p, bytes, n, e);
	if (n > p->text.max - p->text.len)
		n = p->text.max - p->text.len;
	return buf_add(&p->text, bytes, n) < 0 ? err_set(e, ERR_INTERNAL, "out of memory") : 0;
}

/* ---- an answer that is there ---- */

/* What an event's "data: " holds, for who reads errors. */
static void
unwrap(const struct buf *text, const char **s, size_t *n)
{
	const char *data = strstr(buf_str(text), "data:");

	*s = buf_str(text);
	*n = text->len;
	if (!data || **s == '{' || **s == '<')
		return;
	*s = data + 5 + strspn(data + 5, " ");
	*n = strcspn(*s, "\n");
}

/* Who asked for a stream and gets none would see nothing at all: the answer as its one chunk. */
static int
answer_as_stream(struct chat_pass *p, const json_t *root, struct err *e)
{
	json_auto_t *chunk = json_deep_copy(root);
	json_t *choices = json_object_get(chunk, "choices"), *choice;
	AUTO_FREE char *text = NULL;
	size_t i;

	(void)json_object_set_new(chunk, "object", json_string("chat.completion.chunk"));
	json_array_foreach(choices, i, choice)
	{
		json_t *delta = json_incref(json_object_get(choice, "message"));
		json_t *calls = json_object_get(delta, "tool_calls"), *c;
		size_t k;

		json_array_foreach(calls, k, c)(void)
			json_object_set_new(c, "index", json_integer((json_int_t)k));
		(void)json_object_del(choice, "message");
		if (delta)
			(void)json_object_set_new(choice, "delta", delta);
	}
	text = json_dumps(chunk, JSON_COMPACT);
	if (!text)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (sse_event(p->sse, NULL, text, e) < 0)
		return -1;
	return sse_event(p->sse, NULL, "[DONE]", e);
}

static int
answer_whole(struct chat_pass *p, const struct upstream_failure *f, struct err *e)
{
	json_auto_t *root = NULL;
	struct err why;

	if (p->text.len)
		key_turn_scrub_bytes(p->turn, p->text.p, p->text.len);
	if (json_read_up_to(buf_str(&p->text), p->text.len, HELD_VALUES, &root, &why) < 0 ||
	    !json_is_object(root))
		return upstream_garbage(f, p->text.len ? "it is not JSON" : "it is empty",
					p->text.p, p->text.len, e);
	if (said_is_error(root) && !json_object_get(root, "choices"))
		return upstream_error_json(f, root, e);
	chat_pass_headers(p->r, p->model, p->attempts);
	if (p->stream)
		return answer_as_stream(p, root, e);
	return reply_text(p->r, f->head->status, "application/json", p->text.p, p->text.len, e);
}

int
chat_pass_end(struct chat_pass *p, const struct upstream_failure *f, struct err *e)
{
	const char *s;
	size_t n;

	if (p->how == PASS_STREAM && !p->sse->begun) {
		/* It ended before its first line did. */
		if (p->text.len)
			return upstream_garbage(f, "it is no event stream", p->text.p, p->text.len,
						e);
		return upstream_garbage(f, "it is an empty event stream", NULL, 0, e);
	}
	/* A last line without its end, or the end of a long answer. */
	if (p->how == PASS_STREAM || p->flows)
		return send(p, p->text.p, p->text.len, e);
	if (p->how == PASS_WHOLE)
		return answer_whole(p, f, e);
	unwrap(&p->text, &s, &n);
	return upstream_error(f, s, n, e);
}

struct upstream_body
chat_pass_receiver(struct chat_pass *p)
{
	p->text = (struct buf)BUF_INIT(HELD_BYTES);
	return (struct upstream_body){
		.begin = on_begin, .data = on_data, .self = p, .caught_up = on_caught_up
	};
}

void
chat_pass_done(struct chat_pass *p)
{
	buf_done(&p->text);
}
