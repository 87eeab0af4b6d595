#include "api/task_way.h"

#include <string.h>

#include "access/fingerprint.h"
#include "api/task_json.h"
#include "api/task_partial.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "files/picture_json.h"

#define TICK_US  1000000
#define STORE_MS 2000 /* for one word to the store while a provider is waited for */

/* ---- the tick ---- */

static void
renew(struct task_run *r)
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
	struct task_run *r = self;

	if (clock_us() >= r->renew_us)
		renew(r);
	if (r->lost || r->cancelled || r->unwritten ||
	    (!r->dispatched && atomic_load(&r->env->leaving)))
		r->tick.forsaken = true;
}

/* ---- what the job tells on its way ---- */

static json_t *
last_attempt(const struct task_run *r)
{
	return json_array_get(r->history, json_array_size(r->history) - 1);
}

bool
task_way_is_open(const struct task_run *r)
{
	const json_t *outcome = json_object_get(last_attempt(r), "outcome");

	return outcome && json_is_null(outcome);
}

unsigned
task_way_count(const struct task_run *r, const char *outcome)
{
	unsigned n = 0;

	for (size_t i = 0; i < json_array_size(r->history); i++) {
		const char *how = json_string_value(
			json_object_get(json_array_get(r->history, i), "outcome"));

		n += how && !strcmp(how, outcome);
	}
	return n;
}

void
task_way_close(struct task_run *r, const char *outcome, const char *code)
{
	json_t *last = last_attempt(r);

	if (!task_way_is_open(r))
		return;
	(void)json_object_set_new(last, "outcome", json_string(outcome));
	(void)json_object_set_new(last, "code", code ? json_string(code) : json_null());
}

void
task_way_open(struct task_run *r, const char *provider)
{
	(void)json_array_append_new(r->history,
				    json_pack("{s:I, s:s, s:I, s:n, s:n}", "n",
					      (json_int_t)json_array_size(r->history) + 1,
					      "provider", provider, "started",
					      (json_int_t)(clock_wall_ms() / 1000), "outcome",
					      "code"));
}

static void
note_attempt(struct task_run *r)
{
	if (r->noted == r->job.attempts)
		return;
	r->noted = r->job.attempts;
	memset(r->partials, 0, sizeof(r->partials));
	task_way_close(r, "failed", r->job.after);
	task_way_open(r, r->job.model->provider);
}

bool
task_way_advance(struct task_run *r, struct task_step *step, int64_t ms)
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
note_credential(struct task_run *r)
{
	const char *credential = r->job.call.credential;
	char print[FINGERPRINT_TEXT];

	fingerprint(credential, strlen(credential), print);
	(void)json_object_set_new(r->progress, "credential", json_string(print));
	(void)json_object_set_new(r->progress, "images",
				  pictures_json(r->job.call.images, r->job.call.nimages));
}

__attribute__((noinline)) static void
on_stage(void *self, const char *stage)
{
	struct task_run *r = self;
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
	if (task_way_advance(r, &step, counts ? TASK_DISPATCH_MS : STORE_MS)) {
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
	struct task_run *r = self;
	struct task_step step = { .upstream_id = id };

	note_credential(r);
	(void)task_way_advance(r, &step, TASK_DISPATCH_MS);
}

/* One that is lost is missing in a stream, no more. */
static void
on_partial(void *self, unsigned image, const struct source *so_far)
{
	struct task_run *r = self;
	struct err ignored;

	if (image >= IMAGES_MAX || r->tick.forsaken ||
	    r->partials[image] >= (unsigned)r->job.rq->partial_images)
		return;
	if (task_partial_save(r->env->g->config->state_dir, r->t->id, &r->job, r->partials[image],
			      so_far, r->progress, &ignored) < 0)
		return;
	r->partials[image]++;
	(void)task_way_advance(r, &(struct task_step){ .stage = NULL }, STORE_MS);
}

/* ---- its beginning and its end ---- */

void
task_way_begin(struct task_run *r)
{
	const struct task_record *t = r->t;
	int64_t now_us = clock_us();

	r->lease_ms = r->env->g->config->store.task_lease_ms;
	r->renew_us = now_us + r->lease_ms * 1000 / 3;
	r->lease_us = now_us + r->lease_ms * 1000;
	r->history = t->history ? json_loads(t->history, 0, NULL) : NULL;
	r->progress = t->progress ? json_loads(t->progress, 0, NULL) : NULL;
	if (!r->history)
		r->history = json_array();
	if (!r->progress)
		r->progress = json_object();
	r->job.on_stage = on_stage;
	r->job.on_upstream_id = on_upstream_id;
	r->job.on_self = r;
	r->job.on_partial = on_partial;
	r->job.on_partial_self = r;
}

void
task_way_done(struct task_run *r)
{
	json_decref(r->history);
	json_decref(r->progress);
}

void
task_way_watch(struct task_run *r)
{
	r->tick = (struct tick){ .fn = look, .self = r, .every_us = TICK_US };
	(void)tick_set(&r->tick);
}
