#ifndef EASEL_FILES_SOURCE_H
#define EASEL_FILES_SOURCE_H
/*
 * source - a picture that goes in: an upload, a data URL, a fetched URL, a provider's partial picture
 *
 * It lies in a file without a name, which ends with its descriptor: whatever dies, nothing stays
 * behind.  It was checked to be a PNG, JPEG or WebP within the limits before it is one.
 */
#include <stdint.h>

#include "base/err.h"
#include "files/filestore.h"
#include "files/picture.h"
#include "files/sink.h"

#define SOURCES_MAX 16

struct source {
	int fd; /* its file; readers use pread(), so that it can be read twice and by others */
	enum picture_type type; /* PICTURE_NONE: there is no picture, and no file */
	uint32_t width, height;
	uint64_t bytes;
};

/* Closes it, unless it is empty (all zero), as it is afterwards. */
void source_done(struct source *s);

/*
 * Reads up to n bytes at `at`, all there are; for the callers that send it on.  -1: ERR_INTERNAL (a
 * file that was whole a moment ago).
 */
int source_read(const struct source *s, uint64_t at, void *p, size_t n, size_t *got, struct err *e);

/*
 * A picture on its way in, in pieces of any size; memory stays constant.  `param` is the field's name
 * for errors: "image", "images[0].image_url", "mask".  Same shape as files/sink.h.
 *
 *	struct intake in;
 *	intake_begin(&in, fs, "image", e);
 *	while (more) intake_bytes(&in, p, n, e);
 *	intake_end(&in, &source, e);
 *	intake_done(&in);
 */
struct intake {
	struct sink sink;
	char param[64];
};

/*
 * Each 0 or -1: ERR_VALUE with `param`, expected "a PNG, JPEG or WebP", found what it seems to be;
 * ERR_BODY_TOO_LARGE past image_bytes or image_pixels, at the first byte that tells; ERR_STORAGE_FULL;
 * ERR_INTERNAL.
 */
int intake_begin(struct intake *in, struct filestore *fs, const char *param, struct err *e);
int intake_bytes(struct intake *in, const void *p, size_t n, struct err *e);
int intake_end(struct intake *in, struct source *out, struct err *e);
void intake_done(struct intake *in);

/*
 * From text: "data:image/…;base64,…" or bare base64.  0 or -1 as above; ERR_VALUE too when it is not
 * base64.
 */
int source_from_text(struct filestore *fs, const char *text, size_t n, const char *param,
		     struct source *out, struct err *e);

#endif
