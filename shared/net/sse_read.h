#ifndef EASEL_NET_SSE_READ_H
#define EASEL_NET_SSE_READ_H
/*
 * sse_read - takes an event stream apart while it arrives
 *
 * WHATWG HTML, "Parsing an event stream": lines end in LF, CR or CRLF; one byte order mark at the beginning
 * is skipped; lines that begin with a colon, and fields other than data and event, are skipped; the data
 * of an event that stands on several lines is joined by line feeds.  The data is handed on in pieces as
 * it comes, however long a line is, so memory stays constant.  One thread at a time.  Does not log.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define SSE_NAME_BYTES 64 /* a longer name is cut */

struct sse_read {
	/* Set by the caller.  Each returns 0, or -1 with *e filled, which ends it. */
	int (*data)(void *self, const char *p, size_t n, struct err *e);
	/* The event is whole; its name, "" when it has none. */
	int (*end)(void *self, const char *name, struct err *e);
	void *self;

	/* The name of the event that is coming, as far as it has come: servers say it first. */
	char name[SSE_NAME_BYTES];

	/* The reader's own. */
	int state, field;
	unsigned name_len, key_len, mark_len;
	char key[8];
	bool after_cr; /* a line feed now belongs to the line end before */
	bool has_data;
};

void sse_read_init(struct sse_read *s);

/* 0, or -1 with what a callback said; then it takes no more. */
int sse_read_feed(struct sse_read *s, const char *p, size_t n, struct err *e);

/* Did the stream end within an event? */
bool sse_read_is_cut(const struct sse_read *s);

#endif
