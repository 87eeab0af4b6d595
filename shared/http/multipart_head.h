#ifndef EASEL_HTTP_MULTIPART_HEAD_H
#define EASEL_HTTP_MULTIPART_HEAD_H
/*
 * multipart_head - the header lines of a part, and the parameters behind a header's value
 *
 * Private to http/multipart.c.
 */
#include "http/multipart.h"

/*
 * The parameter `name` (lower case) of a header's value, 'x; name=token; name="quoted"', into `out`,
 * clipped to it.  1: it is there; 0: it is not; -1: it is there twice, or cannot be read.
 */
int header_parameter(const char *value, const char *name, char *out, size_t size);

/* `head` is the n bytes of all lines, each with its CRLF.  0 or -1: ERR_MULTIPART. */
int multipart_head_read(const char *head, size_t n, struct multipart_part *part, struct err *e);

#endif
