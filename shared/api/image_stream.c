#include "api/image_stream.h"

#include <stdio.h>
#include <string.h>

#include "api/image_common.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "http/reply.h"
#include "http/sse.h"

#define EVENT_BYTES (IMAGE_REVISED_BYTES + 16384) /* of an event, its picture aside */

struct stream {
	struct request *r;
	struct image_engine *g;
	struct image_job *job;
	struct sse sse;
	const char *what;              /* what the events' names begin with */
	unsigned completed;            /* pictures that were told of */
	unsigned partials[IMAGES_MAX]; /* the same, of each */
	struct image_usage told;
};

/* ---- events ---- */

static int
send_event(struct stream *s, const char *kind, int fd, uint64_t bytes, const struct buf *after,
	   struct err *e)
{
	char name[48], before[80];

	(void)snprintf(name, sizeof(name), "%s.%s", s->what, kind);
	(void)snprintf(before, sizeof(before), "{\"type\":\"%s\",\"b64_json\":\"", name);
	return sse_event_base64(&s->sse, name, before, fd, bytes, buf_str(after), e);
}

static void
on_partial(void *self, unsigned image, const struct source *so_far)
{
	struct stream *s = self;
	AUTO(buf) after = BUF_INIT(EVENT_BYTES);
	struct err ignored;

	if (image >= IMAGES_MAX || image < s->completed || s->sse.left || request_is_over(s->r) ||
	    s->partials[image] >= (unsigned)s->job->rq->partial_images)
		return;
	image_common_facts(s->job, &after, so_far->type, so_far->width, so_far->height);
	if (buf_addf(&after, ",\"partial_image_index\":%u}", s->partials[image]) < 0)
		return;
	s->partials[image]++;
	/* A client that has left is found by the next tick; a picture that is missing is no error here. */
	(void)send_event(s, "partial_image", so_far->fd, so_far->bytes, &after, &ignored);
}

static int64_t
since(int64_t now, int64_t *told)
{
	int64_t more = now > *told ? now - *told : 0;

	*told += more;
	return more;
}

/* The tokens that were not told of yet: those of all events are those of the request. */
static void
add_usage(struct stream *s, struct buf *b)
{
	const struct image_usage now = image_common_tokens(&s->job->call);
	struct image_usage *t = &s->told;

	image_common_usage(b, &(struct image_usage){
				      .total = since(now.total, &t->total),
				      .input = since(now.input, &t->input),
				      .output = since(now.output, &t->output),
				      .input_text = since(now.input_text, &t->input_text),
				      .input_image = since(now.input_image, &t->input_image) });
}

/* What the headers of a plain answer say, as a new reference. */
static json_t *
easel_member(const struct stream *s, const char *task_id)
{
	const struct image_job *job = s->job;

	return json_pack("{s:s, s:s?, s:s?, s:i, s:o, s:o, s:s?}", "request_id", job->request_id,
			 "model", job->model ? job->model->id : NULL, "mode",
			 job->attempts ? job->mode : NULL, "attempts", (int)job->attempts,
			 "receipt", receipt_json(&job->receipt), "ledger", reply_ledger(s->r),
			 "task_id", task_id && *task_id ? task_id : NULL);
}

static void
add_easel(const struct stream *s, struct buf *b)
{
	json_t *easel = easel_member(s, NULL);
	AUTO_FREE char *text = json_dumps(easel, JSON_COMPACT | JSON_REAL_PRECISION(12));

	json_decref(easel);
	if (text)
		(void)buf_addf(b, ",\"easel\":%s", text);
}

/* Tells of the next picture.  last: of all. */
static int
send_completed(struct stream *s, bool last, struct err *e)
{
	const struct picture *p = &s->job->call.images[s->completed];
	const char *revised = s->job->call.revised_prompt[s->completed];
	AUTO(buf) after = BUF_INIT(EVENT_BYTES);
	AUTO_FD int fd = filestore_read(s->g->files, p, e);
	char url[IMAGE_URL_BYTES];

	if (fd < 0)
		return -1;
	image_common_facts(s->job, &after, p->type, p->width, p->height);
	add_usage(s, &after);
	image_common_url(s->r, p, url);
	image_common_member(&after, "url", url);
	if (revised)
		image_common_member(&after, "revised_prompt", revised);
	if (last)
		add_easel(s, &after);
	if (buf_adds(&after, "}") < 0)
		return err_set(e, ERR_INTERNAL, "the event is too large");
	s->completed++;
	return send_event(s, "completed", fd, p->bytes, &after, e);
}

/* ---- while it runs ---- */

/*
 * Tells of pictures that have come, except for the last one, which says how it all went, and of those that
 * are converted first.
 */
static void
send_what_came(struct stream *s)
{
	const struct image_job *job = s->job;
	struct err ignored;

	while (s->completed < job->call.nimages && s->completed + 1 < job->rq->n) {
		enum picture_type wanted = job->rq->output_type;

		if (wanted != PICTURE_NONE && wanted != job->call.images[s->completed].type)
			return;
		if (send_completed(s, false, &ignored) < 0)
			return;
	}
}

static bool
on_look(void *self)
{
	struct stream *s = self;

	send_what_came(s);
	return sse_keep_alive(&s->sse);
}

/* ---- its end ---- */

static int
finish(struct stream *s, struct err *e)
{
	unsigned n = s->job->call.nimages;

	while (s->completed < n)
		if (send_completed(s, s->completed + 1 == n, e) < 0)
			return -1;
	return 0;
}

/* Why it ends, in band, with the pictures that came. */
static void
send_error(struct stream *s, struct err *e)
{
	sse_error(&s->sse, e, image_common_came(s->r, s->job),
		  json_pack("{s:o}", "easel", easel_member(s, e->task_id)));
}

static void
finish_failed(struct stream *s, struct err *e)
{
	struct err ignored;

	while (s->completed < s->job->call.nimages && send_completed(s, false, &ignored) == 0)
		;
	send_error(s, e);
}

/* An answer before the outcome is there. */
static bool
on_tell(void *self, struct err *e)
{
	struct stream *s = self;

	if (!s->sse.begun || s->sse.left)
		return false;
	send_error(s, e);
	return true;
}

/* Nobody is there to be told, so the log is. */
static void
log_left(const struct stream *s)
{
	const struct image_call *call = &s->job->call;

	log_info(s->job->request_id, "%u of %u pictures are stored for a client that has left%s%s",
		 call->nimages, s->job->rq->n, call->nimages ? ", the first is " : "",
		 call->nimages ? call->images[0].id : "");
}

static int
run(struct stream *s, struct image_wait *w, struct err *e)
{
	struct image_job *job = s->job;
	int rc;

	if (job->rq->partial_images) {
		job->on_partial = on_partial;
		job->on_partial_self = s;
	}
	rc = image_wait_run(w, e);
	job->on_partial = NULL;
	job->on_partial_self = NULL;
	return rc;
}

int
image_stream(const struct image_wait *plan, struct err *e)
{
	struct image_job *job = plan->job;
	struct image_wait wait = *plan, *w = &wait;
	struct stream s = { .r = plan->r,
			    .g = plan->g,
			    .job = job,
			    .what = job->rq->nsources ? "image_edit" : "image_generation" };
	int rc, said;

	sse_init(&s.sse, w->r);
	w->look = on_look;
	w->tell = on_tell;
	w->self = &s;
	w->every_us = sse_tick_us(&s.sse);
	said = rc = run(&s, w, e);
	/* It was answered while the work went on, or as the first request was. */
	if (rc < 0 && e->kind == ERR_GONE && request_is_answered(w->r) && !s.sse.left)
		return -1;
	if (!s.sse.begun)
		image_common_headers(w->r, job);
	if (rc == 0)
		said = finish(&s, e);
	if (said < 0 && !s.sse.left && (s.sse.begun || job->call.nimages))
		finish_failed(&s, e);
	if (s.sse.left)
		log_left(&s);
	image_wait_done(w, rc, e);
	return said;
}
