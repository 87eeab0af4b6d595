#include "provider/novelai_body.h"

#include <jansson.h>
#include <math.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/cleanup.h"

#define STEPS          28 /* the most that an Opus subscription includes */
#define STEPS_MAX      50
#define SCALE_MAX      10.0
#define STRENGTH       0.7
#define STRENGTH_MIN   0.01
#define PART_MAX       0.99 /* of strength and noise */
#define SEED_MAX       0xffffffffLL
#define SEED_DRAWN_MAX (SEED_MAX - 7)
#define EDIT_SIDE      1600.0 /* of a picture made from another, where no size is asked for */
#define BODY_MAX       (32u << 20)
#define PIECE_BYTES    49152 /* of a picture: a multiple of 3 */

/* ---- the wish ---- */

static int
read_size(const struct image_call *call, struct novelai_wish *w, struct err *e)
{
	const struct image_request *rq = call->rq;
	const struct source *from = rq->nsources ? rq->sources : NULL;

	w->size_given = true;
	w->width = rq->width;
	w->height = rq->height;
	if (w->width) {
		if (novelai_size(&w->width, &w->height, NOVELAI_PIXELS))
			receipt_note(call->receipt, PARAM_SIZE, "=%ux%u", w->width, w->height);
		if (rq->aspect_ratio)
			receipt_note(call->receipt, PARAM_ASPECT_RATIO, "dropped");
		return 0;
	}
	if (rq->aspect_ratio) {
		if (!novelai_ratio(rq->aspect_ratio, &w->width, &w->height))
			return err_field(e, ERR_VALUE, "aspect_ratio",
					 "two numbers like 2:3, at most 16:1, or portrait, "
					 "landscape, square",
					 "'%.60s'", rq->aspect_ratio);
		receipt_note(call->receipt, PARAM_ASPECT_RATIO, "→size=%ux%u", w->width, w->height);
		return 0;
	}
	if (from) {
		double larger = from->width > from->height ? from->width : from->height;
		double factor = fmin(1, EDIT_SIDE / larger);

		w->size_given = false;
		w->width = (uint32_t)fmax(1, lround(from->width * factor));
		w->height = (uint32_t)fmax(1, lround(from->height * factor));
		(void)novelai_size(&w->width, &w->height, NOVELAI_PIXELS_FREE);
	} else {
		(void)novelai_resolution("portrait", &w->width, &w->height);
	}
	if (rq->given & PARAM_BIT(PARAM_SIZE))
		receipt_note(call->receipt, PARAM_SIZE, "=%ux%u", w->width, w->height);
	return 0;
}

static void
read_seed(const struct image_call *call, struct novelai_wish *w)
{
	const struct image_request *rq = call->rq;
	uint32_t random = 0;

	if (rq->seed < 0) {
		/* Drawn here, so that what is sent says all there is to say. */
		(void)RAND_bytes((unsigned char *)&random, sizeof(random));
		w->seed = 1 + random % SEED_DRAWN_MAX;
		return;
	}
	w->seed = rq->seed & SEED_MAX;
	if (!w->seed)
		w->seed = 1; /* 0 means any */
	if (rq->n > 1)
		receipt_note(call->receipt, PARAM_SEED, "=%lld, one more for each picture",
			     (long long)w->seed);
	else if (w->seed != rq->seed)
		receipt_note(call->receipt, PARAM_SEED, "=%lld", (long long)w->seed);
}

/* A value above ten is one of the first models', whose range was twice as wide. */
static void
read_scale(const struct image_call *call, struct novelai_wish *w)
{
	const struct image_request *rq = call->rq;

	w->scale = rq->guidance < 0 ? w->model->scale : rq->guidance;
	if (w->scale > SCALE_MAX)
		w->scale = fmin(w->scale / 2, SCALE_MAX);
	if (rq->guidance >= 0 && w->scale != rq->guidance)
		receipt_note(call->receipt, PARAM_GUIDANCE, "→scale=%g", w->scale);
}

/* strength or noise: only where there is a picture to start from. */
static double
read_part(const struct image_call *call, enum image_param p, double given, double otherwise,
	  double least)
{
	double v = given < 0 ? otherwise : fmin(fmax(given, least), PART_MAX);

	if (call->rq->given & PARAM_BIT(p)) {
		if (!call->rq->nsources)
			receipt_note(call->receipt, p, "dropped");
		else if (v != given)
			receipt_note(call->receipt, p, "=%g", v);
	}
	return v;
}

static int
read_sampler(const struct image_call *call, struct novelai_wish *w, struct err *e)
{
	const char *asked = call->rq->sampler;
	char names[sizeof(e->expected) - 16];

	w->sampler = novelai_sampler(w->model, asked);
	if (!w->sampler) {
		novelai_sampler_names(w->model, names, sizeof(names));
		return err_field(e, ERR_VALUE, "sampler", names, "'%.60s'", asked);
	}
	/* Clients of the service all do so: it does not fill masks with DDIM. */
	if (call->rq->mask && !strcmp(w->sampler->name, "ddim_v3"))
		w->sampler = novelai_sampler(w->model, NULL);
	if (asked && *asked && strcmp(asked, w->sampler->name) != 0)
		receipt_note(call->receipt, PARAM_SAMPLER, "=%s%s", w->sampler->name,
			     w->sampler->smea ? " with SMEA" : "");
	return 0;
}

static void
read_quality(const struct image_call *call, struct novelai_wish *w)
{
	const char *q = call->rq->quality;

	if (!q)
		return;
	w->quality = w->model->quality && (!strcasecmp(q, "high") || !strcasecmp(q, "hd"));
	receipt_note(call->receipt, PARAM_QUALITY, "%s", w->quality ? "→quality tags" : "dropped");
}

int
novelai_wish_read(const struct image_call *call, struct novelai_wish *w, struct err *e)
{
	const struct image_request *rq = call->rq;

	*w = (struct novelai_wish){ .model = novelai_model(call->model), .action = "generate" };
	if (rq->nsources)
		w->action = rq->mask ? "infill" : "img2img";
	if (read_size(call, w, e) < 0 || read_sampler(call, w, e) < 0)
		return -1;
	read_seed(call, w);
	read_scale(call, w);
	read_quality(call, w);
	w->steps = rq->steps ? rq->steps : STEPS;
	if (w->steps > STEPS_MAX) {
		w->steps = STEPS_MAX;
		receipt_note(call->receipt, PARAM_STEPS, "=%d", w->steps);
	}
	w->strength = read_part(call, PARAM_STRENGTH, rq->strength, STRENGTH, STRENGTH_MIN);
	w->noise = read_part(call, PARAM_NOISE, rq->noise, 0, 0);
	if (rq->mask && w->noise > 0) {
		w->noise = 0;
		receipt_note(call->receipt, PARAM_NOISE, "dropped");
	}
	if (rq->n > 1)
		receipt_note(call->receipt, PARAM_N, "=%u requests", rq->n);
	w->stream = rq->stream && call->on_partial && rq->partial_images > 0;
	return 0;
}

/* ---- the body ---- */

#define TEXT_MAX (160u << 10) /* a prompt of the longest with its tags */

static void
put_common(json_t *p, const struct novelai_wish *w, int64_t seed, const char *negative)
{
	bool edit = strcmp(w->action, "generate") != 0;
	json_t *more =
		json_pack("{s:i, s:i, s:i, s:f, s:s, s:i, s:I, s:i, s:s, s:i, s:b, s:b, s:i, s:b, "
			  "s:b, s:f, s:b, "
			  "s:n, s:b, s:b, s:s}",
			  "params_version", 3, "width", (int)w->width, "height", (int)w->height,
			  "scale", w->scale, "sampler", w->sampler->name, "steps", w->steps, "seed",
			  (json_int_t)seed, "n_samples", 1, "negative_prompt", negative, "ucPreset",
			  w->model->uc_none, "qualityToggle", w->quality, "dynamic_thresholding", 0,
			  "controlnet_strength", 1, "legacy", 0, "add_original_image",
			  strcmp(w->action, "infill") != 0, "cfg_rescale", 0.0, "legacy_v3_extend",
			  0, "skip_cfg_above_sigma", "deliberate_euler_ancestral_bug", 0,
			  "prefer_brownian", 1, "image_format", "png");

	(void)json_object_update_new(p, more);
	if (w->sampler->schedule)
		(void)json_object_set_new(p, "noise_schedule", json_string(w->sampler->schedule));
	if (!w->model->v4) {
		(void)json_object_set_new(p, "sm", json_boolean(w->sampler->smea && !edit));
		(void)json_object_set_new(p, "sm_dyn", json_boolean(w->sampler->smea_dyn && !edit));
	}
	if (w->stream)
		(void)json_object_set_new(p, "stream", json_string("msgpack"));
}

/* v4 reads its prompts here: without both of them it answers an empty 500. */
static void
put_v4(json_t *p, const char *prompt, const char *negative)
{
	json_t *more =
		json_pack("{s:b, s:b, s:b, s:b, s:f, s:[], s:{s:{s:s, s:[]}, s:b, s:b}, s:{s:{s:s, "
			  "s:[]}, s:b}}",
			  "autoSmea", 0, "use_coords", 0, "legacy_uc", 0,
			  "normalize_reference_strength_multiple", 1, "inpaintImg2ImgStrength", 1.0,
			  "characterPrompts", "v4_prompt", "caption", "base_caption", prompt,
			  "char_captions", "use_coords", 0, "use_order", 1, "v4_negative_prompt",
			  "caption", "base_caption", negative, "char_captions", "legacy_uc", 0);

	(void)json_object_update_new(p, more);
}

static void
put_v3(json_t *p)
{
	(void)json_object_update_new(p, json_pack("{s:[], s:[], s:[]}", "reference_image_multiple",
						  "reference_information_extracted_multiple",
						  "reference_strength_multiple"));
}

static void
put_edit(json_t *p, const struct novelai_wish *w, int64_t seed)
{
	(void)json_object_update_new(p, json_pack("{s:f, s:f, s:I, s:b}", "strength", w->strength,
						  "noise", w->noise, "extra_noise_seed",
						  (json_int_t)seed, "color_correct", 1));
	if (w->mask)
		(void)json_object_set_new(p, "img2img",
					  json_pack("{s:f, s:f, s:I, s:b}", "strength", w->strength,
						    "noise", w->noise, "extra_noise_seed",
						    (json_int_t)seed, "color_correct", 1));
}

static json_t *
body_json(const struct image_call *call, const struct novelai_wish *w, int64_t seed)
{
	const struct image_request *rq = call->rq;
	const char *negative = rq->negative_prompt ? rq->negative_prompt : "";
	AUTO(buf) prompt = BUF_INIT(TEXT_MAX);
	json_t *p = json_object(), *o;

	if (buf_adds(&prompt, rq->prompt) < 0 ||
	    (w->quality && buf_adds(&prompt, w->model->quality) < 0)) {
		json_decref(p);
		return NULL;
	}
	put_common(p, w, seed, negative);
	if (w->model->v4)
		put_v4(p, buf_str(&prompt), negative);
	else
		put_v3(p);
	if (strcmp(w->action, "generate") != 0)
		put_edit(p, w, seed);
	/* The parameters stand last: pictures are added to them behind what jansson writes. */
	o = json_pack("{s:s, s:s, s:s}", "input", buf_str(&prompt), "model",
		      w->mask ? w->model->inpaint : novelai_model_id(call->model), "action",
		      w->action);
	if (json_object_set_new(o, "parameters", p) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* ,"NAME":"…" with the source in base64. */
static int
add_picture(struct buf *b, const char *name, const struct source *s, struct err *e)
{
	AUTO_FREE unsigned char *piece = malloc(PIECE_BYTES);
	size_t got;

	if (!piece || buf_addf(b, ",\"%s\":\"", name) < 0 ||
	    buf_room(b, BASE64_ENCODED((size_t)s->bytes) + 8) < 0)
		return err_set(e, ERR_BODY_TOO_LARGE, "%s", "");
	for (uint64_t at = 0; at < s->bytes; at += got) {
		if (source_read(s, at, piece, PIECE_BYTES, &got, e) < 0)
			return -1;
		b->len += base64_encode(b->p + b->len, piece, got);
	}
	return buf_addc(b, '"');
}

char *
novelai_body(const struct image_call *call, const struct novelai_wish *w, unsigned number,
	     struct err *e)
{
	int64_t seed = (w->seed + number) & SEED_MAX;
	json_auto_t *o = body_json(call, w, seed ? seed : 1);
	AUTO_FREE char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	AUTO(buf) b = BUF_INIT(BODY_MAX);
	size_t len = text ? strlen(text) : 0;
	char *out;

	if (!text)
		(void)err_set(e, ERR_INTERNAL, "the request could not be written");
	if (!text || !w->image)
		return TAKE_PTR(text);
	if (buf_add(&b, text, len - 2) < 0 || add_picture(&b, "image", w->image, e) < 0 ||
	    (w->mask && add_picture(&b, "mask", w->mask, e) < 0) || buf_adds(&b, "}}") < 0) {
		(void)err_set(e, ERR_INTERNAL, "the request with its picture is too large");
		return NULL;
	}
	out = b.p;
	b = (struct buf){ 0 };
	return out;
}
