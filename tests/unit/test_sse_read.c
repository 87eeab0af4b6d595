/* net/sse_read: what comes out of an event stream, however it is written and however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/sse_read.h"

/* "name|data;" for each event. */
struct seen {
	struct buf text, data;
	unsigned fail_at; /* the number of the data callback that fails; 0: none */
	unsigned calls;
};

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	struct seen *s = self;

	if (++s->calls == s->fail_at)
		return err_set(e, ERR_UP_GARBAGE, "enough");
	return buf_add(&s->data, p, n);
}

static int
on_end(void *self, const char *name, struct err *e)
{
	struct seen *s = self;

	(void)e;
	(void)buf_addf(&s->text, "%s|%s;", name, buf_str(&s->data));
	buf_clear(&s->data);
	return 0;
}

/* Feeds the stream in pieces of `step` bytes, each of its own for the address sanitizer. */
static void
read_all(struct sse_read *r, struct seen *s, const char *stream, size_t n, size_t step)
{
	struct err e;

	*s = (struct seen){ .text = BUF_INIT(1 << 20), .data = BUF_INIT(1 << 20) };
	sse_read_init(r);
	r->data = on_data;
	r->end = on_end;
	r->self = s;
	for (size_t at = 0; at < n; at += step) {
		size_t k = n - at < step ? n - at : step;
		char *piece = malloc(k);

		assert_non_null(piece);
		memcpy(piece, stream + at, k);
		assert_int_equal(sse_read_feed(r, piece, k, &e), 0);
		free(piece);
	}
}

static void
seen_done(struct seen *s)
{
	buf_done(&s->text);
	buf_done(&s->data);
}

static const struct {
	const char *stream, *events;
	bool cut;
} rows[] = {
	{ "event: a\ndata: 1\n\n", "a|1;", false },
	{ "event: a\r\ndata: 1\r\n\r\n", "a|1;", false },
	{ "event: a\rdata: 1\r\r", "a|1;", false },
	{ "event: a\r\ndata: 1\n\r\ndata: 2\r\r\n", "a|1;|2;", false },
	{ "data: 1\n\ndata: 2\n\n", "|1;|2;", false },
	{ "data:1\n\n", "|1;", false },
	{ "data:  1\n\n", "| 1;", false },
	{ "data: 1\ndata: 2\n\n", "|1\n2;", false },
	{ "data\n\n", "|;", false },
	{ "data\ndata\n\n", "|\n;", false },
	{ "data:\n\n", "|;", false },
	{ "data: a: b\n\n", "|a: b;", false },
	{ "data: 1\nevent: late\n\n", "late|1;", false },
	{ "event: a\nevent: b\ndata: 1\n\n", "b|1;", false },
	{ "event\ndata: 1\n\n", "|1;", false },
	{ "event: only a name\n\ndata: 1\n\n", "|1;", false },
	{ ": keep-alive\n\n", "", false },
	{ ":\n:\n\ndata: 1\n: between\n\n", "|1;", false },
	{ "id: 7\nretry: 10\nwhat is this\ndata: 1\n\n", "|1;", false },
	{ "DATA: 1\n\ndatabase: 2\n\ndat: 3\n\n", "", false },
	{ "\xef\xbb\xbf"
	  "data: 1\n\n",
	  "|1;", false },
	{ "\xef\xbb"
	  "data: 1\n\ndata: 2\n\n",
	  "|2;", false },
	{ "\n\n\ndata: 1\n\n\n\n", "|1;", false },
	{ "data: [DONE]\n\n", "|[DONE];", false },
	{ "data: 1", "", true },
	{ "data: 1\n", "", true },
	{ "data: 1\n\ndat", "|1;", true },
	{ "event: a\n", "", false }, /* nothing but a name: no event, so nothing was cut */
	{ "", "", false },
};

static void
events_come_out_however_the_stream_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t n = strlen(rows[i].stream);

		for (size_t step = 1; step <= n + 1; step++) {
			struct sse_read r;
			struct seen s;

			read_all(&r, &s, rows[i].stream, n, step);
			if (strcmp(buf_str(&s.text), rows[i].events) != 0 ||
			    sse_read_is_cut(&r) != rows[i].cut)
				fail_msg("row %zu in pieces of %zu: '%s', cut %d", i, step,
					 buf_str(&s.text), sse_read_is_cut(&r));
			seen_done(&s);
		}
	}
}

static void
a_long_line_is_handed_on_in_pieces(void **state)
{
	static char stream[200000];
	struct sse_read r;
	struct seen s;

	(void)state;
	memset(stream, 'x', sizeof(stream));
	memcpy(stream, "data: ", 6);
	memcpy(stream + sizeof(stream) - 2, "\n\n", 2);
	read_all(&r, &s, stream, sizeof(stream), 1000);
	assert_true(s.calls >= 200);
	assert_int_equal(s.text.len, sizeof(stream) - 8 + 2);
	seen_done(&s);
}

static void
a_long_name_is_cut(void **state)
{
	char stream[200] = "event: ";
	struct sse_read r;
	struct seen s;

	(void)state;
	memset(stream + 7, 'n', 150);
	memcpy(stream + 157, "\ndata: 1\n\n", 11);
	for (size_t step = 1; step < 170; step += 7) {
		read_all(&r, &s, stream, strlen(stream), step);
		assert_int_equal(s.text.len, SSE_NAME_BYTES - 1 + 3);
		seen_done(&s);
	}
}

static void
the_name_is_known_before_the_data(void **state)
{
	static const char stream[] = "event: image_generation.partial_image\ndata: {";
	struct sse_read r;
	struct seen s;

	(void)state;
	read_all(&r, &s, stream, strlen(stream), 3);
	assert_string_equal(r.name, "image_generation.partial_image");
	assert_string_equal(buf_str(&s.data), "{");
	seen_done(&s);
}

static void
a_callback_ends_it(void **state)
{
	static const char stream[] = "data: 1\ndata: 2\n\n";
	struct seen s = { .text = BUF_INIT(100), .data = BUF_INIT(100), .fail_at = 2 };
	struct sse_read r;
	struct err e;

	(void)state;
	sse_read_init(&r);
	r.data = on_data;
	r.end = on_end;
	r.self = &s;
	assert_int_equal(sse_read_feed(&r, stream, strlen(stream), &e), -1);
	assert_int_equal(e.kind, ERR_UP_GARBAGE);
	assert_string_equal(buf_str(&s.text), "");
	seen_done(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_out_however_the_stream_is_cut),
		cmocka_unit_test(a_long_line_is_handed_on_in_pieces),
		cmocka_unit_test(a_long_name_is_cut),
		cmocka_unit_test(the_name_is_known_before_the_data),
		cmocka_unit_test(a_callback_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
