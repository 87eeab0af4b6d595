/*
 * Pictures from a model that makes them in chat: POST {base_url}/chat/completions with "modalities".
 *
 * For models whose `via` is "chat", of any provider that has chat.  One picture a call.  Wire format: OpenAI's
 * specification 2.3.0, image_config as OpenRouter has it.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/tick.h"
#include "provider/api_call.h"
#include "provider/chat_answer.h"
#include "provider/chat_call.h"
#include "provider/provider.h"

#define BODY_BYTES \
	((size_t)1 << 30) /* SOURCES_MAX pictures of image_bytes are fewer, or too many */
#define PIECE_BYTES 12288 /* of a picture at a time; a multiple of 3 */

static const struct image_caps caps = {
	.family = "models that make pictures in chat",
	.keeps = PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_ASPECT_RATIO) |
		 PARAM_BIT(PARAM_SEED) | PARAM_BIT(PARAM_USER) | PARAM_BIT(PARAM_RESPONSE_FORMAT),
	.n_max = 1,
	.prompt_max = 32000,
	.sources_max = SOURCES_MAX,
	.sizes = "whatever the model makes; its shape is asked for as an aspect ratio",
	.mapped = "size→image_config.aspect_ratio; aspect_ratio→image_config.aspect_ratio; "
		  "n→several calls",
};

static const struct image_caps *
chat_caps(const char *upstream_model)
{
	(void)upstream_model;
	return &caps;
}

static const struct image_caps *
chat_caps_row(unsigned i)
{
	return i == 0 ? &caps : NULL;
}

/* ---- the request ---- */

/* Of the ratios that such models know, the nearest. */
static const char *
ratio_of(uint32_t width, uint32_t height)
{
	static const struct {
		const char *name;
		double ratio;
	} rows[] = { { "1:1", 1 },       { "2:3", 2. / 3 },   { "3:2", 3. / 2 },
		     { "3:4", 3. / 4 },  { "4:3", 4. / 3 },   { "4:5", 4. / 5 },
		     { "5:4", 5. / 4 },  { "9:16", 9. / 16 }, { "16:9", 16. / 9 },
		     { "21:9", 21. / 9 } };
	double wanted = (double)width / height, best = 0;
	const char *name = rows[0].name;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double off =
			wanted > rows[i].ratio ? wanted / rows[i].ratio : rows[i].ratio / wanted;

		if (!best || off < best) {
			best = off;
			name = rows[i].name;
		}
	}
	return name;
}

/* "name": text */
static int
add_text(struct buf *b, const char *before, const char *text)
{
	json_t *s = json_string(text);
	AUTO_FREE char *quoted = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;

	json_decref(s);
	return quoted ? buf_addf(b, "%s%s", before, quoted) : -1;
}

static int
add_source(struct buf *b, const struct source *s, struct err *e)
{
	AUTO_FREE char *piece = malloc(PIECE_BYTES);
	size_t n = 1;

	if (!piece ||
	    buf_addf(b, ",{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:%s;base64,",
		     picture_mime(s->type)) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (uint64_t at = 0; n; at += n) {
		if (source_read(s, at, piece, PIECE_BYTES, &n, e) < 0)
			return -1;
		if (buf_room(b, BASE64_ENCODED(n)) < 0)
			return err_set(e, ERR_OVERLOADED, "no memory for the input pictures");
		b->len += base64_encode(b->p + b->len, piece, n);
		b->p[b->len] = '\0';
	}
	return buf_adds(b, "\"}}") < 0 ? err_set(e, ERR_INTERNAL, "out of memory") : 0;
}

static int
add_parameters(const struct image_call *call, struct buf *b)
{
	const struct image_request *rq = call->rq;
	const char *ratio = rq->aspect_ratio;
	int rc = 0;

	if (!ratio && rq->width) {
		ratio = ratio_of(rq->width, rq->height);
		receipt_note(call->receipt, PARAM_SIZE, "→aspect_ratio=%s", ratio);
	} else if (rq->width) {
		receipt_note(call->receipt, PARAM_SIZE, "dropped");
	}
	if (ratio && (add_text(b, ",\"image_config\":{\"aspect_ratio\":", ratio) < 0 ||
		      buf_addc(b, '}') < 0))
		rc = -1;
	if (rc == 0 && rq->seed >= 0)
		rc = buf_addf(b, ",\"seed\":%lld", (long long)rq->seed);
	if (rc == 0 && rq->user)
		rc = add_text(b, ",\"user\":", rq->user);
	return rc;
}

static int
body_make(const struct image_call *call, struct buf *b, struct err *e)
{
	const struct image_request *rq = call->rq;

	if (add_text(b, "{\"model\":", call->model) < 0 ||
	    add_text(b,
		     ",\"modalities\":[\"image\",\"text\"],\"stream\":false,\"messages\":[{"
		     "\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":",
		     rq->prompt) < 0 ||
	    buf_addc(b, '}') < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (unsigned i = 0; i < rq->nsources; i++)
		if (add_source(b, &rq->sources[i], e) < 0)
			return -1;
	if (buf_adds(b, "]}]") < 0 || add_parameters(call, b) < 0 || buf_addc(b, '}') < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	return 0;
}

/* ---- the call ---- */

struct receiver {
	struct buf text;
};

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	struct buf *text = &((struct receiver *)self)->text;

	if (n > text->max - text->len)
		return err_set(e, ERR_UP_TOO_LARGE, "more than %zu bytes", text->max);
	return buf_add(text, p, n) < 0 ? err_set(e, ERR_INTERNAL, "out of memory") : 0;
}

static int
ask_once(struct image_call *call, struct err *e)
{
	AUTO(buf) body = BUF_INIT(BODY_BYTES);
	struct receiver r = { .text = BUF_INIT(
				      chat_answer_bytes(filestore_image_bytes(call->files))) };
	struct upstream_body receiver = { .data = on_data, .self = &r };
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { call->provider->name, call->credential, &head };
	struct chat_call ask = { .provider = call->provider,
				 .credential = call->credential,
				 .deadline = &call->deadline,
				 .ledger = call->ledger };
	int rc;

	if (body_make(call, &body, e) < 0)
		return -1;
	ask.body = body.p;
	ask.body_len = body.len;
	if (call->on_stage)
		call->on_stage(call->self, "provider.submit");
	rc = chat_call(&ask, &receiver, &head, e);
	if (head.request_id[0])
		(void)snprintf(call->upstream_request_id, sizeof(call->upstream_request_id), "%s",
			       head.request_id);
	buf_done(&body);
	if (rc == 0 && (head.status < 200 || head.status >= 300 || buf_str(&r.text)[0] == '<'))
		rc = upstream_error(&f, buf_str(&r.text), r.text.len, e);
	else if (rc == 0)
		rc = chat_answer_read(call, &r.text, &f, call->nimages + 1, e);
	buf_done(&r.text);
	return rc;
}

static int
chat_generate(struct image_call *call, struct err *e)
{
	unsigned want = call->rq->n < IMAGES_MAX ? call->rq->n : IMAGES_MAX;

	if (!chat_call_possible(call->provider))
		return err_set(e, ERR_CONFIG, "provider '%s' (dialect %s) has no chat.",
			       call->provider->name, config_dialect_name(call->provider->dialect));
	image_call_begin(call);
	if (call->rq->given & PARAM_BIT(PARAM_RESPONSE_FORMAT))
		receipt_note(call->receipt, PARAM_RESPONSE_FORMAT, "served-here");
	if (want > 1)
		receipt_note(call->receipt, PARAM_N, "=%u calls", want);
	while (call->nimages < want) {
		if (ask_once(call, e) < 0)
			return -1;
		tick_now();
	}
	return 0;
}

const struct provider_driver provider_chat = {
	.dialect = DIALECT_OPENAI,
	.caps = chat_caps,
	.caps_row = chat_caps_row,
	.generate = chat_generate,
};
