#ifndef EASEL_NET_UPSTREAM_URL_H
#define EASEL_NET_UPSTREAM_URL_H
/*
 * upstream_url - judges a URL before it is used
 *
 * Private to net/.  Parsed by libcurl's own parser, whose result is what libcurl then connects to, so
 * that there is no second opinion on what a URL means.
 */
#include <curl/curl.h>
#include <stdbool.h>

#include "net/handle_pool.h"

struct upstream_url {
	CURLU *parsed;
	char origin[ORIGIN_MAX]; /* "https://host:443", lower case */
	bool tls;
	bool own; /* at the origin that is trusted */
};

/*
 * Only http and https, no user:password, a host.  Under UPSTREAM_PUBLIC also port 443 or 80, unless
 * scheme, host and port are those of allow_origin.
 * 0 or -1: ERR_CONFIG for a trusted URL, ERR_FETCH_REFUSED for one from outside.
 */
int upstream_url_read(struct upstream_url *u, const char *url, enum upstream_policy policy,
		      const char *allow_origin, struct err *e);
void upstream_url_done(struct upstream_url *u);

#endif
