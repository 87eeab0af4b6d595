#include "provider/capability.h"

#include <string.h>

const char *
capability_fate(const struct image_caps *caps, enum image_param p)
{
	if ((caps->keeps & PARAM_BIT(p)) || (p == PARAM_PARTIAL_IMAGES && caps->partials))
		return "kept";
	return PARAMS_SERVED_HERE & PARAM_BIT(p) ? "served-here" : "dropped";
}

const char *
capability_fate_of(const struct image_caps *caps, const struct image_request *rq,
		   enum image_param p)
{
	const char *fate = capability_fate(caps, p);
	bool compresses = rq->output_type == PICTURE_JPEG || rq->output_type == PICTURE_WEBP;

	if (p == PARAM_OUTPUT_COMPRESSION && strcmp(fate, "served-here") == 0 && !compresses)
		return "dropped";
	return fate;
}

static json_t *
fates(const struct image_caps *caps)
{
	json_t *o = json_object();

	for (int p = 0; p < PARAM__MAX; p++)
		(void)json_object_set_new(o, image_param_name((enum image_param)p),
					  json_string(capability_fate(caps, (enum image_param)p)));
	return o;
}

json_t *
capability_json(const struct model_conf *m)
{
	const struct provider_conf *p = m->provider_conf;
	const struct image_caps *caps;
	json_t *o = json_pack("{s:s, s:s, s:s, s:f}", "type",
			      m->type == MODEL_IMAGE ? "image" : "chat", "provider", p->name,
			      "dialect", config_dialect_name(p->dialect), "price", m->price);

	if (!o || m->type != MODEL_IMAGE)
		return o;
	caps = provider_driver_of(m)->caps(m->upstream_model);
	(void)json_object_update_new(o, json_pack("{s:s?, s:s, s:s?, s:i, s:i, s:i, s:b, s:b, s:o}",
						  "family", caps->family, "sizes", caps->sizes,
						  "mapped", caps->mapped, "n_per_call",
						  (int)caps->n_max, "prompt_characters",
						  (int)caps->prompt_max, "input_images",
						  (int)caps->sources_max, "mask", (int)caps->mask,
						  "partial_images", (int)caps->partials,
						  "parameters", fates(caps)));
	return o;
}

static void
list(FILE *out, const struct image_caps *caps, const char *title, const char *fate)
{
	const char *separator = "";

	(void)fprintf(out, "- %s: ", title);
	for (int p = 0; p < PARAM__MAX; p++) {
		if (strcmp(capability_fate(caps, (enum image_param)p), fate) != 0)
			continue;
		(void)fprintf(out, "%s`%s`", separator, image_param_name((enum image_param)p));
		separator = ", ";
	}
	(void)fprintf(out, "%s\n", *separator ? "" : "none");
}

static void
row(FILE *out, const struct image_caps *caps)
{
	(void)fprintf(out, "### %s\n\n", caps->family);
	(void)fprintf(out, "- Sizes: %s\n", caps->sizes);
	(void)fprintf(out, "- Prompt: at most %u characters\n", caps->prompt_max);
	(void)fprintf(out, "- Pictures in one call: %u; more are several calls\n", caps->n_max);
	if (caps->sources_max)
		(void)fprintf(out, "- Edits: up to %u input picture%s, %s a mask",
			      caps->sources_max, caps->sources_max > 1 ? "s" : "",
			      caps->mask ? "with" : "without");
	if (caps->sources_max && caps->source_bytes_max)
		(void)fprintf(out, ", each of at most %llu MiB",
			      (unsigned long long)caps->source_bytes_max >> 20);
	if (caps->sources_max)
		(void)fprintf(out, "\n");
	else
		(void)fprintf(out, "- Edits: refused\n");
	(void)fprintf(out, "- In a stream: %s\n",
		      caps->partials ? "the provider's partial pictures" : "no partial pictures");
	list(out, caps, "Kept", "kept");
	list(out, caps, "Served by Easel", "served-here");
	list(out, caps, "Dropped", "dropped");
	if (caps->mapped)
		(void)fprintf(out, "- In the provider's words: %s\n", caps->mapped);
	(void)fprintf(out, "\n");
}

void
capability_markdown(FILE *out)
{
	(void)fprintf(
		out,
		"# Providers and what their models can do\n\n"
		"Written by `easel providers reference` from the table that decides what happens "
		"to "
		"each parameter; the header `x-easel-params` of an answer says what happened. A "
		"mask, an input picture or `n` is honoured or refused, never dropped. The same for "
		"one model: `GET /v1/models/{id}`, member `easel`. Easel serves "
		"`output_compression` where it makes a JPEG or WebP of what came in another type, "
		"else it is dropped.\n\n");
	for (int d = 0; d < DIALECT__MAX; d++) {
		const struct provider_driver *driver = provider_driver((enum dialect)d);
		const struct image_caps *caps;

		(void)fprintf(out, "## Dialect `%s`\n\n", config_dialect_name((enum dialect)d));
		for (unsigned i = 0; (caps = driver->caps_row(i)); i++)
			row(out, caps);
	}
	(void)fprintf(out, "## Pictures made in chat\n\nModels of `openai`, `modelscope` and the "
			   "official "
			   "API of `grok` whose `via` is `chat`.\n\n");
	row(out, provider_chat.caps_row(0));
}
