#include "api/handoff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/handoff_task.h"
#include "api/outcome.h"
#include "api/prefer.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "base/log.h"
#include "job/intent.h"
#include "job/owed_task.h"

#define AGAIN_US    1000000
#define STORE_MS    2000   /* for a word to the store while the provider is waited for */
#define DISPATCH_MS 5000   /* for what must be said before anything is sent */
#define END_MS      120000 /* for the last one: the pictures are paid for */
#define PAUSE_MS    500
#define SETTLE_MS   150000 /* beyond the work's time: its end is written down */

void
handoff_plan(struct request *r, const struct config *c, struct image_job *job,
	     struct handoff_wish *wish)
{
	int64_t end_us = request_deadline(r)->at_us, wait_s;
	int64_t begun_us = end_us - request_budget_ms(r) * 1000;

	*wish = (struct handoff_wish){ 0 };
	if (!request_may_outlive(r))
		return;
	/* A stream is an answer that has begun: it goes on as one. */
	wish->async = !job->rq->stream && prefer_read(request_header(r, "HTTP_PREFER"), &wait_s);
	wish->due_us = end_us;
	if (wish->async) {
		int64_t at_us = begun_us + (wait_s > 0 ? wait_s : 0) * 1000000;

		wish->due_us = at_us < end_us ? at_us : end_us;
		job->deadline.at_us = begun_us + c->deadline.task_run_ms * 1000;
		if (job->deadline.at_us < end_us)
			job->deadline.at_us = end_us;
	}
	job->late.at_us = job->deadline.at_us + c->deadline.grace_ms * 1000;
	if (wish->async)
		request_may_last(r, job->late.at_us + SETTLE_MS * 1000);
}

/* ---- the task ---- */

/* With the record of the request, where that is not in the store yet. */
static int
add(struct handoff *h, struct request *r, const struct task_record *t, struct repeat *repeat,
    struct err *e)
{
	struct deadline d = deadline_in_ms(HANDOFF_NOW_MS);
	struct task_add how = { .lease_ms = h->lease_ms };
	struct idem_record record, other = { 0 };
	bool added = false, found;

	if (!repeat->noted) {
		if (repeat_record(repeat, h->task_id, &record, e) < 0)
			return -1;
		how.idem = &record;
	}
	if (store_task_add(request_store(r), t, &how, &other, &added, &d, e) < 0)
		return -1;
	idem_record_done(&other);
	if (!added)
		return err_set(e, ERR_INTERNAL, "the request has a record already");
	/* Not in one transaction: until it is said too, a repetition waits for the record's own end. */
	if (repeat->noted &&
	    store_idem_task(request_store(r), request_id(r), h->task_id, &found, &d, e) < 0)
		log_warn(request_id(r), "its record does not know task %s: %s", h->task_id,
			 e->detail);
	repeat->noted = true;
	return 0;
}

/* The store does not take it in time (*e says why): this machine keeps it until it does. */
static int
owe(struct handoff *h, struct request *r, struct task_record *t, struct repeat *repeat,
    struct err *e)
{
	struct owed_task *o = calloc(1, sizeof(*o));

	log_warn(request_id(r), "task %s waits for the store: %s %s", h->task_id, e->about,
		 e->detail);
	if (!o)
		return err_set(e, ERR_INTERNAL, "out of memory");
	o->hold = -1;
	o->task = *t;
	*t = (struct task_record){ 0 };
	if (repeat_record(repeat, h->task_id, &o->idem, e) < 0 ||
	    owed_task_write(h->config->state_dir, o, e) < 0) {
		owed_task_done(o);
		free(o);
		return -1;
	}
	h->owed = o;
	h->repeat = repeat;
	return 0;
}

/* 0: the store has it now. */
static int
pay(struct handoff *h, struct request *r)
{
	struct deadline d = deadline_in_ms(HANDOFF_NOW_MS);
	bool held = true;
	struct err e;

	if (owed_task_give(request_store(r), h->owed, h->lease_ms, h->config->store.keep_tasks_ms,
			   &held, &d, &e) < 0) {
		h->renew_us = clock_us() + AGAIN_US;
		return -1;
	}
	log_info(request_id(r), "task %s: the store has it now", h->task_id);
	owed_task_drop(h->config->state_dir, h->owed);
	owed_task_done(h->owed);
	free(TAKE_PTR(h->owed));
	h->repeat->noted = true;
	h->renew_us = clock_us();
	h->lost = !held;
	return 0;
}

int
handoff_begin(struct handoff *h, struct request *r, const struct config *c, struct image_job *job,
	      struct repeat *repeat, const json_t *body, struct err *e)
{
	AUTO(task_record) t = { 0 };

	h->config = c;
	h->lease_ms = c->store.task_lease_ms;
	/* Whoever finds its intent, should this process die now, makes the same one. */
	id_alike("task_", request_id(r), h->task_id, sizeof(h->task_id));
	h->created_ms = clock_wall_ms();
	if (handoff_fill(h, r, job, body, &t, e) < 0 ||
	    (add(h, r, &t, repeat, e) < 0 && owe(h, r, &t, repeat, e) < 0)) {
		log_error(request_id(r), "its work cannot be kept as a task: %s %s", e->about,
			  e->detail);
		h->task_id[0] = '\0';
		return -1;
	}
	h->begun = true;
	h->renew_us = clock_us() + (h->owed ? AGAIN_US : h->lease_ms * 1000 / 3);
	job->task_id = h->task_id;
	job->fence = 1;
	intent_task(job->intent, h->task_id, 1);
	intent_stage(job->intent, INTENT_TASK);
	return 0;
}

/* ---- while it goes on ---- */

static void
replace(char **to, const char *text)
{
	if (!text)
		return;
	free(*to);
	*to = strdup(text);
}

/* As store_task_advance() does, where the store has not got it. */
static bool
advance_owed(struct handoff *h, struct request *r, const struct task_step *step)
{
	struct task_record *t = &h->owed->task;
	struct err e;

	t->dispatched = t->dispatched || step->dispatched;
	(void)snprintf(t->stage, sizeof(t->stage), "%s", step->stage);
	(void)snprintf(t->upstream_id, sizeof(t->upstream_id), "%s", step->upstream_id);
	if (step->model)
		(void)snprintf(t->model, sizeof(t->model), "%s", step->model);
	if (step->provider)
		(void)snprintf(t->provider, sizeof(t->provider), "%s", step->provider);
	replace(&t->history, step->history);
	replace(&t->progress, step->progress);
	if (owed_task_write(h->config->state_dir, h->owed, &e) == 0)
		return true;
	log_warn(request_id(r), "task %s: its way cannot be written down: %s", h->task_id,
		 e.detail);
	return false;
}

static bool
advance(struct handoff *h, struct request *r, const struct task_step *step)
{
	struct deadline d = deadline_in_ms(DISPATCH_MS);
	bool held = true;
	struct err e;

	if (h->owed)
		return advance_owed(h, r, step);
	if (store_task_advance(request_store(r), h->task_id, 1, step, &held, &d, &e) < 0) {
		log_warn(request_id(r), "task %s: its way cannot be written down: %s", h->task_id,
			 e.detail);
		return false;
	}
	h->lost = h->lost || !held;
	return held;
}

bool
handoff_dispatch(struct handoff *h, struct request *r, const struct image_job *job)
{
	AUTO_FREE char *history = NULL, *progress = NULL;
	bool counts = job->model->provider_conf->dialect != DIALECT_PREVIEW;

	if (!h->task_id[0])
		return true;
	history = handoff_history(h, job, false, NULL);
	h->upstream_id[0] = '\0';
	progress = handoff_progress(job, job->call.nimages);
	return !h->lost && (advance(h, r,
				    &(struct task_step){ .dispatched = counts,
							 .stage = "provider.submit",
							 .upstream_id = "",
							 .model = job->model->id,
							 .provider = job->model->provider,
							 .history = history,
							 .progress = progress }) ||
			    !counts);
}

void
handoff_upstream_id(struct handoff *h, struct request *r, const struct image_job *job)
{
	const char *id = intent_upstream_id_of(job->intent);
	AUTO_FREE char *progress = NULL;

	if (!h->task_id[0] || h->lost || !strcmp(id, h->upstream_id))
		return;
	/* In one step: without its name a picture that is not among those that came would be asked for again. */
	progress = handoff_progress(job, job->call.nimages);
	if (!advance(h, r,
		     &(struct task_step){ .dispatched = true,
					  .stage = "provider.wait",
					  .upstream_id = id,
					  .progress = progress }))
		return;
	(void)snprintf(h->upstream_id, sizeof(h->upstream_id), "%s", id);
}

static void
renew(struct handoff *h, struct request *r)
{
	struct deadline d = deadline_in_ms(STORE_MS);
	bool held = true, cancel = false;
	struct err e;

	h->renew_us = clock_us() + AGAIN_US;
	if (store_task_renew(request_store(r), h->task_id, 1, h->lease_ms, &held, &cancel, &d, &e) <
	    0)
		return;
	if (held)
		h->renew_us = clock_us() + h->lease_ms * 1000 / 3;
	h->lost = !held;
	h->cancelled = h->cancelled || cancel;
}

bool
handoff_keep(struct handoff *h, struct request *r, const struct image_job *job)
{
	if (!h->task_id[0] || h->lost || h->let_go)
		return true;
	/* A fallback's note is a new one. */
	if (job->intent && intent_stage_of(job->intent) != INTENT_TASK)
		intent_stage(job->intent, INTENT_TASK);
	if (clock_us() >= h->renew_us && h->owed)
		(void)pay(h, r);
	else if (clock_us() >= h->renew_us)
		renew(h, r);
	return !h->cancelled;
}

void
handoff_let_go(struct handoff *h, struct request *r)
{
	struct deadline d = deadline_in_ms(HANDOFF_NOW_MS);
	bool held, cancel;
	struct err e;

	h->let_go = true;
	if (!h->task_id[0] || h->lost)
		return;
	log_info(request_id(r), "task %s: this process ends before it does", h->task_id);
	/* When this fails, it takes as long as the lease; one that waits for the store is found when this process is dead. */
	if (!h->owed)
		(void)store_task_renew(request_store(r), h->task_id, 1, 1, &held, &cancel, &d, &e);
}

void
handoff_leave(struct handoff *h, struct request *r)
{
	log_info(request_id(r), "task %s: it has not been sent, whoever finds it runs it",
		 h->task_id);
	if (!h->owed)
		return;
	owed_task_done(h->owed);
	free(TAKE_PTR(h->owed));
}

/* ---- its end ---- */

static bool
write_end(struct handoff *h, struct request *r, const struct task_end *end, enum task_status *ended)
{
	struct deadline d = deadline_in_ms(END_MS);
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	bool held = true;
	struct err e;

	while (store_task_finish(request_store(r), h->task_id, 1, end, &held, ended, &d, &e) < 0) {
		if (deadline_over(&d)) {
			log_error(request_id(r), "task %s: its end cannot be written down: %s %s",
				  h->task_id, err_code(&e), e.detail);
			return false;
		}
		(void)nanosleep(&pause, NULL);
	}
	if (!held)
		log_warn(request_id(r), "task %s: its lease was lost, the result is dropped",
			 h->task_id);
	return held;
}

/* Its end is kept beside it, so that it is known whenever the store comes back. */
static bool
end_owed(struct handoff *h, struct request *r, const struct task_end *end)
{
	struct task_record *t = &h->owed->task;
	struct deadline d = deadline_in_ms(END_MS);
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	struct err e;

	t->status = end->status;
	replace(&t->result, end->result);
	replace(&t->error, end->error);
	replace(&t->history, end->history);
	if (owed_task_write(h->config->state_dir, h->owed, &e) < 0)
		log_warn(request_id(r), "task %s: its end cannot be kept here: %s", h->task_id,
			 e.detail);
	while (pay(h, r) < 0) {
		if (deadline_over(&d)) {
			log_error(request_id(r), "task %s is left to wait for the store",
				  h->task_id);
			owed_task_done(h->owed);
			free(TAKE_PTR(h->owed));
			return false;
		}
		(void)nanosleep(&pause, NULL);
	}
	return !h->lost;
}

void
handoff_end(struct handoff *h, struct request *r, const struct config *c,
	    const struct image_job *job, int rc, const struct err *e)
{
	const char *code = rc < 0 ? err_code(e) : NULL;
	AUTO_FREE char *result = NULL, *error = NULL, *history = NULL;
	struct task_end end = { .status = rc < 0 ? TASK_FAILURE : TASK_SUCCESS,
				.keep_ms = c->store.keep_tasks_ms };
	enum task_status ended = end.status;

	log_info(request_id(r), "task %s: %u of %u pictures are stored%s%s, %s%s", h->task_id,
		 job->call.nimages, job->rq->n, job->call.nimages ? ", the first is " : "",
		 job->call.nimages ? job->call.images[0].id : "", code ? "code=" : "complete",
		 code ? code : "");
	if (!h->task_id[0] || h->lost)
		return;
	result = outcome_text(job, h->task_id, rc, e);
	history = handoff_history(h, job, true, code);
	if (rc < 0)
		error = task_json_error(e, job->request_id, h->task_id);
	end.result = result;
	end.error = error;
	end.history = history;
	if (h->owed ? end_owed(h, r, &end) : write_end(h, r, &end, &ended))
		log_info(request_id(r), "task %s: %s after %lld ms", h->task_id,
			 task_status_name(ended), (long long)(clock_wall_ms() - h->created_ms));
}
