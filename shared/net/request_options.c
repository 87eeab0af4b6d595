#include "net/request_options.h"

#include <stdlib.h>
#include <string.h>

#include "net/ca.h"

#define AGENT "easel/" EASEL_VERSION

static CURLcode
options_body(struct exchange *x, struct handle *h)
{
	const struct upstream_req *rq = x->rq;
	bool get = !strcmp(rq->method, "GET") && !rq->body && !rq->body_read;
	bool named = !get && strcmp(rq->method, "POST") != 0;
	CURL *c = x->easy;
	CURLcode rc;

	if (get) {
		rc = curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	} else {
		rc = curl_easy_setopt(c, CURLOPT_POST, 1L);
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
					      (curl_off_t)rq->body_len);
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(c, CURLOPT_POSTFIELDS,
					      rq->body_read ? NULL
					      : rq->body    ? rq->body
							    : "");
	}
	if (rc == CURLE_OK && (named || h->named_method))
		rc = curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, named ? rq->method : NULL);
	h->named_method = named;
	return rc;
}

/* Set only when it is another one: libcurl copies it each time. */
static CURLcode
option_proxy(struct exchange *x, struct handle *h)
{
	/* An empty string, not NULL: NULL means "ask the environment". */
	const char *proxy = x->rq->proxy && !x->guarded ? x->rq->proxy : "";

	if (h->proxy && !strcmp(h->proxy, proxy))
		return CURLE_OK;
	free(h->proxy);
	h->proxy = strdup(proxy);
	if (!h->proxy || curl_easy_setopt(x->easy, CURLOPT_PROXY, proxy) != CURLE_OK)
		return CURLE_OUT_OF_MEMORY;
	/* For its CONNECT; the request itself has the line below. */
	return curl_easy_setopt(x->easy, CURLOPT_USERAGENT, *proxy ? AGENT : NULL);
}

/* libcurl's list of the lines, which stay where they are; `list` has room for REQUEST_HEADERS_MAX. */
static int
list_headers(const char *const *lines, struct curl_slist *list, struct err *e)
{
	/* No pause for a "100 Continue" that many servers never send. */
	static char expect[] = "Expect:";
	/* As lines they are copied once; libcurl's own are made anew for each call, byte by byte. */
	static char encoding[] = "Accept-Encoding: identity";
	static char agent[] = "User-Agent: " AGENT;
	size_t n = 3;

	list[0] = (struct curl_slist){ expect, &list[1] };
	list[1] = (struct curl_slist){ encoding, &list[2] };
	list[2] = (struct curl_slist){ .data = agent };
	for (; lines && *lines; lines++) {
		/* The only way from a credential or a prompt into the request's frame. */
		for (const char *p = *lines; *p; p++)
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				return err_set(e, ERR_CONFIG,
					       "the credential holds a line break or a control "
					       "character");
		if (n == REQUEST_HEADERS_MAX)
			return err_set(e, ERR_INTERNAL, "more than %d headers",
				       REQUEST_HEADERS_MAX - 3);
		list[n - 1].next = &list[n];
		list[n++] = (struct curl_slist){ .data = (char *)*lines };
	}
	return 0;
}

int
request_options(struct exchange *x, struct handle *h,
		struct curl_slist headers[REQUEST_HEADERS_MAX], struct err *e)
{
	const struct upstream_req *rq = x->rq;
	int64_t left = deadline_left_ms(x->deadline), connect = deadline_left_ms(&x->to_begin);
	CURL *c = x->easy;
	CURLcode rc;

	if (list_headers(rq->headers, headers, e) < 0)
		return -1;
	if (x->tls) {
		x->store = ca_store(e);
		if (!x->store)
			return -1;
	}
	if (rq->connect_timeout_ms > 0 && rq->connect_timeout_ms < connect)
		connect = rq->connect_timeout_ms;
	rc = options_body(x, h);
	if (rc == CURLE_OK)
		rc = option_proxy(x, h);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	/* 0 would mean "for ever" to libcurl. */
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
				      (long)(connect > 0 ? connect : 1));
	return rc == CURLE_OK ? 0 : request_options_refused(rc, e);
}

int
request_options_refused(CURLcode rc, struct err *e)
{
	(void)err_set(e, ERR_INTERNAL, "libcurl refused an option");
	err_detail(e, "%s", curl_easy_strerror(rc));
	return -1;
}
