#ifndef EASEL_HTTP_MULTIPART_H
#define EASEL_HTTP_MULTIPART_H
/*
 * multipart - multipart/form-data as it comes in, in pieces of any size
 *
 * RFC 7578 over RFC 2046: a preamble and an epilogue are passed over, the boundary may be quoted, parts
 * come in any order.  Nothing of a part's content is kept: it is handed on as it arrives, so memory is
 * constant.  Strict where guessing would be needed: line ends are CRLF, each part is form-data and has
 * a name, transfer encodings other than the plain ones are refused, and the final boundary must come.
 * Does not log, does not block.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define MULTIPART_BOUNDARY   70   /* characters; RFC 2046, 5.1.1 */
#define MULTIPART_PARTS_MAX  128  /* parts of one body */
#define MULTIPART_HEAD_BYTES 4096 /* all header lines of one part */
#define MULTIPART_NAME       256  /* of a name, a file name, a type, the NUL included */

/* What stands above a part's content; all are UTF-8 without control characters. */
struct multipart_part {
	char name[MULTIPART_NAME];
	char filename[MULTIPART_NAME]; /* clipped; "" when empty or not given */
	bool has_filename;
	char type[MULTIPART_NAME]; /* its Content-Type as it was sent, "" when none was */
};

/* Who gets the parts: begin, data as often as there is some, end.  Each may refuse with -1 and *e. */
struct multipart_handler {
	int (*begin)(void *self, const struct multipart_part *part, struct err *e);
	int (*data)(void *self, const char *p, size_t n, struct err *e);
	int (*end)(void *self, struct err *e);
	void *self;
};

struct multipart {
	const struct multipart_handler *to;
	struct multipart_part part;
	/* "\r\n--" and the boundary; and how much of it the bytes before this one were. */
	char delimiter[MULTIPART_BOUNDARY + 5];
	size_t delimiter_len, matched;
	size_t borrowed; /* of them, those that were not content: the end of the line before */
	char head[MULTIPART_HEAD_BYTES];
	size_t head_len;
	unsigned parts;
	enum {
		MULTIPART_PREAMBLE,
		MULTIPART_AFTER,    /* a delimiter: "--", or the end of its line */
		MULTIPART_LAST,     /* … and a dash */
		MULTIPART_PADDING,  /* white space up to the line's end */
		MULTIPART_LINE_END, /* its CR was there */
		MULTIPART_HEAD,
		MULTIPART_DATA,
		MULTIPART_EPILOGUE
	} state;
};

/*
 * content_type: the request's.  0 or -1: ERR_MULTIPART (no boundary, or one that cannot be),
 * ERR_MEDIA_TYPE (a charset other than UTF-8).
 */
int multipart_begin(struct multipart *m, const char *content_type,
		    const struct multipart_handler *to, struct err *e);

/* 0 or -1: ERR_MULTIPART, or whatever the handler said; nothing may follow then. */
int multipart_bytes(struct multipart *m, const char *p, size_t n, struct err *e);

/* The body has ended.  0, or -1: ERR_MULTIPART, it ended too early. */
int multipart_end(struct multipart *m, struct err *e);

#endif
