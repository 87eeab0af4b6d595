#include "job/attempts.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/stack.h"
#include "base/tick.h"
#include "job/aside.h"
#include "job/attempt_log.h"
#include "job/degrade.h"
#include "job/intent.h"
#include "job/key_turn.h"
#include "job/lost_job.h"
#include "job/retry.h"
#include "job/usual_time.h"
#include "net/upstream.h"

struct attempts {
	struct image_job *job;
	const struct model_conf *model;
	const struct provider_driver *driver;
	const struct config *config;
	struct degrade ask;
	struct key_turn turn;
	unsigned waits;
	bool sent; /* something has left that may have bought */
	bool rest; /* … and has been made; the next has not left */
};

static void
attempts_done(struct attempts *a)
{
	degrade_done(&a->ask);
	/* Its copies of the request's parameters end here. */
	a->job->call.rq = a->job->rq;
	a->job->call.self = NULL;
}

/* ---- what a call tells on its way ---- */

/* What is accepted, or leaves now and may be, has more time. */
static void
give_time(struct attempts *a)
{
	struct image_job *job = a->job;

	if (job->late.at_us > job->deadline.at_us &&
	    a->model->provider_conf->dialect != DIALECT_PREVIEW)
		job->call.deadline = (struct deadline){ .at_us = job->late.at_us,
							.first_us = job->deadline.at_us };
}

static void
on_stage(void *self, const char *stage)
{
	struct attempts *a = self;
	struct image_job *job = a->job;
	bool submits = !strcmp(stage, "provider.submit");

	if (submits)
		intent_sent(job->intent, !a->sent  ? INTENT_UNSENT
					 : a->rest ? INTENT_REST_UNSENT
						   : INTENT_SENT);
	intent_stage(job->intent, submits ? INTENT_SUBMITTING : INTENT_WAITING);
	if (submits)
		give_time(a);
	if (job->on_stage)
		job->on_stage(job->on_self, stage);
}

static void
on_sending(void *self)
{
	struct attempts *a = self;

	a->sent = true;
	a->rest = false;
	intent_sent(a->job->intent, INTENT_SENT);
}

static void
on_upstream_id(void *self, const char *id)
{
	struct attempts *a = self;
	const struct image_job *job = a->job;

	/* Before the name is gone: without it that would look like something bought that nobody can ask for. */
	if (!*id) {
		a->rest = true;
		intent_rest_unsent(job->intent, job->call.images, job->call.nimages);
	} else if (a->driver->resume) {
		lost_job_prepare(job);
	}
	intent_upstream_id(job->intent, id);
	if (job->on_upstream_id)
		job->on_upstream_id(job->on_self, id);
}

static void
on_partial(void *self, unsigned image, const struct source *so_far)
{
	const struct image_job *job = ((struct attempts *)self)->job;

	job->on_partial(job->on_partial_self, image, so_far);
}

static void
on_note(void *self, const char *text)
{
	const struct attempts *a = self;

	attempt_log_note(a->config, a->job, text);
}

static int
attempts_init(struct attempts *a, struct image_engine *g, struct image_job *job, struct err *e)
{
	const struct model_conf *m = job->model;
	const struct provider_conf *p = m->provider_conf;

	*a = (struct attempts){
		.job = job, .model = m, .driver = provider_driver_of(m), .config = g->config
	};
	degrade_init(&a->ask, job->rq, m, a->driver->caps(m->upstream_model));
	key_turn_init(&a->turn, m, g->store);
	job->mode = provider_mode(m, &g->config->image);
	if (job->credential)
		key_turn_only(&a->turn, &job->credential, job->password);
	image_call_done(&job->call);
	job->call = (struct image_call){ .rq = &a->ask.rq,
					 .provider = p,
					 .model = m->upstream_model,
					 .credential = a->turn.keys[0],
					 .password = a->turn.password,
					 .image = &g->config->image,
					 .files = g->files,
					 .deadline = job->deadline,
					 .ledger = job->ledger,
					 .receipt = &job->receipt,
					 .on_stage = on_stage,
					 .on_upstream_id = on_upstream_id,
					 .on_partial = job->on_partial ? on_partial : NULL,
					 .on_note = on_note,
					 .self = a,
					 .usage_total = -1 };
	while (job->call.nimages < job->ncame) {
		job->call.images[job->call.nimages] = job->came[job->call.nimages];
		job->call.nimages++;
	}
	if (job->intent && intent_stage_of(job->intent) == INTENT_ACCEPTED) {
		intent_about(job->intent, m->id, p->name);
	} else {
		intent_release(job->intent); /* of the model before */
		job->intent = intent_take(job->request_id, job->key_id, m->id, p->name);
	}
	if (!job->intent)
		return err_set(e, ERR_OVERLOADED, "no place left to note a job");
	if (job->task_id)
		intent_task(job->intent, job->task_id, job->fence);
	a->rest = job->ncame && !job->resume;
	a->sent = job->resume || job->ncame;
	if (a->rest)
		intent_sent(job->intent, INTENT_REST_UNSENT);
	if (a->sent)
		intent_stage(job->intent, INTENT_SUBMITTING);
	return 0;
}

/* ---- one attempt ---- */

static bool
nothing_bought(const struct attempts *a)
{
	return a->job->call.nimages == 0;
}

static bool
can_ask_for_less(const struct attempts *a)
{
	return nothing_bought(a) && a->ask.level < a->model->degrade.n;
}

static bool
ask_for_less(struct attempts *a, const char *why)
{
	const char *step = can_ask_for_less(a) ? degrade_step(&a->ask, &a->job->receipt) : NULL;

	if (step)
		attempt_log_degrade(a->job, step, why);
	return step != NULL;
}

/* Less is asked for as long as it would usually not be ready in time. */
static void
fit_into_time(struct attempts *a)
{
	int64_t left_ms = deadline_left_ms(&a->job->deadline);

	while (left_ms < usual_time_ms(a->model->id, a->ask.level) &&
	       ask_for_less(a, "time is short"))
		;
}

/* Made from the rest alone it would be another picture. */
static int
cannot_ask(const struct image_call *call, struct err *e)
{
	if (!call->nimages)
		return err_set(e, ERR_HANDLER_CRASHED, "%s", "");
	(void)err_set(e, ERR_IMAGES_INCOMPLETE,
		      " The others were not asked for: what that takes went with a process that "
		      "ended.");
	e->party = PARTY_GATEWAY + 1;
	return -1;
}

/* What a provider has accepted already is waited for, not asked for again. */
static int
ask(struct attempts *a, struct err *e)
{
	const char *resume = TAKE_PTR(a->job->resume);
	struct image_call *call = &a->job->call;
	int rc = 0;

	if (resume && a->driver->resume)
		rc = a->driver->resume(call, resume, e);
	else if (!call->rq->remnant)
		rc = a->driver->generate(call, e);
	if (rc == 0 && call->rq->remnant && call->nimages < call->rq->n)
		rc = cannot_ask(call, e);

	/* Wherever a provider has put it: some send it back in a header. */
	key_turn_scrub(&a->turn, call->upstream_request_id);
	if (rc < 0)
		key_turn_scrub_err(&a->turn, e);
	return rc;
}

static int
attempt(struct attempts *a, unsigned k, const struct config *c, struct err *e)
{
	struct image_job *job = a->job;
	unsigned before = job->call.nimages;
	int64_t start_us;
	int rc;

	fit_into_time(a);
	job->call.deadline = job->deadline;
	if (job->resume)
		give_time(a);
	job->call.credential = a->turn.keys[k];
	if (job->attempts)
		attempt_log_again(job);
	else
		attempt_log_start(c, job);
	job->attempts++;
	key_turn_use(&a->turn, k);
	start_us = clock_us();
	upstream_on_sending(on_sending, a);
	rc = ask(a, e);
	upstream_on_sending(NULL, NULL);
	if (job->call.mode)
		job->mode = job->call.mode;
	if (rc < 0) {
		attempt_log_refusal(job, e);
		return -1;
	}
	if (!before)
		usual_time_add(a->model->id, a->ask.level, (clock_us() - start_us) / 1000);
	if (a->turn.nkeys > 1)
		aside_clear(a->turn.keys[k], a->model, start_us);
	return 0;
}

/* ---- after a failure ---- */

static void
pause_ms(struct image_job *job, int64_t ms)
{
	int64_t start_us = clock_us();

	stack_trim();
	(void)tick_pause(ms, true);
	job->ledger->us[LEDGER_WAIT] += clock_us() - start_us;
}

/* Waits for a better moment.  False: it would come too late. */
static bool
wait_for_moment(struct attempts *a, const struct err *e)
{
	int64_t asked_ms = (int64_t)e->retry_after_s * 1000, key_ms = key_turn_soonest_ms(&a->turn);
	int64_t useful_ms, wait_ms;
	uint32_t random = 0;

	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	if (key_ms < 0)
		return false;
	wait_ms = retry_wait_ms(a->waits, key_ms > asked_ms ? key_ms : asked_ms, random);
	useful_ms = usual_time_ms(a->model->id, a->ask.level + can_ask_for_less(a));
	if (!useful_ms)
		useful_ms = RETRY_USEFUL_MS;
	if (wait_ms > RETRY_WAIT_MAX_MS ||
	    wait_ms + useful_ms > deadline_left_ms(&a->job->deadline))
		return false;
	a->waits++;
	pause_ms(a->job, wait_ms);
	return true;
}

/* May it be tried once more?  Waits until it may. */
__attribute__((noinline)) static bool /* off a stack that waits */
again(struct attempts *a, unsigned k, struct err *e)
{
	bool by_key = aside_is_reason(e);

	if (e->may_have_been_billed)
		return false;
	if (by_key && a->turn.nkeys > 1) {
		int64_t ms = aside_put(a->turn.keys[k], a->model, e);

		attempt_log_aside(a->job, a->turn.keys[k], ms, err_code(e));
		if (key_turn_ready(&a->turn))
			return true;
		(void)aside_error(a->turn.keys, a->turn.nkeys, a->model, e);
	}
	/* A smaller picture may be what the rest of the account is good for. */
	if (e->kind == ERR_UP_QUOTA)
		return key_turn_wait_ms(&a->turn, k) == 0 && ask_for_less(a, err_code(e));
	if (!retry_may_pass(e) || !wait_for_moment(a, e))
		return false;
	(void)ask_for_less(a, err_code(e));
	return true;
}

int
attempts_run(struct image_engine *g, struct image_job *job, struct err *e)
{
	__attribute__((cleanup(attempts_done))) struct attempts a;

	if (attempts_init(&a, g, job, e) < 0)
		return -1;
	tick(); /* it will be tried: whoever has been promised an answer at once can have it */
	for (;;) {
		__attribute__((cleanup(store_slot_done))) struct slot slot = { 0 };
		int k = key_turn_take(&a.turn, &slot, &job->deadline, job->ledger, e), rc;

		if (k < 0)
			return -1;
		/* Nobody waits any more: what was not bought yet is not bought. */
		if (tick_forsaken())
			return err_set(e, ERR_GONE, "%s", "");
		rc = attempt(&a, (unsigned)k, g->config, e);
		store_slot_done(&slot); /* before any wait */
		if (rc == 0)
			return 0;
		job->after = err_code(e);
		if (nothing_bought(&a) && !e->may_have_been_billed) {
			intent_stage(job->intent, INTENT_ACCEPTED);
			a.sent = false;
		}
		if (!again(&a, (unsigned)k, e))
			return -1;
	}
}
