#ifndef EASEL_FILES_THUMBNAILS_H
#define EASEL_FILES_THUMBNAILS_H
/*
 * thumbnails - small copies of stored pictures, made when somebody wants to see them
 *
 * Most pictures are looked at once, whole, by whoever asked for them, so a thumbnail is made when its picture is
 * first listed, not when it is stored.  Two threads of the process's own, started when first needed, run the
 * helper (files/imaging.h); whoever lists waits a little for what is missing, the rest is there the next time.
 * A picture that is small itself needs none.  Of one that cannot be decoded it is tried once a process.
 * Thread-safe.  Does not log.
 */
#include "base/cleanup.h"
#include "base/deadline.h"
#include "files/filestore.h"

#define THUMBNAIL_SIDE       512 /* pixels */
#define THUMBNAIL_NO_BYTES   65536 /* a picture of no more is small enough as it is */
#define THUMBNAIL_MS         10000 /* for one */
#define THUMBNAILS_QUEUE_MAX 256   /* that wait to be made; further ones are left for the next time */

struct thumbnails;

/* The filestore is borrowed.  imaging_init() was called. */
int thumbnails_open(struct thumbnails **out, struct filestore *fs, struct err *e);
void thumbnails_free(struct thumbnails *t); /* accepts NULL; finishes the one that is being made */
DEFINE_FREEP(thumbnails);

/* Is it small enough to be shown instead of a thumbnail? */
bool thumbnail_is_needless(const struct picture *p);

/* Has those made that are missing, and waits for them until then at most. */
void thumbnails_want(struct thumbnails *t, const struct picture *p, size_t n,
		     const struct deadline *d);

#endif
