#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "base/utf8.h"
#include "http/frame.h"
#include "http/peer.h"
#include "http/watchdog.h"

#define PIECE_BYTES 65536 /* of an upload at a time */

const char *
request_id(const struct request *r)
{
	return r->id;
}

const char *
request_method(const struct request *r)
{
	return r->method;
}

const char *
request_route(const struct request *r)
{
	return r->route->path;
}

const char *
request_rest(const struct request *r)
{
	return r->rest ? r->rest : "";
}

const char *
request_header(const struct request *r, const char *cgi_name)
{
	return conn_param(r->conn, cgi_name);
}

const char *
request_query(const struct request *r)
{
	const char *q = strchr(r->target, '?');

	return q ? q + 1 : "";
}

const struct deadline *
request_deadline(const struct request *r)
{
	return &r->deadline;
}

int64_t
request_budget_ms(const struct request *r)
{
	return r->budget_ms;
}

struct ledger *
request_ledger(struct request *r)
{
	return &r->ledger;
}

const struct principal *
request_principal(const struct request *r)
{
	return &r->who;
}

/* The language named first that there are texts in; weights are for browsers, not for curl. */
enum err_lang
request_lang(const struct request *r)
{
	const char *s = request_header(r, "HTTP_ACCEPT_LANGUAGE");

	for (; s && *s; s += strcspn(s, ","), s += strspn(s, ", ")) {
		if (!strncasecmp(s, "zh", 2))
			return LANG_ZH;
		if (!strncasecmp(s, "en", 2))
			return LANG_EN;
	}
	return LANG_EN;
}

static int
media_type_check(const struct request *r, struct err *e)
{
	const char *type = request_header(r, "CONTENT_TYPE"), *charset;
	char shown[100];
	size_t n;

	if (!type || !*type)
		return err_field(e, ERR_MEDIA_TYPE, "", "application/json", "none");
	n = strcspn(type, "; \t");
	utf8_clip(shown, sizeof(shown), type, strlen(type), 60);
	if (!(n == 16 && !strncasecmp(type, "application/json", 16)) &&
	    !(n > 5 && !strncasecmp(type, "application/", 12) &&
	      !strncasecmp(type + n - 5, "+json", 5)))
		return err_field(e, ERR_MEDIA_TYPE, "", "application/json", "'%s'", shown);
	charset = strcasestr(type + n, "charset=");
	if (charset) {
		charset += 8;
		charset += *charset == '"';
		if (strncasecmp(charset, "utf-8", 5) != 0 && strncasecmp(charset, "utf8", 4) != 0)
			return err_field(e, ERR_MEDIA_TYPE, "", "application/json; charset=utf-8",
					 "'%s'", shown);
	}
	return 0;
}

static int
too_large(const struct config *c, struct err *e, int64_t limit, int64_t ceiling, int64_t length)
{
	char expected[120];

	(void)snprintf(expected, sizeof(expected), "at most %lld bytes", (long long)ceiling);
	if (ceiling < limit)
		(void)snprintf(expected, sizeof(expected),
			       "at most %lld bytes ([deadline] profile = \"%s\")",
			       (long long)ceiling, c->deadline.profile);
	return err_field(e, ERR_BODY_TOO_LARGE, "", expected, "%lld", (long long)length);
}

/* What the client's own slowness took. */
static int
too_slow(struct err *e)
{
	(void)err_set(e, ERR_DEADLINE, "receiving the request's body");
	e->party = PARTY_CLIENT + 1;
	e->stage = "recv";
	return -1;
}

static int
too_short(struct err *e, int64_t length, int64_t got)
{
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "%lld bytes", (long long)length);
	return err_field(e, ERR_BODY_INCOMPLETE, "", expected, "%lld", (long long)got);
}

/* *length is what Content-Length says, 0 when it says nothing; no more than `limit` is taken. */
static int
length_read(const struct request *r, int64_t limit, int64_t *length, struct err *e)
{
	const struct config *c = r->frame->config;
	int64_t ceiling = config_ceiling_bytes(c, limit);
	const char *said = request_header(r, "CONTENT_LENGTH");

	*length = 0;
	if (said && *said && num_i64(said, 0, INT64_MAX, length) < 0)
		return err_set(e, ERR_BAD_REQUEST, "Content-Length is no number");
	return *length > ceiling ? too_large(c, e, limit, ceiling, *length) : 0;
}

/* The whole body into r->body. */
static int
body_read(struct request *r, struct err *e)
{
	size_t offset = r->route->body_offset;
	int64_t limit = offset ? *(const int64_t *)((const char *)r->frame->config + offset) : 0;
	int64_t most = r->route->body_most, length;
	ssize_t got;

	if (most && most < limit)
		limit = most;
	if (length_read(r, limit, &length, e) < 0)
		return -1;
	r->body = malloc((size_t)length + 1);
	if (!r->body)
		return err_set(e, ERR_OVERLOADED, "no memory for the body");
	got = conn_read(r->conn, r->body, (size_t)length);
	if (got < 0 && deadline_over(&r->deadline))
		return too_slow(e);
	if (got != length)
		return too_short(e, length, got < 0 ? 0 : got);
	r->body[length] = '\0';
	r->body_len = (size_t)length;
	r->bytes_in = (uint64_t)length;
	return 0;
}

int
request_json_text(struct request *r, json_t **out, char **text, size_t *n, struct err *e)
{
	int64_t start_us = clock_us();
	json_t *v = NULL;
	int rc;

	watchdog_stage("recv");
	if (media_type_check(r, e) < 0 || body_read(r, e) < 0)
		return -1;
	/* From here on nothing more is read: the input's buffers go back before a long wait. */
	conn_input_done(r->conn);
	if (!r->body_len)
		rc = err_set(e, ERR_JSON, "it is empty.");
	else
		rc = json_read(r->body, r->body_len, &v, e);
	r->ledger.us[LEDGER_RECV] += clock_us() - start_us;
	watchdog_stage("work");
	if (rc < 0)
		return -1;
	if (!json_is_object(v)) {
		(void)err_field(e, ERR_TYPE, "body", "an object", "%s", json_type_name(v));
		json_decref(v);
		return -1;
	}
	*out = v;
	*text = TAKE_PTR(r->body);
	*n = r->body_len;
	return 0;
}

int
request_json(struct request *r, json_t **out, struct err *e)
{
	char *text;
	size_t n;

	if (request_json_text(r, out, &text, &n, e) < 0) {
		/* An answer may be long in leaving; the body is not needed for it. */
		free(TAKE_PTR(r->body));
		return -1;
	}
	free(text);
	return 0;
}

bool
request_is_multipart(const struct request *r)
{
	const char *type = request_header(r, "CONTENT_TYPE");

	return type && !strncasecmp(type, "multipart/form-data", 19) &&
	       strchr("; \t", type[19]) != NULL;
}

/* The body in pieces, through m. */
static int
pieces_read(struct request *r, struct multipart *m, struct err *e)
{
	AUTO_FREE char *piece = NULL;
	int64_t length, left;

	if (length_read(r, r->frame->config->limits.upload_bytes, &length, e) < 0)
		return -1;
	piece = malloc(PIECE_BYTES);
	if (!piece)
		return err_set(e, ERR_OVERLOADED, "no memory for the body");
	for (left = length; left > 0;) {
		size_t want = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
		ssize_t got = conn_read(r->conn, piece, want);

		if (got < 0 && deadline_over(&r->deadline))
			return too_slow(e);
		left -= got > 0 ? got : 0;
		r->bytes_in = (uint64_t)(length - left);
		if (got > 0 && multipart_bytes(m, piece, (size_t)got, e) < 0)
			return -1;
		if (got != (ssize_t)want)
			return too_short(e, length, length - left);
	}
	return multipart_end(m, e);
}

__attribute__((noinline)) int /* its parser must not lie on a stack that waits */
request_multipart(struct request *r, const struct multipart_handler *to, struct err *e)
{
	int64_t start_us = clock_us();
	struct multipart m;
	int rc;

	watchdog_stage("recv");
	rc = multipart_begin(&m, request_header(r, "CONTENT_TYPE"), to, e);
	if (rc == 0)
		rc = pieces_read(r, &m, e);
	if (rc == 0)
		conn_input_done(r->conn);
	r->ledger.us[LEDGER_RECV] += clock_us() - start_us;
	watchdog_stage("work");
	return rc;
}

/* Is the peer one whose X-Forwarded-… may be believed? */
static bool
trusted_proxy(const struct request *r)
{
	return peer_is_in(&r->frame->config->server.trusted_proxies,
			  request_header(r, "REMOTE_ADDR"));
}

void
request_peer(const struct request *r, char *out)
{
	peer_address(&r->frame->config->server.trusted_proxies, request_header(r, "REMOTE_ADDR"),
		     request_header(r, "HTTP_X_FORWARDED_FOR"), out);
}

/* A host that can stand in a URL: no more than that is taken from a client. */
static bool
plain_host(const char *s)
{
	size_t n =
		strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]");

	return n > 0 && n < 256 && !s[n];
}

void
request_base_url(const struct request *r, char *out, size_t size)
{
	const struct config *c = r->frame->config;
	const char *host = request_header(r, "HTTP_HOST"), *proto = NULL, *https;

	if (c->server.public_url && c->server.public_url[0]) {
		(void)snprintf(out, size, "%s", c->server.public_url);
		return;
	}
	if (trusted_proxy(r)) {
		const char *h = request_header(r, "HTTP_X_FORWARDED_HOST");

		proto = request_header(r, "HTTP_X_FORWARDED_PROTO");
		if (h && plain_host(h))
			host = h;
	}
	https = request_header(r, "HTTPS");
	if (!proto || (strcmp(proto, "https") != 0 && strcmp(proto, "http") != 0))
		proto = https && !strcasecmp(https, "on") ? "https" : "http";
	if (!host || !plain_host(host))
		host = c->server.listen;
	(void)snprintf(out, size, "%s://%s", proto, host);
}

void
request_after(struct request *r, void (*fn)(void *arg), void *arg)
{
	if (r->nafters < REQUEST_AFTERS)
		r->after[r->nafters++] = (struct after){ fn, arg };
}

void
request_after_first(struct request *r, void (*fn)(void *arg), void *arg)
{
	if (r->nafters == REQUEST_AFTERS)
		return;
	memmove(r->after + 1, r->after, r->nafters++ * sizeof(r->after[0]));
	r->after[0] = (struct after){ fn, arg };
}

bool
request_is_left(const struct request *r)
{
	return r->broken || (!r->over && conn_is_left(r->conn));
}

bool
request_may_outlive(const struct request *r)
{
	return !conn_is_cgi(r->conn);
}

bool
request_is_over(const struct request *r)
{
	return r->over;
}

bool
request_is_answered(const struct request *r)
{
	return r->status != 0;
}

struct store *
request_store(const struct request *r)
{
	return r->frame->store;
}
