#ifndef EASEL_JOB_SOURCE_KEEP_H
#define EASEL_JOB_SOURCE_KEEP_H
/*
 * source_keep - which bytes of a picture show it
 *
 * PNG (RFC 2083, and the APNG and colour chunks of its third edition), JPEG (ITU T.81, JFIF, ICC.1 annex
 * B, Adobe's APP14), WebP (RFC 9649).  Whatever else a container holds (comments, prompts, thumbnails,
 * signatures, what stands behind its end) is about the picture and not the picture.  Private to job/.
 */
#include <stdbool.h>
#include <stdint.h>

#include "files/source.h"

#define KEEP_MAX 64 /* stretches; a picture in more pieces is written anew */

struct keep {
	struct {
		uint64_t at, n;
	} part[KEEP_MAX];
	unsigned parts;
	uint64_t bytes; /* of all parts */
	bool upright;   /* no EXIF says how it is to be turned */
};

/* False: it cannot be followed to its end, or is in too many pieces. */
bool source_keep(const struct source *s, struct keep *k);

#endif
