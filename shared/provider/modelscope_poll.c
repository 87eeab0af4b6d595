#include "provider/modelscope_poll.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/tick.h"
#include "provider/api_call.h"
#include "provider/modelscope_answer.h"
#include "provider/openai_answer.h"
#include "provider/upstream_said.h"

#define FIRST_PAUSE_MS     500
#define PAUSE_MAX_MS       5000
#define RETRY_AFTER_MAX_MS 30000
#define POLL_TIMEOUT_MS    10000
#define LAST_LOOK_MS       400 /* before the deadline */
#define MISSING_MAX        3   /* a task may not be known everywhere at once */

struct poll {
	struct image_call *call;
	char path[128];
	int64_t pause_ms;       /* before the next poll */
	int64_t retry_after_ms; /* the same, as the provider asks; 0: it does not */
	unsigned missing;       /* how often in a row there was no such task */
	char word[TASK_WORD];   /* the state last seen */
	struct err trouble;     /* of the last poll; kind ERR_NONE: it had an answer */
	char request_id[96];
};

enum verdict { AGAIN, DONE, BROKEN };

static int
deadline_passed(const struct poll *p, struct err *e)
{
	const char *name = p->call->provider->name;

	(void)err_set(e, ERR_DEADLINE, "waiting for %s, whose task was last seen %s", name,
		      p->word[0] ? p->word : "accepted");
	e->stage = "provider.poll";
	e->may_have_been_billed = true;
	if (p->trouble.kind) {
		e->upstream = p->trouble.upstream;
		err_detail(e, "the last poll: %s %s", err_code(&p->trouble), p->trouble.detail);
	}
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", name);
	if (!e->upstream.request_id[0])
		(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
			       p->request_id);
	return -1;
}

/* How long to wait now: with a last look shortly before the deadline rather than none. */
static int64_t
pause_length(struct poll *p)
{
	int64_t left = deadline_left_ms(&p->call->deadline), ms = p->pause_ms;

	if (p->retry_after_ms > ms)
		ms = p->retry_after_ms;
	p->retry_after_ms = 0;
	p->pause_ms = p->pause_ms * 3 / 2 < PAUSE_MAX_MS ? p->pause_ms * 3 / 2 : PAUSE_MAX_MS;
	if (ms + LAST_LOOK_MS > left)
		ms = left > 2 * LAST_LOOK_MS ? left - LAST_LOOK_MS : left;
	return ms;
}

/* -1: the deadline is over. */
static int
pause_before_poll(struct poll *p)
{
	int64_t start = clock_us(), ms = pause_length(p);

	(void)tick_pause(ms, false);
	p->call->ledger->us[LEDGER_PROVIDER] += clock_us() - start;
	return deadline_over(&p->call->deadline) ? -1 : 0;
}

static enum verdict
broken(struct err *e)
{
	if (!e->stage || strcmp(e->stage, "fetch") != 0)
		e->stage = "provider.poll";
	e->may_have_been_billed = true;
	return BROKEN;
}

/* No HTTP answer came, or one that cannot be used. */
static enum verdict
exchange_failed(struct poll *p, struct err *e)
{
	switch (e->kind) {
	case ERR_DEADLINE: /* of this poll, or of all */
	case ERR_UP_DNS:
	case ERR_UP_CONNECT:
	case ERR_UP_TLS:
	case ERR_UP_RESET:
	case ERR_UP_TRUNCATED:
	case ERR_UP_GARBAGE: p->trouble = *e; return AGAIN;
	default: return broken(e);
	}
}

static int
task_lost(const struct poll *p, struct err *e)
{
	const struct err said = *e;

	(void)err_set(e, ERR_OUTCOME_UNKNOWN, "%s accepted a task and does not know it any more",
		      p->call->provider->name);
	e->party = PARTY_PROVIDER + 1;
	e->upstream = said.upstream;
	return -1;
}

/* A status that is no success. */
static enum verdict
refused(struct poll *p, const struct picture_answer *a, const struct upstream_failure *f,
	struct err *e)
{
	json_auto_t *root = NULL;
	struct task_said said;

	if (json_read(buf_str(&a->text), a->text.len, &root, e) == 0) {
		modelscope_read(a, root, &said);
		if (said.state == TASK_FAILED) {
			(void)modelscope_failed(f, root, &said, e);
			return broken(e);
		}
	}
	(void)upstream_error(f, buf_str(&a->text), a->text.len, e);
	p->missing = e->kind == ERR_UP_NOT_FOUND ? p->missing + 1 : 0;
	if (e->kind == ERR_UP_FAILED || e->kind == ERR_UP_RATE ||
	    (e->kind == ERR_UP_GARBAGE && f->head->status < 300) ||
	    (p->missing && p->missing < MISSING_MAX)) {
		p->retry_after_ms = (int64_t)e->retry_after_s * 1000;
		if (p->retry_after_ms > RETRY_AFTER_MAX_MS)
			p->retry_after_ms = RETRY_AFTER_MAX_MS;
		p->trouble = *e;
		return AGAIN;
	}
	if (p->missing)
		(void)task_lost(p, e);
	if (e->kind == ERR_UP_REJECTED) { /* there is nothing in a poll that a caller could mend */
		e->status = 502;
		e->party = PARTY_PROVIDER + 1;
	}
	return broken(e);
}

static enum verdict
answered(struct poll *p, struct picture_answer *a, const struct upstream_failure *f, struct err *e)
{
	const struct buf *rest = &a->scan.rest;
	json_auto_t *root = NULL;
	struct task_said said;

	if (json_read(buf_str(rest), rest->len, &root, e) < 0) {
		(void)upstream_garbage(f, "it is not JSON", rest->p, rest->len, e);
		p->trouble = *e;
		return AGAIN;
	}
	p->missing = 0;
	p->trouble.kind = ERR_NONE;
	modelscope_read(a, root, &said);
	if (said.word[0])
		(void)snprintf(p->word, sizeof(p->word), "%s", said.word);
	if (said.state == TASK_FAILED) {
		(void)modelscope_failed(f, root, &said, e);
		return broken(e);
	}
	if (said.state == TASK_SUCCEEDED && !said.pictures && !said_is_error(root)) {
		(void)upstream_garbage(f, "its task succeeded without a picture", rest->p,
				       rest->len, e);
		return broken(e);
	}
	if (said.state == TASK_RUNNING || (said.state == TASK_UNKNOWN && !said.pictures &&
					   (said.word[0] || !said_is_error(root))))
		return AGAIN;
	if (openai_answer_read(a, f, p->call->nimages + 1, e) < 0)
		return broken(e);
	return DONE;
}

static enum verdict
look(struct poll *p, struct err *e)
{
	AUTO(picture_answer) a;
	struct deadline soon = deadline_sooner(&p->call->deadline, POLL_TIMEOUT_MS);
	struct api_ask ask = { .method = "GET",
			       .path = p->path,
			       .header = "X-ModelScope-Task-Type: image_generation",
			       .deadline = &soon };
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { p->call->provider->name, p->call->credential, &head };

	picture_answer_init(&a, p->call, 1);
	if (api_call(p->call, &ask, &a, &head, e) < 0)
		return exchange_failed(p, e);
	if (head.request_id[0])
		(void)snprintf(p->request_id, sizeof(p->request_id), "%s", head.request_id);
	return a.failed ? refused(p, &a, &f, e) : answered(p, &a, &f, e);
}

int
modelscope_wait(struct image_call *call, const char *task_id, struct err *e)
{
	struct poll p = { .call = call, .pause_ms = FIRST_PAUSE_MS };
	struct err said;

	(void)snprintf(p.path, sizeof(p.path), "/tasks/%s", task_id);
	if (call->on_stage)
		call->on_stage(call->self, "provider.wait");
	for (;;) {
		enum verdict v;

		if (pause_before_poll(&p) < 0)
			return deadline_passed(&p, e);
		v = look(&p, &said);
		if (v == DONE)
			return 0;
		if (v == BROKEN) {
			*e = said;
			return -1;
		}
	}
}
