#include "http/reply_base64.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "http/reply.h"

/* A multiple of 3, so that base64 needs no padding, and one FastCGI record when it is encoded. */
#define CHUNK_BYTES 49140

/* Whole chunks: only the file's end may be no multiple of three. */
static int
read_whole(int fd, uint64_t at, char *p, size_t n, struct err *e)
{
	for (size_t got = 0; got < n;) {
		ssize_t m = pread(fd, p + got, n - got, (off_t)(at + got));

		if (m < 0 && errno == EINTR)
			continue;
		if (m <= 0)
			return err_set(e, ERR_INTERNAL, "a stored picture cannot be read");
		got += (size_t)m;
	}
	return 0;
}

int
reply_base64(struct request *r, int fd, uint64_t bytes, struct err *e)
{
	size_t chunk = bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES;
	AUTO_FREE char *work = malloc(chunk + BASE64_ENCODED(chunk) + 1);
	char *text;

	if (!work)
		return err_set(e, ERR_INTERNAL, "no memory for the answer");
	text = work + chunk;
	for (uint64_t at = 0; at < bytes;) {
		size_t n = bytes - at < chunk ? (size_t)(bytes - at) : chunk;

		if (read_whole(fd, at, work, n, e) < 0 ||
		    reply_write(r, text, base64_encode(text, work, n), e) < 0)
			return -1;
		at += n;
	}
	return 0;
}
