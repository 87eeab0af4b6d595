#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/tick.h"
#include "net/websocket.h"
#include "wire_server.h"

#define WAIT_MS  20000 /* for what comes at once */
#define SHORT_MS 300
#define LATE_MS  5000

/* ---- the server's side ---- */

enum { CONTINUED = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

static void
frame_head(int fd, int first, uint64_t n, int masked)
{
	unsigned char head[10] = { (unsigned char)first };
	size_t len = 2;

	if (n < 126) {
		head[1] = (unsigned char)n;
	} else {
		len = n < 65536 ? 4 : 10;
		head[1] = n < 65536 ? 126 : 127;
		for (size_t i = 2; i < len; i++)
			head[i] = (unsigned char)(n >> (8 * (len - 1 - i)));
	}
	head[1] |= (unsigned char)masked;
	(void)wire_write(fd, head, len);
}

static void
frame(int fd, int first, const char *text)
{
	frame_head(fd, first, strlen(text), 0);
	(void)wire_say(fd, text);
}

static void
frame_close(int fd, int code)
{
	unsigned char bytes[2] = { (unsigned char)(code >> 8), (unsigned char)code };

	frame_head(fd, FIN | CLOSE, 2, 0);
	(void)wire_write(fd, bytes, 2);
}

/* Reads the client's next frame, unmasked, into text.  The opcode; -1: gone; -2: it was not masked. */
static int
read_frame(int fd, char *text, size_t size)
{
	unsigned char head[4], mask[4];
	size_t n;

	if (recv(fd, head, 2, MSG_WAITALL) != 2)
		return -1;
	if (!(head[1] & 0x80))
		return -2;
	n = head[1] & 127;
	if (n == 126) {
		if (recv(fd, head + 2, 2, MSG_WAITALL) != 2)
			return -1;
		n = (size_t)head[2] << 8 | head[3];
	}
	if (n >= size || recv(fd, mask, 4, MSG_WAITALL) != 4 ||
	    (n && recv(fd, text, n, MSG_WAITALL) != (ssize_t)n))
		return -1;
	for (size_t i = 0; i < n; i++)
		text[i] = (char)((unsigned char)text[i] ^ mask[i % 4]);
	text[n] = '\0';
	return head[0] & 15;
}

static void
say_101(struct wire *w, int fd, const char *more)
{
	char key[64] = "", joined[128], head[512], accept[64];
	unsigned char digest[EVP_MAX_MD_SIZE];
	const char *at = strstr(w->last, "Sec-WebSocket-Key: ");
	unsigned n = 0;

	if (at)
		(void)snprintf(key, sizeof(key), "%.24s", at + 19);
	(void)snprintf(joined, sizeof(joined), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	(void)EVP_Digest(joined, strlen(joined), digest, &n, EVP_sha1(), NULL);
	(void)EVP_EncodeBlock((unsigned char *)accept, digest, (int)n);
	(void)snprintf(head, sizeof(head),
		       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		       "Connection: Upgrade\r\nsec-websocket-accept: %s\r\n\r\n%s",
		       accept, more);
	(void)wire_say(fd, head);
}

/* What the server does behind the handshake; NULL: it says w->arg instead of one. */
struct script {
	void (*run)(struct wire *w, int fd);
	const char *instead;
};

static void
serve(struct wire *w, int fd, int number)
{
	const struct script *s = w->arg;

	(void)number;
	if (wire_request(w, fd) < 0)
		return;
	if (s->instead) {
		(void)wire_say(fd, s->instead);
		return;
	}
	say_101(w, fd, "");
	s->run(w, fd);
}

static void
serve_nothing(struct wire *w, int fd, int number)
{
	(void)w;
	(void)number;
	wire_wait_gone(fd);
}

/* ---- the client's ---- */

struct result {
	int rc;
	struct err e;
	struct buf text;
	int64_t ms;
	int code;
};

static struct websocket_req
request(const struct wire *w)
{
	static _Thread_local char url[80];

	(void)snprintf(url, sizeof(url), "ws%s/listen?a=b", w->url + 4);
	return (struct websocket_req){ .url = url, .provider = "acme" };
}

static int
on_data(void *self, const char *p, size_t n, struct err *e)
{
	(void)e;
	return buf_add(self, p, n);
}

static struct websocket *
open_to(const struct wire *w, int64_t ms, struct upstream_head *head, struct buf *refusal,
	struct err *e)
{
	struct websocket_req rq = request(w);
	struct ledger ledger = { 0 };
	struct deadline d = deadline_in_ms(ms);
	struct websocket *ws = NULL;

	if (websocket_open(&ws, &rq, head, refusal, &d, &ledger, e) < 0)
		assert_null(ws);
	return ws;
}

static struct websocket *
open_well(const struct wire *w)
{
	AUTO(upstream_head) head = { 0 };
	struct buf refusal = BUF_INIT(100);
	struct err e = { 0 };
	struct websocket *ws = open_to(w, WAIT_MS, &head, &refusal, &e);

	if (!ws)
		fail_msg("%s %s %s", err_code(&e), e.about, e.detail);
	assert_int_equal(head.status, 101);
	return ws;
}

static struct result
receive(struct websocket *ws, int64_t ms)
{
	struct result r = { .text = BUF_INIT(1 << 20) };
	struct deadline d = deadline_in_ms(ms);
	int64_t start_us = clock_us();

	r.rc = websocket_receive(ws, on_data, &r.text, &d, &r.e);
	r.ms = (clock_us() - start_us) / 1000;
	r.code = websocket_close_code(ws);
	return r;
}

/* ---- scripts ---- */

static void
run_fragments(struct wire *w, int fd)
{
	char text[256];

	(void)w;
	frame(fd, TEXT, "one ");
	frame(fd, FIN | PING, "are you there");
	frame(fd, CONTINUED, "");
	frame(fd, CONTINUED, "two ");
	if (read_frame(fd, text, sizeof(text)) != PONG || strcmp(text, "are you there") != 0)
		return;
	frame(fd, FIN | CONTINUED, "three");
	frame(fd, FIN | BINARY, "not this");
	frame(fd, FIN | TEXT, "");
	frame(fd, FIN | PONG, "unasked");
	frame(fd, FIN | TEXT, "four");
	frame_close(fd, 4001);
	/* Its goodbye says the same. */
	if (read_frame(fd, text, sizeof(text)) == CLOSE && (unsigned char)text[0] == 4001 >> 8 &&
	    (unsigned char)text[1] == (4001 & 255))
		atomic_fetch_add(&w->requests, 1);
}

static void
run_two_in_one(struct wire *w, int fd)
{
	(void)w;
	(void)wire_write(fd, "\x81\x03one\x81\x03two\x88\x00", 12);
	wire_wait_gone(fd);
}

static void
run_echo(struct wire *w, int fd)
{
	static _Thread_local char text[30000];

	(void)w;
	if (read_frame(fd, text, sizeof(text)) == TEXT)
		frame(fd, FIN | TEXT, text);
	wire_wait_gone(fd);
}

static void
run_silence(struct wire *w, int fd)
{
	(void)w;
	wire_wait_gone(fd);
}

static void
run_half_message(struct wire *w, int fd)
{
	char text[64];

	(void)w;
	frame(fd, TEXT, "first half, ");
	if (read_frame(fd, text, sizeof(text)) == TEXT) /* when it is told to */
		frame(fd, FIN | CONTINUED, "second half");
	wire_wait_gone(fd);
}

#define RAW(name, bytes)                                        \
	static void name(struct wire *w, int fd)                \
	{                                                       \
		(void)w;                                        \
		(void)wire_write(fd, bytes, sizeof(bytes) - 1); \
	}
RAW(run_masked, "\x81\x83\x01\x02\x03\x04\x60\x60\x60")
RAW(run_rsv, "\xc1\x03one")
RAW(run_opcode, "\x83\x03one")
RAW(run_lone_continuation, "\x80\x03one")
RAW(run_text_in_text, "\x01\x03one\x81\x03two")
RAW(run_long_ping, "\x89\x7e\x00\x7e                                                              ")
RAW(run_cut_ping, "\x09\x03one")
RAW(run_gone, "")
RAW(run_cut_head, "\x81")
RAW(run_cut_frame, "\x81\x05one")
RAW(run_cut_between, "\x01\x03one")
RAW(run_too_large, "\x81\x7f\x00\x00\x00\x00\x04\x00\x00\x01xx")
RAW(run_far_too_large, "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xffxx")
RAW(run_too_large_in_sum, "\x01\x01 \x80\x7f\x00\x00\x00\x00\x04\x00\x00\x00xx")
RAW(run_close_empty, "\x88\x00")
RAW(run_close_one, "\x88\x01x")
RAW(run_close_reason, "\x88\x08\x03\xf3reason")

/* ---- tests ---- */

static void
messages_come_whole_however_they_are_cut(void **state)
{
	const struct script script = { run_fragments, NULL };
	static const char *const texts[] = { "one two three", "", "four" };
	struct wire w;
	struct websocket *ws;
	struct result r;

	(void)state;
	wire_start(&w, serve, &script);
	ws = open_well(&w);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		r = receive(ws, WAIT_MS);
		assert_int_equal(r.rc, 1);
		assert_string_equal(buf_str(&r.text), texts[i]);
		buf_done(&r.text);
	}
	r = receive(ws, WAIT_MS);
	assert_int_equal(r.rc, 0);
	assert_int_equal(r.code, 4001);
	assert_int_equal(receive(ws, WAIT_MS).rc, 0);
	websocket_free(ws);
	wire_stop(&w);
	assert_int_equal(w.requests, 2); /* the handshake, and the close that was answered */
	assert_non_null(strstr(w.last, "GET /listen?a=b HTTP/1.1\r\n"));
	assert_non_null(strstr(w.last, "\r\nUser-Agent: easel/"));
}

static void
frames_behind_the_handshake_are_not_lost(void **state)
{
	const struct script script = { run_two_in_one, NULL };
	struct wire w;
	struct websocket *ws;

	(void)state;
	wire_start(&w, serve, &script);
	ws = open_well(&w);
	for (int i = 0; i < 2; i++) {
		struct result r = receive(ws, WAIT_MS);

		assert_int_equal(r.rc, 1);
		assert_string_equal(buf_str(&r.text), i ? "two" : "one");
		buf_done(&r.text);
	}
	assert_int_equal(receive(ws, WAIT_MS).rc, 0);
	assert_int_equal(websocket_close_code(ws), 1005);
	websocket_free(ws);
	wire_stop(&w);
}

static void
what_is_sent_is_masked_and_arrives(void **state)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 20000 };
	const struct script script = { run_echo, NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		AUTO_FREE char *text = calloc(1, sizes[i] + 1);
		struct deadline d = deadline_in_ms(WAIT_MS);
		struct websocket *ws;
		struct result r;
		struct wire w;
		struct err e;

		memset(text, 'x', sizes[i]);
		wire_start(&w, serve, &script);
		ws = open_well(&w);
		assert_int_equal(websocket_send(ws, text, sizes[i], &d, &e), 0);
		r = receive(ws, WAIT_MS);
		assert_int_equal(r.rc, 1);
		assert_string_equal(buf_str(&r.text), text);
		buf_done(&r.text);
		websocket_free(ws);
		wire_stop(&w);
	}
}

static void
what_no_websocket_does_is_said(void **state)
{
	static const struct {
		void (*run)(struct wire *w, int fd);
		int rc;
		enum err_kind kind;
		const char *about;
		int code;
	} rows[] = {
		{ run_masked, -1, ERR_UP_GARBAGE, "a server must not mask its frames", 1005 },
		{ run_rsv, -1, ERR_UP_GARBAGE, "a frame with an extension", 1005 },
		{ run_opcode, -1, ERR_UP_GARBAGE, "a frame of an unknown kind", 1005 },
		{ run_lone_continuation, -1, ERR_UP_GARBAGE, "out of order", 1005 },
		{ run_text_in_text, -1, ERR_UP_GARBAGE, "out of order", 1005 },
		{ run_long_ping, -1, ERR_UP_GARBAGE, "", 1005 },
		{ run_cut_ping, -1, ERR_UP_GARBAGE, "", 1005 },
		{ run_gone, -1, ERR_UP_RESET, "", 1005 },
		{ run_cut_head, -1, ERR_UP_RESET, "", 1005 },
		{ run_cut_frame, -1, ERR_UP_TRUNCATED, "", 1005 },
		{ run_cut_between, -1, ERR_UP_TRUNCATED, "", 1005 },
		{ run_too_large, -1, ERR_UP_TOO_LARGE, "a message of more than 64 MB", 1005 },
		{ run_far_too_large, -1, ERR_UP_TOO_LARGE, "a message of more than 64 MB", 1005 },
		{ run_too_large_in_sum, -1, ERR_UP_TOO_LARGE, "more than 64 MB", 1005 },
		{ run_close_empty, 0, ERR_NONE, "", 1005 },
		{ run_close_one, 0, ERR_NONE, "", 1005 },
		{ run_close_reason, 0, ERR_NONE, "", 1011 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct script script = { rows[i].run, NULL };
		struct websocket *ws;
		struct result r;
		struct wire w;

		wire_start(&w, serve, &script);
		ws = open_well(&w);
		r = receive(ws, WAIT_MS);
		if (r.rc != rows[i].rc ||
		    (r.rc < 0 && (r.e.kind != rows[i].kind || !strstr(r.e.about, rows[i].about))))
			fail_msg("row %zu: rc %d, %s '%s'", i, r.rc,
				 r.rc < 0 ? err_code(&r.e) : "-", r.rc < 0 ? r.e.about : "");
		assert_int_equal(r.code, rows[i].code);
		if (r.rc < 0) {
			assert_string_equal(r.e.upstream.name, "acme");
			assert_string_equal(r.e.stage, "provider.recv");
		}
		buf_done(&r.text);
		websocket_free(ws);
		wire_stop(&w);
	}
}

static void
a_refused_handshake_is_the_callers_to_judge(void **state)
{
	const struct script script = { NULL,
				       "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n"
				       "cf-ray: abc\r\nContent-Length: 13\r\n\r\n<html>a page!" };
	struct buf refusal = BUF_INIT(6);
	AUTO(upstream_head) head = { 0 };
	struct err e;
	struct wire w;

	(void)state;
	wire_start(&w, serve, &script);
	assert_null(open_to(&w, WAIT_MS, &head, &refusal, &e));
	assert_int_equal(head.status, 403);
	assert_string_equal(head.content_type, "text/html");
	assert_string_equal(head.request_id, "abc");
	assert_string_equal(buf_str(&refusal), "<html>");
	buf_done(&refusal);
	wire_stop(&w);
}

static void
handshakes_that_are_none(void **state)
{
	static char huge[20000];
	static const struct {
		const char *instead;
		enum err_kind kind;
		const char *about;
	} rows[] = {
		{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		  "Connection: Upgrade\r\nSec-WebSocket-Accept: c29tZXRoaW5nIGVsc2U=\r\n\r\n",
		  ERR_UP_GARBAGE, "its handshake is no WebSocket's" },
		{ "HTTP/1.1 101 Switching Protocols\r\n\r\n", ERR_UP_GARBAGE,
		  "its handshake is no WebSocket's" },
		{ "", ERR_UP_RESET, "" },
		{ "HTTP/1.1 101 Swi", ERR_UP_GARBAGE, "its headers end in the middle" },
		{ huge, ERR_UP_GARBAGE, "its headers are larger than 16 kB" },
	};

	(void)state;
	memset(huge, 'h', sizeof(huge) - 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct script script = { NULL, rows[i].instead };
		AUTO(buf) refusal = BUF_INIT(100);
		AUTO(upstream_head) head = { 0 };
		struct err e = { 0 };
		struct wire w;

		wire_start(&w, serve, &script);
		assert_null(open_to(&w, WAIT_MS, &head, &refusal, &e));
		if (e.kind != rows[i].kind || !strstr(e.about, rows[i].about))
			fail_msg("row %zu: %s '%s'", i, e.kind ? err_code(&e) : "-", e.about);
		assert_string_equal(e.upstream.name, "acme");
		assert_false(e.may_have_been_billed);
		wire_stop(&w);
	}
}

static void
nobody_listens(void **state)
{
	const struct script script = { run_silence, NULL };
	AUTO(buf) refusal = BUF_INIT(100);
	AUTO(upstream_head) head = { 0 };
	struct err e = { 0 };
	struct wire w;

	(void)state;
	wire_start(&w, serve, &script);
	wire_stop(&w);
	assert_null(open_to(&w, WAIT_MS, &head, &refusal, &e));
	assert_int_equal(e.kind, ERR_UP_CONNECT);
	assert_string_equal(e.stage, "provider.connect");
}

static void
a_header_with_a_line_break_is_not_sent(void **state)
{
	const struct script script = { run_silence, NULL };
	const char *const headers[] = { "Cookie: sso=a\r\nX: y", NULL };
	AUTO(buf) refusal = BUF_INIT(100);
	struct deadline d = deadline_in_ms(WAIT_MS);
	struct websocket_req rq;
	AUTO(upstream_head) head = { 0 };
	struct ledger ledger = { 0 };
	struct websocket *ws;
	struct err e;
	struct wire w;

	(void)state;
	wire_start(&w, serve, &script);
	rq = request(&w);
	rq.headers = headers;
	assert_int_equal(websocket_open(&ws, &rq, &head, &refusal, &d, &ledger, &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	wire_stop(&w);
	assert_int_equal(w.requests, 0);
}

static void
deadlines_hold_in_every_wait(void **state)
{
	const struct script silence = { run_silence, NULL };
	AUTO(buf) refusal = BUF_INIT(100);
	AUTO(upstream_head) head = { 0 };
	struct websocket *ws;
	struct result r;
	struct err e = { 0 };
	struct wire w;
	int64_t start_us;

	(void)state;
	wire_start(&w, serve, &silence);
	ws = open_well(&w);
	r = receive(ws, SHORT_MS);
	assert_int_equal(r.rc, -1);
	assert_int_equal(r.e.kind, ERR_DEADLINE);
	assert_in_range(r.ms, SHORT_MS - 5, SHORT_MS + LATE_MS);
	websocket_free(ws);
	wire_stop(&w);

	/* Nothing behind the head's first half: a server that never ends its handshake. */
	wire_start(&w, serve_nothing, NULL);
	start_us = clock_us();
	assert_null(open_to(&w, SHORT_MS, &head, &refusal, &e));
	assert_int_equal(e.kind, ERR_DEADLINE);
	assert_in_range((clock_us() - start_us) / 1000, SHORT_MS - 5, SHORT_MS + LATE_MS);
	wire_stop(&w);
}

static void
after_a_deadline_it_goes_on_where_it_was(void **state)
{
	const struct script script = { run_half_message, NULL };
	struct deadline d = deadline_in_ms(WAIT_MS);
	struct websocket *ws;
	struct result r;
	struct err e;
	struct wire w;

	(void)state;
	wire_start(&w, serve, &script);
	ws = open_well(&w);
	r = receive(ws, SHORT_MS);
	assert_int_equal(r.e.kind, ERR_DEADLINE);
	assert_string_equal(buf_str(&r.text), "first half, ");
	buf_done(&r.text);
	assert_int_equal(websocket_send(ws, "go on", 5, &d, &e), 0);
	r = receive(ws, WAIT_MS);
	assert_int_equal(r.rc, 1);
	assert_string_equal(buf_str(&r.text), "second half");
	buf_done(&r.text);
	websocket_free(ws);
	wire_stop(&w);
}

static void
count(void *self)
{
	(*(int *)self)++;
}

static void
other_duties_go_on_while_it_waits(void **state)
{
	const struct script script = { run_silence, NULL };
	int calls = 0;
	struct tick t = { .fn = count, .self = &calls, .every_us = 50000 };
	struct websocket *ws;
	struct wire w;

	(void)state;
	wire_start(&w, serve, &script);
	ws = open_well(&w);
	(void)tick_set(&t);
	assert_int_equal(receive(ws, SHORT_MS).e.kind, ERR_DEADLINE);
	(void)tick_set(NULL);
	assert_in_range(calls, 3, 8);
	websocket_free(ws);
	wire_stop(&w);
}

static void
leave(void *self)
{
	((struct tick *)self)->forsaken = true;
}

static void
an_opening_that_nobody_waits_for_ends(void **state)
{
	static const char *const schemes[] = { "ws",
					       "wss" }; /* in the handshake; while it connects */

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct tick t = { .fn = leave, .self = &t, .every_us = 100000 };
		struct deadline d = deadline_in_ms(WAIT_MS);
		struct buf refusal = BUF_INIT(100);
		struct websocket *ws = NULL;
		AUTO(upstream_head) head = { 0 };
		struct ledger ledger = { 0 };
		int64_t start_us = clock_us();
		struct websocket_req rq;
		char url[80];
		struct err e = { 0 };
		struct wire w;

		wire_start(&w, serve_nothing, NULL);
		rq = request(&w);
		(void)snprintf(url, sizeof(url), "%s%.60s/listen", schemes[i], w.url + 4);
		rq.url = url;
		(void)tick_set(&t);
		t.next_us = clock_us() + 200000;
		assert_int_equal(websocket_open(&ws, &rq, &head, &refusal, &d, &ledger, &e), -1);
		(void)tick_set(NULL);
		assert_int_equal(e.kind, ERR_GONE);
		assert_false(e.may_have_been_billed);
		assert_in_range((clock_us() - start_us) / 1000, 100, WAIT_MS / 2);
		wire_stop(&w);
	}
}

/* ---- size ---- */

static void
run_largest(struct wire *w, int fd)
{
	static char block[65536];

	(void)w;
	memset(block, 'A', sizeof(block));
	frame_head(fd, TEXT, WEBSOCKET_MESSAGE_MAX - 5, 0);
	for (uint64_t left = WEBSOCKET_MESSAGE_MAX - 5; left;) {
		size_t n = left < sizeof(block) ? (size_t)left : sizeof(block);

		if (wire_write(fd, block, n) < 0)
			return;
		left -= n;
	}
	frame(fd, FIN | CONTINUED, "AAAAA");
	wire_wait_gone(fd);
}

static int
on_count(void *self, const char *p, size_t n, struct err *e)
{
	(void)p;
	(void)e;
	*(uint64_t *)self += n;
	return 0;
}

static long
peak_kb(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static void
the_largest_message_costs_no_memory(void **state)
{
	const struct script script = { run_largest, NULL };
	struct deadline d = deadline_in_ms(6 * WAIT_MS);
	struct websocket *ws;
	uint64_t bytes = 0;
	struct err e;
	struct wire w;
	long before;

	(void)state;
	wire_start(&w, serve, &script);
	ws = open_well(&w);
	before = peak_kb();
	assert_int_equal(websocket_receive(ws, on_count, &bytes, &d, &e), 1);
	assert_true(bytes == WEBSOCKET_MESSAGE_MAX);
#ifndef EASEL_SANITIZED
	assert_in_range(peak_kb() - before, 0, 1024);
#else
	(void)before;
#endif
	websocket_free(ws);
	wire_stop(&w);
}

static int
start(void **state)
{
	struct err e;

	(void)state;
	return upstream_init(&e);
}

static int
stop(void **state)
{
	(void)state;
	upstream_shutdown();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_whole_however_they_are_cut),
		cmocka_unit_test(frames_behind_the_handshake_are_not_lost),
		cmocka_unit_test(what_is_sent_is_masked_and_arrives),
		cmocka_unit_test(what_no_websocket_does_is_said),
		cmocka_unit_test(a_refused_handshake_is_the_callers_to_judge),
		cmocka_unit_test(handshakes_that_are_none),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(a_header_with_a_line_break_is_not_sent),
		cmocka_unit_test(deadlines_hold_in_every_wait),
		cmocka_unit_test(after_a_deadline_it_goes_on_where_it_was),
		cmocka_unit_test(other_duties_go_on_while_it_waits),
		cmocka_unit_test(an_opening_that_nobody_waits_for_ends),
		cmocka_unit_test(the_largest_message_costs_no_memory),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
