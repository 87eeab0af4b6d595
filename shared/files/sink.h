#ifndef EASEL_FILES_SINK_H
#define EASEL_FILES_SINK_H
/*
 * sink - a picture on its way to the disk
 *
 * Bytes, or base64 text, go in as they arrive from a provider, in pieces of any size; memory stays
 * constant.  The header is checked as soon as it is there, so that garbage is refused early; the
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

struct sink {
	struct filestore *fs;
	int fd;                    /* the temporary file; -1 before the first byte */
	uint64_t bytes;            /* so far */
	enum picture_type type;    /* PICTURE_NONE until the header was read */
	uint32_t width, height;
	unsigned char *head;       /* the beginning, until the header was read; then NULL */
	size_t head_len;
	unsigned char first[12], tail[16]; /* for picture_ends() */
	size_t tail_len;
	unsigned char group[4];    /* base64 characters of an unfinished group of four */
	unsigned group_len;
	bool padded;               /* '=' was seen: nothing may follow */
	enum { SINK_DATA_URL_MAYBE, SINK_DATA_URL, SINK_BASE64 } text; /* what the text is so far */
	unsigned prefix_len;
	char prefix[128];          /* of a data URL, until its comma */
	bool failed;
};

/* Nothing is opened or allocated yet. */
void sink_init(struct sink *s, struct filestore *fs);

/*
 * 0 or -1: ERR_RESULT_NOT_IMAGE, ERR_UP_TOO_LARGE, ERR_STORAGE_FULL (the disk filled up under us),
 * ERR_INTERNAL.  After -1 the sink takes no more.
 */
int sink_bytes(struct sink *s, const void *p, size_t n, struct err *e);

/*
 * The same for base64 text (RFC 4648 section 4; the URL-safe alphabet of section 5 is taken too, and
 * white space is skipped).  A prefix "data:…;base64," is recognised and dropped, wherever the pieces
 * are cut.  -1 also: ERR_RESULT_NOT_IMAGE when the text is not base64.
 */
int sink_base64(struct sink *s, const char *text, size_t n, struct err *e);

/* Checks the end, publishes the picture, fills *out.  0 or -1 as above. */
int sink_finish(struct sink *s, struct picture *out, struct err *e);

/* Drops whatever was not finished.  The sink is as after sink_init(). */
void sink_done(struct sink *s);

#endif
