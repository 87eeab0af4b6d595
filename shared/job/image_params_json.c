#include "job/picture_record.h"

#include <string.h>

#include "base/json_text.h"

#define GIVEN_BYTES (1 << 20)

static int
text_add(struct buf *b, const char *s)
{
	return s ? json_text_string(b, s, strlen(s)) : buf_adds(b, "null");
}

static int
size_add(struct buf *b, const struct image_request *rq)
{
	if (!rq->width)
		return buf_adds(b, "\"auto\"");
	return buf_addf(b, "\"%ux%u\"", rq->width, rq->height);
}

static const char *
response_format_name(enum response_format f)
{
	return f == RESPONSE_B64 ? "b64_json" : f == RESPONSE_URL ? "url" : NULL;
}

static int
value_add(struct buf *b, const struct image_request *rq, enum image_param p)
{
	switch (p) {
	case PARAM_N: return buf_addi(b, rq->n);
	case PARAM_SIZE: return size_add(b, rq);
	case PARAM_QUALITY: return text_add(b, rq->quality);
	case PARAM_RESPONSE_FORMAT: return text_add(b, response_format_name(rq->response_format));
	case PARAM_OUTPUT_FORMAT: return text_add(b, picture_format(rq->output_type));
	case PARAM_OUTPUT_COMPRESSION: return buf_addi(b, rq->output_compression);
	case PARAM_BACKGROUND: return text_add(b, rq->background);
	case PARAM_MODERATION: return text_add(b, rq->moderation);
	case PARAM_STYLE: return text_add(b, rq->style);
	case PARAM_STREAM: return buf_adds(b, rq->stream ? "true" : "false");
	case PARAM_PARTIAL_IMAGES: return buf_addi(b, rq->partial_images);
	case PARAM_USER: return text_add(b, rq->user);
	case PARAM_NEGATIVE_PROMPT: return text_add(b, rq->negative_prompt);
	case PARAM_SEED: return buf_addi(b, rq->seed);
	case PARAM_STEPS: return buf_addi(b, rq->steps);
	case PARAM_GUIDANCE: return json_text_real(b, rq->guidance);
	case PARAM_SAMPLER: return text_add(b, rq->sampler);
	case PARAM_ASPECT_RATIO: return text_add(b, rq->aspect_ratio);
	case PARAM_STRENGTH: return json_text_real(b, rq->strength);
	case PARAM_NOISE: return json_text_real(b, rq->noise);
	case PARAM_INPUT_FIDELITY: return text_add(b, rq->input_fidelity);
	case PARAM__MAX: break;
	}
	return -1;
}

int
image_params_text(const struct image_request *rq, struct buf *b)
{
	const char *before = "{\"";

	for (int p = 0; p < PARAM__MAX; p++) {
		if (!(rq->given & PARAM_BIT(p)))
			continue;
		if (buf_adds(b, before) < 0 ||
		    buf_adds(b, image_param_name((enum image_param)p)) < 0 ||
		    buf_adds(b, "\":") < 0 || value_add(b, rq, (enum image_param)p) < 0)
			return -1;
		before = ",\"";
	}
	return buf_adds(b, rq->given ? "}" : "{}");
}

json_t *
image_params_json(const struct image_request *rq)
{
	AUTO(buf) given = BUF_INIT(GIVEN_BYTES);
	json_t *o = image_params_text(rq, &given) < 0 ? NULL : json_loads(given.p, 0, NULL);

	if (o)
		(void)json_object_set_new(o, "prompt", json_string(rq->prompt));
	return o;
}
