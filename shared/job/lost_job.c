#include "job/lost_job.h"

#include <stdio.h>
#include <string.h>

#include "access/fingerprint.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/utf8.h"
#include "files/picture_json.h"
#include "job/intent.h"
#include "job/owed_task.h"
#include "job/picture_record.h"
#include "store/store_idem.h"
#include "store/store_task.h"

#define RECOVERY_MS 5000 /* for what is written of one lost job */
#define LEASE_MS    1    /* nobody has it */
#define KNOWN_MS \
	600000 /* how long a repetition without a key is expected: SDKs come back at once */
#define CLIP_CHARS      100
#define CLIP_WORD_BYTES 20
#define GIVEN_BYTES     (1 << 20)

/* ---- while its process lives ---- */

/* The request in the words of an images request, with all that it says or the beginning of its prompt. */
static char *
request_text(const struct image_job *job, bool clip)
{
	json_auto_t *o = image_params_json(job->rq);
	const char *prompt = job->rq->prompt;
	char clipped[4 * CLIP_CHARS + 8];
	const char *name;
	json_t *value;
	void *next;

	if (!o)
		return NULL;
	if (clip) {
		json_object_foreach_safe(o, next, name, value)
		{
			if (json_string_length(value) > CLIP_WORD_BYTES)
				(void)json_object_del(o, name);
		}
		utf8_clip(clipped, sizeof(clipped), prompt, strlen(prompt), CLIP_CHARS);
		(void)json_object_set_new(o, "prompt", json_string(clipped));
	}
	(void)json_object_set_new(o, "model", json_string(job->asked->id));
	return json_dumps(o, JSON_COMPACT);
}

void
lost_job_prepare(const struct image_job *job)
{
	const char *credential = job->call.credential ? job->call.credential : "";
	bool remnant = job->rq->remnant || job->rq->nsources;
	char print[FINGERPRINT_TEXT];
	AUTO_FREE char *text = request_text(job, false);

	/* Of what has been asked for it is decided what it shows. */
	if (text && strlen(text) >= INTENT_REQUEST_TEXT) {
		free(text);
		text = request_text(job, true);
		remnant = true;
	}
	fingerprint(credential, strlen(credential), print);
	intent_request(job->intent, text ? text : "", remnant, print, job->call.images,
		       job->call.nimages);
}

/* The same put together as text, without its model: here for every picture. */
static int
note_text(const struct image_request *rq, bool clip, struct buf *b)
{
	AUTO(buf) given = BUF_INIT(GIVEN_BYTES);
	char clipped[4 * CLIP_CHARS + 8];
	const char *prompt = rq->prompt ? rq->prompt : "";

	if (clip) {
		utf8_clip(clipped, sizeof(clipped), prompt, strlen(prompt), CLIP_CHARS);
		prompt = clipped;
	}
	if (buf_adds(b, "{\"prompt\":") < 0 || json_text_string(b, prompt, strlen(prompt)) < 0)
		return -1;
	if (clip || !rq->given)
		return buf_addc(b, '}');
	return image_params_text(rq, &given) < 0 || buf_addc(b, ',') < 0 ||
			       buf_adds(b, given.p + 1) < 0
		       ? -1
		       : 0;
}

void
lost_job_note(const struct image_job *job, const struct picture *p)
{
	AUTO(buf) text = BUF_INIT(GIVEN_BYTES);

	if (!job->intent)
		return;
	if (!intent_has_made(job->intent) &&
	    (note_text(job->rq, false, &text) < 0 || text.len >= INTENT_REQUEST_TEXT)) {
		buf_clear(&text);
		(void)note_text(job->rq, true, &text);
	}
	intent_made(job->intent, p, buf_str(&text));
}

/* ---- after its death ---- */

static bool
can_go_on(struct image_engine *r, const struct intent_lost *l)
{
	const struct model_conf *m = config_model(r->config, l->job.model);

	return (l->job.upstream_id[0] || l->rest_unsent) && l->request[0] && m &&
	       provider_driver_of(m)->resume;
}

/* The record of its key, or one that is found by what was asked for. */
static int
tell_repetitions(struct image_engine *r, const struct intent_lost *l, const char *task_id,
		 const struct deadline *d, struct err *e)
{
	const char *id = l->job.request_id;
	struct idem_record record = { .created_ms = l->job.created_ms,
				      .expires_ms = clock_wall_ms() + KNOWN_MS,
				      .done = !*task_id,
				      .status = *task_id ? 0 : 502 };
	struct idem_record other = { 0 };
	bool found = false, begun;
	int rc = *task_id ? store_idem_task(r->store, id, task_id, &found, d, e)
			  : store_idem_finish(r->store, id, 502, "", 0, &found, d, e);

	if (rc < 0 || found || !l->hashed)
		return rc;
	(void)snprintf(record.owner, sizeof(record.owner), "%s", l->job.key_id);
	(void)snprintf(record.request_id, sizeof(record.request_id), "%s", id);
	(void)snprintf(record.task_id, sizeof(record.task_id), "%s", task_id);
	memcpy(record.hash, l->hash, sizeof(record.hash));
	rc = store_idem_begin(r->store, &record, &other, &begun, d, e);
	if (rc == 0)
		idem_record_done(&other);
	return rc;
}

static int
fill_task(const struct intent_lost *l, struct task_record *t, struct err *e)
{
	const struct job_record *j = &l->job;
	json_auto_t *history =
		json_pack("[{s:i, s:s, s:I, s:n, s:n}]", "n", 1, "provider", j->provider, "started",
			  (json_int_t)(j->created_ms / 1000), "outcome", "code");
	json_auto_t *progress = json_pack("{s:s, s:b, s:o}", "credential", l->credential, "remnant",
					  l->remnant, "images", pictures_json(l->came, l->ncame));

	*t = (struct task_record){ .status = TASK_STARTED,
				   .created_ms = j->created_ms,
				   .dispatched = !l->rest_unsent };
	id_alike("task_", j->request_id, t->id, sizeof(t->id));
	(void)snprintf(t->request_id, sizeof(t->request_id), "%s", j->request_id);
	(void)snprintf(t->owner, sizeof(t->owner), "%s", j->key_id);
	(void)snprintf(t->model, sizeof(t->model), "%s", j->model);
	(void)snprintf(t->provider, sizeof(t->provider), "%s", j->provider);
	(void)snprintf(t->stage, sizeof(t->stage), "%s", j->stage);
	(void)snprintf(t->upstream_id, sizeof(t->upstream_id), "%s", j->upstream_id);
	(void)snprintf(t->worker, sizeof(t->worker), "nobody");
	t->request = strdup(l->request);
	t->history = history ? json_dumps(history, JSON_COMPACT) : NULL;
	t->progress = progress ? json_dumps(progress, JSON_COMPACT) : NULL;
	return t->request && t->history && t->progress ? 0
						       : err_set(e, ERR_INTERNAL, "out of memory");
}

static int
hand_over(struct image_engine *r, const struct intent_lost *l, const struct deadline *d,
	  struct err *e)
{
	const struct task_add how = { .lease_ms = LEASE_MS };
	AUTO(task_record) t = { 0 };
	bool added;

	if (fill_task(l, &t, e) < 0 || store_task_add(r->store, &t, &how, NULL, &added, d, e) < 0 ||
	    tell_repetitions(r, l, t.id, d, e) < 0)
		return -1;
	log_warn(l->job.request_id,
		 "its process died at stage %s; the work goes on as %s: %s at %s", l->job.stage,
		 t.id, t.dispatched ? t.upstream_id : "the rest", t.provider);
	return 0;
}

/* Nobody waits for it any more, but what became of it is written down. */
static int
write_down(struct image_engine *r, const struct intent_lost *l, const struct deadline *d,
	   struct err *e)
{
	const struct job_record *j = &l->job;
	bool unknown = !strcmp(j->outcome, "outcome_unknown");

	log_warn(j->request_id, "%s: its process died at stage %s; model=%s, provider=%s, key=%s",
		 j->outcome, j->stage, j->model, j->provider, j->key_id);
	if ((unknown ? tell_repetitions(r, l, "", d, e)
		     : store_idem_drop(r->store, j->request_id, d, e)) < 0)
		return -1;
	return store_job_add(r->store, j, d, e);
}

static int
end_one(const struct intent_lost *l, void *arg)
{
	struct image_engine *r = arg;
	struct deadline d = deadline_in_ms(RECOVERY_MS);
	struct err e;

	int rc = lost_pictures_record(r, l, &d, &e);

	if (rc == 0 && !l->answered)
		rc = l->task_id[0]     ? lost_task_end(r->config, r->store, l, &d, &e)
		     : can_go_on(r, l) ? hand_over(r, l, &d, &e)
				       : write_down(r, l, &d, &e);

	if (rc == 0)
		return 0;
	if (rc < 0)
		log_error(l->job.request_id, "what became of it cannot be written down: %s %s",
			  e.about, e.detail);
	return -1;
}

int
lost_jobs_end(struct image_engine *g, struct err *e)
{
	const struct config *c = g->config;

	/* Before their intents, which may know more of them. */
	if (owed_tasks_end(c->state_dir, g->store, c->store.keep_tasks_ms, e) < 0)
		return -1;
	return intent_recover(c->state_dir, end_one, g, e) < 0 ? -1 : 0;
}
