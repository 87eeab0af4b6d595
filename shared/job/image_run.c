#include "job/image_run.h"

#include <stdio.h>
#include <string.h>

#include "access/fingerprint.h"
#include "base/log.h"
#include "base/utf8.h"
#include "files/imaging.h"
#include "job/intent.h"
#include "net/upstream.h"

#define PROMPT_CLIP_CHARS 50
#define RECOVERY_MS       5000 /* for one row of a lost job */
#define PROMPT_LOG_BYTES  2048 /* a log line is no larger than a pipe takes at once */

/* A job whose process died: nobody waits for it any more, but what became of it is written down. */
static void
end_lost_job(const struct job_record *j, void *store)
{
	struct deadline d = deadline_in_ms(RECOVERY_MS);
	struct err e;

	log_warn(j->request_id, "%s: its process died at stage %s; model=%s, provider=%s, key=%s",
		 j->outcome, j->stage, j->model, j->provider, j->key_id);
	if (store_job_add(store, j, &d, &e) < 0)
		log_error(j->request_id, "the job cannot be written down: %s %s", e.about,
			  e.detail);
}

int
image_engine_open(struct image_engine *g, const struct config *c, const char *program,
		  struct store *store, unsigned max_in_flight, struct err *e)
{
	*g = (struct image_engine){ .config = c };
	if (filestore_open(&g->files, c->files.url, c->state_dir, (uint64_t)c->limits.image_bytes,
			   (uint64_t)c->limits.image_pixels, (uint64_t)c->files.max_bytes, e) < 0 ||
	    imaging_init(e) < 0 || upstream_init(e) < 0 ||
	    intent_open(c->state_dir, program, max_in_flight, e) < 0)
		return -1;
	return intent_recover(c->state_dir, end_lost_job, store, e) < 0 ? -1 : 0;
}

void
image_engine_done(struct image_engine *g)
{
	intent_close();
	upstream_shutdown();
	filestore_free(g->files);
	g->files = NULL;
}

static int
no_such_model(const struct config *c, const char *asked, struct err *e)
{
	const char *nearest = config_nearest_model(c, asked);
	char shown[120];

	utf8_clip(shown, sizeof(shown), asked, strlen(asked), 60);
	if (nearest)
		(void)err_set(e, ERR_MODEL_NOT_FOUND, " Did you mean '%.80s'?", nearest);
	else
		(void)err_set(e, ERR_MODEL_NOT_FOUND, "%s", "");
	(void)snprintf(e->param, sizeof(e->param), "model");
	(void)snprintf(e->found, sizeof(e->found), "'%s'", shown);
	return -1;
}

static int
not_an_image_model(const struct config *c, const struct model_conf *m, struct err *e)
{
	size_t len = 0;

	(void)err_field(e, ERR_MODEL_NOT_IMAGE, "model", "", "'%.80s'", m->id);
	for (size_t i = 0; i < c->nmodels && len < sizeof(e->expected) - 1; i++)
		if (c->models[i].type == MODEL_IMAGE)
			len += (size_t)snprintf(e->expected + len, sizeof(e->expected) - len,
						"%s'%s'", len ? ", " : "", c->models[i].id);
	e->expected[utf8_cut(e->expected, strlen(e->expected))] = '\0';
	return -1;
}

static int
resolve_model(const struct config *c, struct image_job *job, struct err *e)
{
	const char *asked = job->model_asked ? job->model_asked : c->defaults.image_model;

	job->model = config_model(c, asked);
	if (!job->model)
		return no_such_model(c, asked, e);
	if (job->model->type != MODEL_IMAGE)
		return not_an_image_model(c, job->model, e);
	return 0;
}

/* What the model cannot do is refused, or dropped and said so. */
static int
check_against_model(struct image_job *job, const struct image_caps *caps, struct err *e)
{
	const struct image_request *rq = job->rq;
	/* Served here, whatever the provider can do. */
	const unsigned ours = PARAM_BIT(PARAM_RESPONSE_FORMAT) | PARAM_BIT(PARAM_OUTPUT_FORMAT) |
			      PARAM_BIT(PARAM_OUTPUT_COMPRESSION) | PARAM_BIT(PARAM_N) |
			      PARAM_BIT(PARAM_STREAM) | PARAM_BIT(PARAM_PARTIAL_IMAGES);
	size_t chars = utf8_count(rq->prompt, strlen(rq->prompt));
	char expected[80];

	if (caps->prompt_max && chars > caps->prompt_max) {
		(void)snprintf(expected, sizeof(expected), "at most %u characters with this model",
			       caps->prompt_max);
		return err_field(e, ERR_TOO_LONG, "prompt", expected, "%zu", chars);
	}
	for (int p = 0; p < PARAM__MAX; p++) {
		if (!(rq->given & PARAM_BIT(p)) || (caps->keeps & PARAM_BIT(p)))
			continue;
		receipt_note(&job->receipt, (enum image_param)p, "%s",
			     ours & PARAM_BIT(p) ? "served-here" : "dropped");
	}
	if (rq->stream) /* until this endpoint streams, a caller must not wait for events in vain */
		return err_field(e, ERR_UNSUPPORTED, "stream", "false", "true");
	(void)snprintf(job->receipt.unknown, sizeof(job->receipt.unknown), "%s", rq->unknown);
	return 0;
}

/* A job on its way: what the callbacks of a call need. */
struct run {
	struct image_job *job;
	struct intent *intent;
};

static void
on_stage(void *self, const char *stage)
{
	struct run *run = self;

	intent_stage(run->intent,
		     !strcmp(stage, "provider.submit") ? INTENT_SUBMITTING : INTENT_WAITING);
}

static void
on_upstream_id(void *self, const char *id)
{
	intent_upstream_id(((struct run *)self)->intent, id);
}

static const char *
credential_of(const struct provider_conf *p)
{
	if (p->api_keys.n)
		return p->api_keys.v[0];
	return p->token ? p->token : "";
}

/* The lines that people look for (contract, section 7). */
static void
log_start(const struct config *c, const struct image_job *job, const char *credential)
{
	const struct image_request *rq = job->rq;
	struct log_hold lines;
	char prompt[PROMPT_LOG_BYTES], print[FINGERPRINT_TEXT] = "none";

	switch (c->log.prompts) {
	case PROMPTS_NONE: prompt[0] = '\0'; break;
	case PROMPTS_HASH: fingerprint(rq->prompt, strlen(rq->prompt), prompt); break;
	case PROMPTS_CLIP:
		utf8_clip(prompt, sizeof(prompt), rq->prompt, strlen(rq->prompt),
			  PROMPT_CLIP_CHARS);
		break;
	case PROMPTS_FULL:
		utf8_clip(prompt, sizeof(prompt), rq->prompt, strlen(rq->prompt), sizeof(prompt));
		break;
	}
	if (*credential)
		fingerprint(credential, strlen(credential), print);
	log_hold(&lines);
	log_info(job->request_id,
		 "Image generation: stream=%s, use_ws=False, response_format=%s, n=%u, "
		 "token=fp:%s, "
		 "model=%s, provider=%s, prompt='%s'",
		 rq->stream ? "True" : "False",
		 rq->response_format == RESPONSE_B64 ? "b64_json" : "url", rq->n, print,
		 job->model->id, job->model->provider, prompt);
	if (job->model->provider_conf->dialect != DIALECT_PREVIEW)
		log_info(job->request_id, "Using HTTP API mode for image generation (%s)",
			 rq->stream ? "streaming" : "non-streaming");
	log_release(&lines);
}

/* Whatever format the provider answered in, the caller gets the one it asked for. */
static int
convert(struct image_engine *g, struct image_job *job, struct err *e)
{
	const struct image_request *rq = job->rq;
	int64_t start_us = clock_us();
	int rc = 0;

	for (unsigned i = 0; rq->output_type != PICTURE_NONE && i < job->call.nimages && rc == 0;
	     i++) {
		struct picture *p = &job->call.images[i], converted;

		if (p->type == rq->output_type)
			continue;
		rc = imaging_convert(g->files, p, rq->output_type, rq->output_compression,
				     &converted, &job->deadline, e);
		if (rc == 0) {
			filestore_remove(g->files, p);
			*p = converted;
			receipt_note(&job->receipt, PARAM_OUTPUT_FORMAT, "served-here");
			job->ledger->us[LEDGER_STORE] += clock_us() - start_us;
			start_us = clock_us();
		}
	}
	return rc;
}

static int
call_provider(struct image_engine *g, struct image_job *job, const struct provider_driver *driver,
	      struct err *e)
{
	const struct provider_conf *p = job->model->provider_conf;
	struct run run = { .job = job };
	int rc;

	job->call = (struct image_call){
		.rq = job->rq,
		.provider = p,
		.model = job->model->upstream_model,
		.credential = credential_of(p),
		.files = g->files,
		.deadline = job->deadline,
		.ledger = job->ledger,
		.receipt = &job->receipt,
		.on_stage = on_stage,
		.on_upstream_id = on_upstream_id,
		.self = &run,
		.usage_total = -1,
	};
	run.intent = intent_take(job->request_id, job->key_id, job->model->id, p->name);
	if (!run.intent)
		return err_set(e, ERR_OVERLOADED, "no place left to note a job");
	log_start(g->config, job, job->call.credential);
	job->attempts++;
	job->mode = p->dialect == DIALECT_PREVIEW ? "local" : "http";
	rc = driver->generate(&job->call, e);
	if (rc == 0) {
		intent_stage(run.intent, INTENT_STORING);
		rc = convert(g, job, e);
	}
	intent_release(run.intent);
	return rc;
}

int
image_run(struct image_engine *g, struct image_job *job, struct err *e)
{
	const struct provider_driver *driver;

	if (resolve_model(g->config, job, e) < 0)
		return -1;
	driver = provider_driver(job->model->provider_conf->dialect);
	if (check_against_model(job, driver->caps(job->model->upstream_model), e) < 0 ||
	    filestore_room(g->files, job->rq->n, e) < 0)
		return -1;
	return call_provider(g, job, driver, e);
}
