#include "api/image_answer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/image_common.h"
#include "api/image_stream.h"
#include "api/image_wait.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "http/reply.h"
#include "http/reply_base64.h"

/* Of an answer, its pictures aside. */
#define ITEM_BYTES        (IMAGE_REVISED_BYTES + IMAGE_URL_BYTES + 64)
#define ANSWER_TEXT_BYTES (IMAGES_MAX * ITEM_BYTES + 4096)

static bool
wants_b64(const struct image_job *job)
{
	if (job->rq->response_format != RESPONSE_DEFAULT)
		return job->rq->response_format == RESPONSE_B64;
	/* The model that was asked for: a fallback does not change what the caller expects. */
	return provider_driver_of(job->asked)->caps(job->asked->upstream_model)->b64_default;
}

/* The answer up to its data, as GPT image models give it: {"created":…,…,"data":[ */
static void
answer_head(const struct image_job *job, struct buf *b)
{
	const struct image_call *call = &job->call;
	const struct picture *first = &call->images[0];
	const struct image_usage used = image_common_tokens(call);

	(void)buf_addf(b, "{\"created\":%lld,\"output_format\":\"%s\",\"size\":\"%ux%u\"",
		       (long long)(job->created ? job->created : time(NULL)),
		       picture_format(first->type), first->width, first->height);
	if (call->background[0])
		image_common_member(b, "background", call->background);
	if (call->quality[0])
		image_common_member(b, "quality", call->quality);
	if (call->usage_total >= 0 || used.total)
		image_common_usage(b, &used);
	(void)buf_adds(b, ",\"data\":[");
}

/* What stands behind a picture. */
static void
item_end(const struct image_job *job, unsigned i, struct buf *b)
{
	if (job->call.revised_prompt[i])
		image_common_member(b, "revised_prompt", job->call.revised_prompt[i]);
	(void)buf_adds(b, i + 1 < job->call.nimages ? "}," : "}");
}

__attribute__((noinline)) static int /* off a stack that waits */
answer_urls(struct request *r, const struct image_job *job, struct err *e)
{
	AUTO(buf) text = BUF_INIT(ANSWER_TEXT_BYTES);
	char url[IMAGE_URL_BYTES];

	answer_head(job, &text);
	for (unsigned i = 0; i < job->call.nimages; i++) {
		image_common_url(r, &job->call.images[i], url);
		(void)buf_addf(&text, "{\"url\":\"%s\"", url);
		item_end(job, i, &text);
	}
	if (buf_adds(&text, "]}") < 0)
		return err_set(e, ERR_INTERNAL, "the answer is too large");
	return reply_text(r, 200, "application/json", text.p, text.len, e);
}

/* One picture's base64 text, from its file.  The file is what is there: it is read to its length. */
static int
write_b64(struct request *r, struct filestore *fs, const struct picture *p, struct err *e)
{
	AUTO_FD int fd = filestore_read(fs, p, e);

	return fd < 0 ? -1 : reply_base64(r, fd, p->bytes, e);
}

/* The length is known before the first byte leaves, and at most one chunk is in memory. */
__attribute__((noinline)) static int /* off a stack that waits */
answer_b64(struct request *r, struct filestore *fs, const struct image_job *job, struct err *e)
{
	static const char begin[] = "{\"b64_json\":\"";
	AUTO(buf) text = BUF_INIT(ANSWER_TEXT_BYTES); /* everything but the pictures */
	size_t cut[IMAGES_MAX + 1];                   /* … and where they go */
	int64_t length;

	answer_head(job, &text);
	for (unsigned i = 0; i < job->call.nimages; i++) {
		(void)buf_adds(&text, begin);
		cut[i] = text.len;
		(void)buf_adds(&text, "\"");
		item_end(job, i, &text);
	}
	if (buf_adds(&text, "]}") < 0)
		return err_set(e, ERR_INTERNAL, "the answer is too large");
	length = (int64_t)text.len;
	for (unsigned i = 0; i < job->call.nimages; i++)
		length += (int64_t)BASE64_ENCODED(job->call.images[i].bytes);
	cut[job->call.nimages] = text.len;
	if (reply_begin(r, 200, "application/json", length, e) < 0 ||
	    reply_write(r, text.p, cut[0], e) < 0)
		return -1;
	for (unsigned i = 0; i < job->call.nimages; i++)
		if (write_b64(r, fs, &job->call.images[i], e) < 0 ||
		    reply_write(r, text.p + cut[i], cut[i + 1] - cut[i], e) < 0)
			return -1;
	return 0;
}

static int
answer(struct image_wait *w, struct err *e)
{
	struct request *r = w->r;
	struct image_job *job = w->job;
	int rc = image_wait_run(w, e), said = -1;

	if (rc < 0 && request_is_answered(r))
		return -1;
	image_common_headers(r, job);
	if (rc == 0)
		said = wants_b64(job) ? answer_b64(r, w->g->files, job, e) : answer_urls(r, job, e);
	if (said < 0)
		said = image_common_fail(r, job, e);
	image_wait_done(w, rc, e);
	return said;
}

int
image_answer(struct request *r, struct image_engine *g, const struct image_request *rq,
	     const json_t *body, const char *model, struct err *e)
{
	AUTO(image_job) job = image_common_job(r);
	struct image_wait w = { .r = r, .g = g, .job = &job, .body = body };

	job.rq = rq;
	job.model_asked = model;
	return rq->stream ? image_stream(&w, e) : answer(&w, e);
}
