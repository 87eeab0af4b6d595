#include "api/chat_proxy.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "access/fingerprint.h"
#include "api/chat_pass.h"
#include "base/cleanup.h"
#include "base/json_splice.h"
#include "base/log.h"
#include "base/tick.h"
#include "http/reply.h"
#include "job/aside.h"
#include "job/retry.h"
#include "provider/chat_call.h"

#define LOOK_US 500000

struct proxying {
	struct request *r;
	const struct chat_proxy *what;
	const struct model_conf *model; /* that is asked: the request's, or one of its fallbacks */
	const char *body;               /* for that one */
	size_t body_len;
	struct key_turn turn;
	struct sse sse;
	struct tick tick;
	unsigned attempts, waits;
};

static int
attempt(struct proxying *x, unsigned k, struct err *e)
{
	const struct model_conf *m = x->model;
	struct chat_pass p = { .r = x->r,
			       .model = m,
			       .attempts = ++x->attempts,
			       .turn = &x->turn,
			       .sse = &x->sse,
			       .stream = x->what->stream,
			       .events_bytes = chat_answer_bytes(
				       (uint64_t)x->what->config->limits.image_bytes) };
	struct upstream_body receiver = chat_pass_receiver(&p);
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

	key_turn_use(&x->turn, k);
	rc = chat_call(&call, &receiver, &head, e);
	if (rc == 0) {
		if (x->turn.nkeys > 1 && head.status >= 200 && head.status < 300)
			aside_clear(x->turn.keys[k], m, start_us);
		rc = chat_pass_end(&p, &f, e);
	}
	if (rc < 0)
		key_turn_scrub_err(&x->turn, e);
	chat_pass_done(&p);
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
			 e->upstream.status, print, x->model->id, x->model->provider, err_code(e));
}

/* May it be tried once more?  Waits until it may. */
static bool
again(struct proxying *x, unsigned k, struct err *e)
{
	int64_t asked_ms = (int64_t)e->retry_after_s * 1000, key_ms, wait_ms;
	uint32_t random = 0;

	if (e->may_have_been_billed || request_is_answered(x->r))
		return false;
	if (aside_is_reason(e) && x->turn.nkeys > 1) {
		(void)aside_put(x->turn.keys[k], x->model, e);
		if (key_turn_ready(&x->turn))
			return true;
		(void)aside_error(x->turn.keys, x->turn.nkeys, x->model, e);
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

/* One model, until it has answered or nothing more may be tried with it. */
static int
ask_model(struct proxying *x, const struct model_conf *m, struct err *e)
{
	const struct chat_proxy *what = x->what;
	AUTO_FREE char *body = json_splice_string(what->text, what->text_len, "model",
						  m->upstream_model, &x->body_len);

	if (!body)
		return err_set(e, ERR_INTERNAL, "out of memory");
	x->body = body;
	x->model = m;
	x->waits = 0;
	key_turn_init(&x->turn, m, request_store(x->r));
	return run(x, e);
}

/* The models of `fallback`, in order, as long as nothing of an answer has left and nothing can have been bought. */
static int
ask_others(struct proxying *x, struct err *e)
{
	const struct strings *others = &x->what->model->fallback;
	int rc = -1;

	for (size_t i = 0;
	     rc < 0 && i < others->n && retry_elsewhere(e) && !request_is_answered(x->r); i++) {
		const struct model_conf *m = config_model(x->what->config, others->v[i]);

		if (!m || m->type != MODEL_CHAT || deadline_over(request_deadline(x->r)))
			continue;
		log_info(request_id(x->r), "fallback %s is %s after %s", m->id,
			 chat_call_possible(m->provider_conf) ? "asked" : "passed over",
			 err_code(e));
		if (chat_call_possible(m->provider_conf))
			rc = ask_model(x, m, e);
	}
	return rc;
}

/* ---- the process ends ---- */

/* At the end of the drain nobody can wait any longer: what goes on is ended (api/chat_pass.h), nothing new begins. */
static void
look(void *self)
{
	struct proxying *x = self;
	int64_t now_us = clock_us(), leave_us = request_leave_us(x->r);

	x->tick.due_us = leave_us > now_us ? leave_us : 0;
	x->tick.forsaken = leave_us && now_us >= leave_us;
}

static int
ask_until_end(struct proxying *x, struct err *e)
{
	struct tick *before;
	int rc;

	x->tick = (struct tick){ .fn = look, .self = x, .every_us = LOOK_US };
	before = tick_set(&x->tick);
	rc = ask_model(x, x->what->model, e);
	if (rc < 0)
		rc = ask_others(x, e);
	(void)tick_set(before);
	if (rc < 0 && x->tick.forsaken && !e->may_have_been_billed) {
		(void)err_set(e, ERR_STOPPING, "%s", "");
		e->retry_after_s = STOPPING_RETRY_S;
	}
	return rc;
}

int
chat_proxy(struct request *r, const struct chat_proxy *p, struct err *e)
{
	const struct model_conf *m = p->model;
	struct proxying x = { .r = r, .what = p, .model = m };
	struct err ignored;

	if (!chat_call_possible(m->provider_conf)) {
		(void)err_set(e, ERR_UNSUPPORTED, "its provider (dialect %s) has no chat",
			      config_dialect_name(m->provider_conf->dialect));
		(void)snprintf(e->param, sizeof(e->param), "model");
		return -1;
	}
	sse_init(&x.sse, r);
	x.sse.nameless = true;
	if (ask_until_end(&x, e) < 0) {
		if (!request_is_answered(r))
			chat_pass_headers(r, x.model, x.attempts);
		else if (!x.sse.begun) /* a plain answer */
			reply_break(r, e);
		else if (
			!x.sse.left) /* ends an event, and perhaps a line, whose end did not come */
			(void)reply_write(r, "\n\n", 2, &ignored);
		sse_error(&x.sse, e, NULL, NULL);
		return -1;
	}
	return 0;
}
