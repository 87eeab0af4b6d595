/* xAI's images API: POST {base_url}/images/generations and /images/edits, JSON both ways. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/utf8.h"
#include "provider/api_call.h"
#include "provider/grok.h"
#include "provider/openai_answer.h"
#include "provider/upstream_error.h"
#include "provider/upstream_said.h"

/* Halfway between the sides of squares of 1k, 1.5k and 2k. */
#define SIDE_1K  1280.0
#define SIDE_15K 1792.0

#define BLOCK (3 * 16384) /* of a source at a time; whole groups of base64 */

static void
put_resolution(const struct image_call *call, json_t *o, const char *ratio)
{
	const struct image_request *rq = call->rq;
	double side = sqrt((double)rq->width * rq->height);
	const char *resolution = side > SIDE_15K ? "2k" : "1.5k";

	if (!(side > SIDE_1K))
		return; /* the default */
	(void)json_object_set_new(o, "resolution", json_string(resolution));
	if (rq->aspect_ratio)
		receipt_note(call->receipt, PARAM_SIZE, "→resolution=%s", resolution);
	else
		receipt_note(call->receipt, PARAM_SIZE, "→aspect_ratio=%s, resolution=%s", ratio,
			     resolution);
}

/* ---- the body ---- */

static int
put_source(struct buf *out, const struct source *s, struct err *e)
{
	AUTO_FREE char *block = malloc(BLOCK), *text = malloc(BASE64_ENCODED(BLOCK));
	size_t n;

	if (!block || !text ||
	    buf_addf(out, "{\"type\":\"image_url\",\"url\":\"data:%s;base64,",
		     picture_mime(s->type)) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (uint64_t at = 0; at < s->bytes; at += n) {
		if (source_read(s, at, block, BLOCK, &n, e) < 0)
			return -1;
		if (!n || buf_add(out, text, base64_encode(text, block, n)) < 0)
			return err_set(e, ERR_INTERNAL, "out of memory");
	}
	return buf_adds(out, "\"}") < 0 ? err_set(e, ERR_INTERNAL, "out of memory") : 0;
}

/* {"model":…} with the pictures put before its last brace: they need no escaping. */
static int
put_sources(struct buf *out, const struct image_request *rq, struct err *e)
{
	bool list = rq->nsources > 1;

	out->len--;
	if (buf_adds(out, list ? ",\"images\":[" : ",\"image\":") < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (unsigned i = 0; i < rq->nsources; i++)
		if ((i && buf_addc(out, ',') < 0) || put_source(out, &rq->sources[i], e) < 0)
			return -1;
	if (buf_adds(out, list ? "]}" : "}") < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	return 0;
}

static int
body_make(const struct image_call *call, unsigned n, struct buf *out, struct err *e)
{
	const struct image_request *rq = call->rq;
	json_auto_t *o = json_pack("{s:s, s:s, s:i, s:s}", "model", call->model, "prompt",
				   rq->prompt, "n", (int)n, "response_format", "b64_json");
	AUTO_FREE char *text = NULL;
	const char *ratio;

	if (!o)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (grok_ratio(call, grok_official_ratios, NULL, &ratio, e) < 0)
		return -1;
	if (ratio)
		(void)json_object_set_new(o, "aspect_ratio", json_string(ratio));
	put_resolution(call, o, ratio);
	if (rq->quality)
		(void)json_object_set_new(o, "quality", json_string(rq->quality));
	if (rq->user)
		(void)json_object_set_new(o, "user", json_string(rq->user));
	text = json_dumps(o, JSON_COMPACT);
	if (!text || buf_adds(out, text) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	return rq->nsources ? put_sources(out, rq, e) : 0;
}

/* ---- the answer ---- */

/*
 * Moderation comes with status 200: a block_reason, no items, items without a picture.  What else lacks is
 * openai_answer_read()'s to say.
 */
static int
moderated(struct picture_answer *a, const struct upstream_failure *f, struct err *e)
{
	json_auto_t *root = NULL;
	const json_t *data, *item;
	const char *reason;
	struct err ignored;
	size_t i;

	if (a->scan.pictures ||
	    json_read(buf_str(&a->scan.rest), a->scan.rest.len, &root, &ignored) < 0 ||
	    said_is_error(root))
		return 0;
	reason = json_string_value(json_object_get(root, "block_reason"));
	data = json_object_get(root, "data");
	if (!json_is_array(data) && !reason)
		return 0;
	json_array_foreach(data, i, item)
	{
		if (json_string_length(json_object_get(item, "url")))
			return 0;
	}
	(void)err_set(e, ERR_UP_POLICY, "%s", "");
	e->stage = "provider.submit";
	e->may_have_been_billed = true;
	e->upstream.status = f->head->status;
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", f->provider);
	(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
		       f->head->request_id);
	if (!reason)
		reason = "an answer without a picture";
	utf8_clip(e->upstream.message, sizeof(e->upstream.message), reason, strlen(reason), 100);
	return -1;
}

static int
generate_some(struct image_call *call, unsigned n, struct err *e)
{
	AUTO(picture_answer) a;
	/* JSON's escapes make six bytes of one at most. */
	AUTO(buf) body = BUF_INIT(SIZE_MAX / 2);
	struct api_ask ask = { .method = "POST",
			       .path = call->rq->nsources ? "/images/edits" : "/images/generations",
			       .deadline = &call->deadline };
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { call->provider->name, call->credential, &head };
	unsigned want = call->nimages + n;

	picture_answer_init(&a, call, n);
	if (body_make(call, n, &body, e) < 0)
		return -1;
	ask.body = body.p;
	if (call->on_stage)
		call->on_stage(call->self, "provider.submit");
	if (api_call(call, &ask, &a, &head, e) < 0) {
		picture_answer_take_rest(&a, want);
		return -1;
	}
	if (a.failed)
		return upstream_error(&f, buf_str(&a.text), a.text.len, e);
	if (moderated(&a, &f, e) < 0)
		return -1;
	return openai_answer_read(&a, &f, want, e);
}

int
grok_official_generate(struct image_call *call, struct err *e)
{
	unsigned want = call->rq->n < IMAGES_MAX ? call->rq->n : IMAGES_MAX;

	if (call->rq->mask) {
		(void)err_set(e, ERR_UNSUPPORTED, "this model takes no mask");
		(void)snprintf(e->param, sizeof(e->param), "mask");
		return -1;
	}
	grok_drop(call, PARAM_PARTIAL_IMAGES);
	return call->nimages < want ? generate_some(call, want - call->nimages, e) : 0;
}
