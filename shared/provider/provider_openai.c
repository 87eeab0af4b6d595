/*
 * OpenAI's images API and those who speak it: POST {base_url}/images/generations and, with pictures to
 * start from, POST {base_url}/images/edits.
 *
 * Wire format: OpenAI's specification 2.3.0, and what relays make of it: base64 with a "data:" prefix,
 * a URL where base64 was asked for, errors inside a 200.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json_text.h"
#include "base/tick.h"
#include "provider/api_call.h"
#include "provider/event_answer.h"
#include "provider/openai_answer.h"
#include "provider/openai_edit.h"
#include "provider/provider.h"
#include "provider/upstream_error.h"

/* ---- what the models can do ---- */

enum family { FAMILY_GPT, FAMILY_DALLE2, FAMILY_DALLE3, FAMILY_OTHER };

/* response_format is kept in the sense that its answer is: Easel serves either form itself. */
#define COMMON                                                                   \
	(PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_QUALITY) | \
	 PARAM_BIT(PARAM_RESPONSE_FORMAT) | PARAM_BIT(PARAM_USER))
#define GPT                                                                     \
	(PARAM_BIT(PARAM_OUTPUT_FORMAT) | PARAM_BIT(PARAM_OUTPUT_COMPRESSION) | \
	 PARAM_BIT(PARAM_BACKGROUND) | PARAM_BIT(PARAM_MODERATION) |            \
	 PARAM_BIT(PARAM_INPUT_FIDELITY))
#define STREAMS (PARAM_BIT(PARAM_STREAM) | PARAM_BIT(PARAM_PARTIAL_IMAGES))

static const struct image_caps caps_of[] = {
	[FAMILY_GPT] = { .family = "GPT image models",
			 .keeps = COMMON | GPT | STREAMS,
			 .n_max = 10,
			 .prompt_max = 32000,
			 .sources_max = SOURCES_MAX,
			 .mask = true,
			 .partials = true,
			 .b64_default = true,
			 .sizes = "1024x1024, 1536x1024, 1024x1536, auto" },
	[FAMILY_DALLE2] = { .family = "dall-e-2",
			    .keeps = COMMON,
			    .n_max = 10,
			    .prompt_max = 1000,
			    .sources_max = 1,
			    .mask = true,
			    .sizes = "256x256, 512x512, 1024x1024" },
	[FAMILY_DALLE3] = { .family = "dall-e-3",
			    .keeps = COMMON | PARAM_BIT(PARAM_STYLE),
			    .n_max = 1,
			    .prompt_max = 4000,
			    .sizes = "1024x1024, 1792x1024, 1024x1792" },
	/* A relay's model: it knows best what it can do. */
	[FAMILY_OTHER] = { .family = "others behind an OpenAI-compatible server",
			   .keeps = COMMON | GPT | PARAM_BIT(PARAM_STYLE) |
				    PARAM_BIT(PARAM_NEGATIVE_PROMPT) | PARAM_BIT(PARAM_SEED) |
				    PARAM_BIT(PARAM_STEPS) | PARAM_BIT(PARAM_GUIDANCE) |
				    PARAM_BIT(PARAM_SAMPLER) | PARAM_BIT(PARAM_ASPECT_RATIO) |
				    PARAM_BIT(PARAM_STRENGTH) | PARAM_BIT(PARAM_NOISE),
			   .n_max = 10,
			   .prompt_max = 32000,
			   .sources_max = SOURCES_MAX,
			   .mask = true,
			   .sizes = "whatever the model takes" },
};

static enum family
family_of(const char *model)
{
	static const struct {
		const char *prefix;
		enum family family;
	} rows[] = {
		{ "gpt-image", FAMILY_GPT },
		{ "chatgpt-image", FAMILY_GPT },
		{ "dall-e-2", FAMILY_DALLE2 },
		{ "dall-e-3", FAMILY_DALLE3 },
	};
	const char *slash = strrchr(model, '/');

	if (slash) /* "openai/gpt-image-1" */
		model = slash + 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strncasecmp(model, rows[i].prefix, strlen(rows[i].prefix)))
			return rows[i].family;
	return FAMILY_OTHER;
}

static const struct image_caps *
openai_caps(const char *upstream_model)
{
	return &caps_of[family_of(upstream_model)];
}

static const struct image_caps *
openai_caps_row(unsigned i)
{
	return i < sizeof(caps_of) / sizeof(caps_of[0]) ? &caps_of[i] : NULL;
}

/* ---- the request ---- */

static bool
wants(const struct image_call *call, enum image_param p)
{
	return call->rq->given & openai_caps(call->model)->keeps & PARAM_BIT(p);
}

static void
put_text(const struct image_call *call, json_t *o, enum image_param p, const char *value)
{
	if (wants(call, p) && value)
		(void)json_object_set_new(o, image_param_name(p), json_string(value));
}

static void
put_integer(const struct image_call *call, json_t *o, enum image_param p, int64_t value)
{
	if (wants(call, p) && value >= 0)
		(void)json_object_set_new(o, image_param_name(p), json_integer(value));
}

static void
put_real(const struct image_call *call, json_t *o, enum image_param p, double value)
{
	if (wants(call, p) && value >= 0)
		(void)json_object_set_new(o, image_param_name(p), json_real(value));
}

static void
put_size(const struct image_call *call, json_t *o, enum family family)
{
	const struct image_request *rq = call->rq;
	char size[32];

	if (!rq->width && (family == FAMILY_DALLE2 || family == FAMILY_DALLE3)) {
		/* These know no "auto"; without a size they choose. */
		if (wants(call, PARAM_SIZE))
			receipt_note(call->receipt, PARAM_SIZE, "=the model's default");
		return;
	}
	(void)snprintf(size, sizeof(size), "%ux%u", rq->width, rq->height);
	put_text(call, o, PARAM_SIZE, rq->width ? size : "auto");
}

/*
 * Is the provider asked for events?  Only those that are known to have them: a relay's model may refuse the
 * parameter, and without it the caller's stream is as good but for partial pictures.
 */
static bool
asks_for_events(const struct image_call *call)
{
	return call->rq->stream && openai_caps(call->model)->partials;
}

static void
put_stream(const struct image_call *call, json_t *o)
{
	(void)json_object_set_new(o, "stream", json_true());
	if (call->rq->partial_images > 0)
		(void)json_object_set_new(o, "partial_images",
					  json_integer(call->rq->partial_images));
}

/* The parameters as the members of a JSON body, the caller's; NULL: out of memory. */
static json_t *
fields_make(const struct image_call *call, unsigned n, bool events)
{
	const struct image_request *rq = call->rq;
	enum family family = family_of(call->model);
	json_auto_t *o = json_pack("{s:s, s:s}", "model", call->model, "prompt", rq->prompt);

	if (!o)
		return NULL;
	if (wants(call, PARAM_N) || n > 1)
		(void)json_object_set_new(o, "n", json_integer(n));
	put_size(call, o, family);
	put_text(call, o, PARAM_QUALITY, rq->quality);
	if (rq->output_type != PICTURE_NONE)
		put_text(call, o, PARAM_OUTPUT_FORMAT, picture_format(rq->output_type));
	put_integer(call, o, PARAM_OUTPUT_COMPRESSION, rq->output_compression);
	put_text(call, o, PARAM_BACKGROUND, rq->background);
	put_text(call, o, PARAM_MODERATION, rq->moderation);
	put_text(call, o, PARAM_STYLE, rq->style);
	put_text(call, o, PARAM_USER, rq->user);
	put_text(call, o, PARAM_NEGATIVE_PROMPT, rq->negative_prompt);
	put_integer(call, o, PARAM_SEED, rq->seed);
	put_integer(call, o, PARAM_STEPS, rq->steps ? rq->steps : -1);
	put_real(call, o, PARAM_GUIDANCE, rq->guidance);
	put_text(call, o, PARAM_SAMPLER, rq->sampler);
	put_text(call, o, PARAM_ASPECT_RATIO, rq->aspect_ratio);
	put_real(call, o, PARAM_STRENGTH, rq->strength);
	put_real(call, o, PARAM_NOISE, rq->noise);
	if (rq->nsources)
		put_text(call, o, PARAM_INPUT_FIDELITY, rq->input_fidelity);
	if (events)
		put_stream(call, o);
	/* GPT image models refuse it, relays drift; only for dall-e does it spare us a fetch. */
	if (family == FAMILY_DALLE2 || family == FAMILY_DALLE3)
		(void)json_object_set_new(o, "response_format", json_string("b64_json"));
	return json_incref(o);
}

/* What is sent: with pictures to start from it is the form, else JSON, which is *body then. */
static int
ask_make(const struct image_call *call, unsigned n, bool events, struct api_ask *ask,
	 struct upload *form, char **body, struct err *e)
{
	json_auto_t *fields = fields_make(call, n, events);

	if (fields && call->rq->nsources) {
		openai_edit_form(form, fields, call->rq);
		ask->path = "/images/edits";
		ask->upload = form;
		ask->multipart = true;
		return 0;
	}
	*body = json_text(fields);
	ask->body = *body;
	return *body ? 0 : err_set(e, ERR_INTERNAL, "out of memory");
}

/* ---- the call ---- */

static int
ask_once(struct image_call *call, unsigned n, bool events, struct err *e)
{
	AUTO(picture_answer) a;
	AUTO(event_answer) v = { 0 };
	AUTO_PTR(upload) form = NULL; /* not on a stack that waits: most requests have none */
	AUTO_FREE char *body = NULL;
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { call->provider->name, call->credential, &head };
	unsigned want = call->nimages + n;
	struct upstream_body receiver;
	struct api_ask ask = { .method = "POST",
			       .path = "/images/generations",
			       .deadline = &call->deadline,
			       .receiver = &receiver };

	picture_answer_init(&a, call, n);
	event_answer_init(&v, &a, &f, want);
	receiver = event_answer_body(&v);
	if (call->rq->nsources && !(form = upload_new()))
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (ask_make(call, n, events, &ask, form, &body, e) < 0)
		return -1;
	if (call->on_stage)
		call->on_stage(call->self, "provider.submit");
	if (api_call(call, &ask, &a, &head, e) < 0) {
		/* What arrived whole is kept, whatever broke afterwards. */
		picture_answer_take_rest(&a, want);
		return v.is_stream && call->nimages >= want ? 0 : -1;
	}
	return event_answer_read(&v, e);
}

/* Was it only the stream that the provider did not like? */
static bool
refuses_events(const struct err *e)
{
	return e->kind == ERR_UP_REJECTED && !e->may_have_been_billed &&
	       (!strcmp(e->param, "stream") || !strcmp(e->param, "partial_images"));
}

static int
generate_some(struct image_call *call, unsigned n, struct err *e)
{
	bool events = asks_for_events(call);
	int rc = ask_once(call, n, events, e);

	/* A relay of these models that has no streams: nothing was bought, and it can do without. */
	if (rc < 0 && events && refuses_events(e)) {
		receipt_note(call->receipt, PARAM_STREAM, "served-here");
		if (call->rq->partial_images)
			receipt_note(call->receipt, PARAM_PARTIAL_IMAGES, "dropped");
		rc = ask_once(call, n, false, e);
	}
	return rc;
}

static int
openai_generate(struct image_call *call, struct err *e)
{
	const struct image_caps *caps = openai_caps(call->model);
	unsigned want = call->rq->n < IMAGES_MAX ? call->rq->n : IMAGES_MAX;
	unsigned calls = (want + caps->n_max - 1) / caps->n_max;

	image_call_begin(call);
	if (call->rq->given & PARAM_BIT(PARAM_RESPONSE_FORMAT))
		receipt_note(call->receipt, PARAM_RESPONSE_FORMAT, "served-here");
	openai_edit_receipt(call);
	if (calls > 1)
		receipt_note(call->receipt, PARAM_N, "=%u calls", calls);
	while (call->nimages < want) {
		unsigned left = want - call->nimages;

		if (generate_some(call, left < caps->n_max ? left : caps->n_max, e) < 0)
			return -1;
		if (call->nimages < want)
			tick_now();
	}
	return 0;
}

const struct provider_driver provider_openai = {
	.dialect = DIALECT_OPENAI,
	.caps = openai_caps,
	.caps_row = openai_caps_row,
	.generate = openai_generate,
};
