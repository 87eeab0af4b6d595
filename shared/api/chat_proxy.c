#include "api/chat_proxy.h"

#include <jansson.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "access/fingerprint.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/json_splice.h"
#include "base/log.h"
#include "base/tick.h"
#include "http/reply.h"
#include "http/sse.h"
#include "job/aside.h"
#include "job/key_turn.h"
#include "job/retry.h"
#include "provider/chat_call.h"
#include "provider/upstream_error.h"
#include "provider/upstream_said.h"

#define WHOLE_BYTES ((size_t)16 << 20) /* of an answer that is no stream */
#define FIRST_BYTES 256                /* that tell a stream from an error in its place */

/* One attempt's answer on its way to the client. */
struct passing {
	struct request *r;
	const struct key_turn *turn; /* its keys are nobody else's business should one come back */
	struct sse sse; /* knows whether the stream has begun, and tells errors in it */
	char type[96];
	enum { PASS_STREAM, PASS_WHOLE, PASS_ERROR } how;
	/* PASS_WHOLE: the answer.  PASS_ERROR: what it says.  PASS_STREAM: what came until it began, and then the
	   beginning of a line whose end has not come. */
	struct buf text;
	bool unsent; /* pieces of the stream are on their way, but not out yet */
};

/* ---- receiving ---- */

static int
on_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct passing *p = self;

	(void)e;
	(void)snprintf(p->type, sizeof(p->type), "%s", h->content_type);
	if (h->status < 200 || h->status >= 300 || strstr(p->type, "html"))
		p->how = PASS_ERROR;
	else
		p->how = !strcmp(p->type, "text/event-stream") ? PASS_STREAM : PASS_WHOLE;
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
send(struct passing *p, const char *bytes, size_t n, struct err *e)
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

/*
 * Whole lines at once; the beginning of one waits for its end, which usually came with it: should the provider
 * break off there, the error that follows would be part of that line.
 */
static int
send_lines(struct passing *p, const char *bytes, size_t n, struct err *e)
{
	const char *last = memrchr(bytes, '\n', n);
	size_t whole = last ? (size_t)(last - bytes) + 1 : 0;

	if (whole && p->text.len) { /* a line that came in two pieces goes out in one */
		if (buf_add(&p->text, bytes, whole) < 0)
			return err_set(e, ERR_UP_TOO_LARGE, "a line of more than %zu bytes",
				       p->text.max);
		if (send(p, p->text.p, p->text.len, e) < 0)
			return -1;
		buf_clear(&p->text);
	} else if (send(p, bytes, whole, e) < 0) {
		return -1;
	}
	if (n > whole && buf_add(&p->text, bytes + whole, n - whole) < 0)
		return err_set(e, ERR_UP_TOO_LARGE, "a line of more than %zu bytes", p->text.max);
	return 0;
}

static int
stream_data(struct passing *p, const char *bytes, size_t n, struct err *e)
{
	struct buf first;
	int rc;

	if (p->sse.begun)
		return send_lines(p, bytes, n, e);
	if (buf_add(&p->text, bytes, n) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (!is_clear(&p->text))
		return 0;
	if (begins_badly(&p->text)) {
		p->how = PASS_ERROR;
		return 0;
	}
	if (sse_begin(&p->sse, e) < 0)
		return -1;
	first = p->text;
	p->text = (struct buf)BUF_INIT(WHOLE_BYTES);
	rc = send_lines(p, first.p, first.len, e);
	buf_done(&first);
	return rc;
}

/* All that came together goes out together, at once. */
static int
on_caught_up(void *self, struct err *e)
{
	struct passing *p = self;

	if (request_is_left(p->r)) /* every further word costs somebody money */
		return err_set(e, ERR_GONE, "%s", "");
	if (!p->unsent)
		return 0;
	p->unsent = false;
	p->sse.written_us = clock_us();
	return reply_end(p->r, e);
}

static int
on_data(void *self, const char *bytes, size_t n, struct err *e)
{
	struct passing *p = self;

	if (p->how == PASS_STREAM)
		return stream_data(p, bytes, n, e);
	if (n > p->text.max - p->text.len) {
		if (p->how == PASS_WHOLE)
			return err_set(e, ERR_UP_TOO_LARGE, "more than %zu bytes", p->text.max);
		n = p->text.max - p->text.len;
	}
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
answer_as_stream(struct passing *p, const json_t *root, struct err *e)
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
	if (sse_event(&p->sse, NULL, text, e) < 0)
		return -1;
	return sse_event(&p->sse, NULL, "[DONE]", e);
}

static int
answer_whole(struct passing *p, const struct upstream_failure *f, bool stream, struct err *e)
{
	json_auto_t *root = NULL;
	struct err why;

	if (p->text.len)
		key_turn_scrub_bytes(p->turn, p->text.p, p->text.len);
	if (json_read(buf_str(&p->text), p->text.len, &root, &why) < 0 || !json_is_object(root))
		return upstream_garbage(f, p->text.len ? "it is not JSON" : "it is empty",
					p->text.p, p->text.len, e);
	if (said_is_error(root) && !json_object_get(root, "choices"))
		return upstream_error_json(f, root, e);
	if (stream)
		return answer_as_stream(p, root, e);
	return reply_text(p->r, f->head->status, "application/json", p->text.p, p->text.len, e);
}

static int
conclude(struct passing *p, const struct upstream_failure *f, bool stream, struct err *e)
{
	const char *s;
	size_t n;

	if (p->how == PASS_STREAM && !p->sse.begun) {
		/* It ended before its first line did. */
		if (p->text.len)
			return upstream_garbage(f, "it is no event stream", p->text.p, p->text.len,
						e);
		return upstream_garbage(f, "it is an empty event stream", NULL, 0, e);
	}
	if (p->how == PASS_STREAM) /* a last line without its end */
		return send(p, p->text.p, p->text.len, e);
	if (p->how == PASS_WHOLE)
		return answer_whole(p, f, stream, e);
	unwrap(&p->text, &s, &n);
	return upstream_error(f, s, n, e);
}

/* ---- attempts ---- */

struct proxying {
	struct request *r;
	const struct chat_proxy *what;
	const char *body;
	size_t body_len;
	struct key_turn turn;
	struct sse sse;
	unsigned attempts, waits;
};

static int
attempt(struct proxying *x, unsigned k, struct err *e)
{
	const struct model_conf *m = x->what->model;
	struct passing p = {
		.r = x->r, .turn = &x->turn, .sse = x->sse, .text = BUF_INIT(WHOLE_BYTES)
	};
	struct upstream_body receiver = {
		.begin = on_begin, .data = on_data, .self = &p, .caught_up = on_caught_up
	};
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { m->provider, x->turn.keys[k], &head };
	const struct chat_call call = { .provider = m->provider_conf,
					.credential = x->turn.keys[k],
					.body = x->body,
					.body_len = x->body_len,
					.stream = x->what->stream,
					.idle_ms = x->what->config->deadline.chat_idle_ms,
					.deadline = request_deadline(x->r),
					.ledger = request_ledger(x->r) };
	int64_t start_us = clock_us();
	int rc;

	x->attempts++;
	key_turn_use(&x->turn, k);
	rc = chat_call(&call, &receiver, &head, e);
	if (rc == 0) {
		if (x->turn.nkeys > 1 && head.status >= 200 && head.status < 300)
			aside_clear(x->turn.keys[k], m, start_us);
		rc = conclude(&p, &f, x->what->stream, e);
	}
	if (rc < 0)
		key_turn_scrub_err(&x->turn, e);
	x->sse = p.sse;
	buf_done(&p.text);
	return rc;
}

static void
log_failure(const struct proxying *x, unsigned k, const struct err *e)
{
	const char *key = x->turn.keys[k];
	char print[FINGERPRINT_TEXT] = "none";

	if (*key)
		fingerprint(key, strlen(key), print);
	if (e->kind != ERR_GONE)
		log_warn(request_id(x->r),
			 "Chat failed: status=%d, token=fp:%s, model=%s, provider=%s, %s",
			 e->upstream.status, print, x->what->model->id, x->what->model->provider,
			 err_code(e));
}

/* May it be tried once more?  Waits until it may. */
static bool
again(struct proxying *x, unsigned k, struct err *e)
{
	int64_t asked_ms = (int64_t)e->retry_after_s * 1000, key_ms, wait_ms;
	uint32_t random = 0;

	if (e->may_have_been_billed || x->sse.begun)
		return false;
	if (aside_is_reason(e) && x->turn.nkeys > 1) {
		(void)aside_put(x->turn.keys[k], x->what->model, e);
		if (key_turn_ready(&x->turn))
			return true;
		(void)aside_error(x->turn.keys, x->turn.nkeys, x->what->model, e);
	}
	key_ms = key_turn_soonest_ms(&x->turn);
	if (!retry_may_pass(e) || key_ms < 0)
		return false;
	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	wait_ms = retry_wait_ms(x->waits++, key_ms > asked_ms ? key_ms : asked_ms, random);
	if (wait_ms > RETRY_WAIT_MAX_MS ||
	    wait_ms + RETRY_USEFUL_MS > deadline_left_ms(request_deadline(x->r)))
		return false;
	request_ledger(x->r)->us[LEDGER_WAIT] += wait_ms * 1000;
	return tick_pause(wait_ms, true);
}

static int
run(struct proxying *x, struct err *e)
{
	for (;;) {
		__attribute__((cleanup(store_slot_done))) struct slot slot = { 0 };
		int k = key_turn_take(&x->turn, &slot, request_deadline(x->r), request_ledger(x->r),
				      e);
		int rc;

		if (k < 0)
			return -1;
		rc = attempt(x, (unsigned)k, e);
		store_slot_done(&slot); /* before any wait */
		if (rc == 0)
			return 0;
		log_failure(x, (unsigned)k, e);
		if (e->kind == ERR_GONE || !again(x, (unsigned)k, e))
			return -1;
	}
}

int
chat_proxy(struct request *r, const struct chat_proxy *p, struct err *e)
{
	const struct model_conf *m = p->model;
	AUTO_FREE char *body = NULL;
	struct proxying x = { .r = r, .what = p };
	struct err ignored;

	if (!chat_call_possible(m->provider_conf)) {
		(void)err_set(e, ERR_UNSUPPORTED, "its provider (dialect %s) has no chat",
			      config_dialect_name(m->provider_conf->dialect));
		(void)snprintf(e->param, sizeof(e->param), "model");
		return -1;
	}
	body = json_splice_string(p->text, p->text_len, "model", m->upstream_model, &x.body_len);
	if (!body)
		return err_set(e, ERR_INTERNAL, "out of memory");
	x.body = body;
	key_turn_init(&x.turn, m, request_store(r));
	sse_init(&x.sse, r);
	x.sse.nameless = true;
	reply_header(r, "x-easel-model", "%s", m->id);
	if (run(&x, e) < 0) {
		if (x.sse.begun && !x.sse.left) /* ends an event whose end did not come */
			(void)reply_write(r, "\n", 1, &ignored);
		sse_error(&x.sse, e, NULL, NULL);
		return -1;
	}
	return 0;
}
