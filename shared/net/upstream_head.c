#include "net/upstream_head.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/scrub.h"

#define RETRY_AFTER_MAX_S 86400

void
upstream_head_clear(struct upstream_head *h)
{
	upstream_head_done(h);
	h->content_length = -1;
}

void
upstream_head_done(struct upstream_head *h)
{
	free(h->location);
	*h = (struct upstream_head){ 0 };
}

void
upstream_head_leads_to(struct upstream_head *h, const char *url, size_t n)
{
	free(h->location);
	h->location = url ? strndup(url, n) : NULL;
}

/* Printable ASCII only, and nothing that looks like a key: these go to logs and answers. */
static void
copy_plain(char *out, size_t size, const char *v, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n && len + 1 < size; i++)
		out[len++] = v[i] > 0x20 && v[i] < 0x7f && v[i] != '"' ? v[i] : '?';
	out[len] = '\0';
	scrub_shapes(out);
}

static void
content_type(struct upstream_head *h, const char *v, size_t n)
{
	size_t len = 0;

	while (len < n && len + 1 < sizeof(h->content_type) && v[len] != ';' && v[len] > ' ' &&
	       v[len] < 0x7f) {
		char c = v[len];

		h->content_type[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	h->content_type[len] = '\0';
}

/* "12", and "1.5", which no standard has but some relays do; both rounded up.  -1: no number. */
static int64_t
number_up(const char *v)
{
	size_t whole = strspn(v, "0123456789");
	char digits[12] = "";
	int64_t s;

	if (whole >= sizeof(digits))
		return INT32_MAX;
	memcpy(digits, v, whole);
	if (num_i64(digits, 0, INT64_MAX, &s) < 0 ||
	    (v[whole] && (v[whole] != '.' || v[whole + 1 + strspn(v + whole + 1, "0123456789")])))
		return -1;
	return s + (strpbrk(v + whole, "123456789") ? 1 : 0);
}

static void
retry_after(struct upstream_head *h, const char *v, time_t now, bool ms)
{
	int64_t s = number_up(v);

	if (s >= 0 && ms) {
		s = (s + 999) / 1000;
	} else if (s < 0 && !ms) {
		time_t at = curl_getdate(v, NULL);

		s = at > now ? at - now : 0;
	}
	if (s > RETRY_AFTER_MAX_S)
		s = RETRY_AFTER_MAX_S;
	if (s > 0 && (ms || !h->retry_after_s))
		h->retry_after_s = (int)s;
}

static void
quota(struct upstream_head *h, const char *v)
{
	int64_t left;

	if (num_i64(v, 0, INT64_MAX, &left) < 0 || (h->quota_said && left >= h->quota_left))
		return;
	h->quota_said = true;
	h->quota_left = left;
}

/* Which of the three names of a request id this is: the lower wins; -1: none. */
static int
id_rank(const char *name, size_t n)
{
	static const char *const names[] = { "x-request-id", "x-oneapi-request-id", "cf-ray" };

	for (int i = 0; i < 3; i++)
		if (strlen(names[i]) == n && !strncasecmp(name, names[i], n))
			return i;
	return -1;
}

static void
field(struct upstream_head *h, const char *name, size_t name_n, const char *v, size_t n, time_t now)
{
	char text[64];
	int rank = id_rank(name, name_n);

#define IS(s) (name_n == sizeof(s) - 1 && !strncasecmp(name, s, name_n))
	memcpy(text, v, n < sizeof(text) ? n : 0);
	text[n < sizeof(text) ? n : 0] = '\0';
	if (rank >= 0 && n && (!h->id_rank || rank + 1 < h->id_rank)) {
		copy_plain(h->request_id, sizeof(h->request_id), v, n);
		h->id_rank = rank + 1;
	} else if (IS("content-type")) {
		content_type(h, v, n);
	} else if (IS("content-length")) {
		(void)num_i64(text, 0, INT64_MAX, &h->content_length);
	} else if (IS("location") && n && n < UPSTREAM_URL_BYTES) {
		upstream_head_leads_to(h, v, n);
	} else if (IS("retry-after")) {
		retry_after(h, text, now, false);
	} else if (IS("retry-after-ms")) {
		retry_after(h, text, now, true);
	} else if (IS("modelscope-ratelimit-requests-remaining") ||
		   IS("modelscope-ratelimit-model-requests-remaining")) {
		quota(h, text);
	} else if (IS("cf-mitigated")) {
		h->mitigated = true;
	}
#undef IS
}

void
upstream_head_line(struct upstream_head *h, const char *line, size_t n, time_t now)
{
	const char *colon, *v;

	while (n && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' ' ||
		     line[n - 1] == '\t'))
		n--;
	if (n >= 12 && !memcmp(line, "HTTP/", 5)) {
		const char *sp = memchr(line, ' ', n);
		int64_t status;
		char digits[4] = "";

		upstream_head_clear(h);
		if (sp && line + n - sp >= 4)
			memcpy(digits, sp + 1, 3);
		if (num_i64(digits, 100, 999, &status) == 0)
			h->status = (int)status;
		return;
	}
	colon = memchr(line, ':', n);
	if (!colon)
		return;
	v = colon + 1;
	while (v < line + n && (*v == ' ' || *v == '\t'))
		v++;
	field(h, line, (size_t)(colon - line), v, (size_t)(line + n - v), now);
}
