/* Input pictures made fit for providers, and thumbnails: files/imaging.h, by way of easel-image. */
#include "imaging_fixture.h"
#include "png_help.h"

#include "base/deadline.h"

enum what { RESIZE, MASK, STRIP };

static int
prepare(enum what what, const struct source *in, const struct imaging_size *size,
	struct source *out, struct err *e)
{
	struct deadline d = deadline_in_ms(PATIENCE_MS);

	*e = (struct err){ .kind = ERR_NONE };
	switch (what) {
	case RESIZE: return imaging_resize(fx.fs, in, "image", size, out, &d, e);
	case MASK: return imaging_mask(fx.fs, in, "mask", size, out, &d, e);
	default: return imaging_strip(fx.fs, in, "image", out, &d, e);
	}
}

static struct pixels
prepared(enum what what, const struct source *in, const struct imaging_size *size)
{
	struct source out = { 0 };
	struct buf b;
	struct pixels p;
	struct err e;

	if (prepare(what, in, size, &out, &e) < 0)
		fail_msg("%s %s %s %s", err_code(&e), e.expected, e.found, e.detail);
	b = source_content(&out);
	assert_null(memmem(b.p, b.len, "secret-prompt", 13));
	assert_int_equal(out.type, PICTURE_PNG);
	p = png_read(&b);
	assert_int_equal(p.w, out.width);
	assert_int_equal(p.h, out.height);
	buf_done(&b);
	source_done(&out);
	return p;
}

/* ---- resizing ---- */

/* Red on the left half, blue on the right one. */
static unsigned char
halves(uint32_t x, uint32_t y, int band)
{
	(void)y;
	return band == (x < 200 ? 0 : 2) ? 255 : 0;
}

/* Everything is transparent red. */
static unsigned char
clear_red(uint32_t x, uint32_t y, int band)
{
	(void)x;
	(void)y;
	return band == 0 ? 255 : 0;
}

static void
a_picture_gets_exactly_the_size_it_is_to_have(void **state)
{
	static const struct imaging_size rows[] = {
		{ 64, 64, IMAGING_FILL },       { 832, 1216, IMAGING_FILL },
		{ 832, 1216, IMAGING_COVER },   { 1216, 832, IMAGING_CONTAIN },
		{ 1, 1, IMAGING_COVER },        { 1, 4096, IMAGING_FILL },
		{ 4096, 64, IMAGING_CONTAIN },  { 400, 200, IMAGING_FILL },
		{ 333, 777, IMAGING_COVER },    { 641, 7, IMAGING_CONTAIN },
		{ 1024, 1024, IMAGING_CONTAIN }
	};
	struct source in = source_made(400, 200, 2, halves);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pixels p = prepared(RESIZE, &in, &rows[i]);

		assert_int_equal(p.w, rows[i].width);
		assert_int_equal(p.h, rows[i].height);
		free(p.p);
	}
	source_done(&in);
}

static void
the_fit_says_what_becomes_of_the_ratio(void **state)
{
	struct source in = source_made(400, 200, 2, halves);
	struct imaging_size size = { 256, 256, IMAGING_FILL };
	struct pixels p;

	(void)state;
	for (int fit = IMAGING_FILL; fit <= IMAGING_COVER; fit++) {
		size.fit = (enum imaging_fit)fit;
		p = prepared(RESIZE, &in, &size);
		assert_true(at(&p, 20, 2, 0) > 240 && at(&p, 235, 253, 2) > 240);
		free(p.p);
	}
	size.fit = IMAGING_CONTAIN;
	p = prepared(RESIZE, &in, &size);
	assert_int_equal(at(&p, 20, 20, 0), 0);
	assert_int_equal(at(&p, 20, 240, 0), 0);
	assert_true(at(&p, 20, 128, 0) > 240 && at(&p, 235, 128, 2) > 240);
	free(p.p);
	source_done(&in);
}

static void
what_is_transparent_becomes_white(void **state)
{
	struct source in = source_made(100, 100, 6, clear_red);
	struct imaging_size size = { 64, 64, IMAGING_FILL };
	struct pixels p = prepared(RESIZE, &in, &size);

	(void)state;
	assert_int_equal(p.bands, 3);
	for (int k = 0; k < 3; k++)
		assert_int_equal(at(&p, 30, 30, k), 255);
	free(p.p);
	source_done(&in);
}

/* ---- masks ---- */

/* A hole of 3 by 3 blocks, and a scratch of one pixel. */
static unsigned char
hole(uint32_t x, uint32_t y, int band)
{
	bool gone = (x >= 64 && x < 88 && y >= 32 && y < 56) || (x == 9 && y < 8);

	return band < 3 ? 77 : gone ? 0 : 255;
}

static unsigned char
opaque(uint32_t x, uint32_t y, int band)
{
	(void)x;
	(void)y;
	return band < 3 ? 10 : 255;
}

static void
a_mask_is_white_where_it_was_transparent_in_whole_blocks(void **state)
{
	struct source in = source_made(128, 128, 6, hole);
	struct imaging_size size = { 128, 128, IMAGING_FILL };

	(void)state;
	for (uint32_t factor = 1; factor <= 2; factor++) {
		struct pixels p;

		size.width = size.height = 128 * factor;
		p = prepared(MASK, &in, &size);
		assert_int_equal(p.bands, 3);
		for (uint32_t y = 0; y < p.h; y++)
			for (uint32_t x = 0; x < p.w; x++) {
				unsigned char v = at(&p, x, y, 0);

				assert_true(v == 0 || v == 255);
				assert_int_equal(v, at(&p, x & ~7U, y & ~7U, 1));
			}
		assert_int_equal(at(&p, 76 * factor, 44 * factor, 0), 255);
		assert_int_equal(at(&p, 40 * factor, 44 * factor, 0), 0);
		assert_int_equal(at(&p, 120 * factor, 120 * factor, 2), 0);
		if (factor == 1) { /* where blocks meet blocks, the edges stay where they were */
			assert_int_equal(at(&p, 64, 32, 0), 255);
			assert_int_equal(at(&p, 87, 55, 0), 255);
			assert_int_equal(at(&p, 63, 32, 0), 0);
			assert_int_equal(at(&p, 88, 55, 0), 0);
			assert_int_equal(at(&p, 9, 4, 0), 0); /* an eighth of a block */
		}
		free(p.p);
	}
	source_done(&in);
}

static void
a_mask_without_transparency_is_refused(void **state)
{
	static const struct {
		unsigned char colour;
		unsigned char (*pixel)(uint32_t x, uint32_t y, int band);
	} rows[] = { { 2, opaque }, { 6, opaque } };
	struct imaging_size size = { 64, 64, IMAGING_FILL };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct source in = source_made(64, 64, rows[i].colour, rows[i].pixel), out = { 0 };
		struct err e;

		assert_int_equal(prepare(MASK, &in, &size, &out, &e), -1);
		assert_int_equal(e.kind, ERR_VALUE);
		assert_string_equal(e.param, "mask");
		assert_non_null(strstr(e.found, "without any transparency"));
		assert_false(e.may_have_been_billed);
		source_done(&in);
	}
}

/* ---- metadata ---- */

static void
a_stripped_jpeg_is_upright_and_says_nothing(void **state)
{
	/* Orientation 6 (turned by 90 degrees) and a place on the globe, little-endian TIFF. */
	static const unsigned char exif[] = {
		0xff, 0xe1, 0,   0x4a, 'E',  'x', 'i', 'f', 0,   0,   'I', 'I', 0x2a, 0, 8, 0,
		0,    0,    2,   0,    0x12, 1,   3,   0,   1,   0,   0,   0,   6,    0, 0, 0,
		0x25, 0x88, 4,   0,    1,    0,   0,   0,   38,  0,   0,   0,   0,    0, 0, 0,
		1,    0,    1,   0,    2,    0,   2,   0,   0,   0,   'N', 0,   0,    0, 0, 0,
		0,    0,    'g', 'p',  's',  '-', 's', 'e', 'c', 'r', 'e', 't'
	};
	struct imaging_draw what = { "a panda", 1, 96, 64, PICTURE_JPEG, -1, 0 };
	struct deadline d = deadline_in_ms(PATIENCE_MS);
	struct picture p;
	struct source in, out = { 0 };
	struct buf plain, with = BUF_INIT(1 << 20), clean;
	struct err e;

	(void)state;
	assert_int_equal(imaging_draw(fx.fs, &what, &p, &d, &e), 0);
	plain = content(&p);
	assert_int_equal(buf_add(&with, plain.p, 2), 0);
	assert_int_equal(buf_add(&with, exif, sizeof(exif)), 0);
	assert_int_equal(buf_add(&with, plain.p + 2, plain.len - 2), 0);
	in = source_of(with.p, with.len);
	assert_int_equal(in.width, 96);
	assert_int_equal(prepare(STRIP, &in, NULL, &out, &e), 0);
	assert_int_equal(out.type, PICTURE_JPEG);
	assert_int_equal(out.width, 64);
	assert_int_equal(out.height, 96);
	clean = source_content(&out);
	assert_null(memmem(clean.p, clean.len, "Exif", 4));
	assert_null(memmem(clean.p, clean.len, "gps-secret", 10));
	buf_done(&plain);
	buf_done(&with);
	buf_done(&clean);
	source_done(&in);
	source_done(&out);
}

static void
a_stripped_png_keeps_its_pixels(void **state)
{
	struct source in = source_made(128, 128, 6, hole);
	struct pixels p = prepared(STRIP, &in, NULL);

	(void)state;
	assert_int_equal(p.bands, 4);
	for (uint32_t y = 0; y < 128; y++)
		for (uint32_t x = 0; x < 128; x++)
			for (int k = 0; k < 4; k++)
				assert_int_equal(at(&p, x, y, k), hole(x, y, k));
	free(p.p);
	source_done(&in);
}

/* ---- what is bad ---- */

static void
a_damaged_input_is_the_callers_fault(void **state)
{
	struct buf whole = png_make(300, 300, 2, halves);
	struct imaging_size size = { 64, 64, IMAGING_FILL };
	unsigned left = each_file(NULL);

	(void)state;
	/* The head is right, the data are not. */
	for (size_t i = whole.len / 2; i < whole.len - 20; i++)
		whole.p[i] ^= 0x55;
	for (int what = RESIZE; what <= STRIP; what++) {
		struct source in = source_of(whole.p, whole.len), out = { 0 };
		struct err e;

		assert_int_equal(prepare((enum what)what, &in, &size, &out, &e), -1);
		assert_int_equal(e.kind, ERR_VALUE);
		assert_int_equal(err_status(&e), 400);
		assert_string_equal(e.param, what == MASK ? "mask" : "image");
		assert_string_equal(e.stage, "validate");
		assert_false(e.may_have_been_billed);
		assert_int_equal(out.type, PICTURE_NONE);
		source_done(&in);
	}
	assert_int_equal(each_file(NULL), left);
	assert_no_children();
	buf_done(&whole);
}

static void
a_bomb_is_refused_by_its_head(void **state)
{
	struct buf b = png_make(8, 8, 2, halves);
	struct imaging_size size = { 64, 64, IMAGING_FILL };
	struct source in = source_of(b.p, b.len), out = { 0 };
	const unsigned char side[] = { 0, 0, 0xea, 0x60 }; /* 60,000 */
	struct err e;

	(void)state;
	/* Behind the store's back, which has its own limit. */
	assert_int_equal(pwrite(in.fd, side, 4, 16), 4);
	assert_int_equal(pwrite(in.fd, side, 4, 20), 4);
	in.width = in.height = 60000;
	for (int what = RESIZE; what <= STRIP; what++) {
		assert_int_equal(prepare((enum what)what, &in, &size, &out, &e), -1);
		assert_int_equal(e.kind, ERR_BODY_TOO_LARGE);
		assert_string_equal(e.found, "60000x60000");
	}
	buf_done(&b);
	source_done(&in);
}

static void
a_deadline_ends_it(void **state)
{
	struct source in = source_made(64, 64, 2, halves), out = { 0 };
	struct imaging_size size = { 64, 64, IMAGING_FILL };
	struct deadline d = deadline_in_ms(0);
	struct err e;

	(void)state;
	assert_int_equal(imaging_resize(fx.fs, &in, "image", &size, &out, &d, &e), -1);
	assert_int_equal(e.kind, ERR_DEADLINE);
	assert_false(e.may_have_been_billed);
	source_done(&in);
}

/* ---- thumbnails ---- */

static void
a_thumbnail_is_small_and_never_enlarged(void **state)
{
	static const struct {
		uint32_t w, h, side, small_w, small_h;
	} rows[] = {
		{ 832, 1216, 512, 350, 512 },
		{ 1024, 256, 256, 256, 64 },
		{ 96, 64, 512, 96, 64 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct imaging_draw what = { "x", 1, rows[i].w, rows[i].h, PICTURE_PNG, -1, 0 };
		struct deadline d = deadline_in_ms(PATIENCE_MS);
		struct picture p, small;
		struct err e;

		assert_int_equal(imaging_draw(fx.fs, &what, &p, &d, &e), 0);
		assert_int_equal(imaging_thumbnail(fx.fs, &p, rows[i].side, &small, &d, &e), 0);
		assert_int_equal(small.type, PICTURE_WEBP);
		assert_int_equal(small.width, rows[i].small_w);
		assert_int_equal(small.height, rows[i].small_h);
		assert_true(small.bytes < p.bytes);
		assert_string_equal(small.id, p.id);
		assert_true(filestore_has_thumbnail(fx.fs, &p));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_picture_gets_exactly_the_size_it_is_to_have),
		cmocka_unit_test(the_fit_says_what_becomes_of_the_ratio),
		cmocka_unit_test(what_is_transparent_becomes_white),
		cmocka_unit_test(a_mask_is_white_where_it_was_transparent_in_whole_blocks),
		cmocka_unit_test(a_mask_without_transparency_is_refused),
		cmocka_unit_test(a_stripped_jpeg_is_upright_and_says_nothing),
		cmocka_unit_test(a_stripped_png_keeps_its_pixels),
		cmocka_unit_test(a_damaged_input_is_the_callers_fault),
		cmocka_unit_test(a_bomb_is_refused_by_its_head),
		cmocka_unit_test(a_deadline_ends_it),
		cmocka_unit_test(a_thumbnail_is_small_and_never_enlarged),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
