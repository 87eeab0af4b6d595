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

struct imaging_draw {
	const char *prompt;
	int64_t seed;
	uint32_t width, height;
	enum picture_type type;
	int compression; /* 0..100 quality for JPEG and WebP; -1: the default of 85 */
	unsigned index;  /* 0-based number of the picture among its n */
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

#endif
