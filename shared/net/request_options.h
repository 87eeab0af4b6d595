#ifndef EASEL_NET_REQUEST_OPTIONS_H
#define EASEL_NET_REQUEST_OPTIONS_H
/*
 * request_options - what a call asks for, as libcurl's options
 *
 * Private to net/.  What was the same in the handle's last call is not set again: libcurl copies every
 * string that it is given.
 */
#include <curl/curl.h>

#include "net/exchange.h"
#include "net/handle_pool.h"

#define REQUEST_HEADERS_MAX 18 /* of a request, the three that are always there included */

/*
 * Method, body, headers, proxy, timeouts; the X509_STORE into x->store where there is TLS.  `headers` must
 * live as long as the call.  0 or -1: as upstream_call().
 */
int request_options(struct exchange *x, struct handle *h,
		    struct curl_slist headers[REQUEST_HEADERS_MAX], struct err *e);

/* Always -1: ERR_INTERNAL. */
int request_options_refused(CURLcode rc, struct err *e);

#endif
