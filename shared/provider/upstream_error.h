#ifndef EASEL_PROVIDER_UPSTREAM_ERROR_H
#define EASEL_PROVIDER_UPSTREAM_ERROR_H
/*
 * upstream_error - what a provider's refusal or failure means
 *
 * One judgement for all dialects: status, headers and the beginning of the body become a struct err.
 *
 *	401                                   ERR_UP_AUTH
 *	402, quota codes with any status      ERR_UP_QUOTA
 *	403 with a web page, cf-mitigated     ERR_UP_CHALLENGE
 *	403                                   ERR_UP_AUTH
 *	404, 405, 410                         ERR_UP_NOT_FOUND
 *	408, 425, 429                         ERR_UP_RATE, with retry_after_s; ERR_UP_QUOTA when the
 *	                                      answer's headers say that none are left today
 *	451, moderation codes with any status ERR_UP_POLICY
 *	400 that speaks of async              ERR_UP_ASYNC
 *	400, 413, 422                         ERR_UP_REJECTED (400), param as the provider named it
 *	other 4xx                             ERR_UP_REJECTED (502, party provider)
 *	5xx                                   ERR_UP_FAILED
 *	3xx                                   ERR_UP_GARBAGE "it redirects to HOST"
 *	2xx with an error inside              as its words say; ERR_UP_FAILED when they say nothing
 *	2xx with a web page                   ERR_UP_CHALLENGE or ERR_UP_GARBAGE
 *
 * may_have_been_billed is set for 5xx and 2xx, but not for a 503 or 529 that says it was too busy to
 * accept the work.  Retrying is not decided here.  Thread-safe.
 */
#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "net/upstream.h"

#define UPSTREAM_ERROR_BYTES 65536 /* so much of the body is worth keeping */

struct upstream_failure {
	const char *provider;   /* its name */
	const char *credential; /* taken out of its words; NULL or "": none */
	const struct upstream_head *head;
};

/* Always -1.  The stage is provider.submit; a caller in another stage says so afterwards. */
int upstream_error(const struct upstream_failure *f, const char *body, size_t n, struct err *e);
/* The same for a parsed answer. */
int upstream_error_json(const struct upstream_failure *f, const json_t *root, struct err *e);

/*
 * ERR_UP_GARBAGE for an answer that arrived whole and makes no sense: `about` says why, `quote` is a
 * piece of it or NULL.  Always -1.
 */
int upstream_garbage(const struct upstream_failure *f, const char *about, const char *quote,
		     size_t n, struct err *e);

#endif
