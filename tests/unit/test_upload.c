#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "files_help.h"
#include "net/upstream.h"
#include "provider/upload.h"
#include "wire_server.h"

/* A source of n bytes; p is what it holds, free() it. */
static struct source
source_of(struct filestore *fs, enum picture_type type, size_t n, unsigned char **p)
{
	struct source s = { 0 };
	struct err e = { 0 };
	struct intake in;

	*p = help_picture(type, 10, 10, n);
	assert_int_equal(intake_begin(&in, fs, "image", &e), 0);
	assert_int_equal(intake_bytes(&in, *p, n, &e), 0);
	assert_int_equal(intake_end(&in, &s, &e), 0);
	intake_done(&in);
	return s;
}

static struct filestore *
open_files(void)
{
	struct filestore *fs = NULL;
	struct err e = { 0 };

	assert_int_equal(filestore_open(&fs, "file:files", help_dir, 1 << 20, 1 << 20, 0, &e), 0);
	return fs;
}

/* All of it, read in pieces of `piece` from `from` on. */
static void
expect_reads(struct upload *u, uint64_t from, size_t piece, const char *want, size_t n)
{
	AUTO_FREE char *got = malloc(n + piece);
	uint64_t at = from;
	struct err e = { 0 };

	assert_non_null(got);
	assert_false(u->failed);
	assert_int_equal(u->bytes, n);
	for (;;) {
		size_t k = 0;

		assert_int_equal(upload_read(u, at, got + at, piece, &k, &e), 0);
		assert_true(k <= piece);
		if (!k)
			break;
		at += k;
	}
	assert_int_equal(at, n);
	assert_memory_equal(got + from, want + from, n - from);
}

static void
a_form_is_read_from_anywhere_in_any_pieces(void **state)
{
	static const size_t pieces[] = { 1, 7, 100, 65536 };
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *a = NULL;
	AUTO_FREE unsigned char *b = NULL;
	AUTO(source) one = source_of(fs, PICTURE_PNG, 5001, &a);
	AUTO(source) two = source_of(fs, PICTURE_JPEG, 3000, &b);
	AUTO(buf) want = BUF_INIT(1 << 20);
	AUTO(upload) u;

	(void)state;
	upload_init(&u);
	upload_form_field(&u, "prompt", "一只熊猫\r\n--x");
	upload_form_file(&u, "image[]", "image-1", &one);
	upload_form_file(&u, "image[]", "image-2", &two);
	upload_form_field(&u, "n", "2");
	upload_form_end(&u);
	(void)buf_addf(&want,
		       "--%s\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n"
		       "一只熊猫\r\n--x\r\n"
		       "--%s\r\nContent-Disposition: form-data; name=\"image[]\"; "
		       "filename=\"image-1.png\"\r\nContent-Type: image/png\r\n\r\n",
		       u.boundary, u.boundary);
	(void)buf_add(&want, a, 5001);
	(void)buf_addf(&want,
		       "\r\n--%s\r\nContent-Disposition: form-data; name=\"image[]\"; "
		       "filename=\"image-2.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n",
		       u.boundary);
	(void)buf_add(&want, b, 3000);
	(void)buf_addf(&want,
		       "\r\n--%s\r\nContent-Disposition: form-data; "
		       "name=\"n\"\r\n\r\n2\r\n--%s--\r\n",
		       u.boundary, u.boundary);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
		expect_reads(&u, 0, pieces[i], want.p, want.len);
	for (uint64_t from = 0; from < want.len; from += 501)
		expect_reads(&u, from, 4096, want.p, want.len);
}

static void
base64_is_made_while_it_is_read(void **state)
{
	static const size_t sizes[] = { 66, 67, 68, 3071, 3072, 3073, 3074, 9999 };
	static const size_t pieces[] = { 1, 3, 4, 5, 4095, 4096, 65536 };
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		AUTO_FREE unsigned char *p = NULL;
		AUTO(source) s = source_of(fs, PICTURE_PNG, sizes[i], &p);
		AUTO(buf) want = BUF_INIT(1 << 20);
		AUTO(upload) u;

		upload_init(&u);
		upload_text(&u, "{\"a\":\"", 6);
		upload_base64(&u, &s);
		upload_text(&u, "\"}", 2);
		(void)buf_adds(&want, "{\"a\":\"");
		(void)buf_room(&want, BASE64_ENCODED(sizes[i]));
		want.len += base64_encode(want.p + want.len, p, sizes[i]);
		(void)buf_adds(&want, "\"}");
		for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++)
			expect_reads(&u, 0, pieces[k], want.p, want.len);
		for (uint64_t from = 0; from < want.len && from < 200; from++)
			expect_reads(&u, from, 64, want.p, want.len);
	}
}

static void
more_pictures_than_there_may_be_are_no_request(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = NULL;
	AUTO(source) s = source_of(fs, PICTURE_PNG, 100, &p);
	AUTO(upload) u;

	(void)state;
	upload_init(&u);
	for (int i = 0; i <= SOURCES_MAX; i++)
		upload_source(&u, &s);
	assert_false(u.failed);
	upload_source(&u, &s);
	assert_true(u.failed);
}

/* ---- on the wire ---- */

static void
serve(struct wire *w, int fd, int number)
{
	(void)number;
	if (wire_request(w, fd) == 0)
		(void)wire_answer(fd, "200 OK", "Connection: close\r\n", "fine");
}

struct failing {
	uint64_t after;
	bool stops; /* it says that there is no more, instead of failing */
};

static int
read_until(void *self, uint64_t at, void *p, size_t n, size_t *got, struct err *e)
{
	const struct failing *f = self;

	if (at >= f->after) {
		*got = 0;
		return f->stops ? 0 : err_set(e, ERR_INTERNAL, "an input picture cannot be read");
	}
	*got = n < f->after - at ? n : (size_t)(f->after - at);
	memset(p, 'x', *got);
	return 0;
}

static int
call(struct wire *w, const struct upstream_req *like, struct err *e)
{
	struct upstream_req rq = *like;
	struct buf text = BUF_INIT(100);
	struct upstream_body body = upstream_to_buf(&text);
	const struct deadline d = deadline_in_ms(5000);
	AUTO(upstream_head) head = { 0 };
	struct ledger ledger = { 0 };
	int rc;

	rq.method = "POST";
	rq.url = w->url;
	rq.provider = "acme";
	rq.item = LEDGER_PROVIDER;
	rc = upstream_call(&rq, &body, &head, &d, &ledger, e);
	buf_done(&text);
	return rc;
}

static void
it_leaves_with_its_length_and_again_on_the_next_call(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = NULL;
	AUTO(source) s = source_of(fs, PICTURE_PNG, 20000, &p);
	AUTO(upload) u;
	struct err e = { 0 };
	struct wire w;
	const char *body;

	(void)state;
	upload_init(&u);
	upload_form_file(&u, "image", "a", &s);
	upload_form_end(&u);
	wire_start(&w, serve, NULL);
	for (int i = 0; i < 2; i++) {
		const struct upstream_req rq = { .body_read = upload_read,
						 .body_self = &u,
						 .body_len = (size_t)u.bytes };
		char length[60];

		if (call(&w, &rq, &e) < 0)
			fail_msg("%s %s", e.about, e.detail);
		(void)snprintf(length, sizeof(length), "\r\nContent-Length: %llu\r\n",
			       (unsigned long long)u.bytes);
		assert_non_null(strstr(w.last, length));
		assert_null(strcasestr(w.last, "\r\nTransfer-Encoding:"));
		assert_null(strcasestr(w.last, "\r\nExpect:"));
		body = strstr(w.last, "\r\n\r\n") + 4;
		assert_memory_equal(strstr(body, "\r\n\r\n") + 4, p, 20000);
	}
	assert_int_equal(w.requests, 2);
	wire_stop(&w);
}

static void
a_body_that_cannot_be_read_ends_the_call(void **state)
{
	static const struct failing rows[] = {
		{ 0, false }, { 0, true }, { 9000, false }, { 9000, true }
	};
	struct wire w;

	(void)state;
	wire_start(&w, serve, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct failing f = rows[i];
		const struct upstream_req rq = { .body_read = read_until,
						 .body_self = &f,
						 .body_len = 20000 };
		struct err e = { 0 };

		assert_int_equal(call(&w, &rq, &e), -1);
		assert_int_equal(e.kind, ERR_INTERNAL);
	}
	assert_int_equal(w.requests, 0);
	wire_stop(&w);
}

static int
setup_all(void **state)
{
	struct err e = { 0 };

	(void)state;
	return upstream_init(&e);
}

static int
teardown_all(void **state)
{
	(void)state;
	upstream_shutdown();
	return 0;
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, help_setup, help_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_form_is_read_from_anywhere_in_any_pieces),
		TEST(base64_is_made_while_it_is_read),
		TEST(more_pictures_than_there_may_be_are_no_request),
		TEST(it_leaves_with_its_length_and_again_on_the_next_call),
		TEST(a_body_that_cannot_be_read_ends_the_call),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
