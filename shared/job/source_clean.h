#ifndef EASEL_JOB_SOURCE_CLEAN_H
#define EASEL_JOB_SOURCE_CLEAN_H
/*
 * source_clean - what an input picture tells about whoever made it does not leave the house
 *
 * A photograph's EXIF block holds where and by whom it was taken; XMP and IPTC the like.  A picture that
 * has none of them goes on as it came; one that has is decoded and written anew without them, upright, by
 * the sandboxed helper.
 */
#include <stdbool.h>

#include "base/deadline.h"
#include "files/source.h"

/*
 * Does it hold EXIF, XMP or IPTC?  PNG: eXIf, an iTXt of XMP; JPEG: APP1, APP13; WebP: "EXIF", "XMP ".  A
 * container that cannot be followed to its pixels counts as if it did.
 */
bool source_tells(const struct source *s);

/* Replaces each of the n that tells something.  param: the field, for errors.  0, or as imaging_strip(). */
int source_clean(struct filestore *fs, struct source *s, unsigned n, const char *param,
		 const struct deadline *d, struct err *e);

#endif
