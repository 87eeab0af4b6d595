#ifndef EASEL_FILES_FILESTORE_OWN_H
#define EASEL_FILES_FILESTORE_OWN_H
/*
 * filestore_own - what filestore.c, which makes files, and filestore_look.c, which finds them again, share
 *
 * Private to the two.
 */
#include <stdatomic.h>

#include "files/filestore.h"

#define TEMP_PREFIX   "tmp-"
#define FILES_PATH    "/files/"
#define THUMBNAIL_END "-thumb.webp"
#define NAME_SIZE     48 /* "tmp-", "-thumb" and an extension around an id */

struct filestore {
	int dir;
	bool unnamed; /* O_TMPFILE and linkat() work here */
	bool by_proc; /* … but linkat() only by way of /proc */
	bool chmod;   /* the umask takes bits from FILE_MODE: they must be given back */
	uint64_t image_bytes, image_pixels, max_bytes;
	/* What statvfs said, and when (0: never).  Not one unit: a reader may get the new figure with
	   the old time, which costs another look. */
	_Atomic int64_t asked_us;
	_Atomic uint64_t free_bytes, free_files;
};

/* "ID.EXT" */
void filestore_name(const struct picture *p, char out[NAME_SIZE]);

#endif
