/*
 * NovelAI's image API: POST {base_url}/ai/generate-image, or …/generate-image-stream for previews.
 *
 * Wire format: the service's Swagger file and captures of its site, 2024 to 2026.  It knows no idempotency
 * key and charges for each request that it accepts; an account makes one picture at a time.  Several
 * pictures are therefore several requests, one after the other: a request for more than one costs the same
 * or, with a subscription that includes single pictures, more.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "files/imaging.h"
#include "provider/api_call.h"
#include "provider/novelai_answer.h"
#include "provider/novelai_body.h"
#include "provider/novelai_login.h"
#include "provider/provider.h"
#include "base/scrub.h"

/* One generate(). */
struct work {
	struct image_call *call;
	struct novelai_wish wish;
	struct source image, mask; /* made for it */
	struct novelai_token token;
	bool logged_in_again;
};

static void
work_done(struct work *w)
{
	source_done(&w->image);
	source_done(&w->mask);
	novelai_token_done(&w->token);
}

static void
secret_freep(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
}

/* How many steps are really made: of a picture that starts from another only a part. */
static unsigned
steps_made(const struct novelai_wish *w)
{
	return w->image ? (unsigned)fmax(1, w->steps * w->strength) : (unsigned)w->steps;
}

static int
ask(struct work *w, const char *body, struct err *e)
{
	__attribute__((cleanup(secret_freep))) char *authorization = NULL;
	AUTO_FREE char *url = NULL;
	AUTO(novelai_answer) a;
	struct image_call *call = w->call;
	const struct provider_conf *p = call->provider;
	const char *headers[] = { w->wish.stream ? "Accept: application/msgpack, application/json"
						 : "Accept: application/json",
				  "Content-Type: application/json", NULL, NULL };
	AUTO(upstream_head) head = { 0 };
	struct upstream_failure f = { p->name, w->token.text, &head };
	struct upstream_body receiver = novelai_answer_body(&a);
	struct upstream_req rq = { .method = "POST",
				   .headers = headers,
				   .body = body,
				   .body_len = strlen(body),
				   .proxy = p->proxy,
				   .connect_timeout_ms = p->connect_timeout_ms,
				   .policy = UPSTREAM_TRUSTED,
				   .provider = p->name,
				   .item = LEDGER_PROVIDER };
	int rc;

	novelai_answer_init(&a, call, steps_made(&w->wish));
	if (asprintf(&url, "%s/ai/generate-image%s", p->base_url, w->wish.stream ? "-stream" : "") <
		    0 ||
	    asprintf(&authorization, "Authorization: Bearer %s", w->token.text) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	headers[2] = authorization;
	rq.url = url;
	rc = upstream_call(&rq, &receiver, &head, &call->deadline, call->ledger, e);
	if (head.request_id[0]) {
		(void)snprintf(call->upstream_request_id, sizeof(call->upstream_request_id), "%s",
			       head.request_id);
		scrub_secret(call->upstream_request_id, w->token.text);
	}
	if (novelai_answer_read(&a, rc, &f, e) == 0)
		return 0;
	scrub_err(e, w->token.text); /* a login's, which nobody else knows */
	return -1;
}

/* With the token of a login that has expired: once more with another, which buys nothing twice. */
static int
ask_again(struct work *w, const char *body, struct err *e)
{
	if (w->logged_in_again || !w->token.cached || e->kind != ERR_UP_AUTH ||
	    e->upstream.status != 401 || e->may_have_been_billed)
		return -1;
	w->logged_in_again = true;
	novelai_token_forget(w->call, &w->token);
	novelai_token_done(&w->token);
	if (novelai_token_get(w->call, &w->token, e) < 0)
		return -1;
	return ask(w, body, e);
}

static int
generate_one(struct work *w, struct err *e)
{
	struct image_call *call = w->call;
	AUTO_FREE char *body = novelai_body(call, &w->wish, call->nimages, e);

	if (!body || (!w->token.text && novelai_token_get(call, &w->token, e) < 0))
		return -1;
	if (call->on_stage)
		call->on_stage(call->self, "provider.submit");
	if (ask(w, body, e) == 0)
		return 0;
	return ask_again(w, body, e);
}

/* The pictures to start from, in the size that is asked for, to which the service holds us. */
static int
prepare(struct work *w, struct err *e)
{
	const struct image_request *rq = w->call->rq;
	struct imaging_size size = { w->wish.width, w->wish.height,
				     w->wish.size_given ? IMAGING_COVER : IMAGING_FILL };
	int64_t start = clock_us();
	int rc;

	if (!rq->nsources)
		return 0;
	rc = imaging_resize(w->call->files, &rq->sources[0], "image", &size, &w->image,
			    &w->call->deadline, e);
	if (rc == 0 && rq->mask)
		rc = imaging_mask(w->call->files, rq->mask, "mask", &size, &w->mask,
				  &w->call->deadline, e);
	w->call->ledger->us[LEDGER_STORE] += clock_us() - start;
	w->wish.image = &w->image;
	w->wish.mask = rq->mask ? &w->mask : NULL;
	return rc;
}

static int
novelai_generate(struct image_call *call, struct err *e)
{
	__attribute__((cleanup(work_done))) struct work w = { .call = call };
	unsigned want = call->rq->n < IMAGES_MAX ? call->rq->n : IMAGES_MAX;

	image_call_begin(call);
	if (novelai_wish_read(call, &w.wish, e) < 0 || prepare(&w, e) < 0)
		return -1;
	while (call->nimages < want)
		if (generate_one(&w, e) < 0)
			return -1;
	return 0;
}

const struct provider_driver provider_novelai = {
	.dialect = DIALECT_NOVELAI,
	.caps = novelai_caps,
	.caps_row = novelai_caps_row,
	.generate = novelai_generate,
};
