#include "provider/event_answer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/tick.h"
#include "provider/openai_answer.h"
#include "provider/upstream_said.h"

#define PARTIAL ".partial_image"

/* ---- one picture ---- */

static bool
ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

/* Is the event that is arriving a partial picture's?  Its name says so, or its type, which stands first. */
static bool
is_partial(const struct event_answer *v)
{
	return ends_in(v->read.name, PARTIAL) ||
	       strstr(buf_str(&v->a->scan.rest), PARTIAL "\"") != NULL;
}

static int
on_picture_begin(void *self, unsigned number, struct err *e)
{
	struct event_answer *v = self;
	struct picture_answer *a = v->a;

	(void)e;
	v->partial = is_partial(v);
	v->dropped = v->partial && !a->call->on_partial;
	sink_done(&a->sink);
	a->current = number;
	if (v->partial)
		sink_init_unnamed(&a->sink, a->call->files);
	else
		sink_init(&a->sink, a->call->files);
	if (!v->partial && v->next < IMAGES_MAX)
		v->next++;
	return 0;
}

/* A partial picture that is none costs nothing but itself. */
static int
forgive(struct event_answer *v, int rc)
{
	if (rc < 0 && v->partial)
		v->dropped = true;
	return v->partial ? 0 : rc;
}

static int
on_picture_text(void *self, const char *text, size_t n, struct err *e)
{
	struct event_answer *v = self;
	struct picture_answer *a = v->a;
	int64_t start;
	int rc;

	if (v->dropped || (!v->partial && a->current >= a->room))
		return 0;
	start = clock_us();
	rc = sink_base64(&a->sink, text, n, e);
	a->store_us += clock_us() - start;
	return forgive(v, rc);
}

static int
take_partial(struct event_answer *v, struct err *e)
{
	struct picture p;
	int fd;

	if (sink_take(&v->a->sink, &p, &fd, e) < 0)
		return -1;
	source_done(&v->so_far);
	v->so_far = (struct source){ fd, p.type, p.width, p.height, p.bytes };
	return 0;
}

static int
on_picture_end(void *self, struct err *e)
{
	struct event_answer *v = self;
	struct picture_answer *a = v->a;
	int64_t start;
	int rc;

	if (v->dropped || (!v->partial && a->current >= a->room))
		return 0;
	start = clock_us();
	if (v->partial)
		rc = take_partial(v, e);
	else
		rc = sink_finish(&a->sink, &a->pictures[a->current], e);
	a->store_us += clock_us() - start;
	if (rc == 0 && !v->partial)
		a->state[a->current] = ANSWER_STORED;
	return forgive(v, rc);
}

/* ---- one event ---- */

static void
event_begin(struct event_answer *v)
{
	struct answer_scan *scan = &v->a->scan;

	answer_scan_done(scan);
	answer_scan_init(scan, ANSWER_REST_BYTES);
	scan->picture_begin = on_picture_begin;
	scan->picture_text = on_picture_text;
	scan->picture_end = on_picture_end;
	scan->self = v;
	scan->pictures = v->next;
	v->in_event = true;
	v->partial = v->dropped = false;
}

static int
on_event_data(void *self, const char *p, size_t n, struct err *e)
{
	struct event_answer *v = self;

	if (!v->in_event)
		event_begin(v);
	return answer_scan_feed(&v->a->scan, p, n, e);
}

static bool
is_error(const char *name, const json_t *root)
{
	const char *type = json_string_value(json_object_get(root, "type"));

	return !strcmp(name, "error") || said_is_error(root) || (type && !strcmp(type, "error"));
}

static int
told_error(const struct event_answer *v, const json_t *root, struct err *e)
{
	(void)upstream_error_json(v->f, root, e);
	e->stage = "provider.recv";
	return -1;
}

/* A picture could not be fetched; others may still come. */
static void
keep_reason(struct event_answer *v, const struct err *e)
{
	if (!v->unfetched)
		v->unfetched = malloc(sizeof(*v->unfetched));
	if (v->unfetched)
		*v->unfetched = *e;
}

/* Pictures of an event that turned out to be something else; their numbers are free again. */
static void
remove_untaken(struct event_answer *v)
{
	struct picture_answer *a = v->a;

	for (unsigned i = 0; i < IMAGES_MAX; i++)
		if (a->state[i] == ANSWER_STORED) {
			filestore_remove(a->call->files, &a->pictures[i]);
			a->state[i] = ANSWER_NONE;
		}
	while (v->next && a->state[v->next - 1] == ANSWER_NONE)
		v->next--;
}

static int
on_event_end(void *self, const char *name, struct err *e)
{
	struct event_answer *v = self;
	struct picture_answer *a = v->a;
	const struct buf *rest = &a->scan.rest;
	json_auto_t *root = NULL;
	unsigned before = a->call->nimages;
	struct err why;

	if (!v->in_event) /* it had no data in its data */
		return 0;
	v->in_event = false;
	sink_done(&a->sink);
	if (json_read(buf_str(rest), rest->len, &root, &why) < 0 || !json_is_object(root))
		return 0; /* "[DONE]", and what nobody can understand */
	if (is_partial(v)) {
		openai_facts_read(a->call, root);
		if (v->so_far.type != PICTURE_NONE && a->call->on_partial)
			a->call->on_partial(a->call->self, a->call->nimages, &v->so_far);
		source_done(&v->so_far);
	} else if (is_error(name, root)) {
		return told_error(v, root, e);
	} else if (openai_event_read(a, root, v->want, &why) < 0) {
		keep_reason(v, &why);
	}
	remove_untaken(v);
	if (a->call->nimages > before)
		tick_now();
	return 0;
}

/* ---- the whole ---- */

void
event_answer_init(struct event_answer *v, struct picture_answer *a,
		  const struct upstream_failure *f, unsigned want)
{
	*v = (struct event_answer){ .a = a, .f = f, .want = want, .plain = picture_answer_body(a) };
	sse_read_init(&v->read);
	v->read.data = on_event_data;
	v->read.end = on_event_end;
	v->read.self = v;
}

void
event_answer_done(struct event_answer *v)
{
	source_done(&v->so_far);
	free(v->unfetched);
	v->unfetched = NULL;
}

static int
on_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct event_answer *v = self;

	if (v->plain.begin(v->plain.self, h, e) < 0)
		return -1;
	v->is_stream = !v->a->failed && !strcmp(h->content_type, "text/event-stream");
	v->chosen = v->a->failed || v->is_stream;
	return 0;
}

/* What servers call their stream is another matter: no JSON begins like this. */
static void
choose(struct event_answer *v, const char *p, size_t n)
{
	v->chosen = true;
	v->is_stream = (n >= 6 && !memcmp(p, "event:", 6)) || (n >= 5 && !memcmp(p, "data:", 5)) ||
		       (n && *p == ':');
}

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	struct event_answer *v = self;

	if (!v->chosen && n)
		choose(v, p, n);
	return v->is_stream ? sse_read_feed(&v->read, p, n, e)
			    : v->plain.data(v->plain.self, p, n, e);
}

/* Everything that was asked for is stored: how the stream goes on does not matter. */
static bool
has_enough(void *self)
{
	const struct event_answer *v = self;

	return v->is_stream && v->a->call->nimages >= v->want;
}

struct upstream_body
event_answer_body(struct event_answer *v)
{
	return (struct upstream_body){ on_begin, on_data, v, has_enough };
}

int
event_answer_read(struct event_answer *v, struct err *e)
{
	struct picture_answer *a = v->a;

	if (a->failed)
		return upstream_error(v->f, buf_str(&a->text), a->text.len, e);
	if (!v->is_stream)
		return openai_answer_read(a, v->f, v->want, e);
	if (a->call->nimages >= v->want)
		return 0;
	if (a->call->nimages)
		return openai_answer_incomplete(a, v->f, v->unfetched ? v->unfetched->about : "",
						e);
	if (v->unfetched) {
		*e = *v->unfetched;
		return -1;
	}
	return openai_answer_cut(a, v->f, e);
}
