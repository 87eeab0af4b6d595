#ifndef EASEL_HTTP_ROUTE_H
#define EASEL_HTTP_ROUTE_H
/*
 * route - from the raw request target to an endpoint
 *
 * The raw REQUEST_URI alone decides: web servers disagree about PATH_INFO and SCRIPT_NAME, and
 * prefixes match too much.  Nothing allocates; thread-safe.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define PATH_BYTES 1024 /* a longer path is refused */

/*
 * Normalises the path of a request target (up to '?') into out: repeated slashes collapsed,
 * percent-escapes undone except %2F, which stays as "%2F".  Nothing becomes longer: as much room as the
 * target's path and 2 is enough, where that is less.
 * 0 or -1: ERR_PATH: dot segments (encoded or not), control characters, bad escapes, not UTF-8, too
 * long.
 */
int path_normalise(const char *target, char out[PATH_BYTES], struct err *e);

/*
 * Does a normalised path lead to `route`?  A route that starts with "/v1/" answers without it and with
 * it any number of times; one that ends in "*" takes the rest, which goes to rest (may be NULL) with
 * "%2F" turned into "/", and must not be empty; with the "*" in the middle it stands for one segment.  Any other "%2F" matches nothing.
 */
bool path_matches(const char *path, const char *route, char rest[PATH_BYTES]);

/*
 * What a request for `path` with `method` that no route answers probably meant: fills *e with
 * ERR_METHOD (and, in `allow`, the methods that the path takes) or ERR_ENDPOINT with a hint.
 */
int
path_explain(const char *method, const char *path, char *allow, size_t allow_size, struct err *e);

#endif
