#include "api/handoff_task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/fingerprint.h"
#include "files/picture_json.h"
#include "job/intent.h"
#include "job/picture_record.h"

/* body: what was asked for in the words of an images request; NULL: the job has it. */
static char *
request_text(const struct image_job *job, const json_t *body)
{
	json_auto_t *o = body ? json_copy((json_t *)body) : image_params_json(job->rq);

	(void)json_object_set_new(o, "model", json_string(job->asked->id));
	image_params_forget(o);
	return json_dumps(o, JSON_COMPACT);
}

void
handoff_note_attempt(struct handoff *h, const struct image_job *job)
{
	struct handoff_attempt *more;

	if (h->noted == job->attempts)
		return;
	more = reallocarray(h->attempts, h->nattempts + 1, sizeof(*more));
	if (!more)
		return;
	if (h->nattempts)
		more[h->nattempts - 1].after = job->after;
	more[h->nattempts++] = (struct handoff_attempt){ .provider = job->model->provider,
							 .started_ms = clock_wall_ms() };
	h->attempts = more;
	h->noted = job->attempts;
}

void
handoff_attempts_done(struct handoff *h)
{
	free(h->attempts);
	h->attempts = NULL;
	h->nattempts = 0;
}

char *
handoff_history(struct handoff *h, const struct image_job *job, bool ended, const char *code)
{
	json_auto_t *list = json_array();

	/* The last one, too, when it failed before it had asked for anything. */
	if (ended)
		handoff_note_attempt(h, job);
	for (unsigned i = 0; i < h->nattempts; i++) {
		const struct handoff_attempt *a = &h->attempts[i];
		bool last = i + 1 == h->nattempts;
		const char *why = last ? code : a->after;
		const char *outcome = last && !ended ? NULL : why ? "failed" : "succeeded";

		(void)json_array_append_new(list,
					    json_pack("{s:i, s:s, s:I, s:s?, s:s?}", "n",
						      (int)i + 1, "provider", a->provider,
						      "started", (json_int_t)(a->started_ms / 1000),
						      "outcome", outcome, "code", why));
	}
	return json_dumps(list, JSON_COMPACT);
}

char *
handoff_progress(const struct image_job *job, unsigned came)
{
	const char *credential = job->call.credential ? job->call.credential : "";
	char print[FINGERPRINT_TEXT];
	json_auto_t *o = NULL;

	fingerprint(credential, strlen(credential), print);
	o = json_pack("{s:s, s:b, s:o}", "credential", print, "remnant", job->rq->nsources > 0,
		      "images", pictures_json(job->call.images, came));
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

static bool
is_dispatched(const struct image_job *job)
{
	return intent_stage_of(job->intent) >= INTENT_SUBMITTING &&
	       job->model->provider_conf->dialect != DIALECT_PREVIEW;
}

int
handoff_fill(struct handoff *h, struct request *r, const struct image_job *job, const json_t *body,
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
	(void)snprintf(h->upstream_id, sizeof(h->upstream_id), "%s",
		       intent_upstream_id_of(job->intent));
	(void)snprintf(t->upstream_id, sizeof(t->upstream_id), "%s", h->upstream_id);
	(void)snprintf(t->worker, sizeof(t->worker), "request-%d", (int)getpid());
	t->request = request_text(job, body);
	t->history = handoff_history(h, job, false, NULL);
	t->progress = handoff_progress(job, h->upstream_id[0] ? h->came : job->call.nimages);
	return t->request && t->history && t->progress ? 0
						       : err_set(e, ERR_INTERNAL, "out of memory");
}
