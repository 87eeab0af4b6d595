#ifndef EASEL_JOB_SOURCE_CLEAN_H
#define EASEL_JOB_SOURCE_CLEAN_H
/*
 * source_clean - what an input picture tells beside itself does not leave the house
 *
 * A photograph's EXIF block holds where and by whom it was taken; XMP and IPTC the like; text chunks and
 * comments hold the prompts and settings that a picture was made with; other pictures stand behind its
 * end.  A picture that has none of it goes on as it came.  Of one that has, the bytes that show it are
 * copied, the colour profile among them; where an EXIF block may say how it is to be turned, or it cannot be
 * followed, it is decoded and written anew, upright, by the sandboxed helper.
 */
#include <stdbool.h>

#include "base/deadline.h"
#include "files/source.h"

/* Does it hold anything that is not needed to show it, or cannot be followed to its end? */
bool source_tells(const struct source *s);

/*
 * Replaces each of the n that tells something.  param: the field, for errors.  0, or as imaging_strip() and
 * intake_end().
 */
int source_clean(struct filestore *fs, struct source *s, unsigned n, const char *param,
		 const struct deadline *d, struct err *e);

#endif
