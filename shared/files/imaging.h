#ifndef EASEL_FILES_IMAGING_H
#define EASEL_FILES_IMAGING_H
/*
 * imaging - decode, convert and draw pictures, in a process of its own
 *
 * Pixels are touched only by the helper program `easel-image` (imaging/), which is started for one
 * piece of work with the input and output files as descriptors and ends with it: no network, no new
 * processes, bounded memory and time, so that a decoder's bug stays there.  At most two helpers run
 * at once per process; others wait for their turn inside their deadline.  Thread-safe.  Does not log.
 */
#include "base/deadline.h"
#include "base/err.h"
#include "files/filestore.h"
#include "files/source.h"

struct imaging_draw {
	const char *prompt;
	int64_t seed;
	uint32_t width, height;
	enum picture_type type;
	int compression; /* 0..100 quality for JPEG and WebP; -1: the default of 85 */
	unsigned index;  /* 0-based number of the picture among its n */
	/* NULL, or what the drawing is laid over: of that width and height (imaging_resize()). */
	const struct source *over;
};

/* Finds the helper: $EASEL_LIBEXEC, beside this executable, ../libexec; -1: ERR_CONFIG. */
int imaging_init(struct err *e);

/*
 * Draws the preview picture and stores it.  The same prompt, seed, size and index give the same
 * pixels.  0 or -1: ERR_DEADLINE, ERR_STORAGE_FULL, ERR_INTERNAL.
 */
int imaging_draw(struct filestore *fs, const struct imaging_draw *what, struct picture *out,
		 const struct deadline *d, struct err *e);

/*
 * Converts a stored picture to another type; the new one is stored beside the old one.
 * 0 or -1 as above; ERR_RESULT_NOT_IMAGE: it cannot be decoded; ERR_UP_TOO_LARGE: past the limits.
 */
int imaging_convert(struct filestore *fs, const struct picture *in, enum picture_type type,
		    int compression, struct picture *out, const struct deadline *d, struct err *e);

/*
 * A small copy of a stored picture, a WebP whose sides are at most `side` (1 to 4096); never larger than
 * the picture is.  It is stored beside it as its thumbnail (files/filestore.h); *out has its own size and bytes
 * under the picture's id.  0 or -1 as imaging_convert().
 */
int imaging_thumbnail(struct filestore *fs, const struct picture *in, uint32_t side,
		      struct picture *out, const struct deadline *d, struct err *e);

/* ---- pictures that go in: from a source to another, which is the caller's to close ---- */

enum imaging_fit {
	IMAGING_FILL,   /* the ratio of its sides may change */
	IMAGING_COVER,  /* cut around the middle to the new ratio */
	IMAGING_CONTAIN /* all of it, on black */
};

struct imaging_size {
	uint32_t width, height; /* 1 to 4096 pixels; of a mask: multiples of 8 */
	enum imaging_fit fit;
};

/*
 * Each turns the picture upright, into sRGB, and leaves EXIF, GPS, XMP, profile, texts and comments out.
 * `param` is the field it came in, for errors; max_pixels is the store's image_pixels.
 *
 * imaging_resize: a PNG of exactly that size; what was transparent is white.
 * imaging_mask: a PNG of exactly that size, white where the picture was transparent, else black, in whole
 *	blocks of 8 by 8: how providers of inpainting want what OpenAI's API sends as transparency.
 * imaging_strip: the same type and size (sides change places where it lay on its side).
 *
 * 0 or -1: ERR_VALUE with param (it cannot be decoded; a mask without transparency), ERR_BODY_TOO_LARGE
 * (too many pixels), ERR_DEADLINE, ERR_STORAGE_FULL, ERR_INTERNAL.
 */
int imaging_resize(struct filestore *fs, const struct source *in, const char *param,
		   const struct imaging_size *size, struct source *out, const struct deadline *d,
		   struct err *e);
int imaging_mask(struct filestore *fs, const struct source *in, const char *param,
		 const struct imaging_size *size, struct source *out, const struct deadline *d,
		 struct err *e);
int imaging_strip(struct filestore *fs, const struct source *in, const char *param,
		  struct source *out, const struct deadline *d, struct err *e);

#endif
