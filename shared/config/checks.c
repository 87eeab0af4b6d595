/* What a text must look like, beyond its type: one function for each row that says so. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/num.h"
#include "config/rows.h"

#define HOST_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"
#define HOST_MAX   255

/* The host and port at s, up to `end`: a name, an address, [IPv6]; the port after a colon. */
static bool
host_port(const char *s, const char *end, bool port_needed, int64_t port_min)
{
	char text[HOST_MAX + 8], address[16], *port;
	size_t n = (size_t)(end - s), host;
	int64_t number;

	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	if (text[0] == '[') {
		port = strchr(text, ']');
		if (!port)
			return false;
		*port++ = '\0';
		if (inet_pton(AF_INET6, text + 1, address) != 1)
			return false;
	} else {
		host = strspn(text, HOST_CHARS);
		if (host == 0 || host > HOST_MAX)
			return false;
		port = text + host;
	}
	if (!*port)
		return !port_needed;
	return *port == ':' && num_i64(port + 1, port_min, 65535, &number) == 0;
}

const char *
wrong_listen(const char *s)
{
	if (host_port(s, s + strlen(s), true, 0))
		return NULL;
	return "expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080";
}

/* The part after "scheme://" when s has that scheme, else NULL. */
static const char *
after_scheme(const char *s, const char *scheme)
{
	size_t n = strlen(scheme);

	return !strncasecmp(s, scheme, n) && !strncmp(s + n, "://", 3) ? s + n + 3 : NULL;
}

static const char *
wrong_url(const char *s, const char *scheme, const char *secure, const char *expected)
{
	const char *rest = after_scheme(s, secure), *end;

	if (!rest)
		rest = after_scheme(s, scheme);
	if (!rest)
		return expected;
	end = rest + strcspn(rest, "/?#");
	if (memchr(rest, '@', (size_t)(end - rest)))
		return "a URL may hold no user or password";
	if (!host_port(rest, end, false, 1) || strpbrk(end, " \t\"\\<>"))
		return expected;
	if (strpbrk(end, "?#"))
		return "a URL that paths are added to may have no '?' or '#'";
	return NULL;
}

const char *
wrong_http_url(const char *s)
{
	if (!*s)
		return NULL;
	return wrong_url(s, "http", "https",
			 "expected an http:// or https:// URL, such as https://api.example.com/v1");
}

const char *
wrong_public_url(const char *s)
{
	if (!*s)
		return NULL;
	return wrong_url(s, "http", "https",
			 "expected an http:// or https:// URL, such as "
			 "https://pictures.example.com");
}

const char *
wrong_ws_url(const char *s)
{
	if (!*s)
		return NULL;
	return wrong_url(s, "ws", "wss", "expected a ws:// or wss:// URL");
}

const char *
wrong_proxy(const char *s)
{
	static const char *const schemes[] = { "http", "https", "socks5", "socks5h", NULL };
	const char *rest = NULL, *at;

	if (!*s)
		return NULL;
	for (size_t i = 0; schemes[i] && !rest; i++)
		rest = after_scheme(s, schemes[i]);
	if (rest) {
		at = strrchr(rest, '@');
		if (at)
			rest = at + 1;
		if (host_port(rest, rest + strcspn(rest, "/"), false, 1))
			return NULL;
	}
	return "expected an http://, https://, socks5:// or socks5h:// URL";
}

const char *
wrong_address(const char *s)
{
	static const char expected[] = "expected an IP address or network, such as 10.0.0.0/8";
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	char text[INET6_ADDRSTRLEN], address[16];
	int64_t bits;
	int family;

	if (n >= sizeof(text))
		return expected;
	memcpy(text, s, n);
	text[n] = '\0';
	family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, text, address) != 1 ||
	    (slash && num_i64(slash + 1, 0, family == AF_INET6 ? 128 : 32, &bits) < 0))
		return expected;
	return NULL;
}

const char *
wrong_origin(const char *s)
{
	static const char expected[] =
		"expected an origin, such as https://app.example.com (no path), or \"*\"";
	const char *rest = strstr(s, "://");

	if (!strcmp(s, "*"))
		return NULL;
	/* Any scheme: desktop shells and browser extensions have their own. */
	if (!rest || rest == s || !isalpha((unsigned char)*s) ||
	    !host_port(rest + 3, s + strlen(s), false, 1))
		return expected;
	return NULL;
}

const char *
wrong_store(const char *s)
{
	if (!strncmp(s, "rediss:", 7))
		return "rediss (Redis over TLS) is not in this build, whose hiredis has no TLS; "
		       "use a "
		       "local socket or a tunnel";
	if (!strncmp(s, "redis:", 6) && strncmp(s, "redis://", 8) != 0)
		return "expected redis://[user:password@]host[:port][/db]";
	if (!strncmp(s, "redis+unix:", 11) && strncmp(s, "redis+unix://", 13) != 0)
		return "expected redis+unix://[user:password@]/path[?db=N]";
	if (!strncmp(s, "redis:", 6) || !strncmp(s, "redis+unix:", 11))
		return NULL;
	if (strncmp(s, "sqlite:", 7) != 0 || !s[7])
		return "expected sqlite:FILE, such as sqlite:easel.db, redis://HOST:PORT/DB or "
		       "redis+unix:///PATH";
	if (s[7] == ':')
		return "a store in memory cannot be shared by several programs; name a file";
	return NULL;
}

const char *
wrong_files(const char *s)
{
	if (!strncmp(s, "s3:", 3))
		return "s3 is not built in yet; this build has: file";
	if (strncmp(s, "file:", 5) != 0 || !s[5])
		return "expected file:FOLDER, such as file:files";
	return NULL;
}

const char *
wrong_degrade(const char *s)
{
	const char *equals = strchr(s, '=');

	if (!equals || equals == s || !equals[1])
		return "expected PARAMETER=VALUE, such as quality=low";
	return NULL;
}

const char *
wrong_empty(const char *s)
{
	return *s ? NULL : "may not be empty";
}

const char *
wrong_model_id(const char *s)
{
	if (!*s)
		return "a model's name may not be empty";
	if (strlen(s) > MODEL_ID_MAX)
		return "a model's name may have at most 127 bytes";
	return NULL;
}
