#include "job/source_clean.h"

#include <string.h>

#include "files/imaging.h"

#define BLOCKS_MAX 4096 /* a picture of more chunks than that is written anew */
#define XMP_KEY    "XML:com.adobe.xmp"

static uint32_t
big(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t
little(const unsigned char *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Fills out with n bytes at `at`; false: there are not so many. */
static bool
look(const struct source *s, uint64_t at, unsigned char *out, size_t n)
{
	struct err ignored;
	size_t got;

	return source_read(s, at, out, n, &got, &ignored) == 0 && got == n;
}

/* Chunks of length, type, data, checksum. */
static bool
png_tells(const struct source *s)
{
	unsigned char h[8 + sizeof(XMP_KEY) - 1];
	uint64_t at = 8;

	for (int i = 0; i < BLOCKS_MAX; i++) {
		if (!look(s, at, h, 8))
			return true;
		if (!memcmp(h + 4, "eXIf", 4))
			return true;
		if (!memcmp(h + 4, "iTXt", 4) && look(s, at, h, sizeof(h)) &&
		    !memcmp(h + 8, XMP_KEY, sizeof(XMP_KEY) - 1))
			return true;
		if (!memcmp(h + 4, "IEND", 4))
			return false;
		at += 12 + (uint64_t)big(h);
	}
	return true;
}

/* Segments of marker and length, up to the first scan. */
static bool
jpeg_tells(const struct source *s)
{
	unsigned char h[4];
	uint64_t at = 2;

	for (int i = 0; i < BLOCKS_MAX; i++) {
		if (!look(s, at, h, 4) || h[0] != 0xff)
			return true;
		if (h[1] == 0xff) { /* fill */
			at++;
			continue;
		}
		if (h[1] == 0xe1 || h[1] == 0xed)
			return true;
		if (h[1] == 0xda)
			return false;
		at += 2 + (uint64_t)(h[2] << 8 | h[3]);
	}
	return true;
}

/* RIFF chunks of type, length, data, padded to an even length. */
static bool
webp_tells(const struct source *s)
{
	unsigned char h[8];
	uint64_t at = 12;

	for (int i = 0; i < BLOCKS_MAX; i++) {
		if (at + 8 > s->bytes)
			return false;
		if (!look(s, at, h, 8) || !memcmp(h, "EXIF", 4) || !memcmp(h, "XMP ", 4))
			return true;
		at += 8 + (uint64_t)little(h + 4) + (little(h + 4) & 1);
	}
	return true;
}

bool
source_tells(const struct source *s)
{
	switch (s->type) {
	case PICTURE_PNG: return png_tells(s);
	case PICTURE_JPEG: return jpeg_tells(s);
	case PICTURE_WEBP: return webp_tells(s);
	case PICTURE_NONE: break;
	}
	return false;
}

int
source_clean(struct filestore *fs, struct source *s, unsigned n, const char *param,
	     const struct deadline *d, struct err *e)
{
	for (unsigned i = 0; i < n; i++) {
		struct source clean = { 0 };

		if (!source_tells(&s[i]))
			continue;
		if (imaging_strip(fs, &s[i], param, &clean, d, e) < 0)
			return -1;
		source_done(&s[i]);
		s[i] = clean;
	}
	return 0;
}
