#include "provider/novelai_answer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "provider/novelai_error.h"
#include "provider/novelai_zip.h"
#include "provider/openai_answer.h"

#define AROUND_BYTES 65536 /* what an archive or a frame holds beside its pictures */
#define NO_LIMIT     (1ull << 30)

static int on_image_begin(void *self, const struct frame_said *so_far, struct err *e);
static int on_image_bytes(void *self, const void *p, size_t n, struct err *e);
static int on_event(void *self, const struct frame_said *said, struct err *e);

static uint64_t
picture_max(const struct novelai_answer *a)
{
	uint64_t bytes = filestore_image_bytes(a->base.call->files);

	return (bytes < NO_LIMIT ? bytes : NO_LIMIT) + AROUND_BYTES;
}

void
novelai_answer_init(struct novelai_answer *a, struct image_call *call, unsigned steps)
{
	*a = (struct novelai_answer){ .spool = -1, .steps = steps ? steps : 1 };
	picture_answer_init(&a->base, call, 1);
	a->base.scan.also = "image";
	sink_init(&a->sink, call->files);
	novelai_frames_init(&a->frames, (uint32_t)picture_max(a));
	a->frames.image_begin = on_image_begin;
	a->frames.image_bytes = on_image_bytes;
	a->frames.event = on_event;
	a->frames.self = a;
}

void
novelai_answer_done(struct novelai_answer *a)
{
	if (!a->base.call)
		return;
	cleanup_fd(&a->spool);
	a->spool = -1;
	sink_done(&a->sink);
	intake_done(&a->intake);
	source_done(&a->held);
	picture_answer_done(&a->base);
}

/* The picture that is whole now is the call's as soon as somebody takes it. */
static int
keep(struct novelai_answer *a, struct sink *sink, struct err *e)
{
	if (sink_finish(sink, &a->base.pictures[0], e) < 0)
		return -1;
	a->base.state[0] = ANSWER_STORED;
	return 0;
}

/* ---- frames ---- */

/* Previews are many: as many as are wanted, spread over the steps, the last one not too late. */
static bool
wanted(const struct novelai_answer *a, const struct frame_said *said)
{
	unsigned want = (unsigned)a->base.call->rq->partial_images;

	if (!a->base.call->on_partial || a->partials >= want)
		return false;
	return said->step < 0 ||
	       ((uint64_t)said->step + 1) * (want + 1) >= (uint64_t)a->steps * (a->partials + 1);
}

static int
on_image_begin(void *self, const struct frame_said *so_far, struct err *e)
{
	struct novelai_answer *a = self;

	source_done(&a->held);
	intake_done(&a->intake); /* a map may say its key twice */
	a->image = IMAGE_SKIPPED;
	if (!strcmp(so_far->event, "final") && a->base.state[0] == ANSWER_NONE) {
		a->image = IMAGE_FINAL;
		sink_done(&a->sink);
		return 0;
	}
	if (!strcmp(so_far->event, "final") ||
	    (!strcmp(so_far->event, "intermediate") && !wanted(a, so_far)))
		return 0;
	a->image = IMAGE_PREVIEW;
	return intake_begin(&a->intake, a->base.call->files, "image", e);
}

static int
on_image_bytes(void *self, const void *p, size_t n, struct err *e)
{
	struct novelai_answer *a = self;
	struct err ignored;

	if (a->image == IMAGE_FINAL)
		return sink_bytes(&a->sink, p, n, e);
	/* A preview that is none is no reason to lose the picture. */
	if (a->image == IMAGE_PREVIEW && intake_bytes(&a->intake, p, n, &ignored) < 0) {
		intake_done(&a->intake);
		a->image = IMAGE_SKIPPED;
	}
	return 0;
}

/* A picture that stood in front of the word that it is the final one. */
static int
copy_held(struct novelai_answer *a, struct err *e)
{
	char piece[4096];
	size_t got;

	for (uint64_t at = 0; at < a->held.bytes; at += got)
		if (source_read(&a->held, at, piece, sizeof(piece), &got, e) < 0 ||
		    sink_bytes(&a->sink, piece, got, e) < 0)
			return -1;
	return keep(a, &a->sink, e);
}

static int
on_final(struct novelai_answer *a, struct err *e)
{
	a->finished = true;
	if (a->base.state[0] != ANSWER_NONE)
		return 0;
	if (a->image == IMAGE_FINAL)
		return keep(a, &a->sink, e);
	if (a->held.type != PICTURE_NONE)
		return copy_held(a, e);
	return err_set(e, ERR_UP_GARBAGE, "its last event has no picture");
}

static int
on_event(void *self, const struct frame_said *said, struct err *e)
{
	struct novelai_answer *a = self;
	struct image_call *call = a->base.call;
	struct err ignored;
	int rc = 0;

	if (said->image && a->image == IMAGE_PREVIEW) {
		if (intake_end(&a->intake, &a->held, &ignored) < 0)
			a->held = (struct source){ 0 };
		intake_done(&a->intake);
	}
	if (!strcmp(said->event, "final")) {
		rc = on_final(a, e);
	} else if (!strcmp(said->event, "error")) {
		a->stream_failed = true;
		a->failure = *said;
	} else if (!strcmp(said->event, "intermediate") && a->held.type != PICTURE_NONE &&
		   wanted(a, said)) {
		a->partials++;
		call->on_partial(call->self, call->nimages, &a->held);
	}
	source_done(&a->held);
	a->image = IMAGE_SKIPPED;
	return rc;
}

/* ---- the bytes ---- */

static int
on_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct novelai_answer *a = self;
	struct upstream_body base = picture_answer_body(&a->base);

	return base.begin(base.self, h, e);
}

static int
spool(struct novelai_answer *a, const char *p, size_t n, struct err *e)
{
	struct filestore *fs = a->base.call->files;

	if (a->spool < 0 && (a->spool = filestore_unnamed(fs, e)) < 0)
		return -1;
	a->spooled += n;
	if (a->spooled > picture_max(a))
		return err_set(e, ERR_UP_TOO_LARGE, "its archive is too large");
	while (n) {
		ssize_t put = write(a->spool, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return filestore_failed(fs, "write", errno, e);
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

static void
sniff(struct novelai_answer *a)
{
	const unsigned char *p = a->first;

	a->form = NOVELAI_JSON;
	if (a->base.failed)
		return;
	if (!memcmp(p, "PK\x03\x04", 4) || !memcmp(p, "PK\x05\x06", 4))
		a->form = NOVELAI_ZIP;
	else if (!memcmp(p, "\x89PNG", 4) || !memcmp(p, "\xff\xd8\xff", 3) || !memcmp(p, "RIFF", 4))
		a->form = NOVELAI_BARE;
	else if (*p < 8) /* the length of a frame; no text begins so */
		a->form = NOVELAI_FRAMES;
}

static int
take(struct novelai_answer *a, const char *p, size_t n, struct err *e)
{
	struct upstream_body base = picture_answer_body(&a->base);

	switch (a->form) {
	case NOVELAI_ZIP: return spool(a, p, n, e);
	case NOVELAI_BARE: return sink_bytes(&a->sink, p, n, e);
	case NOVELAI_FRAMES: return novelai_frames_feed(&a->frames, p, n, e);
	case NOVELAI_JSON:
	case NOVELAI_SNIFFING: break;
	}
	return base.data(base.self, p, n, e);
}

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	struct novelai_answer *a = self;
	int64_t start;
	int rc;

	while (a->form == NOVELAI_SNIFFING && n) {
		a->first[a->nfirst++] = (unsigned char)*p++;
		n--;
		if (a->nfirst < sizeof(a->first))
			continue;
		sniff(a);
		if (take(a, (const char *)a->first, a->nfirst, e) < 0)
			return -1;
	}
	if (!n)
		return 0;
	start = clock_us();
	rc = take(a, p, n, e);
	if (a->form != NOVELAI_JSON) /* which counts for itself */
		a->base.store_us += clock_us() - start;
	return rc;
}

struct upstream_body
novelai_answer_body(struct novelai_answer *a)
{
	return (struct upstream_body){ on_begin, on_data, a };
}

/* ---- what it was ---- */

/* An answer that was a success as far as HTTP goes: whatever is wrong with it has been paid for. */
static int
paid(const struct novelai_answer *a, const struct upstream_failure *f, struct err *e)
{
	e->stage = "provider.recv";
	e->may_have_been_billed = true;
	e->upstream.status = f->head->status;
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s",
		       a->base.call->provider->name);
	(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
		       f->head->request_id);
	return -1;
}

static int
read_zip(struct novelai_answer *a, const struct upstream_failure *f, struct err *e)
{
	int64_t start = clock_us();
	unsigned n = 0;
	int rc = novelai_zip_read(a->base.call->files, a->spool, a->base.pictures, 1, &n, e);

	a->base.call->ledger->us[LEDGER_STORE] += clock_us() - start;
	if (n)
		a->base.state[0] = ANSWER_STORED;
	else if (rc == 0)
		rc = err_set(e, ERR_UP_GARBAGE, "its archive holds no picture");
	return rc < 0 ? paid(a, f, e) : 0;
}

/* The error that came in a stream, as the status that it names. */
static int
stream_error(const struct novelai_answer *a, const struct upstream_failure *f, struct err *e)
{
	const struct frame_said *said = &a->failure;
	json_auto_t *o = json_pack("{s:{s:s, s:I}}", "error", "message", said->message, "code",
				   (json_int_t)(said->code < 0 ? 500 : said->code));

	(void)upstream_error_json(f, o, e);
	e->may_have_been_billed = true; /* steps of it had been made */
	return -1;
}

static int
read_frames(struct novelai_answer *a, const struct upstream_failure *f, struct err *e)
{
	if (a->stream_failed)
		return stream_error(a, f, e);
	if (a->finished && a->base.state[0] == ANSWER_STORED)
		return 0;
	(void)err_set(e, ERR_UP_TRUNCATED, "%s", "");
	return paid(a, f, e);
}

static int
read_whole(struct novelai_answer *a, const struct upstream_failure *f, struct err *e)
{
	struct picture_answer *b = &a->base;

	switch (a->form) {
	case NOVELAI_ZIP: return read_zip(a, f, e);
	case NOVELAI_BARE: return keep(a, &a->sink, e) < 0 ? paid(a, f, e) : 0;
	case NOVELAI_FRAMES: return read_frames(a, f, e);
	case NOVELAI_SNIFFING: /* less than four bytes */
		if (a->nfirst)
			(void)take(a, (const char *)a->first, a->nfirst, e);
		break;
	case NOVELAI_JSON: break;
	}
	if (b->failed)
		return novelai_error(f, buf_str(&b->text), b->text.len, e);
	return openai_answer_read(b, f, b->call->nimages + 1, e);
}

int
novelai_answer_read(struct novelai_answer *a, int rc, const struct upstream_failure *f,
		    struct err *e)
{
	struct image_call *call = a->base.call;

	picture_answer_book(&a->base, LEDGER_PROVIDER);
	if (rc == 0)
		rc = read_whole(a, f, e);
	if (a->base.state[0] == ANSWER_STORED)
		picture_answer_take_rest(&a->base, call->nimages + 1);
	return rc;
}
