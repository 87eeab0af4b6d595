#include "files/picture.h"

#include <string.h>

static const struct {
	const char *mime, *extension, *format;
} types[] = {
	[PICTURE_NONE] = { "application/octet-stream", "bin", "" },
	[PICTURE_PNG] = { "image/png", "png", "png" },
	[PICTURE_JPEG] = { "image/jpeg", "jpg", "jpeg" },
	[PICTURE_WEBP] = { "image/webp", "webp", "webp" },
};

const char *
picture_mime(enum picture_type t)
{
	return types[t].mime;
}

const char *
picture_extension(enum picture_type t)
{
	return types[t].extension;
}

const char *
picture_format(enum picture_type t)
{
	return types[t].format;
}

enum picture_type
picture_by_name(const char *file)
{
	const char *dot = strrchr(file, '.');

	for (int t = PICTURE_PNG; dot && t <= PICTURE_WEBP; t++)
		if (!strcmp(types[t].extension, dot + 1))
			return (enum picture_type)t;
	return PICTURE_NONE;
}

enum picture_type
picture_by_format(const char *output_format)
{
	for (int t = PICTURE_PNG; t <= PICTURE_WEBP; t++)
		if (!strcmp(types[t].format, output_format))
			return (enum picture_type)t;
	return PICTURE_NONE;
}

/* A beginning and where reading it has come to. */
struct head {
	const unsigned char *p;
	size_t n;
	uint32_t width, height;
	const char *why;
};

static uint32_t
big16(const unsigned char *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t
big32(const unsigned char *p)
{
	return big16(p) << 16 | big16(p + 2);
}

static uint32_t
little16(const unsigned char *p)
{
	return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t
little24(const unsigned char *p)
{
	return (uint32_t)p[2] << 16 | little16(p);
}

static uint32_t
little32(const unsigned char *p)
{
	return little16(p + 2) << 16 | little16(p);
}

static enum picture_head
bad(struct head *h, const char *why)
{
	h->why = why;
	return HEAD_BAD;
}

static enum picture_head
sized(struct head *h, uint32_t width, uint32_t height)
{
	if (!width || !height)
		return bad(h, "its width or height is 0");
	h->width = width;
	h->height = height;
	return HEAD_OK;
}

static enum picture_head
head_png(struct head *h)
{
	if (h->n < 24)
		return HEAD_MORE;
	if (memcmp(h->p + 8, "\0\0\0\rIHDR", 8) != 0)
		return bad(h, "it begins like a PNG, but has no header chunk");
	if (big32(h->p + 16) > INT32_MAX || big32(h->p + 20) > INT32_MAX)
		return bad(h, "it is a PNG of an impossible size");
	return sized(h, big32(h->p + 16), big32(h->p + 20));
}

/* A marker that tells a frame's size: SOF0 to SOF15, without DHT, JPG and DAC in their midst. */
static bool
is_sof(unsigned char marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
	       marker != 0xcc;
}

/* A beginning may be read again and again while it grows: that must stay cheap. */
#define JPEG_SEGMENTS 1000 /* before the size */
#define JPEG_FILL     64   /* fill bytes before a marker */

static enum picture_head
head_jpeg(struct head *h)
{
	size_t at = 2;

	for (unsigned segments = 0; segments < JPEG_SEGMENTS; segments++) {
		size_t fill = at + JPEG_FILL;
		unsigned char marker;
		uint32_t length;

		if (at >= h->n)
			return HEAD_MORE;
		if (h->p[at++] != 0xff)
			return bad(h, "it begins like a JPEG, but its segments do not follow on");
		while (at < h->n && h->p[at] == 0xff && at < fill)
			at++;
		if (at >= h->n)
			return HEAD_MORE;
		marker = h->p[at++];
		if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) /* TEM, RST: no length */
			continue;
		if (marker == 0x00 || marker == 0xd8 || marker == 0xd9 || marker == 0xda ||
		    marker == 0xff)
			return bad(h, "it begins like a JPEG, but its picture has no size");
		if (h->n - at < 2)
			return HEAD_MORE;
		length = big16(h->p + at);
		if (length < 2 || (is_sof(marker) && length < 8))
			return bad(h, "it begins like a JPEG, but has a segment of no length");
		if (is_sof(marker))
			return h->n - at < 8 ? HEAD_MORE
					     : sized(h, big16(h->p + at + 5), big16(h->p + at + 3));
		at += length;
	}
	return bad(h, "it begins like a JPEG, but has too many segments");
}

static enum picture_head
head_webp(struct head *h)
{
	const unsigned char *p = h->p;

	if (h->n < 30)
		return HEAD_MORE;
	if (!memcmp(p + 12, "VP8X", 4))
		return sized(h, little24(p + 24) + 1, little24(p + 27) + 1);
	if (!memcmp(p + 12, "VP8L", 4)) {
		uint32_t bits = little32(p + 21);

		if (p[20] != 0x2f)
			return bad(h, "it begins like a WebP, but its picture does not");
		return sized(h, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
	}
	if (!memcmp(p + 12, "VP8 ", 4)) {
		if ((p[20] & 1) || memcmp(p + 23, "\x9d\x01\x2a", 3) != 0)
			return bad(h, "it begins like a WebP, but its picture does not");
		return sized(h, little16(p + 26) & 0x3fff, little16(p + 28) & 0x3fff);
	}
	return bad(h, "it begins like a WebP, but has no picture");
}

/*
 * What a beginning may be, in order: the first row that fits decides, and a row that fits as far as
 * the bytes go waits for more, so that the answer never depends on how they were cut.
 */
static const struct kind {
	unsigned at; /* where `magic` stands; '?' in it is any byte */
	unsigned n;
	const char *magic;
	enum picture_head (*read)(struct head *h);
	enum picture_type type;
	const char *why;
} kinds[] = {
	{ 0, 8, "\x89PNG\r\n\x1a\n", head_png, PICTURE_PNG, NULL },
	{ 0, 3, "\xff\xd8\xff", head_jpeg, PICTURE_JPEG, NULL },
	{ 0, 12, "RIFF????WEBP", head_webp, PICTURE_WEBP, NULL },
	{ 0, 4, "RIFF", NULL, PICTURE_NONE, "it is sound or video" },
	{ 0, 4, "GIF8", NULL, PICTURE_NONE, "it is a GIF" },
	{ 0, 5, "%PDF-", NULL, PICTURE_NONE, "it is a PDF" },
	{ 0, 4, "II*\0", NULL, PICTURE_NONE, "it is a TIFF" },
	{ 0, 4, "MM\0*", NULL, PICTURE_NONE, "it is a TIFF" },
	{ 0, 4, "PK\3\4", NULL, PICTURE_NONE, "it is a ZIP archive" },
	{ 0, 2, "\x1f\x8b", NULL, PICTURE_NONE, "it is gzip data" },
	{ 4, 8, "ftypavif", NULL, PICTURE_NONE, "it is an AVIF" },
	{ 4, 6, "ftyphe", NULL, PICTURE_NONE, "it is a HEIC" },
	{ 4, 4, "ftyp", NULL, PICTURE_NONE, "it is video" },
	{ 0, 12, "\0\0\0\x0cJXL \r\n\x87\n", NULL, PICTURE_NONE, "it is a JPEG XL" },
	{ 0, 2, "\xff\x0a", NULL, PICTURE_NONE, "it is a JPEG XL" },
	{ 0, 4, "http", NULL, PICTURE_NONE, "it is a URL" },
	{ 0, 5, "data:", NULL, PICTURE_NONE, "it is a data URL" },
};

enum fit { FIT_NO, FIT_SO_FAR, FIT_YES };

static enum fit
fits(const struct kind *k, const unsigned char *p, size_t n)
{
	for (unsigned i = 0; i < k->n; i++) {
		if (k->at + i >= n)
			return FIT_SO_FAR;
		if (k->magic[i] != '?' && p[k->at + i] != (unsigned char)k->magic[i])
			return FIT_NO;
	}
	return FIT_YES;
}

static bool
is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char
lower(unsigned char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

#define BLANK_BYTES 64 /* so much white space is looked past for the first word of a text */

/* What a beginning is that fits no row: text, most of the time, of a program that excuses itself. */
static enum picture_head
head_text(struct head *h)
{
	static const struct {
		const char *tag, *why;
	} tags[] = {
		{ "<!doctype html", "it looks like HTML" },
		{ "<html", "it looks like HTML" },
		{ "<svg", "it is an SVG" },
		{ "<?xml", "it looks like XML or SVG" },
		{ "<", "it looks like HTML or XML" },
		{ "{", "it looks like JSON" },
		{ "[", "it looks like JSON" },
	};
	size_t at = h->n >= 3 && !memcmp(h->p, "\xef\xbb\xbf", 3) ? 3 : 0;
	unsigned char first;

	while (at < h->n && at < BLANK_BYTES && is_blank(h->p[at]))
		at++;
	if (at == BLANK_BYTES)
		return bad(h, "it is blank");
	if (at == h->n)
		return HEAD_MORE;
	first = h->p[at];
	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
		const char *tag = tags[i].tag;
		size_t k = 0;

		while (tag[k] && at + k < h->n && tag[k] == lower(h->p[at + k]))
			k++;
		if (!tag[k])
			return bad(h, tags[i].why);
		if (at + k == h->n)
			return HEAD_MORE;
	}
	return bad(h, first > ' ' && first < 0x7f ? "it looks like text"
						  : "it is no PNG, JPEG or WebP");
}

enum picture_head
picture_head(const void *p, size_t n, enum picture_type *type, uint32_t *width, uint32_t *height,
	     const char **why)
{
	struct head h = { .p = p, .n = n };
	enum picture_head r = HEAD_MORE;
	const struct kind *k = kinds, *end = kinds + sizeof(kinds) / sizeof(*kinds);
	enum fit fit = FIT_NO;

	while (k < end && (fit = fits(k, h.p, n)) == FIT_NO)
		k++;
	if (k == end)
		r = head_text(&h);
	else if (fit == FIT_YES)
		r = k->read ? k->read(&h) : bad(&h, k->why);
	if (r == HEAD_OK) {
		*type = k->type;
		*width = h.width;
		*height = h.height;
	} else if (r == HEAD_BAD) {
		*why = h.why;
	}
	return r;
}

/* Trailing bytes that encoders add and decoders overlook. */
static size_t
without_padding(const unsigned char *tail, size_t n)
{
	while (n && (tail[n - 1] == 0x00 || tail[n - 1] == 0xff || tail[n - 1] == '\r' ||
		     tail[n - 1] == '\n'))
		n--;
	return n;
}

bool
picture_ends(enum picture_type t, const unsigned char head[12], const unsigned char *tail, size_t n,
	     uint64_t bytes)
{
	switch (t) {
	case PICTURE_PNG:
		n = without_padding(tail, n);
		return n >= 12 && !memcmp(tail + n - 12, "\0\0\0\0IEND\xae\x42\x60\x82", 12);
	case PICTURE_JPEG:
		n = without_padding(tail, n);
		return n >= 2 && tail[n - 2] == 0xff && tail[n - 1] == 0xd9;
	case PICTURE_WEBP: return bytes >= 8 && bytes - 8 >= little32(head + 4);
	case PICTURE_NONE: break;
	}
	return false;
}
