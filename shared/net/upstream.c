#include "net/upstream.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stack.h"
#include "base/tick.h"
#include "net/address.h"
#include "net/ca.h"
#include "net/exchange.h"
#include "net/handle_pool.h"
#include "net/request_options.h"
#include "net/upstream_head.h"
#include "net/upstream_url.h"

/*
 * Over loopback a picture of 2 MB costs a quarter less CPU when the window takes it whole.  On real
 * links the kernel's own tuning is better, so nothing is set there.
 */
#define LOOPBACK_WINDOW_BYTES (2 << 20)

#define TLS_FRAGMENT_BYTES 4096

#define LONG_WAIT_US 300000

#define STILL_US 950000
#define WAKE_MS  1000 /* how long libcurl waits at most before it calls on_progress() again */

static curl_version_info_data *
version(void)
{
	return curl_version_info(CURLVERSION_NOW);
}

int
upstream_prepare(struct err *e)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
		       ? 0
		       : err_set(e, ERR_INTERNAL, "libcurl does not start");
}

int
upstream_init(struct err *e)
{
	struct sigaction sa;

	if (upstream_prepare(e) < 0)
		return -1;
	if (version()->version_num < 0x075700)
		return err_set(e, ERR_INTERNAL, "libcurl %s is too old: 7.87 is needed",
			       version()->version);
	/* MSG_NOSIGNAL does not reach the writes that OpenSSL makes. */
	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
	return handle_pool_init(e);
}

void
upstream_shutdown(void)
{
	handle_pool_shutdown();
	ca_store_free();
	curl_global_cleanup();
}

/* ---- what libcurl calls back ---- */

static CURLcode
on_tls(CURL *easy, void *ctx, void *arg)
{
	struct exchange *x = arg;

	(void)easy;
	x->tls_us = clock_us();
	SSL_CTX_set1_cert_store(ctx, x->store);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	/* A session ticket makes OpenSSL 3.0 take a write buffer that it keeps all through the wait. */
	(void)SSL_CTX_set_max_send_fragment(ctx, TLS_FRAGMENT_BYTES);
	return CURLE_OK;
}

static bool
is_loopback(const struct sockaddr *sa)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (sa->sa_family == AF_INET)
		return ((const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)
				->sin_addr)[0] == 127;
	return sa->sa_family == AF_INET6 &&
	       !memcmp(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, one, 16);
}

static curl_socket_t
on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	static const int window = LOOPBACK_WINDOW_BYTES;
	struct exchange *x = arg;
	int fd;

	(void)purpose;
	if (x->guarded && !address_is_public(&a->addr)) {
		x->refused = true;
		return CURL_SOCKET_BAD;
	}
	/* A second connection after the request had left on the first: it would be sent again. */
	if (exchange_may_not_repeat(x))
		return CURL_SOCKET_BAD;
	fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	if (fd >= 0 && is_loopback(&a->addr))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
	x->handle->fd = fd;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* Would this buy something that nobody waits for any more?  Once it has begun to leave it may be bought. */
static bool
is_pointless(struct exchange *x)
{
	if (!x->repeatable && !x->sending && x->rq->item == LEDGER_PROVIDER && tick_forsaken())
		x->forsaken = true;
	return x->forsaken;
}

/* This thread's listener. */
static _Thread_local struct {
	void (*fn)(void *self);
	void *self;
} listener;

void
upstream_on_sending(void (*fn)(void *self), void *self)
{
	listener.fn = fn;
	listener.self = self;
}

void
upstream_sends(void)
{
	if (listener.fn)
		listener.fn(listener.self);
}

/* Connected; the request is about to be sent. */
static int
on_ready(void *arg, char *to, char *from, int to_port, int from_port)
{
	struct exchange *x = arg;

	(void)to;
	(void)from;
	(void)to_port;
	(void)from_port;
	if (exchange_may_not_repeat(x))
		return CURL_PREREQFUNC_ABORT;
	if (is_pointless(x))
		return CURL_PREREQFUNC_ABORT;
	exchange_ready(x);
	if (!x->repeatable && x->rq->item == LEDGER_PROVIDER)
		upstream_sends();
	return CURL_PREREQFUNC_OK;
}

/* Has the receiver had all it wants for so long that the rest is not worth waiting for? */
static bool
has_lingered(struct exchange *x)
{
	if (!x->body->enough || !x->body->enough(x->body->self))
		return false;
	if (!x->enough_us)
		x->enough_us = clock_us();
	return clock_us() - x->enough_us > UPSTREAM_LINGER_MS * 1000;
}

static bool
is_stalled(const struct exchange *x, int64_t now_us)
{
	return x->rq->idle_ms > 0 && x->sending && now_us - x->heard_us > x->rq->idle_ms * 1000;
}

/* This thread's, while it runs. */
static _Thread_local struct exchange *mine;

const char *
upstream_now(void)
{
	if (!mine)
		return NULL;
	exchange_book(mine, CURLE_OPERATION_TIMEDOUT);
	return exchange_stage(mine);
}

bool
upstream_is_connecting(void)
{
	return mine && !mine->repeatable && !mine->sending;
}

/* Does some of the answer lie in OpenSSL already?  Then its socket says nothing about it. */
static bool
has_unread(const struct exchange *x)
{
	struct curl_tlssessioninfo *tls = NULL;

	if (!x->tls)
		return false;
	return curl_easy_getinfo(x->easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || !tls ||
	       !tls->internals || SSL_has_pending(tls->internals);
}

/*
 * libcurl comes by once a second while nothing happens.  What must not come late is waited for here then: when the
 * request has left, and nothing has moved for so long that libcurl has just waited itself.
 */
static void
tick_in_time(struct exchange *x, int64_t now_us, curl_off_t moved, bool is_sent)
{
	struct pollfd p = { .fd = x->handle->fd, .events = POLLIN };
	int64_t due_ms;
	/* Not for less: what ends an answer without a byte of its body moves nothing either. */
	bool still = moved == x->moved && x->looked_us && now_us - x->looked_us > STILL_US;

	x->moved = moved;
	x->looked_us = now_us;
	if (!still || !x->sending || !is_sent || p.fd < 0)
		return;
	while ((due_ms = tick_due_ms()) <= WAKE_MS && !has_unread(x)) {
		if (poll(&p, 1, (int)due_ms) != 0)
			return;
		tick();
	}
}

/*
 * Called with every piece, and once a second while nothing comes: the thread's other duty, and a wait that
 * turns out to be long gives back what it can.
 */
static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct exchange *x = arg;
	int64_t now_us = clock_us(); /* once: it is called often */

	(void)down_total;
	(void)up_total;
	if (is_stalled(x, now_us)) {
		x->failed = true;
		(void)err_set(x->e, ERR_UP_STALLED, "%s", "");
		(void)snprintf(x->e->expected, sizeof(x->e->expected), "%g s",
			       (double)x->rq->idle_ms / 1000);
		return 1;
	}
	if (now_us - x->start_us > x->trim_after_us) {
		/* Again after twice the time: a handshake, or another answer's piece, may have come since. */
		x->trim_after_us *= 2;
		stack_trim();
	}
	tick_at(now_us);
	tick_in_time(x, now_us, down + up + (curl_off_t)x->head_bytes,
		     up >= (curl_off_t)x->rq->body_len);
	/* After the tick, which may have found a reason to end it. */
	if (x->body->caught_up && x->body->caught_up(x->body->self, x->e) < 0) {
		x->failed = true;
		return 1;
	}
	return is_pointless(x) || has_lingered(x);
}

static size_t
on_read(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	uint64_t left = x->rq->body_len - x->body_at;
	size_t got = 0;

	n *= size;
	if (n > left)
		n = (size_t)left;
	if (!n)
		return 0;
	if (x->rq->body_read(x->rq->body_self, x->body_at, p, n, &got, x->e) < 0) {
		x->failed = true;
		return CURL_READFUNC_ABORT;
	}
	if (!got) {
		x->failed = true;
		(void)err_set(x->e, ERR_INTERNAL, "a request's body ended too early");
		return CURL_READFUNC_ABORT;
	}
	x->body_at += got;
	return got;
}

/* libcurl begins anew: a kept connection died before a byte of the request had left. */
static int
on_seek(void *arg, curl_off_t offset, int origin)
{
	struct exchange *x = arg;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	x->body_at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;

	n *= size;
	x->heard_us = clock_us();
	x->head_bytes += n;
	if (x->head_bytes > UPSTREAM_HEAD_BYTES) {
		x->failed = true;
		(void)err_set(x->e, ERR_UP_GARBAGE, "its headers are larger than %d kB",
			      UPSTREAM_HEAD_BYTES / 1024);
		return 0;
	}
	upstream_head_line(x->head, line, n, time(NULL));
	if ((n == 2 && line[0] == '\r') || (n == 1 && line[0] == '\n'))
		x->head_whole = x->head->status >= 200;
	return n;
}

static int
begin(struct exchange *x)
{
	if (x->begun)
		return 0;
	x->begun = true;
	if (x->body->begin && x->body->begin(x->body->self, x->head, x->e) < 0) {
		x->failed = true;
		return -1;
	}
	return 0;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;

	n *= size;
	if (begin(x) < 0)
		return CURL_WRITEFUNC_ERROR;
	if (x->body->data(x->body->self, p, n, x->e) < 0) {
		x->failed = true;
		return CURL_WRITEFUNC_ERROR;
	}
	x->heard_us = clock_us(); /* a receiver that was slow is no silence of the server's */
	return n;
}

/* ---- one call ---- */

static CURLcode
options_read(struct exchange *x)
{
	CURLcode rc = curl_easy_setopt(x->easy, CURLOPT_READFUNCTION, on_read);

	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->easy, CURLOPT_READDATA, (void *)x);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->easy, CURLOPT_SEEKFUNCTION, on_seek);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->easy, CURLOPT_SEEKDATA, (void *)x);
	return rc;
}

static int
callbacks_set(struct exchange *x, struct err *e)
{
	CURL *c = x->easy;
	CURLcode rc = CURLE_OK;

#define SET(option, value)                                       \
	do {                                                     \
		if (rc == CURLE_OK)                              \
			rc = curl_easy_setopt(c, option, value); \
	} while (0)
	SET(CURLOPT_SSL_CTX_FUNCTION, x->store ? on_tls : NULL);
	SET(CURLOPT_SSL_CTX_DATA, (void *)x);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, (void *)x);
	SET(CURLOPT_PREREQFUNCTION, on_ready);
	SET(CURLOPT_PREREQDATA, (void *)x);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, (void *)x);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, (void *)x);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, (void *)x);
#undef SET
	if (rc == CURLE_OK && x->rq->body_read)
		rc = options_read(x);
	return rc == CURLE_OK ? 0 : request_options_refused(rc, e);
}

/* Where a redirect leads, absolute; "" when that is no URL, or there is no redirect. */
__attribute__((
	noinline)) static void /* its 2 kB must not lie on the stack while the server is waited for */
location_settle(struct exchange *x)
{
	char url[UPSTREAM_URL_BYTES];
	bool leads = x->head->location && x->head->status >= 300 && x->head->status < 400 &&
		     upstream_url_join(x->rq->url, x->head->location, url, sizeof(url)) == 0;

	upstream_head_leads_to(x->head, leads ? url : NULL, sizeof(url));
}

static int
perform(struct exchange *x, struct handle *h, struct err *e)
{
	struct curl_slist headers[REQUEST_HEADERS_MAX];
	CURLcode rc;

	if (request_options(x, h, headers, e) < 0 || callbacks_set(x, e) < 0)
		return -1;
	x->start_us = clock_us();
	rc = curl_easy_perform(x->easy);
	/* libcurl is content with headers that end in the middle when the connection was closed. */
	if (rc == CURLE_OK && !x->head_whole)
		rc = CURLE_PARTIAL_FILE;
	/* Nor does it matter how an answer ends of which everything was had. */
	if (rc != CURLE_OK && !x->failed && x->body->enough && x->body->enough(x->body->self))
		rc = CURLE_OK;
	if (rc == CURLE_OK && begin(x) < 0)
		rc = CURLE_WRITE_ERROR;
	location_settle(x);
	exchange_book(x, rc);
	/* It points into this call. */
	(void)curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, NULL);
	return rc == CURLE_OK ? 0 : exchange_error(x, rc, e);
}

/* A handle for the URL that was asked for, once it is judged. */
static struct handle *
take_handle(struct exchange *x, struct err *e)
{
	AUTO(upstream_url) u = { 0 };
	enum upstream_policy policy = x->rq->policy;
	struct handle *h = policy == UPSTREAM_TRUSTED ? handle_take_again(x->rq->url) : NULL;
	CURLU *parsed;

	if (h)
		return h;
	if (upstream_url_read(&u, x->rq->url, policy, x->rq->allow_origin, e) < 0)
		return NULL;
	if (u.own)
		policy = UPSTREAM_TRUSTED;
	x->guarded = policy == UPSTREAM_PUBLIC;
	h = handle_take(policy, u.origin, e);
	parsed = u.parsed;
	u.parsed = NULL;
	if (h && handle_set_url(h, x->rq->url, parsed, u.tls, e) == 0)
		return h;
	if (h)
		handle_give(h);
	else
		curl_url_cleanup(parsed);
	return NULL;
}

static int
call(struct exchange *x, struct err *e)
{
	struct handle *h = take_handle(x, e);
	int rc;

	if (!h)
		return -1;
	x->tls = h->tls;
	x->handle = h;
	x->easy = h->easy;
	x->words = h->words;
	mine = x;
	rc = perform(x, h, e);
	mine = NULL;
	if (rc < 0)
		exchange_sign(x, e);
	x->easy = NULL; /* from here on another thread may have it */
	handle_give(h);
	return rc;
}

int
upstream_call(const struct upstream_req *req, const struct upstream_body *body,
	      struct upstream_head *head, const struct deadline *d, struct ledger *ledger,
	      struct err *e)
{
	struct exchange x = {
		.rq = req,
		.body = body,
		.head = head,
		.deadline = d,
		.ledger = ledger,
		.e = e,
		.trim_after_us = LONG_WAIT_US,
		.repeatable = !strcmp(req->method, "GET") || !strcmp(req->method, "HEAD"),
	};

	upstream_head_clear(head);
	x.to_begin = x.repeatable ? *d : deadline_to_begin(d);
	if (deadline_over(&x.to_begin))
		(void)err_set(e, ERR_DEADLINE, "connecting to %s", req->provider);
	else if (is_pointless(&x))
		(void)err_set(e, ERR_GONE, "%s", "");
	else if (call(&x, e) == 0)
		return 0;
	exchange_sign(&x, e);
	return -1;
}

static int
to_buf(void *self, const char *p, size_t n, struct err *e)
{
	struct buf *b = self;

	(void)e;
	if (n > b->max - b->len)
		n = b->max - b->len;
	(void)buf_add(b, p, n);
	return 0;
}

struct upstream_body
upstream_to_buf(struct buf *out)
{
	return (struct upstream_body){ .data = to_buf, .self = out };
}
