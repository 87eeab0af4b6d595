#undef _FORTIFY_SOURCE /* its openat() is inline, and files_help.h has one of its own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "files_help.h"

#include "base/base64.h"
#include "base/buf.h"
#include "files/sink.h"

/* ---- one input, cut in every way ---- */

enum cut { CUT_NOT, CUT_BYTES, CUT_RANDOM, CUT_RANDOM_SMALL, CUT__MAX };

static size_t
next_piece(enum cut cut, size_t left)
{
	size_t k = left;

	if (cut == CUT_BYTES)
		k = 1;
	else if (cut == CUT_RANDOM)
		k = (size_t)rand() % 40000;
	else if (cut == CUT_RANDOM_SMALL)
		k = (size_t)rand() % 200;
	return k < left ? k : left;
}

struct outcome {
	enum err_kind kind; /* ERR_NONE: stored */
	char about[240];
	bool billed;
	struct picture picture;
};

static struct outcome
pour(struct filestore *fs, bool base64, const void *p, size_t n, enum cut cut)
{
	struct outcome o = { .kind = ERR_NONE };
	struct err e = { .kind = ERR_NONE };
	const char *at = p;
	AUTO(sink) s;
	int rc = 0;

	sink_init(&s, fs);
	while (n && rc == 0) {
		size_t k = next_piece(cut, n);
		char *piece = malloc(k ? k : 1); /* for the address sanitizer */

		assert_non_null(piece);
		memcpy(piece, at, k);
		rc = base64 ? sink_base64(&s, piece, k, &e) : sink_bytes(&s, piece, k, &e);
		free(piece);
		at += k;
		n -= k;
	}
	if (rc == 0)
		rc = sink_finish(&s, &o.picture, &e);
	assert_int_equal(rc == 0, e.kind == ERR_NONE);
	o.kind = e.kind;
	o.billed = e.may_have_been_billed;
	memcpy(o.about, e.about, sizeof(o.about));
	return o;
}

/* Stored is exactly `expected`, however it is cut, and nothing is left besides. */
static void
assert_stores(struct filestore *fs, bool base64, const void *p, size_t n, const void *expected,
	      size_t expected_n)
{
	for (enum cut cut = CUT_NOT; cut < CUT__MAX; cut++) {
		struct outcome o = pour(fs, base64, p, n, cut);
		AUTO_FREE unsigned char *data = NULL;
		size_t len = 0;

		assert_string_equal(o.about, "");
		assert_int_equal(o.kind, ERR_NONE);
		assert_int_equal(o.picture.bytes, expected_n);
		assert_int_equal(strlen(o.picture.id), PICTURE_ID - 1);
		data = help_read(fs, &o.picture, &len);
		assert_non_null(data);
		assert_int_equal(len, expected_n);
		assert_memory_equal(data, expected, len);
		assert_int_equal(help_count(NULL), 1);
		filestore_remove(fs, &o.picture);
	}
}

/* Refused with that error, however it is cut, and nothing is left. */
static void
assert_refuses(struct filestore *fs, bool base64, const void *p, size_t n, enum err_kind kind,
	       const char *about)
{
	for (enum cut cut = CUT_NOT; cut < CUT__MAX; cut++) {
		struct outcome o = pour(fs, base64, p, n, cut);

		assert_string_equal(o.about, about);
		assert_int_equal(o.kind, kind);
		assert_int_equal(help_count(NULL), 0);
	}
}

static char *
encode(const void *p, size_t n, size_t *len)
{
	char *text = malloc(BASE64_ENCODED(n) + 1);

	assert_non_null(text);
	*len = base64_encode(text, p, n);
	text[*len] = '\0';
	return text;
}

#define IMAGE_BYTES  400000
#define IMAGE_PIXELS 1000000

static struct filestore *
open_files(void)
{
	struct filestore *fs = NULL;
	struct err e;

	assert_int_equal(filestore_open(&fs, "file:files", help_dir, IMAGE_BYTES, IMAGE_PIXELS, 0,
					&e),
			 0);
	return fs;
}

/* ---- what is stored ---- */

static void
pictures_of_every_length_arrive_whole(void **state)
{
	static const size_t lengths[] = { 64,     65,     66,     1400,   49151, 49152,
					  65535,  65536,  65537,  65538,  65539, 131071,
					  131072, 131073, 131135, 131136, 300000 };
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		for (enum picture_type t = PICTURE_PNG; t <= PICTURE_WEBP; t++) {
			AUTO_FREE unsigned char *p = help_picture(t, 1000, 900, lengths[i]);
			AUTO_FREE char *text = NULL;
			struct outcome o;
			size_t len;

			text = encode(p, lengths[i], &len);
			assert_stores(fs, false, p, lengths[i], p, lengths[i]);
			assert_stores(fs, true, text, len, p, lengths[i]);
			o = pour(fs, true, text, len, CUT_NOT);
			assert_int_equal(o.picture.type, t);
			assert_int_equal(o.picture.width, 1000);
			assert_int_equal(o.picture.height, 900);
			filestore_remove(fs, &o.picture);
		}
}

/* Writes `text` anew as somebody else would have written it. */
static void
as_urlsafe(struct buf *b, const char *text)
{
	for (; *text; text++)
		(void)buf_addc(b, (char)(*text == '+' ? '-' : *text == '/' ? '_' : *text));
}

static void
as_lines(struct buf *b, const char *text)
{
	(void)buf_adds(b, " \t");
	for (size_t i = 0; text[i]; i++)
		(void)buf_addf(b, "%c%s", text[i], i % 76 == 75 ? "\r\n" : "");
	(void)buf_adds(b, "\n \n");
}

static void
as_unpadded(struct buf *b, const char *text)
{
	(void)buf_add(b, text, strcspn(text, "="));
}

static void
as_half_padded(struct buf *b, const char *text)
{
	size_t n = strcspn(text, "=");

	(void)buf_add(b, text, n + (text[n] != '\0'));
}

static void
as_spaced_padding(struct buf *b, const char *text)
{
	size_t n = strcspn(text, "=");

	(void)buf_add(b, text, n);
	for (; text[n]; n++)
		(void)buf_adds(b, "\n=");
	(void)buf_adds(b, "\n");
}

static void
as_data_url(struct buf *b, const char *text)
{
	(void)buf_addf(b, "data:image/png;base64,%s", text);
}

static void
as_shortest_data_url(struct buf *b, const char *text)
{
	(void)buf_addf(b, "data:;base64,%s", text);
}

static void
as_longest_data_url(struct buf *b, const char *text)
{
	(void)buf_addf(b, "data:image/png;name=%0100d;base64,%s", 0, text);
}

static void
as_data_url_of_lines(struct buf *b, const char *text)
{
	(void)buf_adds(b, "data:image/png;base64,");
	as_lines(b, text);
}

static void
base64_is_read_as_people_write_it(void **state)
{
	static void (*const writers[])(struct buf * b, const char *text) = {
		as_urlsafe,           as_lines,    as_unpadded,          as_half_padded,
		as_spaced_padding,    as_data_url, as_shortest_data_url, as_longest_data_url,
		as_data_url_of_lines,
	};
	static const size_t lengths[] = { 66, 67, 68, 5000, 65537, 131074 };
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t w = 0; w < sizeof(writers) / sizeof(*writers); w++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
			AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, lengths[i]);
			AUTO(buf) b = BUF_INIT(1 << 20);
			AUTO_FREE char *text = NULL;
			size_t len;

			text = encode(p, lengths[i], &len);
			writers[w](&b, text);
			assert_stores(fs, true, b.p, b.len, p, lengths[i]);
		}
}

static void
what_is_not_base64_is_refused(void **state)
{
	static const struct {
		const char *before,
			*after;   /* around the text of a picture of 66 bytes: 88 characters */
		size_t skip, cut; /* characters of it to leave out, at both ends */
		const char *about;
	} rows[] = {
		{ "", "!", 0, 0, "it is not base64 text" },
		{ "", "\\", 0, 0, "it is not base64 text" },
		{ "", "\x80", 0, 0, "it is not base64 text" },
		{ "", "!AAA", 0, 4, "it is not base64 text" },
		{ "", ".AAA", 0, 8, "it is not base64 text" },
		{ "", "", 0, 3, "its base64 text ends in the middle" },
		{ "", "====", 0, 0, "its base64 text is padded where it may not be" },
		{ "", "=", 0, 0, "its base64 text is padded where it may not be" },
		{ "", "A===", 0, 4, "its base64 text is padded where it may not be" },
		{ "", "AA=A", 0, 4, "its base64 text goes on after its padding" },
		{ "", "AA==A", 0, 4, "its base64 text goes on after its padding" },
		{ "", "AA===", 0, 4, "its base64 text is padded where it may not be" },
		{ "", "AAA= A", 0, 4, "its base64 text goes on after its padding" },
		{ "<html>", "", 0, 0, "it is not base64 text" },
		{ "https://", "", 0, 0, "it is not base64 text" },
		{ "data:image/png,", "", 0, 0, "it is a data URL that is not base64" },
		{ "data:,", "", 0, 0, "it is a data URL that is not base64" },
		{ "data:base64,", "", 0, 0, "it is a data URL that is not base64" },
		{ "data:image/png;base64;x,", "", 0, 0, "it is a data URL that is not base64" },
		{ "data:", "", 88, 0, "it is a data URL without data" },
		{ "data:image/png;base64", "", 88, 0, "it is a data URL without data" },
		{ "data:image/png;base64,", "", 88, 0, "it is empty" },
		{ "data", "", 88, 0, "it ends in the middle" }, /* base64 of three bytes */
		{ "dat", "", 88, 0, "it ends in the middle" },
		{ "d", "", 88, 0, "its base64 text ends in the middle" },
		{ "Data:image/png;base64,", "", 0, 0, "it is not base64 text" },
		{ "data:image/png;base64,data:image/png;base64,", "", 0, 0,
		  "it is not base64 text" },
		{ "", "", 88, 0, "it is empty" },
		{ " \n", "", 88, 0, "it is empty" },
	};
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 66);
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)state;
	text = encode(p, 66, &len);
	assert_int_equal(len, 88);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(buf) b = BUF_INIT(1000);

		assert_int_equal(buf_adds(&b, rows[i].before), 0);
		assert_int_equal(buf_add(&b, text + rows[i].skip, len - rows[i].skip - rows[i].cut),
				 0);
		assert_int_equal(buf_adds(&b, rows[i].after), 0);
		assert_refuses(fs, true, b.p, b.len, ERR_RESULT_NOT_IMAGE, rows[i].about);
	}
}

static void
a_data_urls_prefix_has_128_characters_at_most(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 100);
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)state;
	text = encode(p, 100, &len);
	for (int pad = 128 - 13; pad <= 128 - 13 + 1; pad++) {
		AUTO(buf) b = BUF_INIT(1000);

		assert_int_equal(buf_addf(&b, "data:%0*d;base64,", pad, 0), 0);
		assert_int_equal(b.len, 13 + pad);
		assert_int_equal(buf_adds(&b, text), 0);
		if (b.len - len <= 128)
			assert_stores(fs, true, b.p, b.len, p, 100);
		else
			assert_refuses(fs, true, b.p, b.len, ERR_RESULT_NOT_IMAGE,
				       "it is a data URL whose data does not begin");
	}
}

static void
garbage_is_refused_by_its_name_before_a_file_is_made(void **state)
{
	static const struct {
		const char *text, *about;
	} rows[] = {
		{ "<!DOCTYPE html><title>502</title>", "it looks like HTML" },
		{ "<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "it is an SVG" },
		{ "GIF89a..............................", "it is a GIF" },
		{ "{\"error\":\"quota\"}", "it looks like JSON" },
		{ "%PDF-1.7 ...........................", "it is a PDF" },
		{ "rate limited", "it looks like text" },
		{ "\x89PNG\r\n\x1a\n", "it ends in the middle" },
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	sys_reset();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO_FREE char *text = NULL;
		size_t len;

		text = encode(rows[i].text, strlen(rows[i].text), &len);
		assert_refuses(fs, false, rows[i].text, strlen(rows[i].text), ERR_RESULT_NOT_IMAGE,
			       rows[i].about);
		assert_refuses(fs, true, text, len, ERR_RESULT_NOT_IMAGE, rows[i].about);
	}
	assert_int_equal(sys.opens, 0);
}

static void
a_picture_that_breaks_off_is_not_stored(void **state)
{
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (enum picture_type t = PICTURE_PNG; t <= PICTURE_WEBP; t++) {
		AUTO_FREE unsigned char *p = help_picture(t, 10, 10, 70000);
		static const size_t lengths[] = { 64, 65000, 65536, 65537, 69990, 69999 };

		for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
			AUTO_FREE char *text = NULL;
			size_t len;

			text = encode(p, lengths[i], &len);
			assert_refuses(fs, false, p, lengths[i], ERR_RESULT_NOT_IMAGE,
				       "it ends in the middle");
			assert_refuses(fs, true, text, len, ERR_RESULT_NOT_IMAGE,
				       "it ends in the middle");
		}
	}
}

/* ---- limits ---- */

static void
the_first_byte_past_the_limit_is_refused(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *fits = help_picture(PICTURE_PNG, 10, 10, IMAGE_BYTES);
	AUTO_FREE unsigned char *large = help_picture(PICTURE_PNG, 10, 10, IMAGE_BYTES + 1);
	AUTO_FREE char *fits_text = NULL, *large_text = NULL;
	size_t fits_len, large_len;
	struct err e = { .kind = ERR_NONE };
	AUTO(sink) s;

	(void)state;
	fits_text = encode(fits, IMAGE_BYTES, &fits_len);
	large_text = encode(large, IMAGE_BYTES + 1, &large_len);
	assert_stores(fs, false, fits, IMAGE_BYTES, fits, IMAGE_BYTES);
	assert_stores(fs, true, fits_text, fits_len, fits, IMAGE_BYTES);
	assert_refuses(fs, false, large, IMAGE_BYTES + 1, ERR_UP_TOO_LARGE,
		       "a picture of more than 400000 bytes");
	assert_refuses(fs, true, large_text, large_len, ERR_UP_TOO_LARGE,
		       "a picture of more than 400000 bytes");

	sink_init(&s, fs);
	assert_int_equal(sink_bytes(&s, large, IMAGE_BYTES, &e), 0);
	assert_int_equal(sink_bytes(&s, large + IMAGE_BYTES, 0, &e), 0);
	assert_int_equal(sink_bytes(&s, large + IMAGE_BYTES, 1, &e), -1);
	assert_int_equal(e.kind, ERR_UP_TOO_LARGE);
	/* and then nothing more */
	assert_int_equal(sink_bytes(&s, "", 1, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_int_equal(sink_base64(&s, "AAAA", 4, &e), -1);
	assert_int_equal(sink_finish(&s, &(struct picture){ 0 }, &e), -1);
	sink_done(&s);
	assert_int_equal(help_count(NULL), 0);
}

static void
too_many_pixels_are_refused_as_soon_as_the_header_tells(void **state)
{
	static const struct {
		uint32_t w, h;
		const char *about; /* NULL: fits */
	} rows[] = {
		{ 1000, 1000, NULL },
		{ 1000, 1001, "a picture of 1000x1001, more than 1000000 pixels" },
		{ 1000000, 1, NULL },
		{ 1000001, 1, "a picture of 1000001x1, more than 1000000 pixels" },
		{ 60000, 60000, "a picture of 60000x60000, more than 1000000 pixels" },
		/* their product is 0 in 32 bits */
		{ 65536, 65536, "a picture of 65536x65536, more than 1000000 pixels" },
		{ INT32_MAX, INT32_MAX,
		  "a picture of 2147483647x2147483647, more than 1000000 pixels" },
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, rows[i].w, rows[i].h, 100);
		struct err e = { .kind = ERR_NONE };
		AUTO(sink) s;

		sink_init(&s, fs);
		assert_int_equal(sink_bytes(&s, p, 23, &e), 0);
		assert_int_equal(sink_bytes(&s, p + 23, 1, &e), rows[i].about ? -1 : 0);
		if (rows[i].about)
			assert_refuses(fs, false, p, 100, ERR_UP_TOO_LARGE, rows[i].about);
		else
			assert_stores(fs, false, p, 100, p, 100);
	}
}

static void
no_limit_is_no_limit(void **state)
{
	AUTO_PTR(filestore) fs = NULL;
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, INT32_MAX, INT32_MAX, 500000);
	struct outcome o;
	struct err e;

	(void)state;
	assert_int_equal(filestore_open(&fs, "file:files", help_dir, 0, 0, 0, &e), 0);
	o = pour(fs, false, p, 500000, CUT_RANDOM);
	assert_int_equal(o.kind, ERR_NONE);
	assert_int_equal(o.picture.bytes, 500000);
}

/* A JPEG with segments of 65,535 bytes in front of its size. */
static unsigned char *
jpeg_with_segments(unsigned segments, size_t *n)
{
	static const unsigned char marker[4] = { 0xff, 0xe2, 0xff, 0xff };
	const size_t each = 2 + 65535;
	AUTO_FREE unsigned char *end = help_picture(PICTURE_JPEG, 10, 10, 1000);
	unsigned char *p = calloc(1, 2 + segments * each + 998);

	assert_non_null(p);
	memcpy(p, end, 2);
	for (unsigned i = 0; i < segments; i++)
		memcpy(p + 2 + i * each, marker, sizeof(marker));
	memcpy(p + 2 + segments * each, end + 2, 998);
	*n = 2 + segments * each + 998;
	return p;
}

static void
a_header_may_be_as_long_as_a_megabyte(void **state)
{
	AUTO_PTR(filestore) fs = NULL;
	struct err e;

	(void)state;
	assert_int_equal(filestore_open(&fs, "file:files", help_dir, 0, 0, 0, &e), 0);
	for (unsigned segments = 1; segments <= 16; segments += 5) {
		AUTO_FREE unsigned char *p = NULL;
		AUTO_FREE char *text = NULL;
		size_t n, len;

		p = jpeg_with_segments(segments, &n);
		text = encode(p, n, &len);
		if (segments < 16) {
			assert_stores(fs, false, p, n, p, n);
			assert_stores(fs, true, text, len, p, n);
		} else {
			assert_true(n > PICTURE_HEAD_BYTES);
			assert_refuses(fs, false, p, n, ERR_RESULT_NOT_IMAGE,
				       "its header has no end");
			assert_refuses(fs, true, text, len, ERR_RESULT_NOT_IMAGE,
				       "its header has no end");
		}
	}
}

/* A JPEG whose size does not come, and whose first segments are dear to read: stuffing, and no length. */
static unsigned char *
jpeg_without_size(size_t n)
{
	unsigned char *p = calloc(1, n);
	size_t at = 2;

	assert_non_null(p);
	memcpy(p, "\xff\xd8", 2);
	for (unsigned i = 0; i < 980; i++) {
		memset(p + at, 0xff, 64);
		at += 64;
		p[at++] = 0x01;
	}
	for (; at + 4 < n; at += 2 + 65535)
		memcpy(p + at, "\xff\xfe\xff\xff", 4);
	return p;
}

static void
a_header_in_small_pieces_is_not_read_anew_for_each(void **state)
{
	const size_t n = PICTURE_HEAD_BYTES - 1;
	AUTO_PTR(filestore) fs = NULL;
	AUTO_FREE unsigned char *p = jpeg_without_size(n);
	struct picture out;
	struct err e;
	AUTO(sink) s;
	size_t last = 0;
	uint64_t read = 0;

	(void)state;
	assert_int_equal(filestore_open(&fs, "file:files", help_dir, 0, 0, 0, &e), 0);
	sink_init(&s, fs);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(sink_bytes(&s, p + i, 1, &e), 0);
		if (s.head_read != last)
			read += s.head_read;
		last = s.head_read;
	}
	assert_true(read < 20 * (uint64_t)n);
	assert_int_equal(sink_finish(&s, &out, &e), -1);
	assert_string_equal(e.about, "it ends in the middle");
}

#define LOOKED_PAST 62 /* segments of 50 bytes: the size stands behind the third kilobyte */

static void
a_header_is_read_to_its_end_when_the_picture_ends(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	unsigned char *end = help_picture(PICTURE_JPEG, 10, 10, 100);
	unsigned char p[2 + LOOKED_PAST * 50 + 98];

	(void)state;
	memcpy(p, end, 2);
	for (unsigned i = 0; i < LOOKED_PAST; i++) {
		memset(p + 2 + i * 50, 0, 50);
		memcpy(p + 2 + i * 50, "\xff\xe2\0\x30", 4);
	}
	memcpy(p + 2 + LOOKED_PAST * 50, end + 2, 98);
	free(end);
	assert_stores(fs, false, p, sizeof(p), p, sizeof(p));
}

/* ---- the disk ---- */

static void
a_small_picture_costs_one_open_one_write_one_link(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 1400);
	AUTO_FREE char *text = NULL;
	struct outcome o;
	size_t len;

	(void)state;
	text = encode(p, 1400, &len);
	sys_reset();
	o = pour(fs, true, text, len, CUT_RANDOM_SMALL);
	assert_int_equal(o.kind, ERR_NONE);
	assert_int_equal(sys.opens, 1);
	assert_int_equal(sys.writes, 1);
	assert_int_equal(sys.links + sys.renames, 1);
}

static void
large_pictures_are_written_in_pieces_of_64_kb(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 5 * 65536 + 1);
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)state;
	text = encode(p, 5 * 65536 + 1, &len);
	for (enum cut cut = CUT_NOT; cut < CUT__MAX; cut++) {
		sys_reset();
		assert_int_equal(pour(fs, true, text, len, cut).kind, ERR_NONE);
		assert_int_equal(sys.writes, 6);
	}
}

static void
short_and_interrupted_writes_are_carried_on(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 200000);

	(void)state;
	sys.write_at_most = 1000;
	sys.write_interrupted = true;
	assert_stores(fs, false, p, 200000, p, 200000);
	assert_true(sys.writes >= 4 * 2 * 200);
}

static void
a_disk_that_fills_up_is_said_and_leaves_nothing(void **state)
{
	static const struct {
		int errnum;
		bool on_open;
		int after;
		enum err_kind kind;
	} rows[] = {
		{ ENOSPC, false, 0, ERR_STORAGE_FULL }, { ENOSPC, false, 1, ERR_STORAGE_FULL },
		{ ENOSPC, false, 3, ERR_STORAGE_FULL }, { EDQUOT, false, 1, ERR_STORAGE_FULL },
		{ ENOSPC, true, 0, ERR_STORAGE_FULL },  { EDQUOT, true, 0, ERR_STORAGE_FULL },
		{ EIO, false, 1, ERR_INTERNAL },        { EMFILE, true, 0, ERR_INTERNAL },
	};
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 200000);

	(void)state;
	for (int named = 0; named < 2; named++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			AUTO_PTR(filestore) fs = NULL;
			struct outcome o;

			sys_reset();
			sys.no_tmpfile = named;
			fs = open_files();
			if (rows[i].on_open)
				sys.open_errno = rows[i].errnum;
			else
				sys.write_errno = rows[i].errnum;
			sys.write_after = sys.writes + rows[i].after;
			o = pour(fs, false, p, 200000, CUT_RANDOM);
			assert_int_equal(o.kind, rows[i].kind);
			assert_true(o.billed);
			assert_int_equal(help_count(NULL), 0);
		}
}

static void
a_sink_that_is_dropped_leaves_nothing_behind(void **state)
{
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 200000);

	(void)state;
	for (int named = 0; named < 2; named++) {
		AUTO_PTR(filestore) fs = NULL;
		struct picture picture;
		struct err e;
		struct sink s;

		sys.no_tmpfile = named;
		fs = open_files();
		sink_init(&s, fs);
		sink_done(&s); /* never used */
		assert_int_equal(sink_bytes(&s, p, 150000, &e), 0);
		assert_true(s.fd >= 0);
		assert_int_equal(help_count(NULL), named);
		sink_done(&s);
		assert_int_equal(s.fd, -1);
		assert_null(s.block);
		assert_int_equal(help_count(NULL), 0);
		/* it is as new, also after it has finished one */
		for (unsigned i = 1; i <= 2; i++) {
			assert_int_equal(sink_bytes(&s, p, 200000, &e), 0);
			assert_int_equal(sink_finish(&s, &picture, &e), 0);
			assert_null(s.block);
			assert_int_equal(help_count(NULL), i);
		}
		sink_done(&s);
		assert_int_equal(help_count(NULL), 2);
		help_remove_all();
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, help_setup, help_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pictures_of_every_length_arrive_whole),
		TEST(base64_is_read_as_people_write_it),
		TEST(what_is_not_base64_is_refused),
		TEST(a_data_urls_prefix_has_128_characters_at_most),
		TEST(garbage_is_refused_by_its_name_before_a_file_is_made),
		TEST(a_picture_that_breaks_off_is_not_stored),
		TEST(the_first_byte_past_the_limit_is_refused),
		TEST(too_many_pixels_are_refused_as_soon_as_the_header_tells),
		TEST(no_limit_is_no_limit),
		TEST(a_header_may_be_as_long_as_a_megabyte),
		TEST(a_header_in_small_pieces_is_not_read_anew_for_each),
		TEST(a_header_is_read_to_its_end_when_the_picture_ends),
		TEST(a_small_picture_costs_one_open_one_write_one_link),
		TEST(large_pictures_are_written_in_pieces_of_64_kb),
		TEST(short_and_interrupted_writes_are_carried_on),
		TEST(a_disk_that_fills_up_is_said_and_leaves_nothing),
		TEST(a_sink_that_is_dropped_leaves_nothing_behind),
	};

	srand(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
