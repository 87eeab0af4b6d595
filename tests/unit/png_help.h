#ifndef EASEL_TESTS_PNG_HELP_H
#define EASEL_TESTS_PNG_HELP_H
/*
 * png_help - PNGs made and read by hand, and input pictures of them; after imaging_fixture.h
 */
#include <zlib.h>

#include "base/cleanup.h"
#include "files/source.h"

/* ---- PNG, by hand: 8 bits, filters None and Sub ---- */

static void
add_u32(struct buf *b, uint32_t v)
{
	const unsigned char p[] = { v >> 24, v >> 16, v >> 8, v };

	assert_int_equal(buf_add(b, p, 4), 0);
}

static void
add_chunk(struct buf *b, const char *type, const void *data, size_t n)
{
	size_t start;

	add_u32(b, (uint32_t)n);
	start = b->len;
	assert_int_equal(buf_add(b, type, 4), 0);
	assert_int_equal(buf_add(b, data, n), 0);
	add_u32(b, (uint32_t)crc32(0, (const Bytef *)b->p + start, (uInt)(n + 4)));
}

/* colour: 2 RGB, 6 RGBA.  pixel() says each sample. */
static struct buf
png_make(uint32_t w, uint32_t h, unsigned char colour,
	 unsigned char (*pixel)(uint32_t x, uint32_t y, int band))
{
	static const char text[] = "Comment\0secret-prompt-text";
	struct buf b = BUF_INIT(64 << 20), head = BUF_INIT(64), rows = BUF_INIT(64 << 20);
	const unsigned char tail[] = { 8, colour, 0, 0, 0 };
	uLongf len;
	AUTO_FREE unsigned char *packed = NULL;
	int bands = colour == 6 ? 4 : 3;

	for (uint32_t y = 0; y < h; y++) {
		assert_int_equal(buf_addc(&rows, 0), 0);
		for (uint32_t x = 0; x < w; x++)
			for (int k = 0; k < bands; k++)
				assert_int_equal(buf_addc(&rows, (char)pixel(x, y, k)), 0);
	}
	len = compressBound(rows.len);
	packed = malloc(len);
	assert_non_null(packed);
	assert_int_equal(compress2(packed, &len, (Bytef *)rows.p, rows.len, 1), Z_OK);
	add_u32(&head, w);
	add_u32(&head, h);
	assert_int_equal(buf_add(&head, tail, sizeof(tail)), 0);
	assert_int_equal(buf_add(&b, "\x89PNG\r\n\x1a\n", 8), 0);
	add_chunk(&b, "IHDR", head.p, head.len);
	add_chunk(&b, "tEXt", text, sizeof(text) - 1);
	add_chunk(&b, "IDAT", packed, len);
	add_chunk(&b, "IEND", "", 0);
	buf_done(&head);
	buf_done(&rows);
	return b;
}

struct pixels {
	uint32_t w, h;
	int bands;
	unsigned char *p;
};

static uint32_t
get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static struct pixels
png_read(const struct buf *b)
{
	const unsigned char *p = (const unsigned char *)b->p;
	struct buf idat = BUF_INIT(64 << 20);
	struct pixels out = { get_u32(p + 16), get_u32(p + 20), 0, NULL };
	uLongf len;
	unsigned char *rows;
	size_t row;

	assert_int_equal(p[24], 8);
	out.bands = p[25] == 0 ? 1 : p[25] == 2 ? 3 : p[25] == 4 ? 2 : 4;
	for (size_t at = 8; at + 12 <= b->len; at += 12 + get_u32(p + at))
		if (!memcmp(p + at + 4, "IDAT", 4))
			assert_int_equal(buf_add(&idat, p + at + 8, get_u32(p + at)), 0);
	row = (size_t)out.w * (size_t)out.bands;
	len = (row + 1) * out.h;
	rows = malloc(len);
	out.p = malloc(row * out.h);
	assert_true(rows && out.p);
	assert_int_equal(uncompress(rows, &len, (Bytef *)idat.p, idat.len), Z_OK);
	for (uint32_t y = 0; y < out.h; y++) {
		unsigned char *from = rows + y * (row + 1), *to = out.p + y * row;

		assert_in_range(from[0], 0, 1);
		for (size_t i = 0; i < row; i++) {
			unsigned left =
				from[0] && i >= (size_t)out.bands ? to[i - (size_t)out.bands] : 0;

			to[i] = (unsigned char)(from[i + 1] + left);
		}
	}
	free(rows);
	buf_done(&idat);
	return out;
}

static unsigned char
at(const struct pixels *p, uint32_t x, uint32_t y, int band)
{
	return p->p[((size_t)y * p->w + x) * (size_t)p->bands + (size_t)band];
}

/* ---- sources ---- */

static struct source
source_of(const void *bytes, size_t n)
{
	AUTO(intake) in;
	struct source s = { 0 };
	struct err e;

	assert_int_equal(intake_begin(&in, fx.fs, "image", &e), 0);
	assert_int_equal(intake_bytes(&in, bytes, n, &e), 0);
	assert_int_equal(intake_end(&in, &s, &e), 0);
	return s;
}

static inline struct buf
source_content(const struct source *s)
{
	struct buf b = BUF_INIT(IMAGE_BYTES);
	struct err e;
	size_t got;

	assert_int_equal(buf_room(&b, s->bytes + 1), 0);
	assert_int_equal(source_read(s, 0, b.p, s->bytes, &got, &e), 0);
	assert_int_equal(got, s->bytes);
	b.len = got;
	return b;
}

static struct source
source_made(uint32_t w, uint32_t h, unsigned char colour,
	    unsigned char (*pixel)(uint32_t x, uint32_t y, int band))
{
	struct buf b = png_make(w, h, colour, pixel);
	struct source s = source_of(b.p, b.len);

	buf_done(&b);
	return s;
}

#endif
