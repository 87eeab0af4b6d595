#ifndef EASEL_NET_HANDLE_POOL_H
#define EASEL_NET_HANDLE_POOL_H
/*
 * handle_pool - libcurl's easy handles, kept for their connections
 *
 * Private to net/.  A handle holds at most one connection.  Idle handles form two stacks, one for
 * each address policy, so that no connection that was opened without the policy is ever used under
 * it; the last one given back is taken first, if it was at the same origin.  Beyond IDLE_MAX the
 * handle that was idle longest goes.  DNS answers and TLS sessions are shared among all handles,
 * connections never (libcurl's KNOWN_BUGS 11.11).  Thread-safe.
 */
#include <curl/curl.h>
#include <stdbool.h>

#include "base/err.h"
#include "net/upstream.h"

#define ORIGIN_MAX 320 /* scheme://host:port; a host name has at most 253 characters */

struct handle {
	CURL *easy;
	struct handle *next;
	enum upstream_policy policy;
	char origin[ORIGIN_MAX];
	/* Of its last call, so that the next one need not set it again. */
	char *url; /* NULL: none */
	CURLU *parsed;
	bool tls;
	int fd;                      /* of its newest connection; -1: none */
	char *proxy;                 /* what CURLOPT_PROXY is set to; NULL: not set yet */
	bool named_method;           /* CURLOPT_CUSTOMREQUEST is set */
	char words[CURL_ERROR_SIZE]; /* libcurl's, for the log */
};

int handle_pool_init(struct err *e);
void handle_pool_shutdown(void);

/*
 * A handle with every option set that is the same for all calls, perhaps with a living connection to
 * origin.  NULL: ERR_INTERNAL.
 */
struct handle *handle_take(enum upstream_policy policy, const char *origin, struct err *e);
void handle_give(struct handle *h);
/* Instead: it is of no more use, its connection ends. */
void handle_drop(struct handle *h);

/*
 * The same, but only one whose last call was to this very URL, of the operator's own (UPSTREAM_TRUSTED):
 * h->parsed and h->tls still hold.  NULL: there is none.
 */
struct handle *handle_take_again(const char *url);

/* Makes `url`, which is `parsed`, the handle's; takes `parsed` over.  0 or -1: ERR_INTERNAL. */
int handle_set_url(struct handle *h, const char *url, CURLU *parsed, bool tls, struct err *e);

#endif
