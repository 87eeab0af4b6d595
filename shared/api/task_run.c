#include "api/task_run.h"

#include <stdio.h>
#include <string.h>

#include "access/fingerprint.h"
#include "access/guesses.h"
#include "api/task_account.h"
#include "api/task_end.h"
#include "api/task_input.h"
#include "api/task_json.h"
#include "api/task_partial.h"
#include "api/task_way.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "files/picture_json.h"
#include "http/watchdog.h"
#include "job/intent.h"
#include "job/picture_record.h"
#include "job/retry.h"

#define RETRY_FIRST_MS \
	10000             /* before a task is tried again that failed without reason to be told */
#define GUESS_MS    2000  /* to count a password that was right or wrong */
#define WATCHDOG_MS 60000 /* beyond the deadline: pictures are converted, the end is written */

/* ---- the job ---- */

/* The caller's own account, or the key that began what is to be gone on with. */
static int
choose_credential(struct task_run *r, struct task_account_opened *own, struct err *e)
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
read_request(struct task_run *r, struct edit *ed, struct err *e)
{
	ed->body = r->t->request ? json_loads(r->t->request, 0, NULL) : NULL;
	if (!ed->body)
		return err_set(e, ERR_INTERNAL, "the task's request cannot be read");
	if (image_params_read(ed->body, &ed->rq, &ed->model, e) < 0 ||
	    task_input_open(r->env->g->config->state_dir, r->t, ed, e) < 0)
		return -1;
	/* For whoever follows its events. */
	ed->rq.stream = ed->rq.partial_images > 0;
	ed->rq.remnant = json_is_true(json_object_get(r->progress, "remnant"));
	return 0;
}

/* A place that is waited for to ask after what the provider has: it is not bought again because that takes long. */
static bool
waits_on(const struct task_run *r, const struct err *e)
{
	return r->job.resume && e->kind == ERR_DEADLINE && !tick_forsaken();
}

/* The account is the caller's own. */
static void
blame_owner(struct err *e)
{
	if (e->kind == ERR_UP_AUTH)
		e->kind = ERR_OWN_CREDENTIAL;
	if (e->kind == ERR_UP_QUOTA) {
		e->status = 402;
		e->party = PARTY_CLIENT + 1;
	}
}

/* What the provider may have accepted has had both. */
static void
tell_time(const struct config *c, struct err *e)
{
	int64_t ms = c->deadline.task_run_ms + (e->may_have_been_billed ? c->deadline.grace_ms : 0);

	(void)snprintf(e->expected, sizeof(e->expected), "%g s ([deadline] task_run%s)",
		       (double)ms / 1000, e->may_have_been_billed ? " and grace" : "");
}

/* With a caller's password it is a guess, which counts. */
static int
run_as(struct task_run *r, const struct task_account_opened *own, struct err *e)
{
	struct store *s = r->env->store;
	struct deadline d;
	struct guess g;
	struct err ignored;
	int rc;

	if (!own->password)
		return image_run(r->env->g, &r->job, e);
	guess_of(&g, r->t->provider, own->credential, own->peer);
	/* Many may have been taken in before the first one's outcome was known. */
	if (guess_allowed(s, &g, &r->job.deadline, e) < 0)
		return -1;
	rc = image_run(r->env->g, &r->job, e);
	d = deadline_in_ms(GUESS_MS);
	if (rc == 0)
		(void)guess_was_right(s, &g, &d, &ignored);
	else if (e->kind == ERR_UP_AUTH && e->stage && !strcmp(e->stage, "provider.login"))
		(void)guess_was_wrong(s, &g, &d, &ignored);
	return rc;
}

static int
make_pictures(struct task_run *r, struct edit *ed, struct err *e)
{
	AUTO(task_account_opened) own = { 0 };
	const struct config *c = r->env->g->config;
	struct image_job *job = &r->job;
	int rc;

	if (read_request(r, ed, e) < 0)
		return -1;
	job->rq = &ed->rq;
	if (!ed->rq.partial_images)
		job->on_partial = NULL;
	job->model_asked = ed->model;
	/* What is gone on with is gone on with where it was begun. */
	if (job->resume)
		job->asked = config_model(c, r->t->model);
	if (choose_credential(r, &own, e) < 0)
		return -1;
	job->budget_ms = c->deadline.task_run_ms;
	do {
		job->deadline = deadline_in_ms(c->deadline.task_run_ms);
		job->late = deadline_in_ms(c->deadline.task_run_ms + c->deadline.grace_ms);
		watchdog_begin(r->t->request_id, job->late.at_us + WATCHDOG_MS * 1000);
		watchdog_stage("task");
		rc = run_as(r, &own, e);
	} while (rc < 0 && waits_on(r, e));
	if (rc == 0)
		return 0;
	if (r->t->secret.len)
		blame_owner(e);
	if (e->kind == ERR_DEADLINE && !e->expected[0])
		tell_time(c, e);
	return -1;
}

/* ---- what follows ---- */

/* Back into the queue?  When nothing can have been bought and it may go better another time. */
static bool
goes_back(const struct task_run *r, const struct err *e, struct task_again *again)
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
settle(struct task_run *r, int rc, struct err *e)
{
	struct task_again again = { 0 };
	const char *code;

	/* In the queue its name would be forgotten, and it bought again. */
	if (rc < 0 && r->job.resume && !r->cancelled) {
		log_warn(r->t->request_id,
			 "task %s: %s, before %s could be asked for %s: left to whoever finds it",
			 r->t->id, err_code(e), r->t->provider, r->job.resume);
		r->lost = true;
		return;
	}
	if (rc < 0 && !r->cancelled)
		image_run_broke_off(&r->job, PARTY_GATEWAY, NOT_TOLD, e);
	code = rc < 0 ? err_code(e) : NULL;
	task_way_close(r, rc == 0 ? "succeeded" : "failed", code);
	/* Whoever has it now decides what became of it, and nobody has whose fence it still is. */
	if (rc < 0 && goes_back(r, e, &again))
		task_requeue(r->env, r->t, r->history, &again, code);
	else if (rc < 0 && r->lost && e->kind == ERR_GONE)
		log_warn(r->t->request_id, "task %s: its lease was lost, the rest is left",
			 r->t->id);
	else if (rc < 0)
		task_fail(r->env, r->t, r->history, r->cancelled ? NULL : &r->job, e);
	else
		task_succeed(r->env, r->t, r->history, &r->job);
	picture_note_write(picture_note_make(r->env->g->records, &r->job, r->t->id));
}

/* Those of a worker that died: with what was asked for, as far as that can still be read. */
static void
note_what_came(struct task_run *r, const struct model_conf *m)
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

/* A task from the queue, with what a worker that died before the rest was asked for has left.  True: it is to be run. */
static bool
take_up(struct task_run *r, struct picture came[IMAGES_MAX])
{
	r->job.came = came;
	r->job.ncame = pictures_json_read(r->t->progress, came, IMAGES_MAX);
	return true;
}

/* What its worker could not tell the store: its intent says it, until that is seen to (job/lost_task.c). */
static void
ask_intent(struct task_run *r)
{
	struct task_record *t = r->t;
	struct intent_run run;

	if (!t->dispatched || t->upstream_id[0])
		return;
	intent_run_read(r->env->g->config->state_dir, t->id, t->fence - 1, &run);
	(void)snprintf(t->upstream_id, sizeof(t->upstream_id), "%s", run.upstream_id);
	/* Of what its workers die again and again an end is made. */
	if (run.unsent && t->attempts < TASK_CLAIMS_MAX)
		t->dispatched = false;
}

/* A task whose worker died.  True: it is to be run, or gone on with. */
static bool
take_over(struct task_run *r, struct picture came[IMAGES_MAX])
{
	struct task_record *t = r->t;
	const struct model_conf *m = config_model(r->env->g->config, t->model);
	bool resumes;
	struct err e;

	ask_intent(r);
	resumes = t->upstream_id[0] && m && provider_driver_of(m)->resume;

	/* A death before anything was sent counts as well, and is told. */
	if (!task_way_is_open(r))
		task_way_open(r, t->provider);
	task_way_close(r, "worker_lost", NULL);
	r->job.came = came;
	r->job.ncame = pictures_json_read(t->progress, came, IMAGES_MAX);
	if (t->dispatched && resumes && task_way_count(r, "worker_lost") <= TASK_CLAIMS_MAX) {
		log_info(t->request_id, "task %s: its worker died; goes on with %s at %s", t->id,
			 t->upstream_id, t->provider);
		r->job.resume = t->upstream_id;
		r->dispatched = true;
		/* Should it be what workers die of, their number is known. */
		task_way_open(r, t->provider);
		r->noted = 1;
		return task_way_advance(r,
					&(struct task_step){ .stage = "provider.wait",
							     .upstream_id = t->upstream_id },
					TASK_DISPATCH_MS);
	}
	if (!t->dispatched && t->attempts < TASK_CLAIMS_MAX) {
		task_requeue(r->env, t, r->history, &(struct task_again){ 0 }, "worker_lost");
		return false;
	}
	if (t->dispatched)
		(void)err_set(&e, ERR_OUTCOME_UNKNOWN,
			      "the worker ended after %s may have accepted it", t->provider);
	else
		(void)err_set(&e, ERR_HANDLER_CRASHED, "%s", "");
	e.may_have_been_billed = t->dispatched || r->job.ncame;
	for (unsigned i = 0; i < r->job.ncame; i++)
		r->job.call.images[r->job.call.nimages++] = came[i];
	note_what_came(r, m);
	task_fail(r->env, t, r->history, &r->job, &e);
	return false;
}

static void
run_it(struct task_run *r)
{
	AUTO(edit) ed = { 0 };
	struct err e = { 0 };
	int rc;

	task_way_watch(r);
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
	struct task_run *r = calloc(1, sizeof(*r));

	if (!r)
		return; /* the lease runs out */
	r->env = env;
	r->t = t;
	task_way_begin(r);
	r->job.request_id = t->request_id;
	r->job.key_id = t->owner;
	r->job.task_id = t->id;
	r->job.fence = t->fence;
	r->job.ledger = &r->ledger;
	if (t->cancel_requested && !t->dispatched) {
		r->cancelled = true;
		task_fail(env, t, r->history, NULL, &(struct err){ .kind = ERR_GONE });
	} else if (found != TASK_ORPHAN ? take_up(r, came) : take_over(r, came)) {
		run_it(r);
	}
	if (!r->lost)
		task_partial_remove(env->g->config->state_dir, r->progress);
	image_job_done(&r->job);
	task_way_done(r);
	free(r);
}
