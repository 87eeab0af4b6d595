#include "api/task_run.h"

#include <stdio.h>
#include <string.h>

#include "access/fingerprint.h"
#include "api/task_account.h"
#include "api/task_end.h"
#include "api/task_input.h"
#include "api/task_json.h"
#include "api/task_partial.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/tick.h"
#include "http/watchdog.h"
#include "job/intent.h"
#include "job/picture_record.h"
#include "job/retry.h"

#define TICK_US     1000000
#define STORE_MS    2000 /* for one word to the store while a provider is waited for */
#define DISPATCH_MS 5000 /* for the one that must be said before anything is sent */
#define RETRY_FIRST_MS \
	10000             /* before a task is tried again that failed without reason to be told */
#define WATCHDOG_MS 60000 /* beyond the deadline: pictures are converted, the end is written */

struct run {
	struct task_env *env;
	struct task_record *t;
	struct image_job job;
	struct ledger ledger;
	struct tick tick;
	json_t *history, *progress;
	unsigned noted;                /* attempts that are in the history */
	unsigned partials[IMAGES_MAX]; /* partial pictures of this attempt, of each */
	int64_t lease_ms;              /* how long one is, from each sign of life */
	int64_t renew_us;              /* when the lease is to be renewed */
	int64_t lease_us;              /* when it is over, as far as is known here */
	bool lost;                     /* the lease is somebody else's */
	bool cancelled, dispatched, unwritten;
};

/* ---- the tick ---- */

static void
renew(struct run *r)
{
	struct deadline d = deadline_in_ms(STORE_MS);
	bool held = true, cancel = false;
	struct err e;

	if (store_task_renew(r->env->store, r->t->id, r->t->fence, r->lease_ms, &held, &cancel, &d,
			     &e) < 0) {
		/* As long as the lease lasts nobody else can have it. */
		held = clock_us() < r->lease_us;
		r->renew_us = clock_us() + TICK_US;
	} else if (held) {
		r->renew_us = clock_us() + r->lease_ms * 1000 / 3;
		r->lease_us = clock_us() + r->lease_ms * 1000;
	}
	r->lost = r->lost || !held;
	r->cancelled = r->cancelled || cancel;
}

static void
look(void *self)
{
	struct run *r = self;

	if (clock_us() >= r->renew_us)
		renew(r);
	if (r->lost || r->cancelled || r->unwritten ||
	    (!r->dispatched && atomic_load(&r->env->leaving)))
		r->tick.forsaken = true;
}

/* ---- what the job tells on its way ---- */

static json_t *
last_attempt(const struct run *r)
{
	return json_array_get(r->history, json_array_size(r->history) - 1);
}

/* Of the attempt before, what is known now. */
static void
close_attempt(struct run *r, const char *outcome, const char *code)
{
	json_t *last = last_attempt(r);

	if (!last || !json_is_null(json_object_get(last, "outcome")))
		return;
	(void)json_object_set_new(last, "outcome", json_string(outcome));
	(void)json_object_set_new(last, "code", code ? json_string(code) : json_null());
}

static void
open_attempt(struct run *r, const char *provider)
{
	(void)json_array_append_new(r->history,
				    json_pack("{s:I, s:s, s:I, s:n, s:n}", "n",
					      (json_int_t)json_array_size(r->history) + 1,
					      "provider", provider, "started",
					      (json_int_t)(clock_wall_ms() / 1000), "outcome",
					      "code"));
}

static void
note_attempt(struct run *r)
{
	if (r->noted == r->job.attempts)
		return;
	r->noted = r->job.attempts;
	memset(r->partials, 0, sizeof(r->partials));
	close_attempt(r, "failed", r->job.after);
	open_attempt(r, r->job.model->provider);
}

/* Writes what changed.  False: it is not written, or the task is somebody else's. */
static bool
advance(struct run *r, struct task_step *step, int64_t ms)
{
	AUTO_FREE char *history = json_dumps(r->history, JSON_COMPACT);
	AUTO_FREE char *progress = json_dumps(r->progress, JSON_COMPACT);
	struct deadline d = deadline_in_ms(ms);
	bool held = true;
	struct err e;

	step->history = history;
	step->progress = progress;
	if (store_task_advance(r->env->store, r->t->id, r->t->fence, step, &held, &d, &e) < 0) {
		log_warn(r->t->request_id, "task %s: its way cannot be written down: %s", r->t->id,
			 e.detail);
		return false;
	}
	r->lost = r->lost || !held;
	return held;
}

/* Which key is used, so that who must go on can ask with the same. */
static void
note_credential(struct run *r)
{
	const char *credential = r->job.call.credential;
	char print[FINGERPRINT_TEXT];

	fingerprint(credential, strlen(credential), print);
	(void)json_object_set_new(r->progress, "credential", json_string(print));
	(void)json_object_set_new(r->progress, "images",
				  task_json_pictures(r->job.call.images, r->job.call.nimages));
}

__attribute__((noinline)) static void
on_stage(void *self, const char *stage)
{
	struct run *r = self;
	const struct model_conf *m = r->job.model;
	bool submits = !strcmp(stage, "provider.submit");
	/* What this machine draws itself costs nothing: it may be drawn again. */
	bool counts = submits && m->provider_conf->dialect != DIALECT_PREVIEW;
	struct task_step step = {
		.dispatched = counts, .stage = stage, .model = m->id, .provider = m->provider
	};

	if (submits) {
		note_attempt(r);
		note_credential(r);
		step.upstream_id = "";
	}
	look(r);
	if (r->tick.forsaken && submits)
		return;
	if (advance(r, &step, counts ? DISPATCH_MS : STORE_MS)) {
		r->dispatched = r->dispatched || counts;
	} else if (counts) {
		/* Not a byte is sent of what could be bought again. */
		r->unwritten = true;
		r->tick.forsaken = true;
	}
}

static void
on_upstream_id(void *self, const char *id)
{
	struct run *r = self;
	struct task_step step = { .upstream_id = id };

	note_credential(r);
	(void)advance(r, &step, DISPATCH_MS);
}

/* One that is lost is missing in a stream, no more. */
static void
on_partial(void *self, unsigned image, const struct source *so_far)
{
	struct run *r = self;
	struct err ignored;

	if (image >= IMAGES_MAX || r->tick.forsaken ||
	    r->partials[image] >= (unsigned)r->job.rq->partial_images)
		return;
	if (task_partial_save(r->env->g->config->state_dir, r->t->id, &r->job, r->partials[image],
			      so_far, r->progress, &ignored) < 0)
		return;
	r->partials[image]++;
	(void)advance(r, &(struct task_step){ .stage = NULL }, STORE_MS);
}

/* ---- the job ---- */

/* The caller's own account, or the key that began what is to be gone on with. */
static int
choose_credential(struct run *r, struct task_account_opened *own, struct err *e)
{
	const struct provider_conf *p = r->job.asked ? r->job.asked->provider_conf : NULL;
	const char *used = json_string_value(json_object_get(r->progress, "credential"));
	char print[FINGERPRINT_TEXT];

	if (task_account_open(r->t, own, e) < 0)
		return -1;
	r->job.credential = own->credential;
	r->job.password = own->password;
	for (size_t i = 0; !own->credential && r->job.resume && p && used && i < p->api_keys.n;
	     i++) {
		fingerprint(p->api_keys.v[i], strlen(p->api_keys.v[i]), print);
		if (!strcmp(print, used))
			r->job.credential = p->api_keys.v[i];
	}
	return 0;
}

static int
read_request(struct run *r, struct edit *ed, struct err *e)
{
	ed->body = r->t->request ? json_loads(r->t->request, 0, NULL) : NULL;
	if (!ed->body)
		return err_set(e, ERR_INTERNAL, "the task's request cannot be read");
	if (image_params_read(ed->body, &ed->rq, &ed->model, e) < 0 ||
	    task_input_open(r->env->g->config->state_dir, r->t, ed, e) < 0)
		return -1;
	/* For whoever follows its events. */
	ed->rq.stream = ed->rq.partial_images > 0;
	return 0;
}

static int
make_pictures(struct run *r, struct edit *ed, struct err *e)
{
	AUTO(task_account_opened) own = { 0 };
	const struct config *c = r->env->g->config;
	struct image_job *job = &r->job;

	if (read_request(r, ed, e) < 0)
		return -1;
	job->rq = &ed->rq;
	job->on_partial = ed->rq.partial_images ? on_partial : NULL;
	job->on_partial_self = r;
	job->model_asked = ed->model;
	/* What is gone on with is gone on with where it was begun. */
	if (job->resume)
		job->asked = config_model(c, r->t->model);
	if (choose_credential(r, &own, e) < 0)
		return -1;
	job->deadline = deadline_in_ms(c->deadline.task_run_ms);
	job->budget_ms = c->deadline.task_run_ms;
	watchdog_begin(r->t->request_id, job->deadline.at_us + WATCHDOG_MS * 1000);
	watchdog_stage("task");
	if (image_run(r->env->g, job, e) == 0)
		return 0;
	if (e->kind == ERR_UP_AUTH && r->t->secret.len)
		e->kind = ERR_OWN_CREDENTIAL;
	if (e->kind == ERR_DEADLINE && !e->expected[0])
		(void)snprintf(e->expected, sizeof(e->expected), "%g s ([deadline] task_run)",
			       (double)job->budget_ms / 1000);
	return -1;
}

/* ---- what follows ---- */

/* Back into the queue?  When nothing can have been bought and it may go better another time. */
static bool
goes_back(const struct run *r, const struct err *e, struct task_again *again)
{
	if (r->cancelled || e->may_have_been_billed || r->job.call.nimages)
		return false;
	if (e->kind == ERR_GONE) {
		again->uncounted = true;
		return true;
	}
	/* Others of its provider took all the time: it has not been tried. */
	if (e->kind == ERR_DEADLINE && e->stage && !strcmp(e->stage, "queue")) {
		again->uncounted = true;
		return true;
	}
	if (r->t->attempts >= TASK_CLAIMS_MAX ||
	    !(retry_may_pass(e) || e->kind == ERR_STORE || e->kind == ERR_OVERLOADED))
		return false;
	again->delay_ms = e->retry_after_s ? (int64_t)e->retry_after_s * 1000
					   : RETRY_FIRST_MS << (r->t->attempts - 1);
	return true;
}

static void
settle(struct run *r, int rc, struct err *e)
{
	struct task_again again = { 0 };
	const char *code = rc < 0 ? err_code(e) : NULL;

	close_attempt(r, rc == 0 ? "succeeded" : "failed", code);
	if (r->lost) {
		log_warn(r->t->request_id, "task %s: its lease was lost, the result is dropped",
			 r->t->id);
		return;
	}
	if (rc < 0 && goes_back(r, e, &again))
		task_requeue(r->env, r->t, r->history, &again, code);
	else if (rc < 0)
		task_fail(r->env, r->t, r->history, r->cancelled ? NULL : &r->job, e);
	else
		task_succeed(r->env, r->t, r->history, &r->job);
	picture_note_write(picture_note_make(r->env->g->records, &r->job, r->t->id));
}

/* Those of a worker that died: with what was asked for, as far as that can still be read. */
static void
note_what_came(struct run *r, const struct model_conf *m)
{
	AUTO(edit) ed = { 0 };
	struct err ignored;

	if (!r->job.call.nimages || read_request(r, &ed, &ignored) < 0)
		return;
	r->job.rq = &ed.rq;
	r->job.model = m;
	picture_note_write(picture_note_make(r->env->g->records, &r->job, r->t->id));
	r->job.rq = NULL;
}

/* A task whose worker died.  True: it is to be run, or gone on with. */
static bool
take_over(struct run *r, struct picture came[IMAGES_MAX])
{
	struct task_record *t = r->t;
	const struct model_conf *m = config_model(r->env->g->config, t->model);
	bool resumes = t->upstream_id[0] && m && provider_driver_of(m)->resume;
	unsigned deaths = 0;
	struct err e;
	json_t *v;
	size_t i;

	/* A death before anything was sent counts as well, and is told. */
	v = json_object_get(last_attempt(r), "outcome");
	if (!v || !json_is_null(v))
		open_attempt(r, t->provider);
	close_attempt(r, "worker_lost", NULL);
	json_array_foreach(r->history, i, v)
	{
		const char *outcome = json_string_value(json_object_get(v, "outcome"));

		deaths += outcome && !strcmp(outcome, "worker_lost");
	}
	r->job.came = came;
	r->job.ncame = task_json_pictures_read(t->progress, came);
	if (t->dispatched && resumes && deaths <= TASK_CLAIMS_MAX) {
		log_info(t->request_id, "task %s: its worker died; goes on with %s at %s", t->id,
			 t->upstream_id, t->provider);
		r->job.resume = t->upstream_id;
		r->dispatched = true;
		/* Should it be what workers die of, their number is known. */
		open_attempt(r, t->provider);
		r->noted = 1;
		return advance(r, &(struct task_step){ .stage = "provider.wait" }, DISPATCH_MS);
	}
	if (t->dispatched) {
		(void)err_set(&e, ERR_OUTCOME_UNKNOWN,
			      "the worker ended after %s may have accepted it", t->provider);
		e.may_have_been_billed = true;
		for (i = 0; i < r->job.ncame; i++)
			r->job.call.images[r->job.call.nimages++] = came[i];
		note_what_came(r, m);
		task_fail(r->env, t, r->history, &r->job, &e);
	} else if (t->attempts >= TASK_CLAIMS_MAX) {
		(void)err_set(&e, ERR_HANDLER_CRASHED, "%s", "");
		task_fail(r->env, t, r->history, NULL, &e);
	} else {
		task_requeue(r->env, t, r->history, &(struct task_again){ 0 }, "worker_lost");
	}
	return false;
}

static void
run_it(struct run *r)
{
	AUTO(edit) ed = { 0 };
	struct err e = { 0 };
	int rc;

	r->tick = (struct tick){ .fn = look, .self = r, .every_us = TICK_US };
	(void)tick_set(&r->tick);
	if (!r->job.resume)
		task_partial_remove(r->env->g->config->state_dir, r->progress);
	rc = make_pictures(r, &ed, &e);
	(void)tick_set(NULL);
	settle(r, rc, &e);
	watchdog_end();
	intent_release(r->job.intent);
}

void
task_run(struct task_env *env, struct task_record *t, enum task_found found)
{
	struct picture came[IMAGES_MAX];
	struct run *r = calloc(1, sizeof(*r));
	int64_t now_us = clock_us();

	if (!r)
		return; /* the lease runs out */
	r->env = env;
	r->t = t;
	r->lease_ms = env->g->config->store.task_lease_ms;
	r->renew_us = now_us + r->lease_ms * 1000 / 3;
	r->lease_us = now_us + r->lease_ms * 1000;
	r->history = t->history ? json_loads(t->history, 0, NULL) : NULL;
	r->progress = t->progress ? json_loads(t->progress, 0, NULL) : NULL;
	if (!r->history)
		r->history = json_array();
	if (!r->progress)
		r->progress = json_object();
	r->job.request_id = t->request_id;
	r->job.key_id = t->owner;
	r->job.ledger = &r->ledger;
	r->job.on_stage = on_stage;
	r->job.on_upstream_id = on_upstream_id;
	r->job.on_self = r;
	if (t->cancel_requested && !t->dispatched) {
		r->cancelled = true;
		task_fail(env, t, r->history, NULL, &(struct err){ .kind = ERR_GONE });
	} else if (found != TASK_ORPHAN || take_over(r, came)) {
		run_it(r);
	}
	if (!r->lost)
		task_partial_remove(env->g->config->state_dir, r->progress);
	image_call_done(&r->job.call);
	json_decref(r->history);
	json_decref(r->progress);
	free(r);
}
