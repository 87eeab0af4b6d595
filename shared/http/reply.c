#include "http/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/utf8.h"
#include "http/duration.h"
#include "http/frame.h"
#include "http/watchdog.h"

#define HEAD_ROOM_BYTES 512 /* of the headers that every answer has */
#define FACT_BYTES      512 /* the longest text of struct err */

#define EXPOSED                                                                      \
	"x-request-id, server-timing, retry-after, x-should-retry, x-easel-model, "  \
	"x-easel-mode, x-easel-attempts, x-easel-params, location, retry-after-ms, " \
	"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "               \
	"x-ratelimit-reset-requests, x-ratelimit-limit-images, "                     \
	"x-ratelimit-remaining-images, x-ratelimit-reset-images"

void
reply_header(struct request *r, const char *name, const char *fmt, ...)
{
	struct buf *b = &r->headers;
	size_t start = b->len, value;
	va_list ap;
	int rc;

	if (buf_adds(b, name) < 0 || buf_adds(b, ": ") < 0)
		return;
	value = b->len;
	va_start(ap, fmt);
	rc = buf_vaddf(b, fmt, ap);
	va_end(ap);
	/* Whatever came into the value, it must not become another header. */
	if (rc < 0 || strpbrk(b->p + value, "\r\n") || buf_adds(b, "\r\n") < 0) {
		b->len = start;
		b->p[start] = '\0';
	}
}

static const char *
reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} row[] = {
		{ 200, "OK" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++)
		if (row[i].status == status)
			return row[i].text;
	return "Status";
}

static void
add_item(struct buf *b, const char *separator, enum ledger_item i, int64_t us)
{
	int64_t tenths = (us + 50) / 100;

	(void)buf_adds(b, separator);
	(void)buf_adds(b, ledger_name(i));
	(void)buf_adds(b, ";dur=");
	(void)buf_addi(b, tenths / 10);
	(void)buf_addc(b, '.');
	(void)buf_addi(b, tenths % 10);
}

/* The ledger in milliseconds (W3C Server Timing): authentication always, the rest where it took any. */
static void
add_server_timing(const struct request *r, struct buf *b)
{
	(void)buf_adds(b, "server-timing: ");
	add_item(b, "", LEDGER_AUTH, r->ledger.us[LEDGER_AUTH]);
	for (int i = LEDGER_AUTH + 1; i < LEDGER__MAX; i++)
		if (r->ledger.us[i])
			add_item(b, ", ", (enum ledger_item)i, r->ledger.us[i]);
	(void)buf_adds(b, "\r\n");
}

/* The headers that OpenAI's SDKs know; nothing where there is no limit. */
static void
add_limit(struct buf *b, const char *what, const struct limit_state *s)
{
	char reset[DURATION_TEXT];

	if (!s->limit)
		return;
	duration_text(s->reset_ms, reset);
	(void)buf_addf(b,
		       "x-ratelimit-limit-%s: %lld\r\nx-ratelimit-remaining-%s: %lld\r\n"
		       "x-ratelimit-reset-%s: %s\r\n",
		       what, (long long)s->limit, what, (long long)s->remaining, what, reset);
}

static void
add_cors(const struct request *r, struct buf *b)
{
	const struct strings *allowed = &r->frame->config->server.cors_origins;
	const char *origin = request_header(r, "HTTP_ORIGIN");

	for (size_t i = 0; origin && i < allowed->n; i++) {
		bool any = !strcmp(allowed->v[i], "*");

		if (!any && strcmp(allowed->v[i], origin) != 0)
			continue;
		(void)buf_addf(b,
			       "access-control-allow-origin: %s\r\nvary: origin\r\n"
			       "access-control-expose-headers: " EXPOSED "\r\n",
			       any ? "*" : allowed->v[i]);
		return;
	}
}

/* What was not booked where it was spent, so that the items make up the whole time until now. */
static void
book_the_rest(struct request *r)
{
	int64_t rest_us = clock_us() - r->accepted_us;

	for (int i = 0; i < LEDGER__MAX; i++)
		rest_us -= r->ledger.us[i];
	if (rest_us > 0)
		r->ledger.us[LEDGER_OTHER] += rest_us;
}

/* The deadline is the answer's; how long a client takes to fetch it is bounded by itself. */
static void
take_time_to_write(struct request *r)
{
	int64_t now_us = clock_us();
	int64_t until_us =
		(r->deadline.at_us > now_us ? r->deadline.at_us : now_us) + WRITE_GRACE_MS * 1000;

	conn_write_until(r->conn, until_us);
	watchdog_stage("respond");
	watchdog_until(until_us + CONN_STALL_S * 1000000LL);
}

static int
send_head(struct request *r, int status, const char *content_type, int64_t length_bytes,
	  struct err *e)
{
	AUTO(buf) head = BUF_INIT(HEADERS_MAX_BYTES * 2);

	r->status = status;
	take_time_to_write(r);
	(void)buf_room(&head, r->headers.len + HEAD_ROOM_BYTES);
	(void)buf_adds(&head, "Status: ");
	(void)buf_addi(&head, status);
	(void)buf_addc(&head, ' ');
	(void)buf_adds(&head, reason(status));
	(void)buf_adds(&head, "\r\nx-request-id: ");
	(void)buf_adds(&head, r->id);
	if (content_type) {
		(void)buf_adds(&head, "\r\ncontent-type: ");
		(void)buf_adds(&head, content_type);
	}
	if (length_bytes >= 0) {
		(void)buf_adds(&head, "\r\ncontent-length: ");
		(void)buf_addi(&head, length_bytes);
	}
	(void)buf_adds(&head, "\r\n");
	add_server_timing(r, &head);
	add_limit(&head, "requests", &r->grant.requests);
	add_limit(&head, "images", &r->grant.images);
	add_cors(r, &head);
	(void)buf_add(&head, r->headers.p, r->headers.len);
	if (buf_adds(&head, "\r\n") < 0)
		return err_set(e, ERR_INTERNAL, "the answer's headers are too large");
	if (conn_write(r->conn, head.p, head.len) < 0) {
		r->broken = true;
		return err_set(e, ERR_GONE, "%s", "");
	}
	return 0;
}

void
reply_book(struct request *r, enum ledger_item item)
{
	int64_t before_us = r->ledger.us[LEDGER_OTHER];

	book_the_rest(r);
	r->ledger.us[item] += r->ledger.us[LEDGER_OTHER] - before_us;
	r->ledger.us[LEDGER_OTHER] = before_us;
}

int
reply_begin(struct request *r, int status, const char *content_type, int64_t length_bytes,
	    struct err *e)
{
	book_the_rest(r);
	return send_head(r, status, content_type, length_bytes, e);
}

int
reply_stream(struct request *r, const char *content_type, struct err *e)
{
	return send_head(r, 200, content_type, -1, e);
}

json_t *
reply_ledger(struct request *r)
{
	json_t *o = json_object();

	book_the_rest(r);
	for (int i = 0; i < LEDGER__MAX; i++) {
		int64_t tenths = (r->ledger.us[i] + 50) / 100;

		if (i == LEDGER_AUTH || r->ledger.us[i])
			(void)json_object_set_new(o, ledger_name((enum ledger_item)i),
						  json_real((double)tenths / 10));
	}
	return o;
}

int
reply_write(struct request *r, const void *p, size_t n, struct err *e)
{
	if (r->head_only)
		return 0;
	if (conn_write(r->conn, p, n) < 0) {
		r->broken = true;
		return err_set(e, ERR_GONE, "%s", "");
	}
	r->bytes_out += n;
	return 0;
}

int
reply_end(struct request *r, struct err *e)
{
	if (conn_flush(r->conn) < 0) {
		r->broken = true;
		return err_set(e, ERR_GONE, "%s", "");
	}
	return 0;
}

void
reply_break(struct request *r, const struct err *e)
{
	r->code = err_code(e);
	conn_break(r->conn);
}

int
reply_text(struct request *r, int status, const char *content_type, const char *text, size_t n,
	   struct err *e)
{
	if (reply_begin(r, status, content_type, (int64_t)n, e) < 0)
		return -1;
	return reply_write(r, text, n, e);
}

int
reply_json(struct request *r, int status, json_t *doc, struct err *e)
{
	char *text = json_text_take(doc);
	int rc;

	if (!text)
		return err_set(e, ERR_INTERNAL, "the answer could not be written as JSON");
	rc = reply_text(r, status, "application/json", text, strlen(text), e);
	free(text);
	return rc;
}

/* A fact of an error as JSON, which takes valid UTF-8 alone; null: there is none. */
static json_t *
fact(const char *s)
{
	char mended[FACT_BYTES];

	if (!s || !*s)
		return json_null();
	(void)snprintf(mended, sizeof(mended), "%s", s);
	utf8_mend(mended);
	return json_string(mended);
}

json_t *
error_json(const struct err *e, enum err_lang lang, const char *request_id)
{
	char message[1536], hint[768];
	json_t *o, *h = NULL, *up = NULL;

	err_message(e, lang, message, sizeof(message));
	err_hint(e, lang, hint, sizeof(hint));
	if (hint[0])
		h = json_pack("{s:s, s:o, s:s}", "text", hint, "command", fact(err_command(e)),
			      "confidence", err_confidence(e));
	if (e->upstream.name[0])
		up = json_pack("{s:o, s:o, s:o, s:o}", "name", fact(e->upstream.name), "status",
			       e->upstream.status ? json_integer(e->upstream.status) : json_null(),
			       "request_id", fact(e->upstream.request_id), "message",
			       fact(e->upstream.message));
	o = json_pack("{s:s, s:s, s:s, s:o, s:s?, s:s, s:o, s:o, s:o, s:b, s:o}", "message",
		      message, "type", err_type(e), "code", err_code(e), "param", fact(e->param),
		      "request_id", request_id, "party", err_party(e), "stage", fact(e->stage),
		      "hint", h ? h : json_null(), "upstream", up ? up : json_null(),
		      "may_have_been_billed", e->may_have_been_billed, "task_id", fact(e->task_id));
	if (o && e->cause)
		json_object_set_new(o, "cause", json_string(err_cause(e)));
	if (o && e->expected[0] && e->found[0] && e->param[0]) {
		json_object_set_new(o, "expected", fact(e->expected));
		json_object_set_new(o, "found", fact(e->found));
	}
	return o;
}

/* What the service before this one answered, and its clients read. */
static json_t *
older_error(const struct request *r, const struct err *e)
{
	char message[1536];

	err_message(e, request_lang(r), message, sizeof(message));
	return json_pack("{s:b, s:s, s:s, s:s}", "success", 0, "error", message, "code",
			 err_code(e), "request_id", r->id);
}

/* What needs no memory. */
static void
reply_plain(struct request *r, int status)
{
	static const char plain[] = "{\"error\":" ERROR_PLAIN "}";
	static const char older[] =
		"{\"success\":false,\"error\":\"It failed, and there was no memory to say why.\","
		"\"code\":\"internal_error\"}";
	bool is_older = r->route && (r->route->flags & ROUTE_OLDER);
	const char *text = is_older ? older : plain;
	struct err ignored;

	(void)reply_text(r, status, "application/json", text, strlen(text), &ignored);
}

void
reply_error(struct request *r, const struct err *e)
{
	reply_error_with(r, e, NULL);
}

void
reply_error_with(struct request *r, const struct err *e, json_t *members)
{
	int status = err_status(e);
	json_t *error = error_json(e, request_lang(r), r->id);
	struct err ignored;
	json_t *answer;

	(void)json_object_update(error, members);
	r->code = err_code(e);
	if (status == 401)
		reply_header(r, "www-authenticate", "Bearer");
	if (e->retry_after_s)
		reply_header(r, "retry-after", "%d", e->retry_after_s);
	if (e->kind == ERR_RATE_LIMITED && r->grant.retry_ms)
		reply_header(r, "retry-after-ms", "%lld", (long long)r->grant.retry_ms);
	if (!err_retry(e) && (status >= 500 || status == 429 || status == 409 || status == 408))
		reply_header(r, "x-should-retry", "false");
	if (r->route && (r->route->flags & ROUTE_OLDER)) {
		answer = older_error(r, e);
		json_decref(error);
	} else {
		answer = json_pack("{s:o}", "error", error);
	}
	if (reply_json(r, status, answer, &ignored) < 0 && !r->status)
		reply_plain(r, status);
}
