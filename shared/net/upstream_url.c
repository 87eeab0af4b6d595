#include "net/upstream_url.h"

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "net/address.h"

static int
refuse(struct err *e, enum upstream_policy policy, const char *why, const char *url)
{
	const char *at = strrchr(url, '@');
	char shown[100];

	if (policy == UPSTREAM_PUBLIC)
		return err_set(e, ERR_FETCH_REFUSED, "%s", why);
	/* Without userinfo and query: they may be secrets. */
	if (at)
		url = at + 1;
	utf8_clip(shown, sizeof(shown), url, strcspn(url, "?#"), 80);
	return err_set(e, ERR_CONFIG, "%s: %s", shown, why);
}

/* The reason why not, or NULL and *parsed, *origin, *port, *tls. */
static const char *
read_url(const char *url, CURLU **parsed, char origin[ORIGIN_MAX], bool *tls, bool *standard_port)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL, *password = NULL;
	const char *why = NULL;
	int n = 0;

	if (!u || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		why = "it is no absolute http or https URL";
	else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		why = "its scheme is neither http nor https";
	else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK ||
		 curl_url_get(u, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
		why = "it holds a user name or password";
	else if (curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
		why = "its port cannot be read";
	if (!why) {
		*tls = !strcmp(scheme, "https");
		*standard_port = !strcmp(port, "443") || !strcmp(port, "80");
		n = snprintf(origin, ORIGIN_MAX, "%s://%s:%s", scheme, host, port);
		if (n < 0 || n >= ORIGIN_MAX)
			why = "its host name is too long";
		for (char *p = origin; !why && *p; p++)
			*p = (char)tolower((unsigned char)*p);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(user);
	curl_free(password);
	if (why) {
		curl_url_cleanup(u);
		u = NULL;
	}
	*parsed = u;
	return why;
}

int
upstream_url_read(struct upstream_url *u, const char *url, enum upstream_policy policy,
		  const char *allow_origin, struct err *e)
{
	bool standard_port, ignored;
	const char *why = read_url(url, &u->parsed, u->origin, &u->tls, &standard_port);
	char own[ORIGIN_MAX];
	CURLU *base = NULL;

	if (why)
		return refuse(e, policy, why, url);
	if (policy == UPSTREAM_PUBLIC && allow_origin &&
	    !read_url(allow_origin, &base, own, &ignored, &ignored))
		u->own = !strcmp(own, u->origin);
	curl_url_cleanup(base);
	if (policy == UPSTREAM_PUBLIC && !u->own && !standard_port)
		return refuse(e, policy, "its port is neither 443 nor 80", url);
	return 0;
}

void
upstream_url_done(struct upstream_url *u)
{
	curl_url_cleanup(u->parsed);
	u->parsed = NULL;
}

bool
upstream_same_origin(const char *a, const char *b)
{
	AUTO(upstream_url) one = { 0 };
	struct err ignored;

	return a && b && upstream_url_read(&one, a, UPSTREAM_PUBLIC, b, &ignored) == 0 && one.own;
}

/* Is the origin's host a number, in any of the forms that a resolver takes, that is not public? */
static bool
names_private(const char *origin)
{
	const char *host = strstr(origin, "://") + 3, *port = strrchr(origin, ':');
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char text[ORIGIN_MAX];
	bool private;
	size_t n;

	(void)snprintf(text, sizeof(text), "%.*s", (int)(port - host - (*host == '[')),
		       host + (*host == '['));
	n = strcspn(text, "]%");
	text[n] = '\0';
	if (n >= 9 && !strcmp(text + n - 9, "localhost") && (n == 9 || text[n - 10] == '.'))
		return true;
	if (getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	private = !address_is_public(found->ai_addr);
	freeaddrinfo(found);
	return private;
}

int
upstream_url_judge(const char *url, struct err *e)
{
	AUTO(upstream_url) u = { 0 };

	if (upstream_url_read(&u, url, UPSTREAM_PUBLIC, NULL, e) < 0)
		return -1;
	return names_private(u.origin) ? err_set(e, ERR_FETCH_REFUSED, "its address is not public")
				       : 0;
}

int
upstream_url_join(const char *base, const char *location, char *out, size_t size)
{
	CURLU *u = curl_url();
	char *joined = NULL;
	int rc = -1;

	if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
	    curl_url_set(u, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE) ==
		    CURLUE_OK &&
	    curl_url_get(u, CURLUPART_URL, &joined, 0) == CURLUE_OK && strlen(joined) < size) {
		(void)snprintf(out, size, "%s", joined);
		rc = 0;
	}
	curl_free(joined);
	curl_url_cleanup(u);
	return rc;
}
