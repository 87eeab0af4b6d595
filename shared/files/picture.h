#ifndef EASEL_FILES_PICTURE_H
#define EASEL_FILES_PICTURE_H
/*
 * picture - a picture that is stored, and what its first bytes say
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum picture_type { PICTURE_NONE, PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP };

#define PICTURE_ID \
	27 /* 26 characters of lower-case Crockford base32 (128 random bits) and the NUL */

struct picture {
	char id[PICTURE_ID];
	enum picture_type type;
	uint32_t width, height; /* pixels */
	uint64_t bytes;
};

const char *picture_mime(enum picture_type t);      /* "image/png" */
const char *picture_extension(enum picture_type t); /* "png", "jpeg" → "jpg", "webp" */
const char *picture_format(enum picture_type t); /* OpenAI's output_format: "png" "jpeg" "webp" */
enum picture_type picture_by_name(const char *file); /* by its ending; PICTURE_NONE: unknown */
enum picture_type picture_by_format(const char *output_format); /* PICTURE_NONE: unknown */

/* So much of its beginning decides: a JPEG may carry thumbnails, profiles and signatures of provenance
   in front of its size, each segment of them up to 64 KB. */
#define PICTURE_HEAD_BYTES (1024 * 1024)

enum picture_head { HEAD_OK, HEAD_MORE, HEAD_BAD };

/*
 * Reads type and size from a picture's beginning: PNG (RFC 2083: signature, IHDR first), JPEG (ITU
 * T.81: SOI, then segments up to an SOF), WebP (RFC 9649: VP8, VP8L, VP8X).
 *
 * HEAD_OK: *type, *width, *height are set; n is 12 at least.  HEAD_MORE: give a longer beginning (up to
 * PICTURE_HEAD_BYTES).  HEAD_BAD: none of them; *why is a static English phrase ("it is a GIF").  A
 * longer beginning never changes what a shorter one has decided.
 */
enum picture_head picture_head(const void *p, size_t n, enum picture_type *type, uint32_t *width,
			       uint32_t *height, const char **why);

/*
 * Does the picture end as its format says?  `tail` are its last n bytes (at least 12, or all of
 * them), `bytes` its whole length, `head` its first 12.  PNG ends in an IEND chunk, JPEG in EOI, a
 * WebP is not shorter than its RIFF length says.  After IEND and EOI bytes of padding (00, FF, line
 * ends) are allowed: nobody throws a picture away for a line end, so give a tail that has room for it.
 */
bool picture_ends(enum picture_type t, const unsigned char head[12], const unsigned char *tail,
		  size_t n, uint64_t bytes);

#endif
