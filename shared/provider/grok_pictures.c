#include "provider/grok_pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/tick.h"

#define REST_BYTES  (256 * 1024) /* of a message without its picture: two long prompts */
#define QUOTE_BYTES 400

static int
on_begin(void *self, unsigned number, struct err *e)
{
	struct grok_pictures *g = self;

	(void)e;
	if (number)
		return 0; /* one picture a message */
	g->blob = true;
	sink_init(&g->sink, g->call->files);
	return 0;
}

/* Is it the picture's fault, rather than ours? */
static bool
is_its_fault(const struct err *e)
{
	return e->kind == ERR_RESULT_NOT_IMAGE || e->kind == ERR_UP_TOO_LARGE;
}

static int
on_text(void *self, const char *text, size_t n, struct err *e)
{
	struct grok_pictures *g = self;
	int64_t start_us = clock_us();
	int rc;

	if (g->scan.pictures > 1 || g->blob_bad)
		return 0;
	g->chars += n;
	rc = sink_base64(&g->sink, text, n, &g->blob_why);
	g->store_us += clock_us() - start_us;
	if (rc == 0)
		return 0;
	g->blob_bad = true;
	sink_done(&g->sink);
	/* A preview that is no picture is no reason to stop. */
	if (is_its_fault(&g->blob_why))
		return 0;
	*e = g->blob_why;
	return -1;
}

static int
on_end(void *self, struct err *e)
{
	(void)self;
	(void)e;
	return 0;
}

static void
begin_message(struct grok_pictures *g)
{
	answer_scan_again(&g->scan);
	sink_done(&g->sink);
	g->blob = g->blob_bad = false;
	g->chars = 0;
	g->data_us = 0;
}

void
grok_pictures_init(struct grok_pictures *g, struct image_call *call, unsigned want)
{
	*g = (struct grok_pictures){ .call = call, .want = want, .quote = BUF_INIT(QUOTE_BYTES) };
	answer_scan_init(&g->scan, REST_BYTES);
	g->scan.also = "blob";
	g->scan.picture_begin = on_begin;
	g->scan.picture_text = on_text;
	g->scan.picture_end = on_end;
	g->scan.self = g;
	sink_init(&g->sink, call->files);
}

static void
drop(struct grok_pictures *g, struct grok_picture *p)
{
	if (p->held)
		filestore_drop(g->call->files, p->fd, p->picture.id);
	p->held = false;
}

void
grok_pictures_done(struct grok_pictures *g)
{
	for (unsigned i = 0; i < g->n; i++)
		drop(g, &g->v[i]);
	sink_done(&g->sink);
	answer_scan_done(&g->scan);
	buf_done(&g->quote);
	g->n = 0;
}

int
grok_pictures_data(void *self, const char *p, size_t n, struct err *e)
{
	struct grok_pictures *g = self;

	g->data_us = clock_us();
	return answer_scan_feed(&g->scan, p, n, e);
}

/* ---- which picture ---- */

/* NULL: there is no room for another. */
static struct grok_picture *
picture_of(struct grok_pictures *g, const struct grok_frame *f)
{
	struct grok_picture *p;
	char id[GROK_ID];

	(void)snprintf(id, sizeof(id), "%s", f->id);
	if (!*id && f->place >= 0)
		(void)snprintf(id, sizeof(id), "#%u.%d", g->round, f->place);
	for (unsigned i = 0; *id && i < g->n; i++)
		if (!strcmp(g->v[i].id, id))
			return &g->v[i];
	if (g->n == GROK_PICTURES_MAX)
		return NULL;
	p = &g->v[g->n++];
	*p = (struct grok_picture){ .place = f->place, .percent = -1, .round = g->round };
	(void)snprintf(p->id, sizeof(p->id), "%s", id);
	return p;
}

/* ---- what becomes of it ---- */

static int
make_final(struct grok_pictures *g, struct grok_picture *p, struct err *e)
{
	int64_t start_us = clock_us();
	int rc;

	if (g->finals >= g->want)
		return 0;
	p->held = false; /* filestore_publish() closes it, whatever comes of it */
	rc = filestore_publish(g->call->files, p->fd, &p->picture, e);
	g->store_us += clock_us() - start_us;
	if (rc < 0)
		return -1;
	p->fate = FATE_FINAL;
	g->finals++;
	return 0;
}

static void
make_moderated(struct grok_pictures *g, struct grok_picture *p)
{
	drop(g, p);
	p->fate = FATE_MODERATED;
	g->moderated++;
}

/* Does what is known of it say that what is held is the final picture? */
static bool
is_final(const struct grok_pictures *g, const struct grok_picture *p)
{
	if (!p->held)
		return false;
	if (p->percent >= 100)
		return p->clean || p->completed;
	if (p->percent >= 0)
		return false;
	return p->completed || (!g->states && !g->percents && p->chars >= FINAL_CHARS);
}

/* The same when nothing more will come. */
static bool
is_final_at_last(const struct grok_picture *p)
{
	bool large = p->chars >= FINAL_CHARS;

	if (!p->held)
		return false;
	return p->percent >= 100 || (p->percent < 0 && (p->completed || large)) ||
	       (p->completed && large);
}

static int
judge(struct grok_pictures *g, struct grok_picture *p, struct err *e)
{
	return p->fate == FATE_OPEN && is_final(g, p) ? make_final(g, p, e) : 0;
}

/* ---- a message ---- */

static void
show(struct grok_pictures *g, const struct grok_picture *p)
{
	const struct source so_far = { .fd = p->fd,
				       .type = p->picture.type,
				       .width = p->picture.width,
				       .height = p->picture.height,
				       .bytes = p->picture.bytes };
	unsigned number = p->place >= 0 && (unsigned)p->place < g->want ? (unsigned)p->place
									: (unsigned)(p - g->v);

	if (g->call->on_partial && number < g->want)
		g->call->on_partial(g->call->self, number, &so_far);
}

static void
take_bad(struct grok_pictures *g, struct grok_picture *p, const struct grok_frame *f,
	 const struct err *why)
{
	/* Only the last blob counts. */
	if (f->percent >= 0 && f->percent < 100)
		return;
	if (f->percent < 0 && !p->completed && g->chars < FINAL_CHARS)
		return;
	if (!g->bad++)
		g->why = *why;
	p->fate = FATE_BAD;
	drop(g, p);
}

/* A frame without a percentage may be the last: servers that say it with previews leave it out there. */
static bool
is_better(const struct grok_picture *held, int percent, uint64_t bytes)
{
	int mine = percent < 0 ? 100 : percent, theirs = held->percent < 0 ? 100 : held->percent;

	return !held->held || mine > theirs || (mine == theirs && bytes >= held->picture.bytes);
}

/* The message's blob becomes what is held, if it is better than that. */
static void
take_blob(struct grok_pictures *g, struct grok_picture *p, const struct grok_frame *f)
{
	int64_t start_us = clock_us();
	struct picture fresh;
	struct err why = g->blob_why;
	int fd, rc = g->blob_bad ? -1 : sink_take(&g->sink, &fresh, &fd, &why);

	g->store_us += clock_us() - start_us;
	if (rc < 0) {
		take_bad(g, p, f, &why);
		return;
	}
	if (!is_better(p, f->percent, fresh.bytes)) {
		filestore_drop(g->call->files, fd, fresh.id);
		return;
	}
	drop(g, p);
	p->held = true;
	p->fd = fd;
	p->picture = fresh;
	p->chars = g->chars;
	p->percent = f->percent;
	p->clean = f->moderated == 0;
	if (!is_final(g, p))
		show(g, p);
}

static int
take_image(struct grok_pictures *g, const struct grok_frame *f, struct err *e)
{
	struct grok_picture *p = picture_of(g, f);

	g->percents = g->percents || f->percent >= 0;
	if (!p || p->fate != FATE_OPEN)
		return 0;
	if (p->place < 0)
		p->place = f->place;
	g->heard_us = clock_us();
	/* Previews of one that will be withheld say so too, and so does its blurred last one. */
	if (f->moderated == 1) {
		if (f->percent < 0 || f->percent >= 100)
			make_moderated(g, p);
		return 0;
	}
	if (f->blob) {
		g->seen_us = g->heard_us;
		take_blob(g, p, f);
	}
	return judge(g, p, e);
}

static int
take_status(struct grok_pictures *g, const struct grok_frame *f, struct err *e)
{
	struct grok_picture *p = picture_of(g, f);

	g->states = true;
	if (!p || p->fate != FATE_OPEN)
		return 0;
	if (p->place < 0)
		p->place = f->place;
	g->heard_us = clock_us();
	p->completed = p->completed || f->completed;
	if (f->completed && f->moderated == 1) {
		make_moderated(g, p);
		return 0;
	}
	return judge(g, p, e);
}

int
grok_pictures_end(struct grok_pictures *g, json_t **error, struct err *e)
{
	const struct buf *rest = &g->scan.rest;
	json_auto_t *root = NULL;
	struct grok_frame f;
	struct err ignored;
	int rc = 0;

	*error = NULL;
	if (json_read(buf_str(rest), rest->len, &root, &ignored) < 0) {
		/* It may be the only thing that there is to say in the end. */
		buf_clear(&g->quote);
		(void)buf_add(&g->quote, buf_str(rest),
			      rest->len < QUOTE_BYTES ? rest->len : QUOTE_BYTES);
		begin_message(g);
		return 0;
	}
	grok_frame_read(root, &f);
	switch (f.type) {
	case FRAME_IMAGE: rc = take_image(g, &f, e); break;
	case FRAME_STATUS: rc = take_status(g, &f, e); break;
	case FRAME_ERROR: *error = json_incref(root); break;
	case FRAME_OTHER: break;
	}
	begin_message(g);
	return rc;
}

/* ---- rounds ---- */

bool
grok_pictures_open(const struct grok_pictures *g)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->v[i].round == g->round && g->v[i].fate == FATE_OPEN)
			return true;
	return false;
}

unsigned
grok_pictures_ended(const struct grok_pictures *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->n; i++)
		n += g->v[i].round == g->round && g->v[i].fate != FATE_OPEN;
	return n;
}

int
grok_pictures_settle(struct grok_pictures *g, struct err *e)
{
	begin_message(g);
	for (unsigned i = 0; i < g->n; i++) {
		struct grok_picture *p = &g->v[i];

		if (p->fate == FATE_OPEN && is_final_at_last(p) && make_final(g, p, e) < 0)
			return -1;
	}
	return 0;
}

int
grok_pictures_round(struct grok_pictures *g, struct err *e)
{
	if (grok_pictures_settle(g, e) < 0)
		return -1;
	g->round++;
	g->heard_us = g->seen_us = 0;
	return 0;
}

static int
by_place(const void *a, const void *b)
{
	const struct grok_picture *x = *(const struct grok_picture *const *)a;
	const struct grok_picture *y = *(const struct grok_picture *const *)b;

	if (x->round != y->round)
		return x->round < y->round ? -1 : 1;
	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return strcmp(x->id, y->id);
}

void
grok_pictures_deliver(struct grok_pictures *g)
{
	struct grok_picture *order[GROK_PICTURES_MAX] = { NULL };
	struct image_call *call = g->call;
	unsigned n = 0;

	for (unsigned i = 0; i < g->n; i++)
		if (g->v[i].fate == FATE_FINAL)
			order[n++] = &g->v[i];
	qsort(order, n, sizeof(order[0]), by_place);
	for (unsigned i = 0; i < n && call->nimages < IMAGES_MAX; i++)
		call->images[call->nimages++] = order[i]->picture;
	call->ledger->us[LEDGER_STORE] += g->store_us;
	call->ledger->us[LEDGER_PROVIDER] -= g->store_us;
	g->store_us = 0;
}
