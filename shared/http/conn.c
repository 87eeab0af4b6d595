/*
 * libfcgi 2.4.2 and what is done about it:
 * - FCGX_Accept_r() takes connections without a timeout and polls each for up to 2 s: connections are
 *   accepted by the caller, given a receive timeout, and handed in as an "open" connection
 *   (ipcFd set, keepConnection so that it is not closed first).
 * - FCGX_Finish_r() lingers until the web server has closed: skipped (detached) when the body was read
 *   to its end, which is when a plain close() cannot cut the answer off.
 * - answers leave in 8 KiB records, from a buffer that is there from the beginning, all through a long
 *   wait: its streams for output are freed at once and the records are written here, of up to 64 KiB, the
 *   last ones together.
 * - read() and write() are not repeated on EINTR: every handler has SA_RESTART, and signals are blocked
 *   in request threads.
 */
#include "http/conn.h"

#include <errno.h>
#include <fcgiapp.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/deadline.h"

#define RECORD_BYTES 65528 /* the largest FastCGI record that needs no padding */
/* What lighttpd finds waiting it takes at once, and what it cannot pass on at once it puts into files. */
#define WINDOW_BYTES 65536
#define DIRECT_BYTES 8192 /* from here on a piece of an answer goes around the buffer */
#define OUT_BYTES    8192 /* of the buffer, … */
#define OUT_FIRST    2048 /* … which most answers need no more than this of */
/* What always fits into a socket nobody has written to: no write of it can block. */
#define SURE_BYTES 16384
/* FastCGI 1.0 sections 3.3 and 8 */
#define END_RECORD    3 /* FCGI_END_REQUEST */
#define STDOUT_RECORD 6 /* FCGI_STDOUT */
#define HEAD_BYTES    8

struct conn {
	FCGX_Request fcgi;
	struct buf out; /* what was written and has not left */
	size_t sent;
	bool narrowed; /* its send buffer is WINDOW_BYTES */
	bool timed;    /* a write that blocks ends by itself */
	bool cgi, input_open, input_ended, broken;
	int64_t read_until_us, write_until_us; /* 0: for ever */
};

int
conn_library_init(void)
{
	return FCGX_Init() == 0 ? 0 : -1;
}

struct conn *
conn_new(void)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c && FCGX_InitRequest(&c->fcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR) != 0) {
		free(c);
		return NULL;
	}
	if (c)
		c->out.max = OUT_BYTES;
	return c;
}

void
conn_free(struct conn *c)
{
	if (!c)
		return;
	FCGX_Free(&c->fcgi, 1);
	buf_done(&c->out);
	free(c);
}

int
conn_open(struct conn *c, int fd)
{
	const struct timeval limit = { .tv_sec = CONN_PEER_TIMEOUT_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	c->cgi = c->input_ended = c->broken = c->narrowed = c->timed = false;
	c->sent = 0;
	c->read_until_us = c->write_until_us = 0;
	c->fcgi.ipcFd = fd;
	c->fcgi.keepConnection = 1;
	c->fcgi.listen_sock = -1;
	if (FCGX_Accept_r(&c->fcgi) != 0) {
		FCGX_Free(&c->fcgi, 1);
		return -1;
	}
	c->fcgi.keepConnection = 0;
	FCGX_FreeStream(&c->fcgi.out);
	FCGX_FreeStream(&c->fcgi.err);
	c->input_open = true;
	return 0;
}

int
conn_open_cgi(struct conn *c)
{
	c->cgi = c->input_open = true;
	c->input_ended = c->broken = false;
	c->read_until_us = c->write_until_us = 0;
	return 0;
}

static bool
is_over(int64_t until_us)
{
	return until_us && clock_us() >= until_us;
}

/* How long one read or write may wait: what is left, at least a millisecond and at most most_s. */
static struct timeval
wait_limit(int64_t until_us, int most_s)
{
	int64_t left_us = until_us - clock_us();

	if (left_us > most_s * 1000000LL)
		left_us = most_s * 1000000LL;
	if (left_us < 1000)
		left_us = 1000;
	return (struct timeval){ .tv_sec = left_us / 1000000, .tv_usec = left_us % 1000000 };
}

void
conn_read_until(struct conn *c, int64_t at_us)
{
	struct timeval limit = wait_limit(at_us, CONN_PEER_TIMEOUT_S);

	c->read_until_us = at_us;
	if (!c->cgi && limit.tv_sec < CONN_PEER_TIMEOUT_S)
		(void)setsockopt(c->fcgi.ipcFd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

void
conn_write_until(struct conn *c, int64_t at_us)
{
	c->write_until_us = at_us;
	c->timed = false;
}

bool
conn_is_cgi(const struct conn *c)
{
	return c->cgi;
}

/* As FCGX_GetParam(), which compares by a call for each of two dozen parameters. */
static const char *
find_param(char *const *at, const char *name)
{
	for (; at && *at; at++) {
		const char *p = *at, *n = name;

		while (*n && *p == *n) {
			p++;
			n++;
		}
		if (!*n && *p == '=')
			return p + 1;
	}
	return NULL;
}

const char *
conn_param(const struct conn *c, const char *name)
{
	return c->cgi ? getenv(name) : find_param(c->fcgi.envp, name);
}

/* Is there something to read on standard input, before the time is over? */
static bool
is_ready(int64_t until_us)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	const struct deadline d = { .at_us = until_us };
	int64_t left_ms = until_us ? deadline_left_ms(&d) : -1;

	return poll(&p, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms) != 0;
}

static ssize_t
read_cgi(const struct conn *c, void *p, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = -1;

		if (!is_ready(c->read_until_us))
			return -1;
		r = read(STDIN_FILENO, (char *)p + got, n - got);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

/*
 * FCGX_GetStr() waits until it has all, however slowly it comes; this one looks at the clock whenever
 * libfcgi's buffer was filled again.
 */
static int
read_fcgi(struct conn *c, char *p, int n)
{
	FCGX_Stream *in = c->fcgi.in;
	int got = 0;

	while (got < n) {
		int part = (int)(in->stop - in->rdNext), first;

		if (part <= 0) {
			first = is_over(c->read_until_us) ? -1 : FCGX_GetChar(in);
			if (first < 0)
				break;
			p[got++] = (char)first;
			continue;
		}
		got += FCGX_GetStr(p + got, part < n - got ? part : n - got, in);
	}
	return got;
}

ssize_t
conn_read(struct conn *c, void *p, size_t n)
{
	int got;

	if (!c->input_open)
		return 0;
	if (c->cgi)
		return read_cgi(c, p, n);
	if (n > INT32_MAX)
		n = INT32_MAX;
	got = read_fcgi(c, p, (int)n);
	if ((size_t)got < n && is_over(c->read_until_us))
		return -1; /* it can still be answered */
	if (FCGX_GetError(c->fcgi.in) != 0) {
		c->broken = true;
		return -1;
	}
	if ((size_t)got < n)
		c->input_ended = true;
	return got;
}

void
conn_input_done(struct conn *c)
{
	if (c->cgi || !c->input_open)
		return;
	/* The end-of-body record may still be in the socket: take it, so that close() is clean. */
	if (!c->input_ended) {
		char rest;

		(void)conn_read(c, &rest, 1);
	}
	c->input_open = false;
	if (!c->broken)
		FCGX_FreeStream(&c->fcgi.in); /* 8 KiB that a long wait does not need */
}

static int
write_all(const struct conn *c, int fd, struct iovec *v, int n)
{
	while (n > 0) {
		ssize_t w;

		if (is_over(c->write_until_us))
			return -1;
		w = writev(fd, v, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		while (n > 0 && (size_t)w >= v->iov_len) {
			w -= (ssize_t)v->iov_len;
			v++;
			n--;
		}
		if (n > 0) {
			v->iov_base = (char *)v->iov_base + w;
			v->iov_len -= (size_t)w;
		}
	}
	return 0;
}

/* Before so much is written that it may have to wait. */
static void
set_write_limit(struct conn *c)
{
	struct timeval limit = wait_limit(c->write_until_us, CONN_STALL_S);

	c->timed = true;
	if (c->write_until_us)
		(void)setsockopt(c->fcgi.ipcFd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static void
make_head(const struct conn *c, unsigned char head[HEAD_BYTES], unsigned char type, size_t n,
	  size_t pad)
{
	const unsigned char h[HEAD_BYTES] = { 1,
					      type,
					      (unsigned char)(c->fcgi.requestId >> 8),
					      (unsigned char)c->fcgi.requestId,
					      (unsigned char)(n >> 8),
					      (unsigned char)n,
					      (unsigned char)pad,
					      0 };

	memcpy(head, h, HEAD_BYTES);
}

/* One record of the answer, as three pieces of a write. */
static int
make_record(const struct conn *c, struct iovec v[3], unsigned char head[HEAD_BYTES], const char *p,
	    size_t n)
{
	static const char zero[8];
	size_t pad = -n & 7;

	make_head(c, head, STDOUT_RECORD, n, pad);
	v[0] = (struct iovec){ head, HEAD_BYTES };
	v[1] = (struct iovec){ (void *)p, n };
	v[2] = (struct iovec){ (void *)zero, pad };
	return 3;
}

/* Sends what is in the buffer, then p, then, if that is all, the request's end. */
static int
send_out(struct conn *c, const char *p, size_t n, bool end)
{
	static const int window = WINDOW_BYTES;
	/* The end of standard output, and of the request: status 0, FCGI_REQUEST_COMPLETE. */
	unsigned char heads[2][HEAD_BYTES], last[3 * HEAD_BYTES] = { 0 };

	if (n && !c->narrowed) {
		c->narrowed = true;
		(void)setsockopt(c->fcgi.ipcFd, SOL_SOCKET, SO_SNDBUF, &window, sizeof(window));
	}
	do {
		size_t part = n < RECORD_BYTES ? n : RECORD_BYTES;
		struct iovec v[7];
		int k = 0;

		c->sent += c->out.len + part;
		if (c->sent > SURE_BYTES && !c->timed)
			set_write_limit(c);
		if (c->out.len)
			k += make_record(c, v + k, heads[0], c->out.p, c->out.len);
		if (part)
			k += make_record(c, v + k, heads[1], p, part);
		p += part;
		n -= part;
		if (end && !n) {
			make_head(c, last, STDOUT_RECORD, 0, 0);
			make_head(c, last + HEAD_BYTES, END_RECORD, HEAD_BYTES, 0);
			v[k++] = (struct iovec){ last, sizeof(last) };
		}
		if (k && write_all(c, c->fcgi.ipcFd, v, k) < 0)
			return -1;
		buf_clear(&c->out);
	} while (n);
	return 0;
}

/* Small pieces wait for each other. */
static int
put_out(struct conn *c, const char *p, size_t n)
{
	if (n > c->out.max - c->out.len && send_out(c, NULL, 0, false) < 0)
		return -1;
	if (!c->out.cap)
		(void)buf_room(&c->out, OUT_FIRST);
	return buf_add(&c->out, p, n);
}

int
conn_write(struct conn *c, const void *p, size_t n)
{
	int rc;

	if (c->broken)
		return -1;
	if (c->cgi)
		rc = write_all(c, STDOUT_FILENO, &(struct iovec){ (void *)p, n }, 1);
	else if (n >= DIRECT_BYTES)
		rc = send_out(c, p, n, false);
	else
		rc = put_out(c, p, n);
	if (rc < 0)
		c->broken = true;
	return rc;
}

int
conn_flush(struct conn *c)
{
	if (c->cgi || c->broken)
		return c->broken ? -1 : 0;
	if (send_out(c, NULL, 0, false) < 0)
		c->broken = true;
	return c->broken ? -1 : 0;
}

void
conn_break(struct conn *c)
{
	(void)conn_flush(c);
	c->broken = true;
}

bool
conn_is_left(const struct conn *c)
{
	/* A CGI program's standard input has ended anyway; its output breaks. */
	struct pollfd p = { .fd = c->cgi ? STDOUT_FILENO : c->fcgi.ipcFd,
			    .events = c->cgi ? 0 : POLLRDHUP };

	if (c->broken)
		return true;
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static bool
has_no_body(const struct conn *c)
{
	const char *length = conn_param(c, "CONTENT_LENGTH");

	return !length || !*length || !strcmp(length, "0");
}

void
conn_close(struct conn *c)
{
	if (c->cgi)
		return;
	/* What is left of an answer is not written to a client that takes none of it. */
	if (!c->broken && send_out(c, NULL, 0, true) < 0)
		c->broken = true;
	/* Nobody asked for what is empty: its end has come with the parameters. */
	if (!c->broken && has_no_body(c))
		conn_input_done(c);
	if (c->input_ended || c->broken)
		c->fcgi.detached = 1; /* nothing is left to read: no lingering */
	FCGX_Free(&c->fcgi, 1);
	c->fcgi.envp = NULL; /* it pointed into what was just freed */
	buf_done(&c->out);
	c->input_open = false;
}
