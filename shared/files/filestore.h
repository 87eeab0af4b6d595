#ifndef EASEL_FILES_FILESTORE_H
#define EASEL_FILES_FILESTORE_H
/*
 * filestore - where pictures lie: one folder that the web server serves as /files/
 *
 * A picture is a file ID.EXT, mode 0644, that appears whole (link or rename from a temporary file on
 * the same file system) or not at all.  Thread-safe.  Does not log.
 */
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "files/picture.h"

struct filestore;

/*
 * `url` is "file:DIR", relative to state_dir.  image_bytes and image_pixels are the limits of one
 * picture, max_bytes of them all (0: none).
 */
int filestore_open(struct filestore **out, const char *url, const char *state_dir,
                   uint64_t image_bytes, uint64_t image_pixels, uint64_t max_bytes, struct err *e);
void filestore_free(struct filestore *fs);
DEFINE_FREEP(filestore);

/*
 * Is there room for n more pictures of the largest size?  -1: ERR_STORAGE_FULL.  Asked before
 * anything is bought.  (statvfs; the answer is kept for 100 ms.)
 */
int filestore_room(struct filestore *fs, unsigned n, struct err *e);

/* An open descriptor for reading the stored picture, or -1 with ERR_NOT_FOUND or ERR_INTERNAL. */
int filestore_read(struct filestore *fs, const struct picture *p, struct err *e);

/* Removes it; a missing one is no error. */
void filestore_remove(struct filestore *fs, const struct picture *p);

/* Writes "/files/ID.EXT" into out. */
#define PICTURE_PATH 48
void picture_path(const struct picture *p, char out[PICTURE_PATH]);

#endif
