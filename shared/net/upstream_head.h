#ifndef EASEL_NET_UPSTREAM_HEAD_H
#define EASEL_NET_UPSTREAM_HEAD_H
/*
 * upstream_head - reads an answer's header lines into struct upstream_head
 *
 * Private to net/.  RFC 9110.  upstream_head_done() is declared in upstream.h.
 */
#include <stddef.h>
#include <time.h>

#include "net/upstream.h"

/* As before the first line. */
void upstream_head_clear(struct upstream_head *h);

/* *h leads to `url` from now on, of which `n` bytes are copied; NULL: nowhere, as when there is no memory. */
void upstream_head_leads_to(struct upstream_head *h, const char *url, size_t n);

/*
 * One line with or without its CRLF.  A status line begins anew, so an interim answer (1xx) leaves
 * nothing behind.  `now` is the time that an HTTP date in Retry-After is compared with.
 */
void upstream_head_line(struct upstream_head *h, const char *line, size_t n, time_t now);

#endif
