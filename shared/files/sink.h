#ifndef EASEL_FILES_SINK_H
#define EASEL_FILES_SINK_H
/*
 * sink - a picture on its way to the disk
 *
 * Bytes, or base64 text, go in as they arrive from a provider, in pieces of any size; memory stays
 * constant.  The header is checked as it comes, so that garbage is refused early; the
 * limits of the filestore hold at every byte.  Only sink_finish() makes the picture visible, so a
 * sink that is dropped leaves nothing behind.  One thread at a time.  Does not log.
 *
 *	struct sink s;
 *	sink_init(&s, fs);
 *	while (more)
 *		sink_base64(&s, text, n, e);
 *	sink_finish(&s, &picture, e);
 *	sink_done(&s);                   (AUTO(sink) does it)
 */
#include "files/filestore.h"

#define SINK_TAIL_BYTES   64  /* what picture_ends() sees, padding included */
#define SINK_PREFIX_CHARS 128 /* the longest "data:…;base64," */

struct sink {
	/* For those who watch: */
	uint64_t bytes;         /* so far */
	enum picture_type type; /* PICTURE_NONE until the header was read */
	uint32_t width, height;

	/* The sink's own. */
	struct filestore *fs;
	char id[PICTURE_ID];
	int fd;               /* the file; -1 until the first block is written */
	unsigned char *block; /* bytes that are not written yet: the header until it was read, later
	                              64 KB, so that a small picture costs one write */
	size_t block_len, block_size;
	size_t head_read; /* so much of the block was read for its header, the last time */
	unsigned char first[12], tail[SINK_TAIL_BYTES]; /* for picture_ends() */
	size_t tail_len;
	char group[4]; /* base64 characters of an unfinished group of four */
	unsigned group_len;
	bool padded; /* '=' was seen: nothing may follow */
	enum { SINK_DATA_URL_MAYBE, SINK_DATA_URL, SINK_BASE64 } text; /* what the text is so far */
	unsigned prefix_len;
	char prefix[SINK_PREFIX_CHARS]; /* of a data URL, until its comma */
	bool failed;
	bool unnamed;
};

/* Nothing is opened or allocated yet. */
void sink_init(struct sink *s, struct filestore *fs);
/* For a picture that is not to be stored, whose file never has a name: it ends with sink_take(). */
void sink_init_unnamed(struct sink *s, struct filestore *fs);

/*
 * 0 or -1: ERR_RESULT_NOT_IMAGE (e->about says what it seems to be), ERR_UP_TOO_LARGE (image_bytes, at
 * the first byte past it; image_pixels, as soon as the header tells), ERR_STORAGE_FULL (the disk filled
 * up under us, may_have_been_billed), ERR_INTERNAL.  After -1 the sink takes no more.
 */
int sink_bytes(struct sink *s, const void *p, size_t n, struct err *e);

/*
 * The same for base64 text (RFC 4648 section 4; the URL-safe alphabet of section 5 is taken too, and
 * white space is skipped).  A prefix "data:…;base64," is recognised and dropped, wherever the pieces
 * are cut.  The last group may lack its padding.  -1 also: ERR_RESULT_NOT_IMAGE when the text is not
 * base64.
 */
int sink_base64(struct sink *s, const char *text, size_t n, struct err *e);

/*
 * Checks the end, publishes the picture, fills *out.  0, and the sink is as after sink_init(); or -1 as
 * above.
 */
int sink_finish(struct sink *s, struct picture *out, struct err *e);

/*
 * Checks the end, and hands out the file, open for reading and writing; out->id is empty when it is
 * unnamed, else the file goes to filestore_publish() or filestore_drop() as the caller decides.  0 or -1
 * as above.
 */
int sink_take(struct sink *s, struct picture *out, int *fd, struct err *e);

/* Drops whatever was not finished.  The sink is as after sink_init(). */
void sink_done(struct sink *s);

#endif
