#include "api/rejoin.h"

#include <stdio.h>
#include <string.h>

#include "api/image_common.h"
#include "api/outcome.h"
#include "api/task_json.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "base/log.h"
#include "base/stack.h"
#include "http/reply.h"
#include "job/intent.h"
#include "job/owed_task.h"

#define PAUSE_MS     100
#define PAUSE_MAX_MS 500
#define RECOVER_US   1000000
#define STALE_MS     60000 /* beyond the longest time that it can have taken: its end was lost */

int
rejoin_accepted(struct request *r, const struct task_record *t, struct err *e)
{
	char base[TASK_BASE_BYTES];

	request_base_url(r, base, sizeof(base));
	reply_header(r, "location", "/v1/tasks/%s", t->id);
	reply_header(r, "preference-applied", "respond-async");
	return reply_json(r, 202, task_json(t, 0, base), e);
}

/* ---- what is known of the first ---- */

/* The text of its outcome, the caller's; NULL: it is not over yet.  lost: there will be none. */
struct known {
	char *outcome;
	bool lost, runs; /* runs: as the task */
	struct task_record task;
};

static void
known_done(struct known *k)
{
	free(k->outcome);
	task_record_done(&k->task);
	*k = (struct known){ 0 };
}

/* A task's end as this module writes it, or as a worker did that has gone on with it. */
static char *
task_outcome(const struct task_record *t)
{
	json_auto_t *o = t->result ? json_loads(t->result, 0, NULL) : NULL;
	json_t *error = task_json_error_read(t, LANG_EN);

	if (!o)
		o = json_object();
	if (t->status != TASK_SUCCESS && error)
		(void)json_object_set(o, "error", error);
	json_decref(error);
	if (!json_object_get(o, "model"))
		(void)json_object_set_new(o, "model", json_string(t->model));
	if (!json_object_get(o, "created"))
		(void)json_object_set_new(o, "created", json_integer(t->ended_ms / 1000));
	return json_dumps(o, JSON_COMPACT);
}

/* Its record need not name it yet: that waits for the store, too. */
static int
ask_task(struct image_wait *w, const struct idem_record *first, struct known *k, struct err *e)
{
	const char *state_dir = w->g->config->state_dir;
	char id[sizeof(first->task_id)];
	bool found = false;

	id_alike("task_", first->request_id, id, sizeof(id));
	if (first->task_id[0])
		memcpy(id, first->task_id, sizeof(id));
	else if (!owed_task_waits(state_dir, id))
		return 0;
	if (owed_task_find(state_dir, request_store(w->r), id, &k->task, &found,
			   request_deadline(w->r), e) < 0)
		return -1;
	if (!found || k->task.expired)
		return 0; /* the record itself may know */
	(void)snprintf(w->joins, sizeof(w->joins), "%s", id);
	if (!task_has_ended(k->task.status))
		k->runs = true;
	else if (k->task.status == TASK_REVOKED)
		k->lost = true;
	else
		k->outcome = task_outcome(&k->task);
	return 0;
}

static int
ask(struct image_wait *w, const struct idem_record *first, struct known *k, struct err *e)
{
	int64_t longest_ms = w->repeat.longest_ms + STALE_MS;

	known_done(k);
	if (ask_task(w, first, k, e) < 0)
		return -1;
	if (k->outcome || k->runs || k->lost)
		return 0;
	if (first->done && first->answer && *first->answer)
		k->outcome = strdup(first->answer);
	else if (first->done || clock_wall_ms() - first->created_ms > longest_ms)
		k->lost = true;
	return 0;
}

/* ---- its answer ---- */

/* The failure as it was told the first time. */
static enum rejoined
answer_failure(struct image_wait *w, const json_t *error, int status, struct err *e)
{
	const char *code = json_string_value(json_object_get(error, "code"));
	enum err_kind kind = code ? err_by_code(code) : ERR_NONE;
	json_t *copy;

	reply_header(w->r, "x-should-retry", "false");
	/* In a stream that has begun: what can be said of its code. */
	(void)err_set(e, kind ? kind : ERR_OUTCOME_UNKNOWN, "as the first request was told");
	e->status = status;
	e->may_have_been_billed = true;
	if (w->tell && w->tell(w->self, e)) {
		(void)err_set(e, ERR_GONE, "%s", "");
		return REJOIN_FAILED;
	}
	image_common_headers(w->r, w->job);
	copy = json_deep_copy(error);
	(void)json_object_update_new(copy, image_common_came(w->r, w->job));
	(void)reply_json(w->r, status, json_pack("{s:o}", "error", copy), e);
	(void)err_set(e, ERR_GONE, "%s", "");
	return REJOIN_FAILED;
}

/* Were all pictures kept?  They may have been removed since. */
static bool
are_there(struct image_wait *w)
{
	struct err e;

	for (unsigned i = 0; i < w->job->call.nimages; i++) {
		AUTO_FD int fd = filestore_read(w->g->files, &w->job->call.images[i], &e);

		if (fd < 0)
			return false;
	}
	return true;
}

/* Its habits are the answer's. */
static void
set_asked(struct image_wait *w)
{
	const struct config *c = w->g->config;
	struct image_job *job = w->job;

	if (!job->asked)
		job->asked = config_model(c, job->model_asked ? job->model_asked
							      : c->defaults.image_model);
	if (!job->asked)
		job->asked = job->model;
}

__attribute__((noinline)) static enum rejoined
answer(struct image_wait *w, const struct idem_record *first, const struct known *k, struct err *e)
{
	json_auto_t *outcome = k->outcome ? json_loads(k->outcome, 0, NULL) : NULL;
	const json_t *error;
	int status;

	log_info(request_id(w->r), "it repeats %s: %s", first->request_id,
		 k->lost ? "whose outcome is not known" : "the same outcome");
	reply_header(w->r, "idempotent-replayed", "true");
	if (!w->repeat.key)
		repeat_settle_first(w->r, first->request_id);
	if (!outcome || k->lost) {
		(void)err_set(e, ERR_OUTCOME_UNKNOWN,
			      "%s ended before it was known, and is not repeated",
			      first->request_id);
		e->may_have_been_billed = true;
		return REJOIN_FAILED;
	}
	outcome_read(outcome, w->g->config, w->job);
	set_asked(w);
	(void)snprintf(w->joined, sizeof(w->joined), "%s", first->request_id);
	error = outcome_error(outcome, &status);
	if (error)
		return answer_failure(w, error, status, e);
	if (!w->job->call.nimages || !w->job->asked || !are_there(w)) {
		w->job->call.nimages = 0;
		(void)err_set(e, ERR_EXPIRED, "%s", "");
		return REJOIN_FAILED;
	}
	return REJOIN_FILLED;
}

/* ---- waiting for it ---- */

static bool
is_time(const struct image_wait *w, const struct known *k)
{
	return clock_us() >=
	       (k->runs && w->wish.async ? w->wish.due_us : request_deadline(w->r)->at_us);
}

/* It is answered before the first one's outcome is there. */
__attribute__((noinline)) static enum rejoined
answer_unknown(struct image_wait *w, const struct idem_record *first, const struct known *k,
	       struct err *e)
{
	reply_header(w->r, "idempotent-replayed", "true");
	if (k->runs && w->wish.async && rejoin_accepted(w->r, &k->task, e) == 0) {
		(void)err_set(e, ERR_GONE, "%s", "");
		return REJOIN_FAILED;
	}
	(void)err_set(e, ERR_DEADLINE, "waiting for the outcome of %s, which asked for the same",
		      first->request_id);
	e->stage = "provider.wait";
	e->may_have_been_billed = true;
	if (k->runs)
		(void)snprintf(e->task_id, sizeof(e->task_id), "%s", k->task.id);
	return REJOIN_FAILED;
}

/* The first one's process may have died after its successor was there: then it is for us to find that. */
static void
look_for_lost(struct image_wait *w, int64_t *next_us)
{
	struct err e;

	if (clock_us() < *next_us)
		return;
	*next_us = clock_us() + RECOVER_US;
	if (image_engine_recover(w->g, &e) < 0)
		log_warn(request_id(w->r), "jobs that were lost cannot be looked for: %s %s",
			 e.about, e.detail);
}

/*
 * Its record, or (the store has not taken that yet) what is known of it from the intent of its process, which may be
 * dead by now.
 */
static int
look(struct image_wait *w, struct idem_record *first, bool *found, struct err *e)
{
	const unsigned char *hash;

	if (repeat_look(&w->repeat, first, found, e) < 0)
		return -1;
	hash = *found || w->repeat.key || !w->repeat.retries ? NULL : repeat_hash(&w->repeat);
	if (!hash)
		return 0;
	*first = (struct idem_record){ .created_ms = clock_wall_ms() };
	*found = intent_asks(w->g->config->state_dir, request_principal(w->r)->id, hash,
			     request_id(w->r), first->request_id);
	/* It may have got its record, and ended, in between. */
	return *found ? 0 : repeat_look(&w->repeat, first, found, e);
}

/* A retry may be quicker than the first one, and than the end of the first one's process. */
static int
find(struct image_wait *w, struct idem_record *first, bool *found, struct err *e)
{
	struct deadline d = deadline_sooner(request_deadline(w->r), REJOIN_LOOK_MS);
	int64_t recover_us = 0;

	for (;;) {
		bool last = w->repeat.key || !w->repeat.retries || deadline_over(&d);

		if (last)
			recover_us = 0; /* once more, before it is bought */
		if (!w->repeat.key)
			look_for_lost(w, &recover_us);
		if (look(w, first, found, e) < 0)
			return -1;
		if (*found || last || !tick_pause(PAUSE_MS, true))
			return 0;
	}
}

static enum rejoined
wait_for(struct image_wait *w, struct idem_record *first, struct known *k, struct err *e)
{
	int64_t pause_ms = PAUSE_MS, left_ms, recover_us = clock_us() + RECOVER_US;
	bool found = true;

	stack_trim();
	while (found) {
		if (ask(w, first, k, e) < 0)
			return REJOIN_FAILED;
		if (k->outcome || k->lost)
			return answer(w, first, k, e);
		if (is_time(w, k))
			return answer_unknown(w, first, k, e);
		if (!k->runs)
			look_for_lost(w, &recover_us);
		left_ms = deadline_left_ms(request_deadline(w->r));
		if (!tick_pause(pause_ms < left_ms ? pause_ms : left_ms, true)) {
			(void)err_set(e, ERR_GONE, "%s", "");
			return REJOIN_FAILED;
		}
		pause_ms = pause_ms < PAUSE_MAX_MS ? pause_ms + PAUSE_MS / 2 : PAUSE_MAX_MS;
		idem_record_done(first);
		if (look(w, first, &found, e) < 0)
			return REJOIN_FAILED;
	}
	return REJOIN_FIRST; /* nothing was bought, the record is gone */
}

enum rejoined
rejoin(struct image_wait *w, struct err *e)
{
	struct idem_record *first;
	struct known *k;
	enum rejoined how = REJOIN_FAILED;
	bool found = false;

	if (!w->repeat.key && !w->repeat.retries)
		return REJOIN_FIRST;
	first = calloc(1, sizeof(*first) + sizeof(*k));
	if (!first) {
		(void)err_set(e, ERR_OVERLOADED, "no memory for the request");
		return REJOIN_FAILED;
	}
	k = (struct known *)(first + 1);
	handoff_plan(w->r, w->g->config, w->job, &w->wish);
	if (find(w, first, &found, e) == 0)
		how = found ? wait_for(w, first, k, e) : REJOIN_FIRST;
	known_done(k);
	idem_record_done(first);
	free(first);
	return how;
}
