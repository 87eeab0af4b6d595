#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/tick.h"
#include "net/ca.h"
#include "net/exchange.h"
#include "net/upstream_head.h"
#include "net/upstream_url.h"
#include "net/websocket_wire.h"

#define GUID        "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */
#define HEAD_BYTES  16384                                  /* of the answer to the handshake */
#define REFUSAL_MS  2000
#define KEY_TEXT    25
#define ACCEPT_TEXT 29

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
	return websocket_send_all(ws, text.p, text.len, d, e);
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
		n = websocket_receive_some(ws, block, sizeof(block));
		if (n == -1 && websocket_wait(ws, POLLIN, d, e) < 0)
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
		ssize_t n = websocket_receive_some(ws, block,
						   left < sizeof(block) ? left : sizeof(block));

		if (n == -1 && websocket_wait(ws, POLLIN, d, &ignored) < 0)
			return;
		if (n == 0 || n == -2)
			return;
		if (n > 0 && buf_add(refusal, block, (size_t)n) < 0)
			return;
	}
}

/* ---- opening ---- */

static CURLcode
on_tls(CURL *easy, void *ctx, void *arg)
{
	struct websocket *ws = arg;

	(void)easy;
	ws->tls_us = clock_us();
	SSL_CTX_set1_cert_store(ctx, ws->store);
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
	struct websocket *ws = arg;

	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	tick();
	ws->forsaken = tick_forsaken();
	return ws->forsaken;
}

static int
connect_only(struct websocket *ws, const struct websocket_req *rq, const struct upstream_url *u,
	     const struct deadline *d, struct err *e)
{
	int64_t left = deadline_left_ms(d), connect = left;
	CURLcode rc = CURLE_OK;

	if (rq->connect_timeout_ms > 0 && rq->connect_timeout_ms < left)
		connect = rq->connect_timeout_ms;
	if (u->tls && !(ws->store = ca_store(e)))
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
	SET(CURLOPT_XFERINFODATA, ws);
	SET(CURLOPT_SSL_CTX_FUNCTION, ws->store ? on_tls : NULL);
	SET(CURLOPT_SSL_CTX_DATA, ws);
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
			      .to_begin = *d,
			      .ledger = ledger,
			      .e = e,
			      .easy = ws->easy,
			      .words = ws->h->words,
			      .tls = u->tls };
	CURLcode rc;

	if (connect_only(ws, rq, u, d, e) < 0)
		return -1;
	x.start_us = clock_us();
	rc = curl_easy_perform(ws->easy);
	(void)curl_easy_setopt(ws->easy, CURLOPT_CURLU, NULL);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(ws->easy, CURLINFO_ACTIVESOCKET, &ws->fd);
	x.tls_us = ws->tls_us;
	x.forsaken = ws->forsaken;
	exchange_book(&x, rc);
	if (rc == CURLE_OK)
		return 0;
	(void)exchange_error(&x, rc, e);
	exchange_sign(&x, e);
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

/* One of its own: what was connected for frames is of no use to anybody else. */
static int
take_handle(struct websocket *ws, struct err *e)
{
	ws->h = handle_take(UPSTREAM_TRUSTED, "websocket", e);
	if (!ws->h)
		return -1;
	ws->easy = ws->h->easy;
	return 0;
}

int
websocket_open(struct websocket **out, const struct websocket_req *rq, struct upstream_head *head,
	       struct buf *refusal, const struct deadline *until, struct ledger *ledger,
	       struct err *e)
{
	/* Nothing is bought by it. */
	const struct deadline moment = deadline_to_begin(until), *d = &moment;
	AUTO_PTR(websocket) ws = calloc(1, sizeof(*ws));
	AUTO(upstream_url) u = { 0 };
	AUTO_FREE char *http = NULL;
	bool refused = false;
	int64_t start_us;
	int rc;

	*out = NULL;
	upstream_head_clear(head);
	/* "ws" is to "http" as "wss" is to "https". */
	if (!ws ||
	    asprintf(&http, "http%s", strncasecmp(rq->url, "ws", 2) ? rq->url : rq->url + 2) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	ws->provider = rq->provider;
	ws->opening = true;
	ws->close_code = 1005;
	if (upstream_url_read(&u, http, UPSTREAM_TRUSTED, NULL, e) < 0)
		return websocket_sign(ws, "provider.connect", e);
	if (take_handle(ws, e) < 0 || connect_now(ws, rq, &u, d, head, ledger, e) < 0)
		return -1;
	start_us = clock_us();
	rc = shake_hands(ws, rq, u.parsed, head, refusal, &refused, d, e);
	ledger->us[LEDGER_PROVIDER] += clock_us() - start_us;
	ws->opening = false;
	if (rc < 0 || (!refused && websocket_frames_init(ws, e) < 0))
		return websocket_sign(ws, "provider.wait", e);
	if (!refused)
		*out = TAKE_PTR(ws);
	return 0;
}
