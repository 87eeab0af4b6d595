#include "job/picture_record.h"

#include <stdio.h>

static json_t *
text_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *
size_json(const struct image_request *rq)
{
	char size[24];

	if (!rq->width)
		return json_string("auto");
	(void)snprintf(size, sizeof(size), "%ux%u", rq->width, rq->height);
	return json_string(size);
}

static json_t *
response_format_json(enum response_format f)
{
	return text_or_null(f == RESPONSE_B64 ? "b64_json" : f == RESPONSE_URL ? "url" : NULL);
}

static json_t *
value_json(const struct image_request *rq, enum image_param p)
{
	switch (p) {
	case PARAM_N: return json_integer(rq->n);
	case PARAM_SIZE: return size_json(rq);
	case PARAM_QUALITY: return text_or_null(rq->quality);
	case PARAM_RESPONSE_FORMAT: return response_format_json(rq->response_format);
	case PARAM_OUTPUT_FORMAT: return text_or_null(picture_format(rq->output_type));
	case PARAM_OUTPUT_COMPRESSION: return json_integer(rq->output_compression);
	case PARAM_BACKGROUND: return text_or_null(rq->background);
	case PARAM_MODERATION: return text_or_null(rq->moderation);
	case PARAM_STYLE: return text_or_null(rq->style);
	case PARAM_STREAM: return json_boolean(rq->stream);
	case PARAM_PARTIAL_IMAGES: return json_integer(rq->partial_images);
	case PARAM_USER: return text_or_null(rq->user);
	case PARAM_NEGATIVE_PROMPT: return text_or_null(rq->negative_prompt);
	case PARAM_SEED: return json_integer(rq->seed);
	case PARAM_STEPS: return json_integer(rq->steps);
	case PARAM_GUIDANCE: return json_real(rq->guidance);
	case PARAM_SAMPLER: return text_or_null(rq->sampler);
	case PARAM_ASPECT_RATIO: return text_or_null(rq->aspect_ratio);
	case PARAM_STRENGTH: return json_real(rq->strength);
	case PARAM_NOISE: return json_real(rq->noise);
	case PARAM_INPUT_FIDELITY: return text_or_null(rq->input_fidelity);
	case PARAM__MAX: break;
	}
	return json_null();
}

json_t *
image_params_json(const struct image_request *rq)
{
	json_t *o = json_object();

	for (int p = 0; p < PARAM__MAX; p++)
		if (rq->given & PARAM_BIT(p))
			(void)json_object_set_new(o, image_param_name((enum image_param)p),
						  value_json(rq, (enum image_param)p));
	return o;
}
