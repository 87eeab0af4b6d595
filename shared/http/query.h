#ifndef EASEL_HTTP_QUERY_H
#define EASEL_HTTP_QUERY_H
/*
 * query - the parameters behind the '?' (WHATWG URL, 5.1: application/x-www-form-urlencoded)
 *
 *	char q[257] = "", limit[16] = "";
 *	struct query_param v[] = { { "q", q, sizeof(q) }, { "limit", limit, sizeof(limit) } };
 *	query_read(request_query(r), v, 2, unknown, e);
 *
 * Thread-safe.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "http/request.h"

struct query_param {
	const char *name;
	char *out; /* decoded, NUL-terminated */
	size_t size;
	bool given;
};

#define QUERY_UNKNOWN 256

/*
 * Fills what is given.  `unknown` gets the names that are none of them, "a, b", each once, as far as they fit
 * (only those of letters, digits, '_' and '-').
 * 0 or -1: ERR_VALUE with param (twice; a bad escape; not UTF-8; control characters), ERR_TOO_LONG.
 */
int query_read(const char *query, struct query_param *v, size_t n, char unknown[QUERY_UNKNOWN],
	       struct err *e);

/*
 * A number among them, or `fallback` when it was not given or is empty.
 * -1: ERR_TYPE, ERR_BELOW_MIN, ERR_ABOVE_MAX.
 */
int query_number(const struct query_param *p, int64_t min, int64_t max, int64_t fallback,
		 int64_t *out, struct err *e);

/* Says in x-easel-params that the unknown ones mean nothing here. */
void query_receipt(struct request *r, const char *unknown);

#endif
