#include "api/handoff.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "access/fingerprint.h"
#include "api/outcome.h"
#include "api/prefer.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "base/log.h"
#include "files/picture_json.h"
#include "job/intent.h"

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

/* What was asked for in the words of an images request. */
static json_t *
request_json_of(const struct image_job *job)
{
	const struct image_request *rq = job->rq;
	json_t *o = json_pack("{s:s, s:i}", "prompt", rq->prompt, "n", (int)rq->n);

	if (rq->width)
		(void)json_object_set_new(o, "size", json_sprintf("%ux%u", rq->width, rq->height));
	if (rq->quality)
		(void)json_object_set_new(o, "quality", json_string(rq->quality));
	if (rq->negative_prompt)
		(void)json_object_set_new(o, "negative_prompt", json_string(rq->negative_prompt));
	if (rq->seed >= 0)
		(void)json_object_set_new(o, "seed", json_integer(rq->seed));
	return o;
}

static char *
request_text(const struct image_job *job, const json_t *body)
{
	json_auto_t *o = body ? json_copy((json_t *)body) : request_json_of(job);

	(void)json_object_set_new(o, "model", json_string(job->asked->id));
	image_params_forget(o);
	return json_dumps(o, JSON_COMPACT);
}

/* Its attempts: the last one, whose outcome is code's, or not known yet. */
static char *
history_text(const struct handoff *h, const struct image_job *job, bool ended, const char *code)
{
	json_auto_t *list = json_array();

	if (job->attempts)
		(void)json_array_append_new(list,
					    json_pack("{s:i, s:s, s:I, s:s?, s:s?}", "n",
						      (int)job->attempts, "provider",
						      job->model->provider, "started",
						      (json_int_t)(h->created_ms / 1000), "outcome",
						      !ended ? NULL
						      : code ? "failed"
							     : "succeeded",
						      "code", code));
	return json_dumps(list, JSON_COMPACT);
}

/*
 * Which key is used, so that whoever must go on can ask with the same; how many pictures it starts from, which are
 * gone then; and the pictures there are, without the one that the provider is asked for once more.
 */
static char *
progress_text(const struct handoff *h, const struct image_job *job)
{
	const char *credential = job->call.credential ? job->call.credential : "";
	char print[FINGERPRINT_TEXT];
	json_auto_t *o = NULL;

	fingerprint(credential, strlen(credential), print);
	o = json_pack("{s:s, s:i, s:o}", "credential", print, "sources", (int)job->rq->nsources,
		      "images",
		      pictures_json(job->call.images,
				    h->upstream_id[0] ? h->came : job->call.nimages));
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

static bool
is_dispatched(const struct image_job *job)
{
	return intent_stage_of(job->intent) >= INTENT_SUBMITTING &&
	       job->model->provider_conf->dialect != DIALECT_PREVIEW;
}

/*
 * The provider's name for it, when whoever finds the task could go on with that alone: of several pictures
 * made from others the rest could not be asked for, because those are gone.
 */
static const char *
resumable_id(const struct image_job *job)
{
	return job->rq->nsources && job->rq->n > 1 ? "" : intent_upstream_id_of(job->intent);
}

static int
fill(struct handoff *h, struct request *r, const struct image_job *job, const json_t *body,
     struct task_record *t, struct err *e)
{
	*t = (struct task_record){ .status = TASK_STARTED,
				   .created_ms = h->created_ms,
				   .dispatched = is_dispatched(job) };
	(void)snprintf(t->id, sizeof(t->id), "%s", h->task_id);
	(void)snprintf(t->request_id, sizeof(t->request_id), "%s", request_id(r));
	(void)snprintf(t->owner, sizeof(t->owner), "%s", request_principal(r)->id);
	(void)snprintf(t->model, sizeof(t->model), "%s", job->model->id);
	(void)snprintf(t->provider, sizeof(t->provider), "%s", job->model->provider);
	(void)snprintf(t->stage, sizeof(t->stage), "provider.%s",
		       t->dispatched ? "wait" : "submit");
	(void)snprintf(h->upstream_id, sizeof(h->upstream_id), "%s", resumable_id(job));
	(void)snprintf(t->upstream_id, sizeof(t->upstream_id), "%s", h->upstream_id);
	(void)snprintf(t->worker, sizeof(t->worker), "request-%d", (int)getpid());
	t->request = request_text(job, body);
	t->history = history_text(h, job, false, NULL);
	t->progress = progress_text(h, job);
	return t->request && t->history && t->progress ? 0
						       : err_set(e, ERR_INTERNAL, "out of memory");
}

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

int
handoff_begin(struct handoff *h, struct request *r, const struct config *c, struct image_job *job,
	      struct repeat *repeat, const json_t *body, struct err *e)
{
	AUTO(task_record) t = { 0 };

	h->lease_ms = c->store.task_lease_ms;
	/* Whoever finds its intent, should this process die now, makes the same one. */
	id_alike("task_", request_id(r), h->task_id, sizeof(h->task_id));
	h->created_ms = clock_wall_ms();
	if (fill(h, r, job, body, &t, e) < 0 || add(h, r, &t, repeat, e) < 0) {
		log_error(request_id(r), "the store does not take its work as a task: %s %s",
			  e->about, e->detail);
		h->task_id[0] = '\0';
		return -1;
	}
	h->begun = true;
	h->renew_us = clock_us() + h->lease_ms * 1000 / 3;
	job->task_id = h->task_id;
	job->fence = 1;
	intent_task(job->intent, h->task_id, 1);
	intent_stage(job->intent, INTENT_TASK);
	return 0;
}

/* ---- while it goes on ---- */

static bool
advance(struct handoff *h, struct request *r, const struct task_step *step)
{
	struct deadline d = deadline_in_ms(DISPATCH_MS);
	bool held = true;
	struct err e;

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
	history = history_text(h, job, false, NULL);
	h->upstream_id[0] = '\0';
	progress = progress_text(h, job);
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
	const char *id = resumable_id(job);

	if (!h->task_id[0] || h->lost || !strcmp(id, h->upstream_id) ||
	    !advance(h, r,
		     &(struct task_step){
			     .dispatched = true, .stage = "provider.wait", .upstream_id = id }))
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
	if (clock_us() >= h->renew_us)
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
	/* When this fails, it takes as long as the lease. */
	(void)store_task_renew(request_store(r), h->task_id, 1, 1, &held, &cancel, &d, &e);
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

void
handoff_end(struct handoff *h, struct request *r, const struct config *c,
	    const struct image_job *job, int rc, const struct err *e)
{
	const char *code = rc < 0 ? err_code(e) : NULL;
	AUTO_FREE char *result = NULL, *error = NULL, *history = NULL;
	enum task_status ended = rc < 0 ? TASK_FAILURE : TASK_SUCCESS;

	log_info(request_id(r), "task %s: %u of %u pictures are stored%s%s, %s%s", h->task_id,
		 job->call.nimages, job->rq->n, job->call.nimages ? ", the first is " : "",
		 job->call.nimages ? job->call.images[0].id : "", code ? "code=" : "complete",
		 code ? code : "");
	if (!h->task_id[0] || h->lost)
		return;
	result = outcome_text(job, h->task_id, rc, e);
	history = history_text(h, job, true, code);
	if (rc < 0)
		error = task_json_error(e, job->request_id, h->task_id);
	if (write_end(h, r,
		      &(struct task_end){ .status = ended,
					  .result = result,
					  .error = error,
					  .history = history,
					  .keep_ms = c->store.keep_tasks_ms },
		      &ended))
		log_info(request_id(r), "task %s: %s after %lld ms", h->task_id,
			 task_status_name(ended), (long long)(clock_wall_ms() - h->created_ms));
}
