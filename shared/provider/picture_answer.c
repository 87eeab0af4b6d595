#include "provider/picture_answer.h"

#include <string.h>

#include "provider/upstream_error.h"

static int
on_picture_begin(void *self, unsigned number, struct err *e)
{
	struct picture_answer *a = self;

	(void)e;
	a->current = number;
	sink_init(&a->sink, a->call->files);
	return 0;
}

static int
on_picture_text(void *self, const char *text, size_t n, struct err *e)
{
	struct picture_answer *a = self;
	int64_t start;
	int rc;

	if (a->current >= a->room)
		return 0;
	start = clock_us();
	rc = sink_base64(&a->sink, text, n, e);
	a->store_us += clock_us() - start;
	return rc;
}

static int
on_picture_end(void *self, struct err *e)
{
	struct picture_answer *a = self;
	int64_t start;
	int rc;

	if (a->current >= a->room)
		return 0;
	start = clock_us();
	rc = sink_finish(&a->sink, &a->pictures[a->current], e);
	a->store_us += clock_us() - start;
	if (rc == 0)
		a->state[a->current] = ANSWER_STORED;
	return rc;
}

void
picture_answer_init(struct picture_answer *a, struct image_call *call, unsigned room)
{
	*a = (struct picture_answer){ .call = call,
				      .room = room < IMAGES_MAX ? room : IMAGES_MAX,
				      .text = { .max = UPSTREAM_ERROR_BYTES } };
	answer_scan_init(&a->scan, ANSWER_REST_BYTES);
	a->scan.picture_begin = on_picture_begin;
	a->scan.picture_text = on_picture_text;
	a->scan.picture_end = on_picture_end;
	a->scan.self = a;
	sink_init(&a->sink, call->files);
}

void
picture_answer_done(struct picture_answer *a)
{
	if (!a->call)
		return;
	for (unsigned i = 0; i < IMAGES_MAX; i++)
		if (a->state[i] == ANSWER_STORED)
			filestore_remove(a->call->files, &a->pictures[i]);
	sink_done(&a->sink);
	answer_scan_done(&a->scan);
	buf_done(&a->text);
	a->call = NULL;
}

static int
on_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct picture_answer *a = self;

	(void)e;
	a->failed = h->status < 200 || h->status >= 300;
	return 0;
}

/* A web page is known by its first character: what servers call their JSON is another matter. */
static void
sniff(struct picture_answer *a, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && strchr(" \t\r\n", p[i]) && p[i])
		i++;
	if (i == n)
		return;
	a->sniffed = true;
	a->failed = a->failed || p[i] == '<';
}

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	struct picture_answer *a = self;
	struct upstream_body text = upstream_to_buf(&a->text);

	if (!a->sniffed)
		sniff(a, p, n);
	return a->failed ? text.data(text.self, p, n, e) : answer_scan_feed(&a->scan, p, n, e);
}

struct upstream_body
picture_answer_body(struct picture_answer *a)
{
	return (struct upstream_body){ on_begin, on_data, a };
}

void
picture_answer_book(const struct picture_answer *a, enum ledger_item item)
{
	a->call->ledger->us[LEDGER_STORE] += a->store_us;
	a->call->ledger->us[item] -= a->store_us;
}

bool
picture_answer_take(struct picture_answer *a, int64_t number)
{
	struct image_call *call = a->call;

	if (number < 0 || number >= IMAGES_MAX || a->state[number] != ANSWER_STORED ||
	    call->nimages == IMAGES_MAX)
		return false;
	call->images[call->nimages++] = a->pictures[number];
	a->state[number] = ANSWER_TAKEN;
	return true;
}

void
picture_answer_take_rest(struct picture_answer *a, unsigned max)
{
	for (unsigned i = 0; i < IMAGES_MAX && a->call->nimages < max; i++)
		(void)picture_answer_take(a, i);
}

bool
picture_answer_is_cut(const struct picture_answer *a)
{
	const struct buf *rest = &a->scan.rest;
	bool string = false;
	int depth = 0;

	if (!answer_scan_complete(&a->scan))
		return true;
	for (size_t i = 0; i < rest->len; i++) {
		char c = rest->p[i];

		if (string && c == '\\')
			i++;
		else if (c == '"')
			string = !string;
		else if (!string && (c == '{' || c == '['))
			depth++;
		else if (!string && (c == '}' || c == ']'))
			depth--;
	}
	return string || depth > 0;
}
