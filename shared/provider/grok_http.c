/*
 * Grok over HTTP, as its page asks a chat for pictures: POST {base_url}/rest/app-chat/conversations/new,
 * lines of JSON, and the pictures from {assets_url}.  Two a call, without a say in their shape.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/tick.h"
#include "net/upstream.h"
#include "provider/grok.h"
#include "provider/grok_lines.h"
#include "provider/result_fetch.h"
#include "provider/upstream_error.h"

#define PER_CALL 2
#define URL_MAX  2048

struct reading {
	struct grok_lines lines;
	bool failed;     /* no 2xx, or a web page: text, not lines */
	struct buf text; /* of a failure */
};

static void
reading_done(struct reading *r)
{
	grok_lines_done(&r->lines);
	buf_done(&r->text);
}

static int
on_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct reading *r = self;

	(void)e;
	r->failed = h->status < 200 || h->status >= 300 || !strcmp(h->content_type, "text/html");
	return 0;
}

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	struct reading *r = self;
	struct upstream_body text = upstream_to_buf(&r->text);

	return r->failed ? text.data(text.self, p, n, e) : grok_lines_feed(&r->lines, p, n, e);
}

/* ---- the request ---- */

static char *
body_make(const struct image_call *call)
{
	json_auto_t *o =
		json_pack("{s:b, s:s, s:s, s:o, s:[], s:[], s:b, s:b, s:b, s:b, s:i, s:b, s:{}, "
			  "s:b, s:b, s:b}",
			  "temporary", 1, "modelName", "grok-3", "modelMode", "MODEL_MODE_FAST",
			  "message", json_sprintf("Image Generation: %s", call->rq->prompt),
			  "fileAttachments", "imageAttachments", "disableSearch", 0,
			  "enableImageGeneration", 1, "returnImageBytes", 0, "enableImageStreaming",
			  1, "imageGenerationCount", PER_CALL, "forceConcise", 0, "toolOverrides",
			  "enableSideBySide", 1, "sendFinalMetadata", 1, "disableMemory", 0);

	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

static int
post(struct image_call *call, struct reading *r, const char *cookie, struct upstream_head *head,
     struct err *e)
{
	const struct provider_conf *p = call->provider;
	AUTO_FREE char *body = body_make(call), *url = NULL;
	const char *headers[] = { "Accept: application/json", "Content-Type: application/json",
				  cookie, NULL };
	const struct upstream_body receiver = { .begin = on_begin, .data = on_data, .self = r };
	struct upstream_req rq = { .method = "POST",
				   .headers = headers,
				   .body = body,
				   .body_len = body ? strlen(body) : 0,
				   .proxy = p->proxy,
				   .connect_timeout_ms = p->connect_timeout_ms,
				   .policy = UPSTREAM_TRUSTED,
				   .provider = p->name,
				   .item = LEDGER_PROVIDER };
	int rc;

	if (!body || asprintf(&url, "%s/rest/app-chat/conversations/new", p->base_url) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	rq.url = url;
	if (call->on_stage)
		call->on_stage(call->self, "provider.submit");
	rc = upstream_call(&rq, &receiver, head, &call->deadline, call->ledger, e);
	grok_lines_end(&r->lines);
	if (head->request_id[0])
		(void)snprintf(call->upstream_request_id, sizeof(call->upstream_request_id), "%s",
			       head->request_id);
	return rc;
}

/* ---- the answer ---- */

static int
fetch(struct image_call *call, const char *url, const char *cookie, struct err *e)
{
	const char *base = call->provider->assets_url;
	AUTO_FREE char *absolute = NULL;
	struct picture p;

	while (!strstr(url, "://") && *url == '/')
		url++;
	if (asprintf(&absolute, "%s%s%s", strstr(url, "://") ? "" : base,
		     strstr(url, "://") ? "" : "/", url) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (result_fetch_from(call, absolute, base, cookie, &p, e) < 0)
		return -1;
	call->images[call->nimages++] = p;
	return 0;
}

/* An error among the lines has a code of gRPC's and words. */
static int
said_error(const struct upstream_failure *f, const struct reading *r, struct err *e)
{
	enum { GRPC_DENIED = 7, GRPC_EXHAUSTED = 8, GRPC_UNAUTHENTICATED = 16 };
	const json_t *error = json_object_get(r->lines.error, "error");

	(void)upstream_error_json(f, r->lines.error, e);
	if (e->kind != ERR_UP_FAILED)
		return -1;
	switch (json_integer_value(json_object_get(error, "code"))) {
	case GRPC_EXHAUSTED: e->kind = ERR_UP_RATE; break;
	case GRPC_DENIED:
	case GRPC_UNAUTHENTICATED: e->kind = ERR_UP_AUTH; break;
	default: return -1;
	}
	e->may_have_been_billed = false;
	return -1;
}

/* No picture has come of it. */
static int
nothing(const struct upstream_failure *f, const struct reading *r, struct err *e)
{
	if (r->lines.error)
		return said_error(f, r, e);
	if (r->lines.moderated) {
		(void)err_set(e, ERR_UP_POLICY, " It withheld its pictures (moderated).");
		(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", f->provider);
		e->upstream.status = f->head->status;
		e->stage = "provider.recv";
		e->may_have_been_billed = true;
		return -1;
	}
	return upstream_garbage(f,
				r->lines.json ? "it answered without a picture" : "it is not JSON",
				r->lines.quote, strlen(r->lines.quote), e);
}

static int
generate_some(struct image_call *call, const char *cookie, unsigned want, struct err *e)
{
	__attribute__((cleanup(reading_done))) struct reading r = { .text = BUF_INIT(
									    UPSTREAM_ERROR_BYTES) };
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { call->provider->name, call->credential, &head };
	unsigned before = call->nimages;
	struct err other;
	int posted, fetched = 0;

	grok_lines_init(&r.lines);
	posted = post(call, &r, cookie, &head, e);
	if (posted == 0 && r.failed)
		return upstream_error(&f, buf_str(&r.text), r.text.len, e);
	/* What has an address is made and paid for, whatever broke afterwards. */
	for (unsigned i = 0; i < r.lines.nurls && call->nimages < want; i++)
		if (fetch(call, r.lines.urls[i], cookie, posted < 0 || fetched < 0 ? &other : e) <
		    0)
			fetched = -1;
	if (call->nimages >= want)
		return 0;
	if (posted < 0 || fetched < 0)
		return -1;
	return call->nimages > before ? 0 : nothing(&f, &r, e);
}

int
grok_http_generate(struct image_call *call, struct err *e)
{
	static const enum image_param unknown_here[] = { PARAM_SIZE, PARAM_ASPECT_RATIO,
							 PARAM_QUALITY, PARAM_USER,
							 PARAM_PARTIAL_IMAGES };
	unsigned want = call->rq->n < IMAGES_MAX ? call->rq->n : IMAGES_MAX;
	AUTO_SECRET char *cookie = NULL;

	if (grok_refuse_sources(call, e) < 0 ||
	    grok_cookie(call->credential, false, &cookie, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(unknown_here) / sizeof(unknown_here[0]); i++)
		grok_drop(call, unknown_here[i]);
	if (want > PER_CALL)
		receipt_note(call->receipt, PARAM_N, "=%u calls", (want + PER_CALL - 1) / PER_CALL);
	while (call->nimages < want)
		if (generate_some(call, cookie, want, e) < 0)
			return -1;
	return 0;
}
