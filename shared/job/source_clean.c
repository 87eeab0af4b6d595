#include "job/source_clean.h"

#include <stdlib.h>
#include <string.h>

#include "files/imaging.h"
#include "job/source_keep.h"

#define BLOCK          65536
#define RIFF_LENGTH_AT 4
#define VP8X_FLAGS_AT  20            /* where the first chunk is VP8X */
#define VP8X_METADATA  (0x04 | 0x08) /* XMP, EXIF */

bool
source_tells(const struct source *s)
{
	struct keep k;

	return s->type != PICTURE_NONE && (!source_keep(s, &k) || k.bytes < s->bytes);
}

/* A WebP's head says how long it is and what is in it. */
static void
mend_riff(unsigned char *p, size_t n, uint64_t bytes)
{
	for (int i = 0; i < 4; i++)
		p[RIFF_LENGTH_AT + i] = (unsigned char)((bytes - 8) >> (8 * i));
	if (n > VP8X_FLAGS_AT && !memcmp(p + 12, "VP8X", 4))
		p[VP8X_FLAGS_AT] &= (unsigned char)~VP8X_METADATA;
}

static int
copy_part(struct intake *in, const struct source *s, const struct keep *k, unsigned part,
	  unsigned char *block, struct err *e)
{
	uint64_t at = k->part[part].at, end = at + k->part[part].n;

	while (at < end) {
		size_t want = end - at < BLOCK ? (size_t)(end - at) : BLOCK, n;

		if (source_read(s, at, block, want, &n, e) < 0)
			return -1;
		if (!n)
			return err_set(e, ERR_INTERNAL, "an input picture's file is too short");
		if (at == 0 && s->type == PICTURE_WEBP)
			mend_riff(block, n, k->bytes);
		if (intake_bytes(in, block, n, e) < 0)
			return -1;
		at += n;
	}
	return 0;
}

static int
copy_kept(struct filestore *fs, const struct source *s, const struct keep *k, const char *param,
	  struct source *out, struct err *e)
{
	unsigned char *block = malloc(BLOCK);
	struct intake in;
	int rc;

	if (!block)
		return err_set(e, ERR_INTERNAL, "out of memory");
	rc = intake_begin(&in, fs, param, e);
	if (rc == 0) {
		for (unsigned i = 0; rc == 0 && i < k->parts; i++)
			rc = copy_part(&in, s, k, i, block, e);
		if (rc == 0)
			rc = intake_end(&in, out, e);
		intake_done(&in);
	}
	free(block);
	return rc;
}

int
source_clean(struct filestore *fs, struct source *s, unsigned n, const char *param,
	     const struct deadline *d, struct err *e)
{
	for (unsigned i = 0; i < n; i++) {
		struct source clean = { 0 };
		struct keep k;
		bool followed;

		if (s[i].type == PICTURE_NONE)
			continue;
		followed = source_keep(&s[i], &k);
		if (followed && k.bytes == s[i].bytes)
			continue;
		if (followed && k.upright) {
			if (copy_kept(fs, &s[i], &k, param, &clean, e) < 0)
				return -1;
		} else if (imaging_strip(fs, &s[i], param, &clean, d, e) < 0) {
			return -1;
		}
		source_done(&s[i]);
		s[i] = clean;
	}
	return 0;
}
