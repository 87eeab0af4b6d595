#include "api/image_wait.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/handoff_task.h"
#include "api/image_common.h"
#include "api/outcome.h"
#include "api/rejoin.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "http/reply.h"
#include "job/intent.h"
#include "job/owed_task.h"
#include "net/upstream.h"

#define LOOK_US      1000000
#define SOON_US      10000
#define SETTLE_US    150000000 /* beyond the work's time: its end is written down */
#define NOTE_MS      500       /* for the record of a request that takes long */
#define NOTE_ROOM_MS 100

/* ---- an answer before the outcome is there ---- */

static int
answer_accepted(struct image_wait *w, struct err *e)
{
	AUTO(task_record) t = { 0 };
	struct deadline d = deadline_in_ms(HANDOFF_NOW_MS);
	bool found = false;

	if (w->handoff.owed)
		return rejoin_accepted(w->r, &w->handoff.owed->task, e);
	if (store_task_get(request_store(w->r), w->handoff.task_id, &t, &found, &d, e) < 0)
		return -1;
	if (!found)
		return err_set(e, ERR_STORE, "the task is not there");
	return rejoin_accepted(w->r, &t, e);
}

/* What is known of a provider that has not answered yet. */
static void
describe(const struct image_wait *w, struct err *e)
{
	e->stage = upstream_now();
	if (!e->stage) /* between two exchanges, or on a WebSocket, whose answer begins with its 101 */
		e->stage = w->job->mode && !strcmp(w->job->mode, "ws") ? "provider.recv"
								       : "provider.wait";
	if (w->polls)
		e->stage = "provider.poll";
	reply_book(w->r, LEDGER_PROVIDER);
	e->may_have_been_billed = w->job->model->provider_conf->dialect != DIALECT_PREVIEW;
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", w->job->model->provider);
	(void)snprintf(e->task_id, sizeof(e->task_id), "%s", w->handoff.task_id);
}

static void
answer_error(struct image_wait *w, struct err *e)
{
	if (w->tell && w->tell(w->self, e))
		return;
	image_common_headers(w->r, w->job);
	reply_failure_with(w->r, e, image_common_came(w->r, w->job));
}

static void
answer_now(struct image_wait *w)
{
	struct err e;

	if (!w->wish.async || answer_accepted(w, &e) < 0) {
		(void)err_set(&e, ERR_DEADLINE, "waiting for the answer of %s",
			      w->job->model->provider);
		describe(w, &e);
		answer_error(w, &e);
	}
	log_info(request_id(w->r), "the answer has left, the work goes on%s%s",
		 w->handoff.task_id[0] ? " as " : "", w->handoff.task_id);
	request_leave(w->r, w->job->late.at_us + SETTLE_US);
}

/* The work is a task's from here on, and has a task's time. */
static int
hand_over(struct image_wait *w, struct err *e)
{
	struct image_job *job = w->job;

	if (handoff_begin(&w->handoff, w->r, w->g->config, job, &w->repeat,
			  w->chat ? NULL : w->body, e) < 0)
		return -1;
	job->deadline = job->late;
	if (job->call.deadline.at_us)
		job->call.deadline = job->late;
	return 0;
}

__attribute__((noinline)) static void /* its error must not lie on a stack that waits */
due(struct image_wait *w)
{
	struct err e;

	w->wish.due_us = 0;
	if (hand_over(w, &e) < 0) {
		/* What may have been bought goes on all the same, and is stored. */
		w->handoff.begun = true;
		w->wish.async = false;
		w->job->deadline = w->job->late;
	}
	answer_now(w);
}

/* May a provider have accepted it?  What this machine draws itself is nobody's. */
static bool
is_bought(const struct image_job *job)
{
	return job->intent && intent_stage_of(job->intent) >= INTENT_SUBMITTING &&
	       !upstream_is_connecting() && job->model->provider_conf->dialect != DIALECT_PREVIEW;
}

/* Nobody is answered, but whoever asks again will be. */
__attribute__((noinline)) static void
left(struct image_wait *w)
{
	struct err e;

	if (!w->tick.forsaken)
		log_info(request_id(w->r),
			 "the client has left: what is bought is finished, nothing more is bought");
	w->tick.forsaken = true;
	w->is_left = true;
	if (!w->wish.due_us || !is_bought(w->job))
		return;
	w->wish.due_us = 0;
	request_may_last(w->r, w->job->late.at_us + SETTLE_US);
	if (hand_over(w, &e) < 0)
		w->job->deadline = w->job->call.deadline = w->job->late;
	else
		log_info(request_id(w->r), "the work goes on as %s", w->handoff.task_id);
}

/* ---- the process ends ---- */

static void
answer_stopping(struct image_wait *w, bool bought)
{
	struct err e;

	(void)err_set(&e, ERR_STOPPING, "%s", "");
	if (bought)
		describe(w, &e);
	else
		e.retry_after_s = STOPPING_RETRY_S;
	if (w->joins[0]) {
		e.may_have_been_billed = true;
		(void)snprintf(e.task_id, sizeof(e.task_id), "%s", w->joins);
	}
	answer_error(w, &e);
	request_leave(w->r, w->job->late.at_us + SETTLE_US);
}

/* What is bought is left to whoever finds its task, nothing more is bought, and who waits is told. */
__attribute__((noinline)) static void
let_go(struct image_wait *w)
{
	bool bought = is_bought(w->job);
	struct err e;

	w->let_go = true;
	w->tick.forsaken = true;
	if (!w->handoff.begun && w->wish.due_us && bought && hand_over(w, &e) < 0)
		w->handoff.begun = true;
	w->wish.due_us = 0;
	if (w->handoff.begun)
		handoff_let_go(&w->handoff, w->r);
	if (!request_is_over(w->r))
		answer_stopping(w, bought);
	request_let_go(w->r);
}

__attribute__((noinline)) static void
note(struct image_wait *w)
{
	struct deadline d = deadline_in_ms(NOTE_MS);
	struct err e;

	w->note_us = 0;
	if (w->repeat.noted || repeat_note(&w->repeat, "", &d, &e) == 0)
		return;
	log_warn(request_id(w->r), "its record for an SDK's retry waits for the store: %s %s",
		 e.about, e.detail);
	w->note_us = clock_us() + REPEAT_NOTE_MS * 1000;
	w->unnoted = true;
}

/* ---- the tick ---- */

static bool
is_due(const struct image_wait *w, int64_t now_us)
{
	const struct image_job *job = w->job;

	return w->wish.due_us && now_us >= w->wish.due_us && w->works && job->intent &&
	       (w->wish.async || is_bought(job));
}

/* The hand-off writes the record, too, and must not wait for a store that is slow. */
static bool
is_nearly_due(const struct image_wait *w, int64_t now_us)
{
	return w->wish.due_us && w->wish.due_us - now_us < (NOTE_MS + NOTE_ROOM_MS) * 1000;
}

static bool
is_leaving(const struct image_wait *w, int64_t now_us)
{
	int64_t leave_us = request_leave_us(w->r);

	return leave_us && now_us >= leave_us && !w->let_go;
}

static void
set_due(struct image_wait *w, int64_t now_us)
{
	const int64_t times[] = { w->wish.due_us, w->note_us, request_leave_us(w->r) };

	w->tick.due_us = 0;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] > now_us && (!w->tick.due_us || times[i] < w->tick.due_us))
			w->tick.due_us = times[i];
	/* It passed just before the request left: whoever waits is told as soon as it has. */
	if (w->wish.due_us && w->wish.due_us <= now_us && w->works && !w->handoff.begun)
		w->tick.due_us = now_us + SOON_US;
}

static void
look(void *self)
{
	struct image_wait *w = self;
	int64_t now_us = clock_us();

	if (is_leaving(w, now_us)) {
		let_go(w);
	} else if (w->handoff.begun) {
		if (!handoff_keep(&w->handoff, w->r, w->job))
			w->tick.forsaken = true;
	} else if (is_due(w, now_us)) {
		due(w); /* before a stream begins for the sake of a comment */
	} else if (w->look ? !w->look(w->self) : request_is_left(w->r)) {
		left(w);
	} else if (w->note_us && now_us >= w->note_us && !is_nearly_due(w, now_us)) {
		note(w);
	}
	set_due(w, clock_us());
}

/* Should this process die from here on: a repetition without a key is known by it. */
static void
note_hash(struct image_wait *w)
{
	const unsigned char *hash = repeat_hash(&w->repeat);

	if (hash)
		intent_hash(w->job->intent, hash);
}

static void
on_stage(void *self, const char *stage)
{
	struct image_wait *w = self;

	w->polls = !strcmp(stage, "provider.wait");
	if (strcmp(stage, "provider.submit") != 0)
		return;
	note_hash(w);
	handoff_note_attempt(&w->handoff, w->job);
	if (w->handoff.begun && !w->tick.forsaken && !handoff_dispatch(&w->handoff, w->r, w->job))
		w->tick.forsaken = true;
}

static void
on_upstream_id(void *self, const char *id)
{
	struct image_wait *w = self;

	(void)id;
	w->handoff.came = w->job->call.nimages;
	if (w->handoff.begun)
		handoff_upstream_id(&w->handoff, w->r, w->job);
}

/* ---- the work ---- */

__attribute__((noinline)) static void
outlived(struct image_wait *w, int rc, struct err *e)
{
	AUTO_FREE char *text = NULL;

	if (rc < 0 && e->kind == ERR_DEADLINE && !e->expected[0])
		(void)snprintf(e->expected, sizeof(e->expected), "%g s ([deadline] grace)",
			       (double)w->g->config->deadline.grace_ms / 1000);
	handoff_end(&w->handoff, w->r, w->g->config, w->job, rc, e);
	text = outcome_text(w->job, w->handoff.task_id, rc, e);
	repeat_finish(&w->repeat, rc < 0 ? err_status(e) : 200, text);
}

/* Whoever asks again, as an SDK does when a connection breaks, is told what lacks, and not that he has gone. */
static void
tell_what_lacks(const struct image_wait *w, struct err *e)
{
	if (w->handoff.cancelled || w->let_go)
		return;
	if (w->is_left)
		image_run_broke_off(w->job, PARTY_CLIENT, "the client had left", e);
	else
		image_run_broke_off(w->job, PARTY_GATEWAY, NOT_TOLD, e);
}

/* Of a task of which nothing was bought whoever finds it makes what was promised, unless it was promised to nobody. */
static bool
is_left_to_others(const struct image_wait *w, const struct err *e)
{
	return e->kind == ERR_GONE && w->handoff.task_id[0] && !w->handoff.cancelled &&
	       !w->is_left && !w->job->call.nimages && !e->may_have_been_billed;
}

static int
work(struct image_wait *w, struct err *e)
{
	int rc;

	handoff_plan(w->r, w->g->config, w->job, &w->wish);
	w->job->on_stage = on_stage;
	w->job->on_upstream_id = on_upstream_id;
	w->job->on_self = w;
	w->works = true;
	w->note_us = clock_us() + REPEAT_NOTE_MS * 1000;
	if (w->wish.async)
		w->tick.next_us = 0; /* perhaps at once */
	set_due(w, clock_us());
	rc = image_common_run(w->r, w->g, w->job, w->handoff.task_id, e);
	w->note_us = 0;
	if (rc < 0)
		tell_what_lacks(w, e);
	if (rc < 0 && is_left_to_others(w, e))
		handoff_leave(&w->handoff, w->r);
	else if (w->handoff.begun)
		outlived(w, rc, e);
	return request_is_over(w->r) ? err_set(e, ERR_GONE, "%s", "") : rc;
}

static int
first_or_not(struct image_wait *w, struct err *e)
{
	enum rejoined how;

	/* Before its key's record: should this process die in between, that is not waited for in vain. */
	if (w->repeat.key)
		w->job->intent = intent_take(w->job->request_id, w->job->key_id, "", "");
	how = rejoin(w, e);
	if (how == REJOIN_FIRST)
		return work(w, e);
	intent_release(w->job->intent);
	w->job->intent = NULL;
	return how == REJOIN_FILLED ? 0 : -1;
}

/* With a key the record is done before the answer leaves: who asks again has had it, or not. */
__attribute__((noinline)) static void
settle_key(struct image_wait *w, int rc, const struct err *e)
{
	AUTO_FREE char *text = NULL;

	if (!outcome_bought(w->job, rc, e)) {
		repeat_drop(&w->repeat);
		return;
	}
	w->job->created = time(NULL); /* as whoever repeats it is told */
	text = outcome_text(w->job, NULL, rc, e);
	repeat_finish(&w->repeat, rc < 0 ? err_status(e) : 200, text);
}

int
image_wait_run(struct image_wait *w, struct err *e)
{
	struct tick *before;
	int rc;

	if (repeat_open(&w->repeat, w->r, w->body, w->chat ? NULL : w->job->rq,
			request_budget_ms(w->r) + w->g->config->deadline.grace_ms, e) < 0)
		return -1;
	w->tick = (struct tick){ .fn = look,
				 .self = w,
				 .every_us = w->every_us ? w->every_us : LOOK_US };
	w->tick.next_us = clock_us() + w->tick.every_us;
	before = tick_set(&w->tick);
	rc = first_or_not(w, e);
	(void)tick_set(before);
	handoff_attempts_done(&w->handoff);
	/* Of work that outlives its request it is another deadline, and said. */
	if (rc < 0 && !w->handoff.begun)
		reply_complete_error(w->r, e);
	if (w->repeat.key && w->repeat.noted && !w->handoff.begun)
		settle_key(w, rc, e);
	return rc;
}

void
image_wait_done(struct image_wait *w, int rc, const struct err *e)
{
	AUTO_FREE char *text = NULL;
	int status = rc < 0 ? err_status(e) : 200;
	bool gone = request_is_left(w->r);
	struct deadline d = deadline_in_ms(NOTE_MS);
	struct err why;

	/* A repetition has no record of its own: the first one's is there for the next try. */
	if (!w->works || w->repeat.key || w->handoff.begun)
		return;
	if (!outcome_bought(w->job, rc, e)) {
		repeat_drop(&w->repeat);
		return;
	}
	/*
	 * A quick answer may be lost, too, in the hands of a web server that dies, and an SDK would try again.  Not every
	 * web server tells of a client that left, and one may have while the record could not be written.
	 */
	if (!w->repeat.noted && !gone && !w->repeat.may_retry && !w->unnoted)
		return;
	text = outcome_text(w->job, NULL, rc, e);
	if (!text)
		return;
	if (w->repeat.noted || repeat_note(&w->repeat, "", &d, &why) == 0)
		repeat_settle_later(w->r, status, text);
	else
		repeat_note_later(&w->repeat, status, text);
}
