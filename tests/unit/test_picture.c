#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "files/picture.h"

#define BYTES(text) text, sizeof(text) - 1
#define PNG_SIG     "\x89PNG\r\n\x1a\n"
#define SOI         "\xff\xd8"
#define SOF(m)      "\xff" m "\0\x11\x08\x03\0\x04\0\x03" /* 1024 wide, 768 high */
#define WEBP(kind)  "RIFF\0\0\0\0WEBP" kind "\0\0\0\0"

struct row {
	const char *p;
	size_t n;
	enum picture_head head;
	enum picture_type type;
	uint32_t width, height;
	const char *why;
};

/* What a beginning is, and the same for every shorter one that decides, as late as `n` at most. */
static void
check(const struct row *r)
{
	bool decided = false;

	for (size_t n = 0; n <= r->n; n++) {
		enum picture_type type = PICTURE_NONE;
		uint32_t width = 0, height = 0;
		const char *why = NULL;
		/* exactly n bytes, for the address sanitizer */
		unsigned char *p = malloc(n ? n : 1);
		enum picture_head head;

		assert_non_null(p);
		memcpy(p, r->p, n);
		head = picture_head(p, n, &type, &width, &height, &why);
		free(p);
		if (head == HEAD_MORE && !decided && (n < r->n || r->head == HEAD_MORE))
			continue;
		decided = true;
		assert_int_equal(head, r->head);
		assert_int_equal(type, r->type);
		assert_int_equal(width, r->width);
		assert_int_equal(height, r->height);
		if (r->why)
			assert_string_equal(why, r->why);
	}
	assert_int_equal(decided, r->head != HEAD_MORE);
}

static void
check_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(&rows[i]);
}
#define CHECK_ALL(rows) check_all(rows, sizeof(rows) / sizeof(*(rows)))

static void
a_png_tells_its_size_in_its_first_chunk(void **state)
{
	static const struct row rows[] = {
		{ BYTES(PNG_SIG "\0\0\0\rIHDR\0\0\4\0\0\0\3\0\x08\6"), HEAD_OK, PICTURE_PNG, 1024,
		  768 },
		{ BYTES(PNG_SIG "\0\0\0\rIHDR\0\0\4\0\0\0\3"), HEAD_MORE },
		{ BYTES(PNG_SIG "\0\0\0\rIHDR\x7f\xff\xff\xff\0\0\0\1"), HEAD_OK, PICTURE_PNG,
		  INT32_MAX, 1 },
		{ BYTES(PNG_SIG "\0\0\0\rIHDR\x80\0\0\0\0\0\0\1"), HEAD_BAD,
		  .why = "it is a PNG of an "
			 "impossible size" },
		{ BYTES(PNG_SIG "\0\0\0\rIHDR\0\0\0\0\0\0\3\0"), HEAD_BAD,
		  .why = "its width or height is 0" },
		{ BYTES(PNG_SIG "\0\0\0\rIHDR\0\0\4\0\0\0\0\0"), HEAD_BAD,
		  .why = "its width or height is 0" },
		{ BYTES(PNG_SIG "\0\0\0\rIDAT\0\0\4\0\0\0\3\0"), HEAD_BAD,
		  .why = "it begins like a PNG, but has no header chunk" },
		{ BYTES(PNG_SIG "\0\0\0\x0eIHDR\0\0\4\0\0\0\3\0"), HEAD_BAD,
		  .why = "it begins like a PNG, but has no header chunk" },
		{ BYTES("\x89PNG\n\x1a\n\0\0\0\0"), HEAD_BAD, .why = "it is no PNG, JPEG or WebP" },
	};

	(void)state;
	CHECK_ALL(rows);
}

static void
a_jpeg_tells_its_size_in_any_start_of_frame(void **state)
{
	static const struct row rows[] = {
		{ BYTES(SOI SOF("\xc0")), HEAD_OK, PICTURE_JPEG, 1024, 768 },
		{ BYTES(SOI SOF("\xc2")), HEAD_OK, PICTURE_JPEG, 1024, 768 },
		{ BYTES(SOI SOF("\xcf")), HEAD_OK, PICTURE_JPEG, 1024, 768 },
		{ BYTES(SOI "\xff\xe0\0\4ab\xff\xfe\0\2" SOF("\xc1")), HEAD_OK, PICTURE_JPEG, 1024,
		  768 },
		{ BYTES(SOI "\xff\xff\xff\xe0\0\2\xff\xff" SOF("\xc0")), HEAD_OK, PICTURE_JPEG,
		  1024, 768 },
		{ BYTES(SOI "\xff\x01\xff\xd0" SOF("\xc0")), HEAD_OK, PICTURE_JPEG, 1024, 768 },
		/* DHT, JPG and DAC stand among the SOFs and are none */
		{ BYTES(SOI "\xff\xc4\0\x08......"
			    "\xff\xc8\0\x08......"
			    "\xff\xcc\0\x08......" SOF("\xc0")),
		  HEAD_OK, PICTURE_JPEG, 1024, 768 },
		{ BYTES(SOI "\xff\xe0\0\x20......"), HEAD_MORE },
		{ BYTES(SOI "\xff\xc0\0\x08\x08\3\0\4\0"), HEAD_MORE },
		{ BYTES(SOI "\xff\xc0\0\x08\x08\3\0\4\0\1"), HEAD_OK, PICTURE_JPEG, 1024, 768 },
		{ BYTES(SOI "\xff\xc0\0\x11\x08\0\0\4\0\3"), HEAD_BAD,
		  .why = "its width or height is 0" },
		{ BYTES(SOI "\xff\xc0\0\x11\x08\4\0\0\0\3"), HEAD_BAD,
		  .why = "its width or height is 0" },
		{ BYTES(SOI "\xff\xe0\0\1"), HEAD_BAD,
		  .why = "it begins like a JPEG, but has a segment of no length" },
		{ BYTES(SOI "\xff\xc0\0\7\x08\4\0\4\0"), HEAD_BAD,
		  .why = "it begins like a JPEG, but has a segment of no length" },
		{ BYTES(SOI "\xff\xda\0\2"), HEAD_BAD,
		  .why = "it begins like a JPEG, but its picture has no size" },
		{ BYTES(SOI "\xff\xd9"), HEAD_BAD,
		  .why = "it begins like a JPEG, but its picture has no size" },
		{ BYTES(SOI "\xff\xe0\0\3.x\xff\xc0"), HEAD_BAD,
		  .why = "it begins like a JPEG, but its segments do not follow on" },
		{ BYTES(SOI "x..........."), HEAD_BAD, .why = "it is no PNG, JPEG or WebP" },
	};

	(void)state;
	CHECK_ALL(rows);
}

static void
a_jpegs_segments_and_fill_bytes_have_an_end(void **state)
{
	static const unsigned char soi[2] = { 0xff, 0xd8 }, segment[4] = { 0xff, 0xe0, 0, 2 };
	static char p[2 + 1000 * 4 + 32];
	struct row r = {
		.p = p, .head = HEAD_OK, .type = PICTURE_JPEG, .width = 1024, .height = 768
	};
	size_t n;

	(void)state;
	for (int segments = 999; segments <= 1000; segments++) {
		memcpy(p, soi, sizeof(soi));
		n = 2;
		for (int i = 0; i < segments; i++, n += 4)
			memcpy(p + n, segment, sizeof(segment));
		memcpy(p + n, SOF("\xc0"), sizeof(SOF("\xc0")) - 1);
		r.n = n + sizeof(SOF("\xc0")) - 1;
		check(&r);
		r = (struct row){ .p = p,
				  .head = HEAD_BAD,
				  .why = "it begins like a JPEG, but has too many segments" };
	}
	memset(p, 0xff, sizeof(p));
	memcpy(p, soi, sizeof(soi));
	r = (struct row){ .p = p,
			  .n = 200,
			  .head = HEAD_BAD,
			  .why = "it begins like a JPEG, but its picture has no size" };
	check(&r);
}

static void
a_webp_tells_its_size_in_each_of_its_three_forms(void **state)
{
	static const struct row rows[] = {
		{ BYTES(WEBP("VP8 ") "\x10\0\0\x9d\x01\x2a\0\x44\0\x83"), HEAD_OK, PICTURE_WEBP,
		  1024, 768 },
		/* width - 1 and height - 1, 14 bits each */
		{ BYTES(WEBP("VP8L") "\x2f\xff\xc3\xbf\0\0\0\0\0\0"), HEAD_OK, PICTURE_WEBP, 1024,
		  768 },
		{ BYTES(WEBP("VP8X") "\0\0\0\0\xff\3\0\xff\2\0"), HEAD_OK, PICTURE_WEBP, 1024,
		  768 },
		{ BYTES(WEBP("VP8X") "\0\0\0\0\xff\xff\xff\xff\xff\xff"), HEAD_OK, PICTURE_WEBP,
		  1 << 24, 1 << 24 },
		{ BYTES(WEBP("VP8X") "\0\0\0\0\xff\3\0\xff\2"), HEAD_MORE },
		{ BYTES(WEBP("VP8 ") "\x11\0\0\x9d\x01\x2a\0\4\0\3"), HEAD_BAD,
		  .why = "it begins like a WebP, but its picture does not" },
		{ BYTES(WEBP("VP8 ") "\x10\0\0\x9d\x01\x2b\0\4\0\3"), HEAD_BAD,
		  .why = "it begins like a WebP, but its picture does not" },
		{ BYTES(WEBP("VP8 ") "\x10\0\0\x9d\x01\x2a\0\xc0\0\3"), HEAD_BAD,
		  .why = "its width or height is 0" },
		{ BYTES(WEBP("VP8L") "\x2e\xff\xc3\xbf\0\0\0\0\0\0"), HEAD_BAD,
		  .why = "it begins like a WebP, but its picture does not" },
		{ BYTES(WEBP("ANIM") "\0\0\0\0\xff\3\0\xff\2\0"), HEAD_BAD,
		  .why = "it begins like a WebP, but has no picture" },
		{ BYTES("RIFF\0\0\0\0WAVEfmt "), HEAD_BAD, .why = "it is sound or video" },
	};

	(void)state;
	CHECK_ALL(rows);
}

static void
what_is_no_picture_is_called_by_its_name(void **state)
{
	static char blank[80];
	static const struct row rows[] = {
		{ BYTES("GIF89a\1\0\1\0"), HEAD_BAD, .why = "it is a GIF" },
		{ BYTES("%PDF-1.7\n"), HEAD_BAD, .why = "it is a PDF" },
		{ BYTES("<!DOCTYPE html><html>"), HEAD_BAD, .why = "it looks like HTML" },
		{ BYTES("\r\n <HTML lang=en>"), HEAD_BAD, .why = "it looks like HTML" },
		{ BYTES("\xef\xbb\xbf<html>"), HEAD_BAD, .why = "it looks like HTML" },
		{ BYTES("<svg xmlns=\"\">"), HEAD_BAD, .why = "it is an SVG" },
		{ BYTES("<?xml version=\"1.0\"?>"), HEAD_BAD, .why = "it looks like XML or SVG" },
		{ BYTES("<head></head>"), HEAD_BAD, .why = "it looks like HTML or XML" },
		{ BYTES("{\"error\":{}}"), HEAD_BAD, .why = "it looks like JSON" },
		{ BYTES(" [1,2,3,4]"), HEAD_BAD, .why = "it looks like JSON" },
		{ BYTES("upstream connect error"), HEAD_BAD, .why = "it looks like text" },
		{ BYTES("https://example.com/a.png"), HEAD_BAD, .why = "it is a URL" },
		{ BYTES("data:image/png;base64,"), HEAD_BAD, .why = "it is a data URL" },
		{ BYTES("PK\3\4\x14\0\0\0"), HEAD_BAD, .why = "it is a ZIP archive" },
		{ BYTES("\x1f\x8b\x08\0\0\0\0"), HEAD_BAD, .why = "it is gzip data" },
		{ BYTES("\0\0\0\x1c"
			"ftypavif\0\0\0\0"),
		  HEAD_BAD, .why = "it is an AVIF" },
		{ BYTES("\0\0\0\x1c"
			"ftypheic\0\0\0\0"),
		  HEAD_BAD, .why = "it is a HEIC" },
		{ BYTES("\0\0\0\x1c"
			"ftypisom\0\0\0\0"),
		  HEAD_BAD, .why = "it is video" },
		{ BYTES("II*\0\x08\0\0\0"), HEAD_BAD, .why = "it is a TIFF" },
		{ BYTES("MM\0*\0\0\0\x08"), HEAD_BAD, .why = "it is a TIFF" },
		{ BYTES("\xff\x0a......"), HEAD_BAD, .why = "it is a JPEG XL" },
		{ BYTES("\0\0\0\x0cJXL \r\n\x87\n"), HEAD_BAD, .why = "it is a JPEG XL" },
		{ BYTES("\0\0\0\0\0\0\0\0"), HEAD_BAD, .why = "it is no PNG, JPEG or WebP" },
		{ BYTES("\x80\x81\x82\x83\x84"), HEAD_BAD, .why = "it is no PNG, JPEG or WebP" },
		{ blank, 63, HEAD_MORE },
		{ blank, 80, HEAD_BAD, .why = "it is blank" },
		{ BYTES(""), HEAD_MORE },
	};

	(void)state;
	memset(blank, ' ', sizeof(blank));
	blank[66] = '<';
	CHECK_ALL(rows);
}

static void
a_picture_that_breaks_off_is_told_by_its_end(void **state)
{
	static const unsigned char riff[12] = "RIFF\x64\0\0\0WEBP", none[12];
	static const struct {
		enum picture_type type;
		const char *tail;
		size_t n;
		uint64_t bytes;
		bool ends;
	} rows[] = {
		{ PICTURE_PNG, BYTES("\0\0\0\0IEND\xae\x42\x60\x82"), 100, true },
		{ PICTURE_PNG, BYTES("....\0\0\0\0IEND\xae\x42\x60\x82\n"), 100, true },
		{ PICTURE_PNG, BYTES("....\0\0\0\0IEND\xae\x42\x60"), 100, false },
		{ PICTURE_PNG, BYTES("\0\0\0\1IEND\xae\x42\x60\x82"), 100, false },
		{ PICTURE_PNG, BYTES("\0\0\0IEND\xae\x42\x60\x82"), 100, false },
		{ PICTURE_JPEG, BYTES("..........\xff\xd9"), 100, true },
		{ PICTURE_JPEG, BYTES("......\xff\xd9\0\0\xff\r\n"), 100, true },
		{ PICTURE_JPEG, BYTES("..........\xff\xd8"), 100, false },
		{ PICTURE_JPEG, BYTES("...........\xd9"), 100, false },
		{ PICTURE_JPEG, BYTES("\xd9"), 1, false },
		{ PICTURE_JPEG, BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"), 100, false },
		{ PICTURE_WEBP, BYTES("............"), 108, true },
		{ PICTURE_WEBP, BYTES("............"), 109, true },
		{ PICTURE_WEBP, BYTES("............"), 107, false },
		{ PICTURE_NONE, BYTES("............"), 107, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(picture_ends(rows[i].type,
					      rows[i].type == PICTURE_WEBP ? riff : none,
					      (const unsigned char *)rows[i].tail, rows[i].n,
					      rows[i].bytes),
				 rows[i].ends);
}

static void
each_type_has_its_names(void **state)
{
	static const struct {
		enum picture_type type;
		const char *mime, *extension, *format;
	} rows[] = {
		{ PICTURE_PNG, "image/png", "png", "png" },
		{ PICTURE_JPEG, "image/jpeg", "jpg", "jpeg" },
		{ PICTURE_WEBP, "image/webp", "webp", "webp" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_string_equal(picture_mime(rows[i].type), rows[i].mime);
		assert_string_equal(picture_extension(rows[i].type), rows[i].extension);
		assert_string_equal(picture_format(rows[i].type), rows[i].format);
		assert_int_equal(picture_by_format(rows[i].format), rows[i].type);
	}
	assert_int_equal(picture_by_format("jpg"), PICTURE_NONE);
	assert_int_equal(picture_by_format(""), PICTURE_NONE);
	assert_int_equal(picture_by_format("PNG"), PICTURE_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_png_tells_its_size_in_its_first_chunk),
		cmocka_unit_test(a_jpeg_tells_its_size_in_any_start_of_frame),
		cmocka_unit_test(a_jpegs_segments_and_fill_bytes_have_an_end),
		cmocka_unit_test(a_webp_tells_its_size_in_each_of_its_three_forms),
		cmocka_unit_test(what_is_no_picture_is_called_by_its_name),
		cmocka_unit_test(a_picture_that_breaks_off_is_told_by_its_end),
		cmocka_unit_test(each_type_has_its_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
