#ifndef EASEL_JOB_SOURCE_FETCH_H
#define EASEL_JOB_SOURCE_FETCH_H
/*
 * source_fetch - an input picture as the caller named it: a data URL, bare base64, or a URL
 *
 * A URL that a user gives may lead to public addresses on ports 443 and 80 only, whatever its name,
 * its number, a redirect or the resolver says (net/upstream.h, UPSTREAM_PUBLIC); at most three
 * redirects, each judged anew; no credential, cookie or referrer goes with it.
 */
#include "base/deadline.h"
#include "base/ledger.h"
#include "files/source.h"

#define SOURCE_FETCH_MS 20000 /* and no longer than the deadline */

/*
 * url: NUL-terminated; `param` is the field's name for errors.  upstream_init() came before.
 * 0: *out is the caller's, to be ended with source_done().
 * -1: ERR_URL_NOT_ALLOWED (address, port, scheme), ERR_URL_FETCH (it could not be had), ERR_VALUE (it
 * is no picture), ERR_BODY_TOO_LARGE, ERR_DEADLINE, ERR_STORAGE_FULL, ERR_INTERNAL.
 */
int source_fetch(struct filestore *fs, const char *url, const char *param, struct source *out,
		 const struct deadline *d, struct ledger *ledger, struct err *e);

#endif
