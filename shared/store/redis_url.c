#include "store/redis_url.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

static int
wrong(struct err *e, const char *what)
{
	return err_set(e, ERR_CONFIG,
		       "[store] url: %s; expected redis://[user:password@]host[:port][/db] or "
		       "redis+unix://[user:password@]/path[?db=N].",
		       what);
}

/* Percent-decoded; -1 when it does not fit or holds what is no text. */
static int
decode(char *out, size_t size, const char *s, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '%') {
			if (i + 2 >= n || num_hex_digit(s[i + 1]) < 0 ||
			    num_hex_digit(s[i + 2]) < 0)
				return -1;
			c = (char)(num_hex_digit(s[i + 1]) * 16 + num_hex_digit(s[i + 2]));
			i += 2;
		}
		if (!c || k + 1 >= size)
			return -1;
		out[k++] = c;
	}
	out[k] = '\0';
	return 0;
}

static int
copy(char *out, size_t size, const char *s, size_t n)
{
	if (n >= size)
		return -1;
	memcpy(out, s, n);
	out[n] = '\0';
	return 0;
}

static int
parse_credentials(struct redis_url *u, const char *s, size_t n)
{
	const char *colon = memchr(s, ':', n);

	if (!colon)
		return -1;
	return decode(u->user, sizeof(u->user), s, (size_t)(colon - s)) < 0 ||
			       decode(u->password, sizeof(u->password), colon + 1,
				      n - (size_t)(colon + 1 - s)) < 0
		       ? -1
		       : 0;
}

static int
parse_host(struct redis_url *u, const char *s, size_t n)
{
	const char *end = s + n, *port;
	int64_t number;

	if (n && *s == '[') {
		port = memchr(s, ']', n);
		if (!port || copy(u->host, sizeof(u->host), s + 1, (size_t)(port - s - 1)) < 0)
			return -1;
		port++;
	} else {
		port = memchr(s, ':', n);
		if (!port)
			port = end;
		if (copy(u->host, sizeof(u->host), s, (size_t)(port - s)) < 0)
			return -1;
	}
	(void)snprintf(u->port, sizeof(u->port), "6379");
	if (port < end && (*port != ':' ||
			   copy(u->port, sizeof(u->port), port + 1, (size_t)(end - port - 1)) < 0))
		return -1;
	return *u->host && num_i64(u->port, 1, 65535, &number) == 0 ? 0 : -1;
}

int
redis_url_parse(struct redis_url *u, const char *rest, bool local, struct err *e)
{
	const char *s = rest + 2, *at, *end, *db;
	int64_t number;

	*u = (struct redis_url){ .db = "0" };
	if (strncmp(rest, "//", 2) != 0)
		return wrong(e, "nothing like '//' after the scheme");
	end = s + strcspn(s, "/");
	at = memrchr(s, '@', (size_t)(end - s));
	if (at) {
		if (parse_credentials(u, s, (size_t)(at - s)) < 0)
			return wrong(e, "user and password cannot be read (':' between them; '/', "
					"'@' and '%' as %2F, %40 and %25)");
		s = at + 1;
	}
	if (local) {
		db = strstr(s, "?db=");
		if (*s != '/' ||
		    copy(u->path, sizeof(u->path), s, db ? (size_t)(db - s) : strlen(s)) < 0)
			return wrong(e, "the socket's path cannot be read, or is too long");
		db = db ? db + 4 : "0";
	} else {
		if (parse_host(u, s, (size_t)(end - s)) < 0)
			return wrong(e, "host or port cannot be read");
		db = *end && end[1] ? end + 1 : "0";
	}
	if (num_i64(db, 0, 99999, &number) < 0)
		return wrong(e, "the database's number cannot be read");
	(void)snprintf(u->db, sizeof(u->db), "%d", (int)number);
	return 0;
}
