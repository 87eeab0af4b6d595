#ifndef EASEL_FILES_FILESTORE_H
#define EASEL_FILES_FILESTORE_H
/*
 * filestore - where pictures lie: one folder that the web server serves as /files/
 *
 * A picture is a file ID.EXT, mode 0644, that appears whole (link or rename from a temporary file on
 * the same file system) or not at all.  Thread-safe.  Does not log.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "files/picture.h"

struct filestore;

/*
 * `url` is "file:DIR", relative to state_dir.  image_bytes and image_pixels are the limits of one
 * picture, max_bytes of them all (0: none); the last is kept for pruning and plays no part in
 * filestore_room(), which would have to count the whole folder.  Makes the folder, mode 0755 (missing
 * parents 0700), and tries out once whether files without a name can be made and linked there; where
 * they cannot (NFS, no /proc), pictures are written to "tmp-ID" and renamed, and what dead processes
 * left of that more than an hour ago is removed now.
 * 0 or -1: ERR_CONFIG; e->detail has the folder.
 */
int filestore_open(struct filestore **out, const char *url, const char *state_dir,
		   uint64_t image_bytes, uint64_t image_pixels, uint64_t max_bytes, struct err *e);
void filestore_free(struct filestore *fs);
DEFINE_FREEP(filestore);

/*
 * Is there room for n more pictures of the largest size (image_bytes, but no more than
 * PICTURE_RESERVE_BYTES: a generous limit is no forecast)?  -1: ERR_STORAGE_FULL, ERR_INTERNAL.  Asked
 * before anything is bought.  (statvfs, which knows nothing of users' quotas; the answer is kept for
 * 100 ms; pictures that are on their way are not counted.)
 */
#define PICTURE_RESERVE_BYTES (64ull * 1024 * 1024)
int filestore_room(struct filestore *fs, unsigned n, struct err *e);

/* An open descriptor for reading the stored picture, or -1 with ERR_NOT_FOUND or ERR_INTERNAL. */
int filestore_read(struct filestore *fs, const struct picture *p, struct err *e);

/* Removes it; a missing one is no error. */
void filestore_remove(struct filestore *fs, const struct picture *p);

/* Writes "/files/ID.EXT" into out.  The part after "/files/" is the file's name in the folder. */
#define PICTURE_PATH 48
void picture_path(const struct picture *p, char out[PICTURE_PATH]);

/*
 * ---- thumbnails: ID-thumb.webp beside the picture ----
 */
#define THUMBNAIL_PATH 56
void thumbnail_path(const struct picture *p, char out[THUMBNAIL_PATH]); /* "/files/…" */
bool filestore_has_thumbnail(struct filestore *fs, const struct picture *p);
void filestore_remove_thumbnail(struct filestore *fs, const struct picture *p);
/*
 * Gives the file of the picture t (filestore_create()) the name of p's thumbnail.  One that is there already
 * stays.  0, or -1 as filestore_publish().
 */
int filestore_publish_thumbnail(struct filestore *fs, int fd, const struct picture *t,
				const struct picture *p, struct err *e);

/* ---- for tidying up: what lies in the folder ---- */

enum file_kind {
	FILE_PICTURE,
	FILE_THUMBNAIL, /* of the picture with that id */
	FILE_TEMPORARY, /* "tmp-…": in the making, or left by who died */
	FILE_OTHER      /* none of ours: never touched */
};
struct file_found {
	char name[64]; /* FILE_OTHER: cut off */
	enum file_kind kind;
	struct picture
		picture; /* FILE_PICTURE: id, type, bytes; FILE_THUMBNAIL: its picture's id */
	int64_t bytes, changed_ms; /* wall clock */
};
#define FILE_LEFTOVER_MS \
	3600000 /* longer than any deadline and its grace: nobody writes it any more */

/* Calls fn for each file, in no order.  -1: ERR_INTERNAL. */
int filestore_each(struct filestore *fs, void (*fn)(const struct file_found *f, void *arg),
		   void *arg, struct err *e);
/* Removes it by its name, unless it is FILE_OTHER. */
void filestore_remove_found(struct filestore *fs, const struct file_found *f);
/* The file's size, or -1: there is none of that name. */
int64_t filestore_bytes(struct filestore *fs, const struct picture *p);

/* ---- for the sink: a picture that is not there yet ---- */

uint64_t filestore_image_bytes(const struct filestore *fs);  /* UINT64_MAX when there is no limit */
uint64_t filestore_image_pixels(const struct filestore *fs); /* UINT64_MAX when there is no limit */

/*
 * A descriptor, for reading and writing, of a file for the picture `id` (of id_make("", …)) that
 * nobody can see yet.  It goes to filestore_publish() or filestore_drop(), which close it, with the
 * same id.  -1: ERR_STORAGE_FULL, ERR_INTERNAL.
 */
int filestore_create(struct filestore *fs, const char id[PICTURE_ID], struct err *e);

/*
 * The same for a file that never gets a name: it ends with its descriptor, whatever dies.  (Where
 * O_TMPFILE does not work it had one for an instant.)
 */
int filestore_unnamed(struct filestore *fs, struct err *e);

/*
 * fn is called in this thread before a picture is given its name: whoever notes it then knows it, should the process
 * die before more is said of it.  NULL: nobody is.
 */
void filestore_on_publish(void (*fn)(void *self, const struct picture *p), void *self);

/* Gives it its name, which must be new: nothing is ever replaced.  0, or -1 as above. */
int filestore_publish(struct filestore *fs, int fd, const struct picture *p, struct err *e);
void filestore_drop(struct filestore *fs, int fd, const char id[PICTURE_ID]);

/*
 * Fills *e for a system call that failed with `errnum` on such a file and returns -1:
 * ERR_STORAGE_FULL for ENOSPC and EDQUOT, else ERR_INTERNAL, in both may_have_been_billed, for the
 * picture was bought before it is written.
 */
int filestore_failed(struct filestore *fs, const char *doing, int errnum, struct err *e);

#endif
