#include "http/query.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/utf8.h"
#include "http/reply.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define NAME_BYTES 64

/* n bytes of escaped text.  Their length, or -1: a bad escape, or (*full) no room. */
static long
unescape(const char *s, size_t n, char *out, size_t size, bool *full)
{
	size_t len = 0;

	*full = false;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < n ? num_hex_digit(s[i + 1]) : -1;
			int low = high >= 0 ? num_hex_digit(s[i + 2]) : -1;

			if (low < 0)
				return -1;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (len + 1 >= size) {
			*full = true;
			return -1;
		}
		out[len++] = c;
	}
	out[len] = '\0';
	return (long)len;
}

static bool
is_clean(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return utf8_valid(s, n);
}

static int
take(struct query_param *p, const char *s, size_t n, struct err *e)
{
	char expected[64];
	bool full;
	long len;

	if (p->given)
		return err_field(e, ERR_VALUE, p->name, "one value", "it twice");
	p->given = true;
	len = unescape(s, n, p->out, p->size, &full);
	if (full) {
		p->out[0] = '\0';
		(void)snprintf(expected, sizeof(expected), "at most %zu bytes", p->size - 1);
		return err_field(e, ERR_TOO_LONG, p->name, expected, "more");
	}
	if (len < 0 || !is_clean(p->out, (size_t)len)) {
		p->out[0] = '\0';
		return err_field(e, ERR_VALUE, p->name, "percent-encoded UTF-8 text",
				 len < 0 ? "a bad escape" : "other bytes");
	}
	return 0;
}

/* Is it in the list "a, b" already? */
static bool
is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += n)
		if ((at == list || at[-1] == ' ') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

static void
note_unknown(char unknown[QUERY_UNKNOWN], const char *name)
{
	size_t n = strlen(unknown);

	if (!*name || name[strspn(name, NAME_CHARS)] || is_listed(unknown, name) ||
	    n + strlen(name) + 3 > QUERY_UNKNOWN)
		return;
	(void)snprintf(unknown + n, QUERY_UNKNOWN - n, "%s%s", n ? ", " : "", name);
}

int
query_read(const char *query, struct query_param *v, size_t n, char unknown[QUERY_UNKNOWN],
	   struct err *e)
{
	unknown[0] = '\0';
	while (*query) {
		size_t len = strcspn(query, "&"), name_len = strcspn(query, "=&");
		const char *value = query + name_len + (query[name_len] == '=');
		struct query_param *p = NULL;
		char name[NAME_BYTES];
		bool full;

		if (unescape(query, name_len, name, sizeof(name), &full) < 0)
			name[0] = '\0';
		for (size_t i = 0; i < n && !p; i++)
			if (!strcmp(v[i].name, name))
				p = &v[i];
		if (p && take(p, value, (size_t)(query + len - value), e) < 0)
			return -1;
		if (!p)
			note_unknown(unknown, name);
		query += len;
		query += *query == '&';
	}
	return 0;
}

int
query_number(const struct query_param *p, int64_t min, int64_t max, int64_t fallback, int64_t *out,
	     struct err *e)
{
	char expected[80], shown[64];

	*out = fallback;
	if (!p->given || !p->out[0])
		return 0;
	(void)snprintf(expected, sizeof(expected), "an integer from %lld to %lld", (long long)min,
		       (long long)max);
	utf8_clip(shown, sizeof(shown), p->out, strlen(p->out), 20);
	if (num_i64(p->out, INT64_MIN, INT64_MAX, out) < 0)
		return err_field(e, ERR_TYPE, p->name, expected, "'%s'", shown);
	if (*out < min)
		return err_field(e, ERR_BELOW_MIN, p->name, expected, "%s", shown);
	if (*out > max)
		return err_field(e, ERR_ABOVE_MAX, p->name, expected, "%s", shown);
	return 0;
}

void
query_receipt(struct request *r, const char *unknown)
{
	char text[QUERY_UNKNOWN * 4];
	size_t n = 0;

	for (const char *at = unknown; *at;) {
		size_t len = strcspn(at, ",");

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s=dropped", n ? "; " : "",
				      (int)len, at);
		at += len;
		at += strspn(at, ", ");
	}
	if (n)
		reply_header(r, "x-easel-params", "%s", text);
}
