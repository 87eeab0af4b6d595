#ifndef EASEL_API_PREFER_H
#define EASEL_API_PREFER_H
/*
 * prefer - the header Prefer, RFC 7240: "respond-async, wait=10"
 *
 * Names and values in any case, with or without quotes; preferences that are not known, and parameters behind a
 * semicolon, are passed over.  Of several waits the first counts.  Thread-safe.
 */
#include <stdbool.h>
#include <stdint.h>

#define PREFER_WAIT_S_MAX 86400 /* what is longer is this long */

/* True: respond-async; *wait_s: wait, in seconds, -1 when it is not given or is no number.  header: NULL is none. */
bool prefer_read(const char *header, int64_t *wait_s);

#endif
