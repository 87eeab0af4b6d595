#ifndef EASEL_PROVIDER_NOVELAI_ZIP_H
#define EASEL_PROVIDER_NOVELAI_ZIP_H
/*
 * novelai_zip - the pictures in an archive that a provider answered with
 *
 * Nothing of it is believed: at most ZIP_ENTRIES_MAX entries, a small directory, no ZIP64, no encryption; each
 * picture streams into a sink, whose limits end a bomb at its first byte too many, and is checked against
 * the archive's sum.  What does not begin like a picture, folders and the like, is passed over.  Private to
 * provider/.  Thread-safe.
 */
#include "files/filestore.h"

#define ZIP_ENTRIES_MAX   64
#define ZIP_DIRECTORY_MAX 16384 /* bytes */

/*
 * The first `max` pictures of the archive in file fd, in its order.  *n is how many there are, stored,
 * also when it failed.
 * 0; -1: ERR_UP_GARBAGE (no archive, an encrypted or damaged one), ERR_UP_TOO_LARGE (too many entries, or
 * a picture past the limits), ERR_RESULT_NOT_IMAGE, ERR_STORAGE_FULL, ERR_INTERNAL.
 */
int novelai_zip_read(struct filestore *fs, int fd, struct picture *out, unsigned max, unsigned *n,
		     struct err *e);

#endif
