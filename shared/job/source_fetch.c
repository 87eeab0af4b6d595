#include "job/source_fetch.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "net/upstream.h"

#define REDIRECTS_MAX 3
#define SCHEME_MAX    32 /* "chrome-extension" and its like; longer is no scheme but text */

struct fetch {
	struct intake in;
	int64_t store_us; /* spent in the intake */
	bool not_ok;      /* the status is not 200, so there is no picture */
	bool judged;      /* the error is the intake's own */
};

static int
fetch_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct fetch *f = self;

	f->not_ok = h->status != 200;
	/* Its body is of no interest, and may be endless. */
	return f->not_ok ? err_set(e, ERR_URL_FETCH, "HTTP %d", h->status) : 0;
}

static int
fetch_data(void *self, const char *p, size_t n, struct err *e)
{
	struct fetch *f = self;
	int64_t start = clock_us();

	f->judged = intake_bytes(&f->in, p, n, e) < 0;
	f->store_us += clock_us() - start;
	return f->judged ? -1 : 0;
}

/* One request.  0: the picture is in f->in, or head->location says where it is instead. */
static int
get(struct fetch *f, const char *url, struct upstream_head *head, const struct deadline *d,
    struct ledger *ledger, struct err *e)
{
	static const char *const headers[] = { "Accept: image/*,*/*;q=0.1", NULL };
	struct upstream_req rq = { .method = "GET",
				   .url = url,
				   .headers = headers,
				   .policy = UPSTREAM_PUBLIC,
				   .provider = "the picture's host",
				   .item = LEDGER_FETCH };
	struct upstream_body body = { fetch_begin, fetch_data, f };
	int rc;

	f->not_ok = false;
	f->store_us = 0;
	rc = upstream_call(&rq, &body, head, d, ledger, e);
	ledger->us[LEDGER_STORE] += f->store_us;
	ledger->us[LEDGER_FETCH] -= f->store_us;
	return rc < 0 && f->not_ok && head->location ? 0 : rc;
}

static int
get_following(struct fetch *f, const char *url, const struct deadline *d, struct ledger *ledger,
	      struct err *e)
{
	AUTO(upstream_head) head = { 0 };
	char at[UPSTREAM_URL_BYTES];

	for (int hop = 0; hop <= REDIRECTS_MAX; hop++) {
		if (get(f, url, &head, d, ledger, e) < 0)
			return -1;
		if (!f->not_ok)
			return 0;
		(void)snprintf(at, sizeof(at), "%s", head.location);
		url = at;
	}
	return err_set(e, ERR_URL_FETCH, "more than %d redirects", REDIRECTS_MAX);
}

/* The errors of an exchange are those of the caller's URL; no provider was asked. */
static void
rename_error(const struct fetch *f, const struct deadline *whole, const char *param, struct err *e)
{
	struct err was = *e;

	if (f->judged || e->kind == ERR_INTERNAL)
		return;
	switch (was.kind) {
	case ERR_FETCH_REFUSED: (void)err_set(e, ERR_URL_NOT_ALLOWED, "%s", was.about); break;
	case ERR_UP_DNS: (void)err_set(e, ERR_URL_FETCH, "its host name cannot be resolved"); break;
	case ERR_UP_RESET: (void)err_set(e, ERR_URL_FETCH, "the connection was closed"); break;
	case ERR_UP_TRUNCATED: (void)err_set(e, ERR_URL_FETCH, "it ended in the middle"); break;
	case ERR_UP_CONNECT:
	case ERR_UP_TLS:
	case ERR_UP_GARBAGE:
	case ERR_URL_FETCH: (void)err_set(e, ERR_URL_FETCH, "%s", was.about); break;
	case ERR_DEADLINE:
		if (!deadline_over(whole)) {
			(void)err_set(e, ERR_URL_FETCH, "it did not come within %d s",
				      SOURCE_FETCH_MS / 1000);
			break;
		}
		(void)err_set(e, ERR_DEADLINE, "fetching an input picture");
		e->party = PARTY_CLIENT + 1;
		break;
	default: break;
	}
	err_detail(e, "%s", was.detail);
	(void)snprintf(e->param, sizeof(e->param), "%s", param);
	e->stage = "fetch";
}

static int
fetch_url(struct fetch *f, const char *url, const char *param, struct source *out,
	  const struct deadline *d, struct ledger *ledger, struct err *e)
{
	const struct deadline soon = deadline_sooner(d, SOURCE_FETCH_MS);

	if (get_following(f, url, &soon, ledger, e) < 0) {
		rename_error(f, d, param, e);
		memset(&e->upstream, 0, sizeof(e->upstream));
		return -1;
	}
	return intake_end(&f->in, out, e);
}

/* Has the text a scheme in front, as RFC 3986 has it?  base64 has no colon. */
static bool
has_scheme(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	return n > 0 && n <= SCHEME_MAX && s[n] == ':';
}

int
source_fetch(struct filestore *fs, const char *url, const char *param, struct source *out,
	     const struct deadline *d, struct ledger *ledger, struct err *e)
{
	struct fetch f = { 0 };
	int rc;

	if (!has_scheme(url) || !strncasecmp(url, "data:", 5))
		return source_from_text(fs, url, strlen(url), param, out, e);
	if (strlen(url) >= UPSTREAM_URL_BYTES) {
		(void)err_set(e, ERR_URL_NOT_ALLOWED, "it is longer than %d characters",
			      UPSTREAM_URL_BYTES - 1);
		(void)snprintf(e->param, sizeof(e->param), "%s", param);
		return -1;
	}
	(void)intake_begin(&f.in, fs, param, e);
	rc = fetch_url(&f, url, param, out, d, ledger, e);
	intake_done(&f.in);
	return rc;
}
