/*
 * upstream - a provider that costs nothing: the same picture for every POST
 *
 *	upstream [--bytes N] [--delay-ms D] [--ports P] [--cert FILE --key FILE]
 *
 * Answers {"created":…,"data":[{"b64_json":"…"}]} with a PNG of exactly N bytes, D ms after the
 * request's last byte.  Prints "ready PORT …" and serves HTTP/1.1 with keep-alive on 127.0.0.1, on P
 * ports: a client that opens a connection for each request does not run out of its own ports then.
 * One thread, one epoll: it must never be what a measurement waits for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX  16
#define FDS_MAX    65536
#define EVENTS     256
#define HEAD_MAX   16384
#define PNG_MIN    100
#define PNG_MAX    (64 << 20)
#define STORED_MAX 65535 /* bytes of a stored deflate block */
#define BACKLOG    4096
#define READ_BYTES 65536

struct conn {
	int fd;
	SSL *ssl;
	bool listening, close_after, waiting;
	size_t head_len, body_left, sent;
	bool in_body, sending;
	int64_t due_us;
	struct conn *next; /* in the queue of those that wait */
	char *head;        /* of the request, while it arrives */
};

static char *answer; /* head and body */
static size_t answer_len;
static int64_t delay_us;
static SSL_CTX *tls;
static int epoll_fd;
static struct conn *conns[FDS_MAX]; /* by descriptor */
static struct conn *first_due, **last_due = &first_due;

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	exit(1);
}

static void *
must(void *p)
{
	if (!p)
		die("memory");
	return p;
}

static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- the picture ---- */

static uint32_t
crc32_of(const unsigned char *p, size_t n)
{
	uint32_t crc = ~0U;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (0xedb88320U & -(crc & 1));
	}
	return ~crc;
}

static void
put32(unsigned char *p, size_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

/* Completes the chunk whose n bytes of data stand at p + 8; its end. */
static unsigned char *
chunk(unsigned char *p, const char *type, size_t n)
{
	put32(p, n);
	memcpy(p + 4, type, 4);
	put32(p + 8 + n, crc32_of(p + 4, n + 4));
	return p + 12 + n;
}

static size_t
stored_size(size_t raw)
{
	return 2 + raw + 5 * ((raw + STORED_MAX - 1) / STORED_MAX) + 4;
}

/* The zlib stream of `rows` lines of noise, stored; noise, so that nothing on the way can guess. */
static size_t
fill_idat(unsigned char *out, size_t side)
{
	size_t raw = side * (1 + 3 * side), left = raw, at = 0;
	uint32_t a = 1, b = 0, seed = 12345;
	unsigned char *p = out;

	*p++ = 0x78;
	*p++ = 0x01;
	while (left) {
		size_t n = left < STORED_MAX ? left : STORED_MAX;

		left -= n;
		*p++ = left == 0;
		*p++ = (unsigned char)n;
		*p++ = (unsigned char)(n >> 8);
		*p++ = (unsigned char)~n;
		*p++ = (unsigned char)(~n >> 8);
		for (; n; n--, at++) {
			seed = seed * 1664525 + 1013904223;
			*p = at % (1 + 3 * side) ? (unsigned char)(seed >> 24) : 0;
			a = (a + *p++) % 65521;
			b = (b + a) % 65521;
		}
	}
	put32(p, b << 16 | a);
	return (size_t)(p + 4 - out);
}

/* A valid RGB PNG of exactly n bytes: what noise does not fill, a private chunk does. */
static unsigned char *
make_png(size_t n)
{
	static const unsigned char signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
	unsigned char *png = must(calloc(1, n)), *p = png + 8;
	size_t side = 1;

	while (8 + 25 + 12 + stored_size((side + 1) * (4 + 3 * side)) + 12 + 12 <= n)
		side++;
	memcpy(png, signature, sizeof(signature));
	put32(p + 8, side);
	put32(p + 12, side);
	p[16] = 8;
	p[17] = 2;
	p = chunk(p, "IHDR", 13);
	p = chunk(p, "paDd", n - (8 + 25 + 12 + stored_size(side * (1 + 3 * side)) + 12 + 12));
	p = chunk(p, "IDAT", fill_idat(p + 8, side));
	p = chunk(p, "IEND", 0);
	if (p != png + n)
		abort();
	return png;
}

static void
make_answer(size_t bytes)
{
	static const char before[] = "{\"created\":1771000000,\"data\":[{\"b64_json\":\"";
	static const char after[] = "\"}],\"usage\":{\"total_tokens\":1000,\"input_tokens\":40,"
				    "\"output_tokens\":960,\"input_tokens_details\":"
				    "{\"text_tokens\":40,\"image_tokens\":0}}}";
	size_t encoded = (bytes + 2) / 3 * 4, body = sizeof(before) + encoded + sizeof(after) - 2;
	unsigned char *png = make_png(bytes);
	char *p;
	int head;

	answer = must(malloc(body + 256));
	head = snprintf(answer, 256,
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
			"x-request-id: bench-1\r\nContent-Length: %zu\r\n\r\n",
			body);
	p = answer + head;
	memcpy(p, before, sizeof(before) - 1);
	p += sizeof(before) - 1;
	p += EVP_EncodeBlock((unsigned char *)p, png, (int)bytes);
	memcpy(p, after, sizeof(after) - 1);
	answer_len = (size_t)head + body;
	free(png);
}

/* ---- connections ---- */

static struct conn *
conn_make(int fd)
{
	if (fd < 0 || fd >= FDS_MAX)
		die("descriptor");
	conns[fd] = must(calloc(1, sizeof(**conns)));
	conns[fd]->fd = fd;
	return conns[fd];
}

static void
watch(struct conn *c, uint32_t events, int op)
{
	struct epoll_event ev = { .events = events, .data.fd = c->fd };

	if (epoll_ctl(epoll_fd, op, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void
conn_drop(struct conn *c)
{
	if (c->waiting) {
		struct conn **at = &first_due;

		while (*at && *at != c)
			at = &(*at)->next;
		*at = c->next;
		if (last_due == &c->next)
			last_due = at;
	}
	SSL_free(c->ssl);
	conns[c->fd] = NULL;
	(void)close(c->fd);
	free(c->head);
	free(c);
}

/* -1: gone; 0: it would block; else bytes. */
static ssize_t
conn_io(struct conn *c, void *to, const void *from, size_t n)
{
	ssize_t got;

	if (c->ssl) {
		got = to ? SSL_read(c->ssl, to, (int)n) : SSL_write(c->ssl, from, (int)n);
		if (got > 0)
			return got;
		switch (SSL_get_error(c->ssl, (int)got)) {
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE: return 0;
		default: return -1;
		}
	}
	got = to ? recv(c->fd, to, n, 0) : send(c->fd, from, n, MSG_NOSIGNAL);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return got > 0 ? got : -1;
}

static int
conn_send(struct conn *c)
{
	bool waited = c->sending;

	c->sending = true;
	while (c->sent < answer_len) {
		ssize_t n = conn_io(c, NULL, answer + c->sent, answer_len - c->sent);

		if (n < 0)
			return -1;
		if (n == 0) {
			if (!waited)
				watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return 0;
		}
		c->sent += (size_t)n;
	}
	if (waited)
		watch(c, EPOLLIN, EPOLL_CTL_MOD);
	c->sending = false;
	c->sent = 0;
	return c->close_after ? -1 : 0;
}

static int
request_done(struct conn *c)
{
	c->in_body = false;
	c->head_len = 0;
	if (!delay_us)
		return conn_send(c);
	/* The same delay for all: the queue is in order by itself. */
	c->due_us = now_us() + delay_us;
	c->waiting = true;
	c->next = NULL;
	*last_due = c;
	last_due = &c->next;
	return 0;
}

static void
head_read(struct conn *c)
{
	bool http10 = memmem(c->head, c->head_len, " HTTP/1.0\r\n", 11) != NULL;
	const char *line = c->head;

	c->body_left = 0;
	c->close_after = http10;
	while ((line = strstr(line, "\r\n")) && line[2] != '\r') {
		line += 2;
		if (!strncasecmp(line, "content-length:", 15))
			c->body_left = strtoul(line + 15, NULL, 10);
		else if (!strncasecmp(line, "connection: close", 17))
			c->close_after = true;
	}
	c->in_body = true;
}

static int
conn_read(struct conn *c)
{
	static char buf[READ_BYTES];
	ssize_t got;

	while ((got = conn_io(c, buf, NULL, sizeof(buf))) > 0) {
		size_t n = (size_t)got, old = c->head_len;
		char *end;

		if (!c->in_body) {
			if (old + n >= HEAD_MAX)
				return -1;
			if (!c->head)
				c->head = must(malloc(HEAD_MAX));
			memcpy(c->head + old, buf, n);
			c->head[c->head_len = old + n] = '\0';
			end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
			if (!end)
				continue;
			n = c->head_len - (size_t)(end + 4 - c->head);
			head_read(c);
		}
		c->body_left -= n < c->body_left ? n : c->body_left;
		if (!c->body_left && request_done(c) < 0)
			return -1;
		if (!c->ssl && (size_t)got < sizeof(buf))
			return 0;
	}
	return (int)got;
}

static void
accept_all(const struct conn *l)
{
	int fd, one = 1;

	while ((fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = conn_make(fd);

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (tls) {
			c->ssl = must(SSL_new(tls));
			(void)SSL_set_fd(c->ssl, fd);
			SSL_set_accept_state(c->ssl);
		}
		watch(c, EPOLLIN, EPOLL_CTL_ADD);
	}
}

static int
listen_on(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	struct conn *l = conn_make(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));

	l->listening = true;
	if (bind(l->fd, (struct sockaddr *)&at, len) < 0 || listen(l->fd, BACKLOG) < 0 ||
	    getsockname(l->fd, (struct sockaddr *)&at, &len) < 0)
		die("listen");
	watch(l, EPOLLIN, EPOLL_CTL_ADD);
	return ntohs(at.sin_port);
}

static void
serve_due(void)
{
	int64_t now = now_us();
	struct conn *c;

	while ((c = first_due) && c->due_us <= now) {
		first_due = c->next;
		if (!first_due)
			last_due = &first_due;
		c->waiting = false;
		if (conn_send(c) < 0)
			conn_drop(c);
	}
}

static void
serve(void)
{
	struct epoll_event ev[EVENTS];

	for (;;) {
		int64_t left = first_due ? (first_due->due_us - now_us() + 999) / 1000 : -1;
		int n = epoll_wait(epoll_fd, ev, EVENTS, first_due && left < 0 ? 0 : (int)left);

		for (int i = 0; i < n; i++) {
			struct conn *c = conns[ev[i].data.fd];

			if (!c)
				continue;
			if (c->listening)
				accept_all(c);
			else if (((ev[i].events & EPOLLOUT) && conn_send(c) < 0) ||
				 ((ev[i].events & ~(uint32_t)EPOLLOUT) && conn_read(c) < 0))
				conn_drop(c);
		}
		serve_due();
	}
}

static void
use_tls(const char *cert, const char *key)
{
	tls = must(SSL_CTX_new(TLS_server_method()));
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
		(void)fprintf(stderr, "upstream: certificate or key cannot be used\n");
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "bytes", 1, NULL, 'b' }, { "delay-ms", 1, NULL, 'd' }, { "ports", 1, NULL, 'p' },
		{ "cert", 1, NULL, 'c' },  { "key", 1, NULL, 'k' },      { NULL, 0, NULL, 0 }
	};
	const char *cert = NULL, *key = NULL;
	size_t bytes = 1000;
	long ports = 1;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (o) {
		case 'b': bytes = strtoul(optarg, NULL, 10); break;
		case 'd': delay_us = strtol(optarg, NULL, 10) * 1000; break;
		case 'p': ports = strtol(optarg, NULL, 10); break;
		case 'c': cert = optarg; break;
		case 'k': key = optarg; break;
		default: return 2;
		}
	if (bytes < PNG_MIN || bytes > PNG_MAX || ports < 1 || ports > PORTS_MAX || !cert != !key) {
		(void)fprintf(stderr, "upstream: --bytes %d to %d, --ports 1 to %d\n", PNG_MIN,
			      PNG_MAX, PORTS_MAX);
		return 2;
	}
	make_answer(bytes);
	if (cert)
		use_tls(cert, key);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll");
	(void)printf("ready");
	for (; ports > 0; ports--)
		(void)printf(" %d", listen_on());
	(void)printf("\n");
	(void)fflush(stdout);
	serve();
}
