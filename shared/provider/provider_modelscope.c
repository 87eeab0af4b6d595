/*
 * ModelScope's API-Inference: POST {base_url}/images/generations with X-ModelScope-Async-Mode: true,
 * then GET {base_url}/tasks/{task_id}.
 *
 * Wire format: modelscope.cn/docs/model-service/API-Inference/intro (September 2025) and what clients
 * have recorded since.  Without the header the service answers 400, "submit image generation task
 * error" or "does not support synchronous calls".  It knows no n: several pictures are several tasks,
 * one after the other, because it promises no more than one at a time.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/tick.h"
#include "base/json.h"
#include "base/scrub.h"
#include "base/utf8.h"
#include "provider/api_call.h"
#include "provider/modelscope_answer.h"
#include "provider/modelscope_poll.h"
#include "provider/modelscope_size.h"
#include "provider/openai_answer.h"
#include "provider/provider.h"

#define NEGATIVE_PROMPT_MAX 1999 /* characters: "< 2000" */
#define SEED_MAX            0x7fffffff
#define STEPS_MAX           100
#define GUIDANCE_MIN        1.5
#define GUIDANCE_MAX        20.0

/* The request in ModelScope's own ranges. */
struct wish {
	uint32_t width, height; /* 0: the model's default */
	int64_t seed;           /* -1: none */
	int steps;              /* 0: none */
	double guidance;        /* < 0: none */
};

static void
size_read(const struct image_call *call, struct wish *w)
{
	w->width = call->rq->width;
	w->height = call->rq->height;
	if (!w->width) {
		if (call->rq->given & PARAM_BIT(PARAM_SIZE))
			receipt_note(call->receipt, PARAM_SIZE, "=the model's default");
	} else if (modelscope_size(call->model, &w->width, &w->height)) {
		receipt_note(call->receipt, PARAM_SIZE, "=%ux%u", w->width, w->height);
	}
}

static void
seed_read(const struct image_call *call, struct wish *w)
{
	const struct image_request *rq = call->rq;

	w->seed = rq->seed < 0 ? -1 : rq->seed & SEED_MAX;
	/* One seed for all would make the same picture n times. */
	if (w->seed >= 0 && rq->n > 1)
		receipt_note(call->receipt, PARAM_SEED, "=%lld, one more for each picture",
			     (long long)w->seed);
	else if (w->seed != rq->seed)
		receipt_note(call->receipt, PARAM_SEED, "=%lld", (long long)w->seed);
}

static int
wish_read(const struct image_call *call, struct wish *w, struct err *e)
{
	const struct image_request *rq = call->rq;
	size_t chars;

	if (rq->negative_prompt) {
		chars = utf8_count(rq->negative_prompt, strlen(rq->negative_prompt));
		if (chars > NEGATIVE_PROMPT_MAX)
			return err_field(e, ERR_TOO_LONG, "negative_prompt",
					 "at most 1999 characters with this model", "%zu", chars);
	}
	size_read(call, w);
	seed_read(call, w);
	w->steps = rq->steps < STEPS_MAX ? rq->steps : STEPS_MAX;
	if (w->steps != rq->steps)
		receipt_note(call->receipt, PARAM_STEPS, "=%d", w->steps);
	w->guidance = rq->guidance;
	if (w->guidance >= 0 && (w->guidance < GUIDANCE_MIN || w->guidance > GUIDANCE_MAX)) {
		w->guidance = w->guidance < GUIDANCE_MIN ? GUIDANCE_MIN : GUIDANCE_MAX;
		receipt_note(call->receipt, PARAM_GUIDANCE, "=%g", w->guidance);
	}
	if (rq->n > 1)
		receipt_note(call->receipt, PARAM_N, "=%u tasks", rq->n);
	return 0;
}

/* The body of the task with that number as JSON text, the caller's; NULL: out of memory. */
static char *
body_make(const struct image_call *call, const struct wish *w, unsigned number)
{
	const struct image_request *rq = call->rq;
	json_auto_t *o = json_pack("{s:s, s:s}", "model", call->model, "prompt", rq->prompt);

	if (!o)
		return NULL;
	if (rq->negative_prompt && *rq->negative_prompt)
		(void)json_object_set_new(o, "negative_prompt", json_string(rq->negative_prompt));
	if (w->width)
		(void)json_object_set_new(o, "size", json_sprintf("%ux%u", w->width, w->height));
	if (w->seed >= 0)
		(void)json_object_set_new(o, "seed", json_integer((w->seed + number) & SEED_MAX));
	if (w->steps > 0)
		(void)json_object_set_new(o, "steps", json_integer(w->steps));
	if (w->guidance >= 0)
		(void)json_object_set_new(o, "guidance", json_real(w->guidance));
	return json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6));
}

/* What was answered to a submission: a task, whose id is copied to `id`, or the picture itself. */
static int
submitted(struct image_call *call, struct picture_answer *a, const struct upstream_failure *f,
	  char *id, size_t size, struct err *e)
{
	json_auto_t *root = NULL;
	struct task_said said;
	const char *request_id;

	if (json_read(buf_str(&a->scan.rest), a->scan.rest.len, &root, e) < 0)
		return openai_answer_read(a, f, call->nimages + 1, e);
	request_id = json_string_value(json_object_get(root, "request_id"));
	if (request_id && !call->upstream_request_id[0]) {
		utf8_clip(call->upstream_request_id, sizeof(call->upstream_request_id), request_id,
			  strlen(request_id), sizeof(call->upstream_request_id));
		scrub_shapes(call->upstream_request_id);
	}
	modelscope_read(a, root, &said);
	if (said.state == TASK_FAILED)
		return modelscope_failed(f, root, &said, e);
	if (said.pictures || !said.id)
		return openai_answer_read(a, f, call->nimages + 1, e);
	if (!modelscope_is_id(said.id))
		return upstream_garbage(f, "its task's id cannot be one", said.id, strlen(said.id),
					e);
	(void)snprintf(id, size, "%s", said.id);
	return 0;
}

/*
 * The same with pictures to start from: there is no endpoint for edits, but a member image_url, a text or,
 * for models that take several, an array.  Data URLs: ours may not be reachable from there.
 */
static void
add_pictures(const struct image_call *call, const char *body, struct upload *u)
{
	static const char member[] = ",\"image_url\":";
	bool array = modelscope_caps(call->model)->sources_max > 1;
	char text[80];

	upload_text(u, body, strlen(body) - 1);
	upload_text(u, member, sizeof(member) - 1);
	for (unsigned i = 0; i < call->rq->nsources; i++) {
		const struct source *s = &call->rq->sources[i];
		int n = snprintf(text, sizeof(text), "%s\"data:%s;base64,",
				 i       ? ","
				 : array ? "["
					 : "",
				 picture_mime(s->type));

		upload_text(u, text, (size_t)n);
		upload_base64(u, s);
		upload_text(u, "\"", 1);
	}
	upload_text(u, array ? "]}" : "}", array ? 2 : 1);
}

static int
submit(struct image_call *call, const char *body, char *id, size_t size, struct err *e)
{
	AUTO(upload) with_pictures;
	AUTO(picture_answer) a;
	struct api_ask ask = { .method = "POST",
			       .path = "/images/generations",
			       .header = "X-ModelScope-Async-Mode: true",
			       .body = body,
			       .deadline = &call->deadline };
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { call->provider->name, call->credential, &head };

	picture_answer_init(&a, call, 1);
	upload_init(&with_pictures);
	if (call->rq->nsources) {
		add_pictures(call, body, &with_pictures);
		ask.body = NULL;
		ask.upload = &with_pictures;
	}
	call->upstream_request_id[0] = '\0';
	if (call->on_stage)
		call->on_stage(call->self, "provider.submit");
	if (api_call(call, &ask, &a, &head, e) < 0) {
		/* What arrived whole is kept, whatever broke afterwards. */
		picture_answer_take_rest(&a, call->nimages + 1);
		return -1;
	}
	if (a.failed)
		return upstream_error(&f, buf_str(&a.text), a.text.len, e);
	return submitted(call, &a, &f, id, size, e);
}

static int
generate_one(struct image_call *call, const struct wish *w, struct err *e)
{
	AUTO_FREE char *body = body_make(call, w, call->nimages);
	char id[128] = "";

	if (!body)
		return err_set(e, ERR_INTERNAL, "out of memory");
	/* The task before has ended: nobody may wait for it again. */
	if (call->nimages && call->on_upstream_id)
		call->on_upstream_id(call->self, "");
	if (submit(call, body, id, sizeof(id), e) < 0)
		return -1;
	if (!*id)
		return 0;
	if (call->on_upstream_id)
		call->on_upstream_id(call->self, id);
	return modelscope_wait(call, id, e);
}

static int
make_all(struct image_call *call, const char *accepted, struct err *e)
{
	unsigned want = call->rq->n < IMAGES_MAX ? call->rq->n : IMAGES_MAX;
	struct wish w;

	image_call_begin(call);
	if (wish_read(call, &w, e) < 0)
		return -1;
	if (accepted && modelscope_wait(call, accepted, e) < 0)
		return -1;
	while (call->nimages < want && !call->rq->remnant) {
		if (generate_one(call, &w, e) < 0)
			return -1;
		tick_now();
	}
	return 0;
}

static int
modelscope_generate(struct image_call *call, struct err *e)
{
	return make_all(call, NULL, e);
}

static int
modelscope_resume(struct image_call *call, const char *upstream_id, struct err *e)
{
	if (!modelscope_is_id(upstream_id))
		return err_set(e, ERR_OUTCOME_UNKNOWN, "the task's id cannot be one");
	return make_all(call, upstream_id, e);
}

const struct provider_driver provider_modelscope = {
	.dialect = DIALECT_MODELSCOPE,
	.caps = modelscope_caps,
	.caps_row = modelscope_caps_row,
	.generate = modelscope_generate,
	.resume = modelscope_resume,
};
