#include "provider/result_fetch.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/tick.h"
#include "files/sink.h"
#include "net/upstream.h"

#define TRIES         3
#define PAUSE_MS      1000
#define REDIRECTS_MAX 3

struct fetch {
	struct image_call *call;
	const char *base,
		*header; /* the provider's own origin, and what it alone is told; or NULL */
	struct sink sink;
	int64_t store_us; /* spent in the sink */
	bool not_ok;      /* the status is not 200, so there is no picture */
};

static int
fetch_begin(void *self, const struct upstream_head *h, struct err *e)
{
	struct fetch *f = self;

	f->not_ok = h->status != 200;
	/* Its body is of no interest, and may be endless. */
	return f->not_ok ? err_set(e, ERR_FETCH_FAILED, "HTTP %d", h->status) : 0;
}

static int
fetch_data(void *self, const char *p, size_t n, struct err *e)
{
	struct fetch *f = self;
	int64_t start = clock_us();
	int rc = sink_bytes(&f->sink, p, n, e);

	f->store_us += clock_us() - start;
	return rc;
}

static void
pause_before_retry(const struct deadline *d)
{
	int64_t left = deadline_left_ms(d), ms = left < PAUSE_MS ? left : PAUSE_MS;

	(void)tick_pause(ms, false);
}

/* One request.  0: the picture is in the sink, or *head says where it is instead. */
static int
get(struct fetch *f, const char *url, struct upstream_head *head, struct err *e)
{
	const char *const headers[] = { "Accept: image/*,*/*;q=0.1",
					upstream_same_origin(url, f->base) ? f->header : NULL,
					NULL };
	const struct provider_conf *p = f->call->provider;
	struct upstream_req rq = { .method = "GET",
				   .url = url,
				   .headers = headers,
				   .proxy = p->proxy,
				   .connect_timeout_ms = p->connect_timeout_ms,
				   .policy = UPSTREAM_PUBLIC,
				   .provider = p->name,
				   .item = LEDGER_FETCH,
				   .allow_origin = f->base };
	struct upstream_body body = { fetch_begin, fetch_data, f };
	struct ledger *ledger = f->call->ledger;
	int rc;

	f->not_ok = false;
	f->store_us = 0;
	sink_done(&f->sink);
	sink_init(&f->sink, f->call->files);
	rc = upstream_call(&rq, &body, head, &f->call->deadline, ledger, e);
	ledger->us[LEDGER_STORE] += f->store_us;
	ledger->us[LEDGER_FETCH] -= f->store_us;
	return rc < 0 && f->not_ok && head->status >= 300 && head->status < 400 ? 0 : rc;
}

static int
get_following(struct fetch *f, const char *url, struct upstream_head *head, struct err *e)
{
	char at[UPSTREAM_URL_BYTES];

	for (int hop = 0; hop <= REDIRECTS_MAX; hop++) {
		if (get(f, url, head, e) < 0)
			return -1;
		if (!f->not_ok)
			return 0;
		if (!head->location)
			return err_set(e, ERR_FETCH_FAILED, "HTTP %d", head->status);
		(void)snprintf(at, sizeof(at), "%s", head->location);
		url = at;
	}
	return err_set(e, ERR_FETCH_FAILED, "more than %d redirects", REDIRECTS_MAX);
}

static bool
may_pass(const struct fetch *f, const struct upstream_head *head, const struct err *e)
{
	int s = head->status;

	if (f->not_ok)
		return s == 404 || s == 408 || s == 425 || s == 429 || s >= 500;
	return e->kind == ERR_UP_DNS || e->kind == ERR_UP_CONNECT || e->kind == ERR_UP_RESET ||
	       e->kind == ERR_UP_TRUNCATED;
}

/* The errors of an exchange are those of this picture's URL, not of the provider's API. */
static void
rename_error(struct err *e)
{
	char why[sizeof(e->about)];

	switch (e->kind) {
	case ERR_UP_DNS:
		(void)snprintf(why, sizeof(why), "its host name cannot be resolved");
		break;
	case ERR_UP_RESET: (void)snprintf(why, sizeof(why), "the connection was closed"); break;
	case ERR_UP_TRUNCATED: (void)snprintf(why, sizeof(why), "it ended in the middle"); break;
	case ERR_UP_CONNECT:
	case ERR_UP_TLS:
	case ERR_UP_GARBAGE: (void)snprintf(why, sizeof(why), "%s", e->about); break;
	default: return;
	}
	e->kind = ERR_FETCH_FAILED;
	(void)snprintf(e->about, sizeof(e->about), "%s", why);
}

static int
fetch_tried(struct fetch *f, const char *url, struct picture *out, struct err *e)
{
	AUTO(upstream_head) head = { 0 };

	for (int try = 1;; try++) {
		int64_t start;
		int rc;

		if (get_following(f, url, &head, e) == 0) {
			start = clock_us();
			rc = sink_finish(&f->sink, out, e);
			f->call->ledger->us[LEDGER_STORE] += clock_us() - start;
			return rc;
		}
		if (try == TRIES || !may_pass(f, &head, e))
			return -1;
		pause_before_retry(&f->call->deadline);
	}
}

int
result_fetch(struct image_call *call, const char *url, struct picture *out, struct err *e)
{
	return result_fetch_from(call, url, call->provider->base_url, NULL, out, e);
}

int
result_fetch_from(struct image_call *call, const char *url, const char *base, const char *header,
		  struct picture *out, struct err *e)
{
	struct fetch f = { .call = call, .base = base, .header = header };
	char absolute[UPSTREAM_URL_BYTES];
	int rc;

	if (call->on_stage)
		call->on_stage(call->self, "fetch");
	sink_init(&f.sink, call->files);
	if (*url == '/' && url[1] != '/') {
		if (upstream_url_join(base, url, absolute, sizeof(absolute)) < 0)
			rc = err_set(e, ERR_FETCH_REFUSED, "it is no URL");
		else
			rc = fetch_tried(&f, absolute, out, e);
	} else {
		rc = fetch_tried(&f, url, out, e);
	}
	sink_done(&f.sink);
	if (rc < 0) {
		rename_error(e);
		e->stage = "fetch";
		e->may_have_been_billed = true;
		(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s",
			       call->provider->name);
	}
	return rc;
}
