#include "job/image_run.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/utf8.h"
#include "files/imaging.h"
#include "job/attempts.h"
#include "job/intent.h"
#include "job/lost_job.h"
#include "job/picture_record.h"
#include "job/retry.h"
#include "job/usual_time.h"
#include "net/upstream.h"
#include "provider/capability.h"

int
image_engine_open(struct image_engine *g, const struct config *c, const char *program,
		  struct store *store, unsigned max_in_flight, struct err *e)
{
	*g = (struct image_engine){ .config = c };
	if (filestore_open(&g->files, c->files.url, c->state_dir, (uint64_t)c->limits.image_bytes,
			   (uint64_t)c->limits.image_pixels, (uint64_t)c->files.max_bytes, e) < 0 ||
	    imaging_init(e) < 0 || upstream_init(e) < 0 ||
	    intent_open(c->state_dir, program, max_in_flight, e) < 0 ||
	    usual_time_open(c->state_dir, e) < 0 || picture_records_open(&g->records, store, e) < 0)
		return -1;
	g->store = store;
	return image_engine_recover(g, e);
}

int
image_engine_recover(struct image_engine *g, struct err *e)
{
	return lost_jobs_end(g, e);
}

void
image_engine_done(struct image_engine *g)
{
	picture_records_free(g->records);
	g->records = NULL;
	usual_time_close();
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

/* Whole names, as many as leave room to say how many more there are; MODEL_ID_MAX leaves it for one. */
static void
list_image_models(const struct config *c, char *out, size_t size)
{
	size_t len = 0, more = 0;

	for (size_t i = 0; i < c->nmodels; i++) {
		const char *id = c->models[i].id;

		if (c->models[i].type != MODEL_IMAGE)
			continue;
		if (more || len + strlen(id) + sizeof(", '' and 1000000 more") > size)
			more++;
		else
			len += (size_t)snprintf(out + len, size - len, "%s'%s'", len ? ", " : "",
						id);
	}
	if (more)
		(void)snprintf(out + len, size - len, " and %zu more", more);
}

static int
not_an_image_model(const struct config *c, const struct model_conf *m, struct err *e)
{
	(void)err_field(e, ERR_MODEL_NOT_IMAGE, "model", "", "'%.80s'", m->id);
	list_image_models(c, e->expected, sizeof(e->expected));
	return -1;
}

static int
resolve_model(const struct config *c, struct image_job *job, struct err *e)
{
	const char *asked = job->model_asked ? job->model_asked : c->defaults.image_model;

	if (job->asked) {
		job->model = job->asked;
		return 0;
	}
	job->asked = job->model = config_model(c, asked);
	if (!job->asked)
		return no_such_model(c, asked, e);
	if (job->asked->type != MODEL_IMAGE)
		return not_an_image_model(c, job->asked, e);
	return 0;
}

static int
cannot(struct err *e, const char *param, const char *why)
{
	(void)err_set(e, ERR_UNSUPPORTED, "%s", why);
	(void)snprintf(e->param, sizeof(e->param), "%s", param);
	return -1;
}

/* Pictures to start from and masks are never dropped: what was asked for would be another picture. */
static int
check_sources(const struct image_request *rq, const struct image_caps *caps, struct err *e)
{
	char expected[80];

	if (rq->nsources && !caps->sources_max)
		return cannot(e, "image", "this model takes no input pictures");
	if (rq->nsources > caps->sources_max) {
		(void)snprintf(expected, sizeof(expected), "at most %u with this model",
			       caps->sources_max);
		return err_field(e, ERR_ABOVE_MAX, "image", expected, "%u", rq->nsources);
	}
	if (rq->mask && !caps->mask)
		return cannot(e, "mask", "this model takes no mask");
	for (unsigned i = 0; caps->source_bytes_max && i < rq->nsources; i++) {
		char param[24];

		if (rq->sources[i].bytes <= caps->source_bytes_max)
			continue;
		(void)snprintf(param, sizeof(param), rq->nsources > 1 ? "image[%u]" : "image", i);
		(void)snprintf(expected, sizeof(expected), "at most %llu bytes with this model",
			       (unsigned long long)caps->source_bytes_max);
		return err_field(e, ERR_VALUE, param, expected, "%llu bytes",
				 (unsigned long long)rq->sources[i].bytes);
	}
	return 0;
}

/* What the model cannot do is refused, or dropped and said so. */
static int
check_against_model(const struct image_request *rq, struct receipt *receipt,
		    const struct image_caps *caps, struct err *e)
{
	size_t chars = utf8_count(rq->prompt, strlen(rq->prompt));
	char expected[80];

	if (caps->prompt_max && chars > caps->prompt_max) {
		(void)snprintf(expected, sizeof(expected), "at most %u characters with this model",
			       caps->prompt_max);
		return err_field(e, ERR_TOO_LONG, "prompt", expected, "%zu", chars);
	}
	if (check_sources(rq, caps, e) < 0)
		return -1;
	for (int p = 0; p < PARAM__MAX; p++) {
		const char *fate = capability_fate_of(caps, rq, (enum image_param)p);

		if ((rq->given & PARAM_BIT(p)) && strcmp(fate, "kept") != 0)
			receipt_note(receipt, (enum image_param)p, "%s", fate);
	}
	receipt_unknown(receipt, rq->unknown);
	return 0;
}

/* It came in the type that was asked: it is not made anew for the sake of its size. */
static void
note_not_compressed(struct image_job *job)
{
	if (!strcmp(receipt_of(&job->receipt, PARAM_OUTPUT_COMPRESSION), "served-here"))
		receipt_note(&job->receipt, PARAM_OUTPUT_COMPRESSION, "dropped");
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

		if (p->type == rq->output_type) {
			note_not_compressed(job);
			continue;
		}
		rc = imaging_convert(g->files, p, rq->output_type, rq->output_compression,
				     &converted, &job->call.deadline, e);
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

/* What the model cannot do is refused before anything is bought; else it is the job's model now. */
static int
choose_model(struct image_engine *g, struct image_job *job, const struct model_conf *m,
	     struct err *e)
{
	const struct provider_driver *driver = provider_driver_of(m);
	AUTO(receipt) receipt = { 0 };

	if (check_against_model(job->rq, &receipt, driver->caps(m->upstream_model), e) < 0 ||
	    filestore_room(g->files, job->rq->n, e) < 0)
		return -1;
	job->model = m;
	receipt_done(&job->receipt);
	job->receipt.words = TAKE_PTR(receipt.words);
	return 0;
}

/* What a provider has already is asked for there only, and what belongs to one account is told to no other provider. */
static bool
may_be_asked(const struct image_job *job, const struct model_conf *m)
{
	return m && m->type == MODEL_IMAGE && !job->resume &&
	       (!job->credential || m->provider_conf == job->asked->provider_conf);
}

/* The models of `fallback`, in order, as long as nothing can have been bought. */
static int
ask_others(struct image_engine *g, struct image_job *job, struct err *e)
{
	const struct strings *others = &job->asked->fallback;
	int rc = -1;

	for (size_t i = 0; rc < 0 && i < others->n && retry_elsewhere(e) && !job->call.nimages;
	     i++) {
		const struct model_conf *m = config_model(g->config, others->v[i]);
		struct err why;

		if (!may_be_asked(job, m) || deadline_over(&job->deadline))
			continue;
		if (choose_model(g, job, m, &why) < 0)
			log_info(job->request_id, "fallback %s is passed over: %s %s", m->id,
				 err_code(&why), why.param);
		else
			rc = attempts_run(g, job, e);
	}
	return rc;
}

void
image_run_incomplete(const struct image_job *job, struct err *e)
{
	const struct err was = *e;

	if (was.kind != ERR_IMAGES_INCOMPLETE) {
		err_detail(e, "%s %s", err_code(&was), was.detail);
		e->kind = ERR_IMAGES_INCOMPLETE;
		e->status = e->party = e->retry_after_s = 0;
		e->param[0] = e->about[0] = '\0';
	}
	(void)snprintf(e->expected, sizeof(e->expected), "%u", job->rq->n);
	(void)snprintf(e->found, sizeof(e->found), "%u", job->call.nimages);
}

void
image_run_broke_off(const struct image_job *job, enum err_party party, const char *why,
		    struct err *e)
{
	if (e->kind != ERR_GONE || !job->call.nimages || job->call.nimages >= job->rq->n)
		return;
	image_run_incomplete(job, e);
	e->party = party + 1;
	(void)snprintf(e->about, sizeof(e->about), " The others were not asked for: %s.", why);
}

/* Pictures that came are in the answer, and paid for, whatever happened then. */
static int
account_for(const struct image_job *job, struct err *e)
{
	if (!job->call.nimages)
		return -1;
	if (job->model->provider_conf->dialect != DIALECT_PREVIEW)
		e->may_have_been_billed = true;
	if (!strcmp(err_type(e), "upstream_error") && job->call.nimages < job->rq->n)
		image_run_incomplete(job, e);
	return -1;
}

void
image_job_done(struct image_job *job)
{
	image_call_done(&job->call);
	receipt_done(&job->receipt);
}

int
image_check(struct image_engine *g, struct image_job *job, struct err *e)
{
	if (resolve_model(g->config, job, e) < 0)
		return -1;
	return choose_model(g, job, job->asked, e);
}

static void
note_picture(void *self, const struct picture *p)
{
	lost_job_note(self, p);
}

static int
run(struct image_engine *g, struct image_job *job, struct err *e)
{
	if (image_check(g, job, e) < 0)
		return -1;
	if (attempts_run(g, job, e) < 0 && ask_others(g, job, e) < 0)
		return account_for(job, e);
	return convert(g, job, e) < 0 ? account_for(job, e) : 0;
}

int
image_run(struct image_engine *g, struct image_job *job, struct err *e)
{
	int rc;

	filestore_on_publish(note_picture, job);
	rc = run(g, job, e);
	filestore_on_publish(NULL, NULL);
	return rc;
}
