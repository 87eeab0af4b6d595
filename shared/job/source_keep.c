#include "job/source_keep.h"

#include <string.h>

#define BLOCKS_MAX 65536 /* chunks or segments */
#define SCAN_BYTES 8192

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
look(const struct source *s, uint64_t at, void *out, size_t n)
{
	struct err ignored;
	size_t got;

	return source_read(s, at, out, n, &got, &ignored) == 0 && got == n;
}

/* False: too many pieces, or more than there is. */
static bool
add(const struct source *s, struct keep *k, uint64_t at, uint64_t n)
{
	if (at > s->bytes || n > s->bytes - at)
		return false;
	if (k->parts && k->part[k->parts - 1].at + k->part[k->parts - 1].n == at) {
		k->part[k->parts - 1].n += n;
	} else {
		if (k->parts == KEEP_MAX)
			return false;
		k->part[k->parts].at = at;
		k->part[k->parts++].n = n;
	}
	k->bytes += n;
	return true;
}

static bool
among(const unsigned char *type, const char *names)
{
	for (; *names; names += 4)
		if (!memcmp(type, names, 4))
			return true;
	return false;
}

/* ---- PNG: chunks of length, type, data, checksum ---- */

static bool
png_keep(const struct source *s, struct keep *k)
{
	static const char shows[] = "IHDRPLTEIDATIENDtRNSgAMAcHRMsRGBiCCPsBITbKGDhISTpHYssPLTcICP"
				    "mDCVcLLIacTLfcTLfdAT";
	unsigned char h[8];
	uint64_t at = 8;

	if (!add(s, k, 0, 8))
		return false;
	for (int i = 0; i < BLOCKS_MAX; i++) {
		uint64_t n;

		if (!look(s, at, h, 8))
			return false;
		n = 12 + (uint64_t)big(h);
		if (!memcmp(h + 4, "eXIf", 4))
			k->upright = false;
		if (among(h + 4, shows) && !add(s, k, at, n))
			return false;
		if (!memcmp(h + 4, "IEND", 4))
			return true;
		at += n;
	}
	return false;
}

/* ---- JPEG: segments of marker and length; behind a scan's, its data ---- */

enum {
	M_RST0 = 0xd0,
	M_RST7 = 0xd7,
	M_EOI = 0xd9,
	M_SOS = 0xda,
	M_APP0 = 0xe0,
	M_APP15 = 0xef,
	M_COM = 0xfe
};

/* The profile, the colour model: everything else that applications put in is about the picture. */
static bool
jpeg_shows(const struct source *s, uint64_t at, unsigned char marker)
{
	char name[12];

	if (marker == M_COM)
		return false;
	if (marker < M_APP0 || marker > M_APP15)
		return true;
	if (!look(s, at + 4, name, 5))
		return false;
	switch (marker - M_APP0) {
	case 0: return !memcmp(name, "JFIF", 5);
	case 2: return look(s, at + 4, name, 12) && !memcmp(name, "ICC_PROFILE", 12);
	case 14: return !memcmp(name, "Adobe", 5);
	default: return false;
	}
}

/* How long the scan's data from `at` is: up to a marker that is neither a stuffed zero nor a restart. */
static bool
scan_length(const struct source *s, uint64_t at, uint64_t *n)
{
	unsigned char block[SCAN_BYTES];
	struct err ignored;
	uint64_t start = at;
	size_t got;

	while (source_read(s, at, block, sizeof(block), &got, &ignored) == 0 && got >= 2) {
		const unsigned char *p = block, *last = block + got - 1;

		while (p < last && (p = memchr(p, 0xff, (size_t)(last - p)))) {
			if (p[1] && p[1] != 0xff && (p[1] < M_RST0 || p[1] > M_RST7)) {
				*n = at + (uint64_t)(p - block) - start;
				return true;
			}
			p++;
		}
		at += got - 1; /* a marker may lie across */
	}
	return false;
}

static bool
jpeg_keep(const struct source *s, struct keep *k)
{
	unsigned char h[10];
	uint64_t at = 2;

	if (!add(s, k, 0, 2))
		return false;
	for (int i = 0; i < BLOCKS_MAX; i++) {
		uint64_t n, data = 0;

		if (!look(s, at, h, 2) || h[0] != 0xff)
			return false;
		if (h[1] == 0xff) { /* fill */
			at++;
			continue;
		}
		if (h[1] == M_EOI)
			return add(s, k, at, 2);
		if (!look(s, at, h, 4))
			return false;
		n = 2 + (uint64_t)(h[2] << 8 | h[3]);
		if (h[1] == M_APP0 + 1 && look(s, at, h, 10) && !memcmp(h + 4, "Exif", 5))
			k->upright = false;
		if (h[1] == M_SOS && !scan_length(s, at + n, &data))
			return false;
		if (jpeg_shows(s, at, h[1]) && !add(s, k, at, n + data))
			return false;
		at += n + data;
	}
	return false;
}

/* ---- WebP: RIFF chunks of type, length, data, padded to an even length ---- */

static bool
webp_keep(const struct source *s, struct keep *k)
{
	unsigned char h[12];
	uint64_t at = 12, end;

	if (!look(s, 0, h, 12) || !add(s, k, 0, 12))
		return false;
	end = 8 + (uint64_t)little(h + 4);
	if (end > s->bytes)
		return false;
	for (int i = 0; i < BLOCKS_MAX && at + 8 <= end; i++) {
		uint64_t n;

		if (!look(s, at, h, 8))
			return false;
		n = 8 + (uint64_t)little(h + 4) + (little(h + 4) & 1);
		if (n == 9 + (uint64_t)little(h + 4) && at + n == end + 1 && at + n > s->bytes)
			n--; /* the last one's padding may lack */
		if (!memcmp(h, "EXIF", 4))
			k->upright = false;
		if (among(h, "VP8 VP8LVP8XALPHANIMANMFICCP") && !add(s, k, at, n))
			return false;
		at += n;
	}
	return at + 8 > end;
}

bool
source_keep(const struct source *s, struct keep *k)
{
	*k = (struct keep){ .upright = true };
	switch (s->type) {
	case PICTURE_PNG: return png_keep(s, k);
	case PICTURE_JPEG: return jpeg_keep(s, k);
	case PICTURE_WEBP: return webp_keep(s, k);
	case PICTURE_NONE: break;
	}
	return false;
}
