#include "api/chat_image.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/chat_sources.h"
#include "api/image_common.h"
#include "api/image_wait.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "base/log.h"
#include "http/reply.h"
#include "http/sse.h"
#include "job/prompt_log.h"
#include "provider/provider.h"

#define CONTENT_BYTES (IMAGES_MAX * (IMAGE_URL_BYTES + 16))

struct chat {
	struct request *r;
	struct image_engine *g;
	const struct chat_request *rq;
	const char *model; /* as the caller named it: the answer says the same */
	struct image_job *job;
	struct sse sse;
	struct image_wait *wait;
	char id[ID_TEXT + 16];
	int64_t created;
};

/* ---- what the answer says ---- */

/* The pictures in Markdown, a line between them. */
static void
add_content(const struct chat *c, struct buf *b)
{
	char url[IMAGE_URL_BYTES];

	for (unsigned i = 0; i < c->job->call.nimages; i++) {
		image_common_url(c->r, &c->job->call.images[i], url);
		(void)buf_addf(b, "%s![image](%s)", i ? "\n\n" : "", url);
	}
}

/* The same as objects, in the shape that OpenRouter and LiteLLM have. */
static json_t *
images_json(const struct chat *c)
{
	json_t *list = json_array();
	char url[IMAGE_URL_BYTES];

	for (unsigned i = 0; i < c->job->call.nimages; i++) {
		image_common_url(c->r, &c->job->call.images[i], url);
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:i, s:{s:s, s:s}}", "type",
						      "image_url", "index", (int)i, "image_url",
						      "url", url, "detail", "auto"));
	}
	return list;
}

/* Tokens as the provider counted them; 0 where it does not count. */
static json_t *
usage_json(const struct chat *c)
{
	const struct image_usage used = image_common_tokens(&c->job->call);

	return json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)used.input,
			 "completion_tokens", (json_int_t)used.output, "total_tokens",
			 (json_int_t)used.total);
}

static int
answer_whole(struct chat *c, struct err *e)
{
	AUTO(buf) content = BUF_INIT(CONTENT_BYTES);
	json_t *message;

	add_content(c, &content);
	message = json_pack("{s:s, s:s, s:n, s:[], s:o}", "role", "assistant", "content",
			    buf_str(&content), "refusal", "annotations", "images", images_json(c));
	return reply_json(c->r, 200,
			  json_pack("{s:s, s:s, s:I, s:s, s:[{s:i, s:o, s:n, s:s}], s:o}", "id",
				    c->id, "object", "chat.completion", "created",
				    (json_int_t)c->created, "model", c->model, "choices", "index",
				    0, "message", message, "logprobs", "finish_reason", "stop",
				    "usage", usage_json(c)),
			  e);
}

/* What is known once the pictures are there: of a repetition, what the first answer said. */
static void
settle_names(struct chat *c)
{
	const struct image_wait *w = c->wait;
	const char *first = w->joined[0] ? w->joined : request_id(c->r);

	(void)snprintf(c->id, sizeof(c->id), "chatcmpl-%s", first + sizeof("req_") - 1);
	c->created = c->job->created ? c->job->created : time(NULL);
}

/* ---- a stream ---- */

static int
send_json(struct chat *c, json_t *chunk, struct err *e)
{
	AUTO_FREE char *text = json_dumps(chunk, JSON_COMPACT);

	json_decref(chunk);
	return text ? sse_event(&c->sse, NULL, text, e) : err_set(e, ERR_INTERNAL, "out of memory");
}

/* A chunk without its choices; takes them. */
static json_t *
chunk_json(const struct chat *c, json_t *choices, json_t *usage)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", c->id, "object",
			      "chat.completion.chunk", "created", (json_int_t)c->created, "model",
			      c->model, "choices", choices);

	/* Who asks for the usage is told null until it is there. */
	if (c->rq->include_usage)
		(void)json_object_set_new(o, "usage", usage ? usage : json_null());
	else
		json_decref(usage);
	return o;
}

static int
send_delta(struct chat *c, json_t *delta, const char *finish, struct err *e)
{
	json_t *choices = json_pack("[{s:i, s:o, s:n, s:s?}]", "index", 0, "delta", delta,
				    "logprobs", "finish_reason", finish);

	return send_json(c, chunk_json(c, choices, NULL), e);
}

static int
send_pictures(struct chat *c, struct err *e)
{
	AUTO(buf) content = BUF_INIT(CONTENT_BYTES);

	add_content(c, &content);
	if (send_delta(c, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL, e) <
		    0 ||
	    send_delta(c, json_pack("{s:s}", "content", buf_str(&content)), NULL, e) < 0 ||
	    send_delta(c, json_pack("{s:o}", "images", images_json(c)), NULL, e) < 0 ||
	    send_delta(c, json_object(), "stop", e) < 0)
		return -1;
	if (c->rq->include_usage && send_json(c, chunk_json(c, json_array(), usage_json(c)), e) < 0)
		return -1;
	return sse_event(&c->sse, NULL, "[DONE]", e);
}

static bool
on_look(void *self)
{
	return sse_keep_alive(&((struct chat *)self)->sse);
}

static bool
on_tell(void *self, struct err *e)
{
	struct chat *c = self;

	if (!c->sse.begun || c->sse.left)
		return false;
	sse_error(&c->sse, e, image_common_came(c->r, c->job), NULL);
	return true;
}

static int
stream(struct chat *c, struct err *e)
{
	struct image_wait *w = c->wait;
	int rc, said;

	sse_init(&c->sse, c->r);
	c->sse.nameless = true;
	w->look = on_look;
	w->tell = on_tell;
	w->self = c;
	w->every_us = sse_tick_us(&c->sse);
	said = rc = image_wait_run(w, e);
	/* It was answered while the work went on, or as the first request was. */
	if (rc < 0 && e->kind == ERR_GONE && request_is_answered(c->r) && !c->sse.left)
		return -1;
	if (!c->sse.begun)
		image_common_headers(c->r, c->job);
	settle_names(c);
	if (rc == 0)
		said = send_pictures(c, e);
	if (said < 0 && !c->sse.begun)
		said = image_common_fail(c->r, c->job, e);
	else if (said < 0 && !c->sse.left)
		sse_error(&c->sse, e, image_common_came(c->r, c->job), NULL);
	image_wait_done(w, rc, e);
	return said;
}

/* ---- not a stream ---- */

static int
plain(struct chat *c, struct err *e)
{
	int rc = image_wait_run(c->wait, e), said = -1;

	if (rc < 0 && request_is_answered(c->r))
		return -1;
	image_common_headers(c->r, c->job);
	settle_names(c);
	if (rc == 0)
		said = answer_whole(c, e);
	if (said < 0)
		said = image_common_fail(c->r, c->job, e);
	image_wait_done(c->wait, rc, e);
	return said;
}

static void
log_detected(const struct chat *c)
{
	char prompt[PROMPT_LOG_BYTES];

	prompt_log(c->g->config, c->job->rq->prompt, prompt);
	log_info(request_id(c->r), "Image model detected: model=%s, prompt='%s', stream=%s",
		 c->job->asked->id, prompt, c->rq->stream ? "True" : "False");
}

static int
run(struct chat *c, struct err *e)
{
	log_detected(c);
	return c->rq->stream ? stream(c, e) : plain(c, e);
}

int
chat_image(struct request *r, struct image_engine *g, const struct chat_request *rq,
	   const struct model_conf *model, const json_t *body, struct err *e)
{
	__attribute__((cleanup(chat_turn_done))) struct chat_turn turn = { 0 };
	AUTO(chat_sources) sources = { 0 };
	struct image_request image;
	AUTO(image_job) job = image_common_job(r);
	struct image_wait wait = { .r = r, .g = g, .job = &job, .body = body, .chat = true };
	struct chat c = { .r = r,
			  .g = g,
			  .rq = rq,
			  .model = rq->model ? rq->model : model->id,
			  .job = &job,
			  .wait = &wait };
	const struct image_caps *caps = provider_driver_of(model)->caps(model->upstream_model);

	if (chat_turn_read(rq, &turn, e) < 0 || chat_image_params(rq, &image, e) < 0 ||
	    chat_sources_take(r, g->files, &turn, caps->sources_max, &sources, e) < 0)
		return -1;
	job.rq = &image;
	job.asked = model;
	image.prompt = turn.prompt;
	image.stream = rq->stream;
	image.sources = sources.v;
	image.nsources = sources.n;
	return run(&c, e);
}
