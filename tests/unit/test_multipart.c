#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "http/multipart.h"

/* ---- a body, in pieces of one size; what comes of it as one text: "name|filename|type=content;" ---- */

#define TYPE "multipart/form-data; boundary=XX"

static int
on_begin(void *self, const struct multipart_part *p, struct err *e)
{
	if (!strcmp(p->name, "refuse"))
		return err_set(e, ERR_VALUE, "refused");
	return buf_addf(self, "%s|%s|%s=", p->name, p->has_filename ? p->filename : "-", p->type);
}

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	(void)e;
	assert_true(n > 0);
	return buf_add(self, p, n);
}

static int
on_end(void *self, struct err *e)
{
	(void)e;
	return buf_adds(self, ";");
}

static int
read_in_pieces(const char *type, const char *body, size_t n, size_t piece, struct buf *out,
	       struct err *e)
{
	const struct multipart_handler to = { on_begin, on_data, on_end, out };
	struct multipart m;

	if (multipart_begin(&m, type, &to, e) < 0)
		return -1;
	for (size_t at = 0; at < n; at += piece) {
		size_t k = n - at < piece ? n - at : piece;
		AUTO_FREE char *copy = malloc(k); /* so that the sanitizer sees a step too far */

		assert_non_null(copy);
		memcpy(copy, body + at, k);
		if (multipart_bytes(&m, copy, k, e) < 0)
			return -1;
	}
	return multipart_end(&m, e);
}

static const size_t pieces[] = { 1, 2, 3, 5, 7, 64, 100000 };
#define PIECES (sizeof(pieces) / sizeof(*pieces))

static void
expect_parts(const char *type, const char *body, size_t n, const char *want)
{
	for (size_t i = 0; i < PIECES; i++) {
		AUTO(buf) out = BUF_INIT(1 << 20);
		struct err e = { 0 };

		if (read_in_pieces(type, body, n, pieces[i], &out, &e) < 0)
			fail_msg("pieces of %zu: %s: %s", pieces[i], e.about, body);
		assert_string_equal(buf_str(&out), want);
	}
}

static void
expect_refusal(const char *type, const char *body, size_t n, const char *about)
{
	for (size_t i = 0; i < PIECES; i++) {
		AUTO(buf) out = BUF_INIT(1 << 20);
		struct err e = { 0 };

		if (read_in_pieces(type, body, n, pieces[i], &out, &e) == 0)
			fail_msg("not refused: %s", body);
		assert_int_equal(e.kind, ERR_MULTIPART);
		assert_string_equal(e.about, about);
	}
}

#define PART(name, content) \
	"--XX\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" content "\r\n"
#define FILE_PART(name, file, type, content)                                                   \
	"--XX\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"" file "\"\r\n" \
	"Content-Type: " type "\r\n\r\n" content "\r\n"
#define END "--XX--\r\n"

static void
parts_come_in_any_order_and_in_any_pieces(void **state)
{
	static const struct {
		const char *body, *want;
	} rows[] = {
		{ PART("prompt", "a panda") END, "prompt|-|=a panda;" },
		{ FILE_PART("image[]", "a.png", "image/png", "PNG") PART("n", "2") END,
		  "image[]|a.png|image/png=PNG;n|-|=2;" },
		{ PART("a", "") PART("b", "") END, "a|-|=;b|-|=;" },
		{ END, "" },
		{ "before\r\nit\r\n" PART("a", "1") "--XX--", "a|-|=1;" },
		{ PART("a", "1") END "after\r\n--XX\r\nit", "a|-|=1;" },
		{ PART("a", "-XX") END, "a|-|=-XX;" },
		{ PART("a", "x--XX--\r\r\n\r\n-\r\n--X\r\n--XY--\r") END,
		  "a|-|=x--XX--\r\r\n\r\n-\r\n--X\r\n--XY--\r;" },
		{ PART("a", "\r\n\r\n") END, "a|-|=\r\n\r\n;" },
		{ PART("a", "\r\r\r\n--X") END, "a|-|=\r\r\r\n--X;" },
		{ "--XX  \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX--  ",
		  "a|-|=1;" },
		{ "--XX\r\ncontent-disposition:form-data;name=a;filename=\r\n\r\n1\r\n" END,
		  "a||=1;" },
		{ "--XX\r\nContent-Disposition: form-data; filename=\"a \\\"b\\\".png\"; "
		  "name=\"i\\\\j\"\r\nX-Other: yes\r\nContent-Transfer-Encoding: binary\r\n\r\n"
		  "1\r\n" END,
		  "i\\j|a \"b\".png|=1;" },
		{ FILE_PART("f", "C:\\temp\\a.png", "image/png", "1") END,
		  "f|C:\\temp\\a.png|image/png=1;" },
		{ FILE_PART("f", "熊猫.png", "image/png", "1") END, "f|熊猫.png|image/png=1;" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		expect_parts(TYPE, rows[i].body, strlen(rows[i].body), rows[i].want);
}

static void
content_is_binary(void **state)
{
	static const char body[] = PART("a", "\0\1\xff\r\n\0--XX") END;
	AUTO(buf) out = BUF_INIT(100);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(read_in_pieces(TYPE, body, sizeof(body) - 1, 3, &out, &e), 0);
	assert_int_equal(out.len, 5 + 10 + 1);
	assert_memory_equal(out.p, "a|-|=\0\1\xff\r\n\0--XX;", out.len);
}

static void
the_boundary_may_be_spelt_in_these_ways(void **state)
{
	static const char *const types[] = {
		"multipart/form-data; boundary=XX",
		"multipart/form-data;boundary=\"XX\"",
		"multipart/form-data; charset=utf-8; BOUNDARY=XX",
		"Multipart/Form-Data ; boundary=XX ; charset=\"UTF-8\"",
		"multipart/form-data; x; boundary=XX;",
		"multipart/form-data; x=\"a;boundary=b\"; boundary=XX",
	};
	char long_type[200], long_body[400], name[MULTIPART_BOUNDARY + 1] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		expect_parts(types[i], PART("a", "1") END, strlen(PART("a", "1") END), "a|-|=1;");
	memset(name, 'b', MULTIPART_BOUNDARY);
	(void)snprintf(long_type, sizeof(long_type), "multipart/form-data; boundary=%s", name);
	(void)snprintf(long_body, sizeof(long_body),
		       "--%s\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--%s--", name,
		       name);
	expect_parts(long_type, long_body, strlen(long_body), "a|-|=1;");
	expect_parts("multipart/form-data; boundary=\"a b'()+_,-./:=?\"", "--a b'()+_,-./:=?--", 19,
		     "");
}

static void
a_content_type_that_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *type, *about;
	} rows[] = {
		{ "multipart/form-data", "its Content-Type names no boundary" },
		{ "multipart/form-data; boundary=", "its Content-Type names no boundary" },
		{ "multipart/form-data; boundary=\"XX", "its Content-Type names no boundary" },
		{ "multipart/form-data; boundary=a; boundary=b",
		  "its Content-Type names no boundary" },
		{ "multipart/form-data; boundary=\xc3\xa4", "its boundary is not plain ASCII" },
		{ "multipart/form-data; boundary=\"a \"", "its boundary ends in a blank" },
		{ "multipart/form-data; boundary="
		  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
		  "its boundary is longer than 70 characters" },
	};
	struct err e = { 0 };
	struct multipart m;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		expect_refusal(rows[i].type, "", 0, rows[i].about);
	assert_int_equal(multipart_begin(&m, "multipart/form-data; boundary=a; charset=gbk", NULL,
					 &e),
			 -1);
	assert_int_equal(e.kind, ERR_MEDIA_TYPE);
}

#define HEAD_(line) "--XX\r\n" line "\r\n\r\n1\r\n" END

static void
a_body_that_cannot_be_read_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *body, *about;
	} rows[] = {
		{ "", "the boundary that its Content-Type names does not stand in it" },
		{ "prompt=a+panda",
		  "the boundary that its Content-Type names does not stand in it" },
		{ "--YY\r\n", "the boundary that its Content-Type names does not stand in it" },
		{ "x--XX\r\n", "the boundary that its Content-Type names does not stand in it" },
		{ "--XX", "its final boundary is missing" },
		{ "--XX\r", "its final boundary is missing" },
		{ "--XX-", "its final boundary is missing" },
		{ "--XX\r\n", "it ends in the middle of a part's header" },
		{ "--XX\r\nContent-Disp", "it ends in the middle of a part's header" },
		{ PART("image", "half"), "it ends in the middle of the part 'image'" },
		{ PART("image", "half") "--X", "it ends in the middle of the part 'image'" },
		{ PART("image", "half") "--XX", "its final boundary is missing" },
		{ PART("image", "half") "--XX-x", "the line of a boundary goes on behind it" },
		{ PART("image", "half") "--XXX", "the line of a boundary goes on behind it" },
		{ "--XX\nContent-Disposition: form-data; name=a\n\n1\n--XX--\n",
		  "the line of a boundary goes on behind it" },
		{ "--XX\r\nContent-Disposition: form-data; name=a\n\n1\r\n--XX--",
		  "a part's header line ends without CRLF" },
		{ "--XX\r\n\r\n1\r\n" END, "a part has no Content-Disposition" },
		{ HEAD_("Content-Type: image/png"), "a part has no Content-Disposition" },
		{ HEAD_("Content-Disposition: attachment; name=a"), "a part is not form-data" },
		{ HEAD_("Content-Disposition: form-data"), "a part has no name" },
		{ HEAD_("Content-Disposition: form-data; name=\"\""), "a part has no name" },
		{ HEAD_("Content-Disposition: form-data; name=a; name=b"),
		  "a part's Content-Disposition cannot be read" },
		{ HEAD_("Content-Disposition: form-data; name=\"a"),
		  "a part's Content-Disposition cannot be read" },
		{ HEAD_("Content-Disposition: form-data; name=a\r\n"
			"Content-Disposition: form-data; name=b"),
		  "a part has two Content-Disposition lines" },
		{ HEAD_("Content-Disposition: form-data; name=a\r\n and more"),
		  "a part's header line is none" },
		{ HEAD_("no colon here"), "a part's header line is none" },
		{ HEAD_("Content-Disposition: form-data; name=a\r\n"
			"Content-Transfer-Encoding: base64"),
		  "a part's Content-Transfer-Encoding is 'base64'" },
		{ HEAD_("Content-Disposition: form-data; name=\"a\1b\""),
		  "a part's header holds a control character" },
		{ HEAD_("Content-Disposition: form-data; name=\"a\xff\""),
		  "a part's header is not UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		expect_refusal(TYPE, rows[i].body, strlen(rows[i].body), rows[i].about);
}

static void
a_nul_in_a_header_is_refused(void **state)
{
	static const char body[] = HEAD_("Content-Disposition: form-data; name=\"a\0b\"");

	(void)state;
	expect_refusal(TYPE, body, sizeof(body) - 1, "a part's header holds a control character");
}

static void
the_limits_hold_on_both_sides(void **state)
{
	AUTO(buf) body = BUF_INIT(1 << 20);
	AUTO(buf) out = BUF_INIT(1 << 20);
	struct err e = { 0 };
	char name[MULTIPART_NAME + 1];
	const char *line = "Content-Disposition: form-data; name=a\r\nX: ";
	size_t fill = MULTIPART_HEAD_BYTES - strlen(line) - 4;

	(void)state;
	for (int i = 0; i < MULTIPART_PARTS_MAX; i++)
		assert_int_equal(buf_adds(&body, PART("a", "1")), 0);
	assert_int_equal(buf_adds(&body, END), 0);
	assert_int_equal(read_in_pieces(TYPE, body.p, body.len, 1000, &out, &e), 0);
	body.len -= strlen(END);
	assert_int_equal(buf_adds(&body, PART("a", "1") END), 0);
	assert_int_equal(read_in_pieces(TYPE, body.p, body.len, 1000, &out, &e), -1);
	assert_string_equal(e.about, "it has more than 128 parts");

	for (int more = 0; more < 2; more++) {
		buf_clear(&body);
		assert_int_equal(buf_addf(&body, "--XX\r\n%s%0*d\r\n\r\n1\r\n" END, line,
					  (int)fill + more, 0),
				 0);
		assert_int_equal(read_in_pieces(TYPE, body.p, body.len, 1000, &out, &e), -more);
	}
	assert_string_equal(e.about, "a part's header is longer than 4096 bytes");

	for (int more = 0; more < 2; more++) {
		memset(name, 'n', sizeof(name));
		name[MULTIPART_NAME - 1 + more] = '\0';
		buf_clear(&body);
		assert_int_equal(buf_addf(&body,
					  "--XX\r\nContent-Disposition: form-data; "
					  "name=%s\r\n\r\n1\r\n" END,
					  name),
				 0);
		assert_int_equal(read_in_pieces(TYPE, body.p, body.len, 1000, &out, &e), -more);
	}
	assert_string_equal(e.about, "a part's name is longer than 255 bytes");
}

static void
what_the_receiver_refuses_is_the_answer(void **state)
{
	AUTO(buf) out = BUF_INIT(100);
	struct err e = { 0 };
	static const char body[] = PART("refuse", "1") "garbage";

	(void)state;
	assert_int_equal(read_in_pieces(TYPE, body, sizeof(body) - 1, 10, &out, &e), -1);
	assert_int_equal(e.kind, ERR_VALUE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_come_in_any_order_and_in_any_pieces),
		cmocka_unit_test(content_is_binary),
		cmocka_unit_test(the_boundary_may_be_spelt_in_these_ways),
		cmocka_unit_test(a_content_type_that_cannot_be_is_refused),
		cmocka_unit_test(a_body_that_cannot_be_read_is_refused_with_the_reason),
		cmocka_unit_test(a_nul_in_a_header_is_refused),
		cmocka_unit_test(the_limits_hold_on_both_sides),
		cmocka_unit_test(what_the_receiver_refuses_is_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
