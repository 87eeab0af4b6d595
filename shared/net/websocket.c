#include "net/websocket.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "base/stack.h"
#include "base/tick.h"
#include "net/ca.h"
#include "net/exchange.h"
#include "net/handle_pool.h"
#include "net/upstream_head.h"
#include "net/upstream_url.h"

#define GUID          "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */
#define HEAD_BYTES    16384                                  /* of the answer to the handshake */
#define CONTROL_BYTES 125                                    /* RFC 6455 section 5.5 */
#define GOODBYE_MS    200
#define REFUSAL_MS    2000
#define POLL_MS       60000
#define KEY_TEXT      25
#define ACCEPT_TEXT   29

struct websocket {
	struct handle *h;
	CURL *easy;
	curl_socket_t fd;
	wslay_frame_context_ptr frames;
	const char *provider;
	/* What came behind the handshake's answer: the first frames. */
	struct buf early;
	size_t early_at;
	/* The frame that is arriving. */
	uint64_t frame_left, message_bytes;
	unsigned char opcode;
	bool in_frame, final, in_message, text;
	unsigned char control[CONTROL_BYTES];
	size_t control_len;
	int close_code;
	bool closed, broken;
	int64_t ping_us; /* when the next one is due */
	const struct deadline *d;
};

/* ---- bytes, in time ---- */

/* 0: it is time to try again; also when a ping is due while nothing comes. */
static int
wait_for(struct websocket *ws, short events, const struct deadline *d, struct err *e)
{
	struct pollfd p = { .fd = ws->fd, .events = events };
	bool pinging = events == POLLIN && ws->ping_us;

	for (;;) {
		int64_t left_ms = deadline_left_ms(d), ping_ms;

		tick();
		if (left_ms <= 0)
			return err_set(e, ERR_DEADLINE, "waiting for the answer of %s",
				       ws->provider);
		left_ms = tick_wait_ms(left_ms);
		ping_ms = (ws->ping_us - clock_us()) / 1000 + 1;
		if (pinging && ping_ms < left_ms)
			left_ms = ping_ms > 0 ? ping_ms : 0;
		if (poll(&p, 1, (int)(left_ms < POLL_MS ? left_ms : POLL_MS)) > 0)
			return 0;
		if (pinging && clock_us() >= ws->ping_us)
			return 0;
	}
}

static int
send_all(struct websocket *ws, const void *p, size_t n, const struct deadline *d, struct err *e)
{
	const char *at = p;

	while (n > 0) {
		size_t sent = 0;
		CURLcode rc = curl_easy_send(ws->easy, at, n, &sent);

		if (rc == CURLE_AGAIN) {
			if (wait_for(ws, POLLOUT, d, e) < 0)
				return -1;
			continue;
		}
		if (rc != CURLE_OK) {
			ws->broken = true;
			return err_set(e, ERR_UP_RESET, "%s", "");
		}
		at += sent;
		n -= sent;
	}
	return 0;
}

/* >0: bytes; 0: the connection ended; -1: none there yet; -2: broken. */
static ssize_t
receive_some(struct websocket *ws, void *p, size_t n)
{
	size_t got = 0, early = ws->early.len - ws->early_at;
	CURLcode rc;

	if (early) {
		got = early < n ? early : n;
		memcpy(p, ws->early.p + ws->early_at, got);
		ws->early_at += got;
		return (ssize_t)got;
	}
	rc = curl_easy_recv(ws->easy, p, n, &got);
	if (rc == CURLE_AGAIN)
		return -1;
	return rc == CURLE_OK ? (ssize_t)got : -2;
}

/* ---- the handshake ---- */

static void
make_key(char key[KEY_TEXT], char accept[ACCEPT_TEXT])
{
	unsigned char random[16] = { 0 }, digest[EVP_MAX_MD_SIZE];
	char joined[KEY_TEXT + sizeof(GUID)];
	unsigned n = 0;

	(void)RAND_bytes(random, sizeof(random));
	(void)EVP_EncodeBlock((unsigned char *)key, random, sizeof(random));
	(void)snprintf(joined, sizeof(joined), "%s%s", key, GUID);
	(void)EVP_Digest(joined, strlen(joined), digest, &n, EVP_sha1(), NULL);
	(void)EVP_EncodeBlock((unsigned char *)accept, digest, (int)n);
}

static int
send_handshake(struct websocket *ws, const struct websocket_req *rq, CURLU *url, const char *key,
	       const struct deadline *d, struct err *e)
{
	AUTO(buf) text = BUF_INIT(HEAD_BYTES);
	char *host = NULL, *port = NULL, *path = NULL, *query = NULL;

	(void)curl_url_get(url, CURLUPART_HOST, &host, 0);
	(void)curl_url_get(url, CURLUPART_PORT, &port, 0);
	(void)curl_url_get(url, CURLUPART_PATH, &path, 0);
	(void)curl_url_get(url, CURLUPART_QUERY, &query, 0);
	(void)buf_addf(&text, "GET %s%s%s HTTP/1.1\r\nHost: %s%s%s\r\n", path ? path : "/",
		       query ? "?" : "", query ? query : "", host ? host : "", port ? ":" : "",
		       port ? port : "");
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_free(query);
	(void)buf_addf(&text,
		       "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		       "Sec-WebSocket-Key: %s\r\nUser-Agent: easel/" EASEL_VERSION "\r\n",
		       key);
	for (const char *const *h = rq->headers; h && *h; h++) {
		for (const char *p = *h; *p; p++)
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				return err_set(e, ERR_CONFIG,
					       "the credential holds a line break or a control "
					       "character");
		(void)buf_addf(&text, "%s\r\n", *h);
	}
	if (buf_adds(&text, "\r\n") < 0)
		return err_set(e, ERR_INTERNAL, "the handshake is too large");
	return send_all(ws, text.p, text.len, d, e);
}

/* Until there are whole headers in ws->early; *end is behind them. */
static int
receive_head(struct websocket *ws, size_t *end, const struct deadline *d, struct err *e)
{
	char block[2048];

	ws->early.max = HEAD_BYTES;
	for (;;) {
		char *found =
			ws->early.len ? memmem(ws->early.p, ws->early.len, "\r\n\r\n", 4) : NULL;
		ssize_t n;

		if (found) {
			*end = (size_t)(found - ws->early.p) + 4;
			ws->early_at = *end;
			return 0;
		}
		ws->early_at = ws->early.len; /* what is kept is not to be received again */
		n = receive_some(ws, block, sizeof(block));
		if (n == -1 && wait_for(ws, POLLIN, d, e) < 0)
			return -1;
		if (n == 0 || n == -2)
			return err_set(e, ws->early.len ? ERR_UP_GARBAGE : ERR_UP_RESET, "%s",
				       ws->early.len ? "its headers end in the middle" : "");
		if (n > 0 && buf_add(&ws->early, block, (size_t)n) < 0)
			return err_set(e, ERR_UP_GARBAGE, "its headers are larger than %d kB",
				       HEAD_BYTES / 1024);
	}
}

static bool
line_is(const char *line, size_t n, const char *name, const char *value)
{
	size_t len = strlen(name);

	if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
		return false;
	line += len + 1;
	n -= len + 1;
	while (n > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		n--;
	}
	return n == strlen(value) && !strncmp(line, value, n);
}

static bool
read_head(const struct websocket *ws, size_t end, const char *accept, struct upstream_head *head)
{
	bool accepted = false;

	for (const char *at = ws->early.p; at < ws->early.p + end;) {
		const char *stop = memmem(at, (size_t)(ws->early.p + end - at), "\r\n", 2);
		size_t n = (size_t)(stop - at);

		upstream_head_line(head, at, n, time(NULL));
		accepted = accepted || line_is(at, n, "Sec-WebSocket-Accept", accept);
		at = stop + 2;
	}
	return accepted;
}

/* The body of an answer that is no 101: as much of it as comes in a moment, at most refusal->max. */
static void
receive_refusal(struct websocket *ws, const struct upstream_head *head, struct buf *refusal,
		const struct deadline *request)
{
	const struct deadline moment = deadline_sooner(request, REFUSAL_MS), *d = &moment;
	uint64_t want = head->content_length >= 0 ? (uint64_t)head->content_length : UINT64_MAX;
	char block[2048];
	struct err ignored;

	if (want > refusal->max)
		want = refusal->max;
	while (refusal->len < want) {
		size_t left = (size_t)want - refusal->len;
		ssize_t n = receive_some(ws, block, left < sizeof(block) ? left : sizeof(block));

		if (n == -1 && wait_for(ws, POLLIN, d, &ignored) < 0)
			return;
		if (n == 0 || n == -2)
			return;
		if (n > 0 && buf_add(refusal, block, (size_t)n) < 0)
			return;
	}
}

/* ---- wslay's way to the connection ---- */

static ssize_t
on_send(const uint8_t *p, size_t n, int flags, void *self)
{
	struct websocket *ws = self;
	struct err ignored;

	(void)flags;
	return send_all(ws, p, n, ws->d, &ignored) < 0 ? -1 : (ssize_t)n;
}

static ssize_t
on_receive(uint8_t *p, size_t n, int flags, void *self)
{
	struct websocket *ws = self;
	ssize_t got = receive_some(ws, p, n);

	(void)flags;
	if (got == 0 || got == -2)
		ws->broken = true;
	return got > 0 ? got : -1;
}

static int
on_mask(uint8_t *p, size_t n, void *self)
{
	(void)self;
	return RAND_bytes(p, (int)n) == 1 ? 0 : -1;
}

/* ---- opening ---- */

static CURLcode
on_tls(CURL *easy, void *ctx, void *store)
{
	(void)easy;
	SSL_CTX_set1_cert_store(ctx, store);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return CURLE_OK;
}

/* As libcurl makes them, but closed in the programs that this one starts. */
static curl_socket_t
on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)arg;
	(void)purpose;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	(void)arg;
	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	tick();
	return 0;
}

static int
connect_only(struct websocket *ws, const struct websocket_req *rq, const struct upstream_url *u,
	     const struct deadline *d, struct err *e)
{
	int64_t left = deadline_left_ms(d), connect = left;
	void *store = NULL;
	CURLcode rc = CURLE_OK;

	if (rq->connect_timeout_ms > 0 && rq->connect_timeout_ms < left)
		connect = rq->connect_timeout_ms;
	if (u->tls && !(store = ca_store(e)))
		return -1;
#define SET(option, value)                                              \
	do {                                                            \
		if (rc == CURLE_OK)                                     \
			rc = curl_easy_setopt(ws->easy, option, value); \
	} while (0)
	SET(CURLOPT_CURLU, u->parsed);
	SET(CURLOPT_CONNECT_ONLY, 1L);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_SSL_ENABLE_ALPN, 0L); /* a server must not choose HTTP/2 for it */
	SET(CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(connect > 0 ? connect : 1));
	SET(CURLOPT_PROXY, rq->proxy ? rq->proxy : "");
	SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_SSL_CTX_FUNCTION, store ? on_tls : NULL);
	SET(CURLOPT_SSL_CTX_DATA, store);
#undef SET
	if (rc != CURLE_OK)
		return err_set(e, ERR_INTERNAL, "libcurl refused an option");
	return 0;
}

/* An exchange that never gets further than its connection: whose errors and times are the same. */
static int
connect_now(struct websocket *ws, const struct websocket_req *rq, const struct upstream_url *u,
	    const struct deadline *d, struct upstream_head *head, struct ledger *ledger,
	    struct err *e)
{
	const struct upstream_req as = { .method = "GET",
					 .url = rq->url,
					 .proxy = rq->proxy,
					 .connect_timeout_ms = rq->connect_timeout_ms,
					 .provider = rq->provider,
					 .item = LEDGER_PROVIDER };
	struct exchange x = { .rq = &as,
			      .head = head,
			      .deadline = d,
			      .ledger = ledger,
			      .e = e,
			      .easy = ws->easy,
			      .words = ws->h->words,
			      .start_us = clock_us(),
			      .tls = u->tls };
	CURLcode rc;

	if (connect_only(ws, rq, u, d, e) < 0)
		return -1;
	rc = curl_easy_perform(ws->easy);
	(void)curl_easy_setopt(ws->easy, CURLOPT_CURLU, NULL);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(ws->easy, CURLINFO_ACTIVESOCKET, &ws->fd);
	if (u->tls && rc != CURLE_OK) {
		curl_off_t us = 0;

		/* Where it failed: after TCP was there it was TLS. */
		if (curl_easy_getinfo(ws->easy, CURLINFO_CONNECT_TIME_T, &us) == CURLE_OK && us)
			x.tls_us = x.start_us + us;
	}
	exchange_book(&x, rc);
	if (rc == CURLE_OK)
		return 0;
	(void)exchange_error(&x, rc, e);
	exchange_sign(&x, e);
	return -1;
}

static int
sign(const struct websocket *ws, const char *stage, struct err *e)
{
	if (!e->upstream.name[0])
		(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", ws->provider);
	if (!e->stage)
		e->stage = stage;
	return -1;
}

/* After the connection.  0, also when it was refused: *refused. */
static int
shake_hands(struct websocket *ws, const struct websocket_req *rq, CURLU *url,
	    struct upstream_head *head, struct buf *refusal, bool *refused,
	    const struct deadline *d, struct err *e)
{
	char key[KEY_TEXT], accept[ACCEPT_TEXT];
	size_t end = 0;
	bool accepted;

	make_key(key, accept);
	if (send_handshake(ws, rq, url, key, d, e) < 0 || receive_head(ws, &end, d, e) < 0)
		return -1;
	accepted = read_head(ws, end, accept, head);
	if (!head->status)
		return err_set(e, ERR_UP_GARBAGE, "it is not HTTP");
	*refused = head->status != 101;
	if (*refused)
		receive_refusal(ws, head, refusal, d);
	else if (!accepted)
		return err_set(e, ERR_UP_GARBAGE, "its handshake is no WebSocket's");
	return 0;
}

static int
frames_init(struct websocket *ws, struct err *e)
{
	static const struct wslay_frame_callbacks callbacks = { on_send, on_receive, on_mask };

	if (wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	ws->ping_us = clock_us() + WEBSOCKET_PING_MS * 1000LL;
	return 0;
}

int
websocket_open(struct websocket **out, const struct websocket_req *rq, struct upstream_head *head,
	       struct buf *refusal, const struct deadline *d, struct ledger *ledger, struct err *e)
{
	AUTO_PTR(websocket) ws = calloc(1, sizeof(*ws));
	AUTO(upstream_url) u = { 0 };
	AUTO_FREE char *http = NULL;
	bool refused = false;
	int64_t start_us;
	int rc;

	*out = NULL;
	upstream_head_clear(head);
	/* "ws" is to "http" as "wss" is to "https". */
	if (!ws || asprintf(&http, "http%s", strncmp(rq->url, "ws", 2) ? rq->url : rq->url + 2) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	ws->provider = rq->provider;
	ws->close_code = 1005;
	if (upstream_url_read(&u, http, UPSTREAM_TRUSTED, NULL, e) < 0)
		return sign(ws, "provider.connect", e);
	ws->h = handle_take(UPSTREAM_TRUSTED, "websocket", e);
	if (!ws->h)
		return -1;
	ws->easy = ws->h->easy;
	if (connect_now(ws, rq, &u, d, head, ledger, e) < 0)
		return -1;
	start_us = clock_us();
	rc = shake_hands(ws, rq, u.parsed, head, refusal, &refused, d, e);
	ledger->us[LEDGER_PROVIDER] += clock_us() - start_us;
	if (rc < 0 || (!refused && frames_init(ws, e) < 0))
		return sign(ws, "provider.wait", e);
	if (!refused)
		*out = TAKE_PTR(ws);
	return 0;
}

/* ---- frames ---- */

static int
send_frame(struct websocket *ws, int opcode, const void *p, size_t n, const struct deadline *d)
{
	struct wslay_frame_iocb io = { .fin = 1,
				       .opcode = (uint8_t)opcode,
				       .mask = 1,
				       .payload_length = n,
				       .data = p,
				       .data_length = n };
	size_t sent = 0;

	ws->d = d;
	/* An empty frame is sent by one call that returns 0. */
	do {
		ssize_t m = wslay_frame_send(ws->frames, &io);

		if (m < 0)
			return -1;
		sent += (size_t)m;
		io.data = (const uint8_t *)p + sent;
		io.data_length = n - sent;
	} while (sent < n);
	return 0;
}

int
websocket_send(struct websocket *ws, const char *text, size_t n, const struct deadline *d,
	       struct err *e)
{
	if (send_frame(ws, WSLAY_TEXT_FRAME, text, n, d) == 0)
		return 0;
	ws->broken = true;
	if (deadline_over(d))
		(void)err_set(e, ERR_DEADLINE, "sending the request to %s", ws->provider);
	else
		(void)err_set(e, ERR_UP_RESET, "%s", "");
	return sign(ws, "provider.send", e);
}

static void
take_close(struct websocket *ws)
{
	if (ws->control_len >= 2)
		ws->close_code = ws->control[0] << 8 | ws->control[1];
	ws->closed = true;
	(void)send_frame(ws, WSLAY_CONNECTION_CLOSE, ws->control, ws->control_len >= 2 ? 2 : 0,
			 &(struct deadline){ clock_us() + GOODBYE_MS * 1000 });
}

static int
no_websocket(const char *why, struct err *e)
{
	return err_set(e, ERR_UP_GARBAGE, "%s", why);
}

/* A frame begins: may it? */
static int
begin_frame(struct websocket *ws, const struct wslay_frame_iocb *io, struct err *e)
{
	bool control = wslay_is_ctrl_frame(io->opcode);

	if (io->rsv)
		return no_websocket("a frame with an extension that was not agreed on", e);
	if (io->mask)
		return no_websocket("a server must not mask its frames", e);
	if (control && (io->payload_length > CONTROL_BYTES || !io->fin))
		return no_websocket("a control frame is too long", e);
	if (!control && (io->opcode == WSLAY_CONTINUATION_FRAME) != ws->in_message)
		return no_websocket("a message's frames are out of order", e);
	if (io->opcode > WSLAY_BINARY_FRAME && !control)
		return no_websocket("a frame of an unknown kind", e);
	ws->in_frame = true;
	ws->opcode = io->opcode;
	ws->final = io->fin;
	ws->frame_left = io->payload_length;
	ws->control_len = 0;
	if (control)
		return 0;
	if (!ws->in_message) {
		ws->text = io->opcode == WSLAY_TEXT_FRAME;
		ws->message_bytes = 0;
		ws->in_message = true;
	}
	/* The sum cannot overflow: lengths have 63 bits. */
	ws->message_bytes += io->payload_length;
	if (ws->message_bytes > WEBSOCKET_MESSAGE_MAX)
		return err_set(e, ERR_UP_TOO_LARGE, "a message of more than %llu MB",
			       WEBSOCKET_MESSAGE_MAX >> 20);
	return 0;
}

/* A frame is whole: 1, a text message ended with it; 0: go on. */
static int
end_frame(struct websocket *ws, const struct deadline *d)
{
	ws->in_frame = false;
	switch (ws->opcode) {
	case WSLAY_CONNECTION_CLOSE: take_close(ws); return 0;
	case WSLAY_PING:
		(void)send_frame(ws, WSLAY_PONG, ws->control, ws->control_len, d);
		return 0;
	case WSLAY_PONG: return 0;
	default:
		if (!ws->final)
			return 0;
		ws->in_message = false;
		return ws->text;
	}
}

static int
take_piece(struct websocket *ws, const struct wslay_frame_iocb *io,
	   int (*data)(void *self, const char *p, size_t n, struct err *e), void *self,
	   struct err *e)
{
	ws->frame_left -= io->data_length;
	if (wslay_is_ctrl_frame(ws->opcode)) {
		memcpy(ws->control + ws->control_len, io->data, io->data_length);
		ws->control_len += io->data_length;
		return 0;
	}
	return ws->text && io->data_length ? data(self, (const char *)io->data, io->data_length, e)
					   : 0;
}

static int
ping_when_due(struct websocket *ws, const struct deadline *d)
{
	if (clock_us() < ws->ping_us)
		return 0;
	ws->ping_us = clock_us() + WEBSOCKET_PING_MS * 1000LL;
	return send_frame(ws, WSLAY_PING, "", 0, d);
}

/* Nothing was there: waits, or says why not. */
static int
wait_for_more(struct websocket *ws, ssize_t why, const struct deadline *d, struct err *e)
{
	if (ws->broken)
		return err_set(e, ws->in_message || ws->in_frame ? ERR_UP_TRUNCATED : ERR_UP_RESET,
			       "%s", "");
	if (why == WSLAY_ERR_PROTO)
		return no_websocket("its frames are no WebSocket's", e);
	if (why != WSLAY_ERR_WANT_READ)
		return err_set(e, ERR_INTERNAL, "wslay failed (%zd)", why);
	stack_trim();
	if (wait_for(ws, POLLIN, d, e) < 0)
		return -1;
	if (ping_when_due(ws, d) < 0)
		return err_set(e, ERR_UP_RESET, "%s", "");
	return 0;
}

static int
receive(struct websocket *ws, int (*data)(void *self, const char *p, size_t n, struct err *e),
	void *self, const struct deadline *d, struct err *e)
{
	for (;;) {
		struct wslay_frame_iocb io = { 0 };
		ssize_t n;

		if (ws->closed)
			return 0;
		if (deadline_over(d))
			return err_set(e, ERR_DEADLINE, "receiving the answer of %s", ws->provider);
		n = wslay_frame_recv(ws->frames, &io);
		if (n < 0) {
			if (wait_for_more(ws, n, d, e) < 0)
				return -1;
			continue;
		}
		if ((!ws->in_frame && begin_frame(ws, &io, e) < 0) ||
		    take_piece(ws, &io, data, self, e) < 0)
			return -1;
		if (ws->frame_left == 0 && end_frame(ws, d) > 0)
			return 1;
	}
}

int
websocket_receive(struct websocket *ws,
		  int (*data)(void *self, const char *p, size_t n, struct err *e), void *self,
		  const struct deadline *d, struct err *e)
{
	int rc = receive(ws, data, self, d, e);

	if (rc >= 0)
		return rc;
	if (e->kind != ERR_DEADLINE)
		ws->broken = true; /* whatever comes now is out of step */
	return sign(ws, "provider.recv", e);
}

int
websocket_close_code(const struct websocket *ws)
{
	return ws->close_code;
}

void
websocket_free(struct websocket *ws)
{
	static const unsigned char normal[2] = { 1000 >> 8, 1000 & 0xff };

	if (!ws)
		return;
	if (ws->frames && !ws->closed && !ws->broken)
		(void)send_frame(ws, WSLAY_CONNECTION_CLOSE, normal, sizeof(normal),
				 &(struct deadline){ clock_us() + GOODBYE_MS * 1000 });
	if (ws->frames)
		wslay_frame_context_free(ws->frames);
	if (ws->h)
		handle_drop(ws->h);
	buf_done(&ws->early);
	free(ws);
}
