/*
 * libfcgi 2.4.2 and what is done about it:
 * - FCGX_Accept_r() takes connections without a timeout and polls each for up to 2 s: connections are
 *   accepted by the caller, given a receive timeout, and handed in as an "open" connection
 *   (ipcFd set, keepConnection so that it is not closed first).
 * - FCGX_Finish_r() lingers until the web server has closed: skipped (detached) when the body was read
 *   to its end, which is when a plain close() cannot cut the answer off.
 * - answers leave in 8 KiB records: large ones are written here, in records of up to 64 KiB, around
 *   libfcgi's buffer.
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

#include "base/deadline.h"

#define RECORD_BYTES 65528 /* the largest FastCGI record that needs no padding */
/* What lighttpd finds waiting it takes at once, and what it cannot pass on at once it puts into files. */
#define WINDOW_BYTES  65536
#define DIRECT_BYTES  8192 /* from here on an answer goes around libfcgi's buffer */
#define STDOUT_RECORD 6    /* FCGI_STDOUT, FastCGI 1.0 section 8 */

struct conn {
	FCGX_Request fcgi;
	bool narrowed; /* its send buffer is WINDOW_BYTES */
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
	return c;
}

void
conn_free(struct conn *c)
{
	if (!c)
		return;
	FCGX_Free(&c->fcgi, 1);
	free(c);
}

int
conn_open(struct conn *c, int fd)
{
	const struct timeval limit = { .tv_sec = CONN_PEER_TIMEOUT_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	c->cgi = c->input_ended = c->broken = c->narrowed = false;
	c->read_until_us = c->write_until_us = 0;
	c->fcgi.ipcFd = fd;
	c->fcgi.keepConnection = 1;
	c->fcgi.listen_sock = -1;
	if (FCGX_Accept_r(&c->fcgi) != 0) {
		FCGX_Free(&c->fcgi, 1);
		return -1;
	}
	c->fcgi.keepConnection = 0;
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
	struct timeval limit = wait_limit(at_us, CONN_STALL_S);

	c->write_until_us = at_us;
	if (!c->cgi)
		(void)setsockopt(c->fcgi.ipcFd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

const char *
conn_param(const struct conn *c, const char *name)
{
	return c->cgi ? getenv(name) : FCGX_GetParam(name, c->fcgi.envp);
}

/* Is there something to read on standard input, before the time is over? */
static bool
is_ready(int64_t until_us)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	const struct deadline d = { until_us };
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

static int
write_records(struct conn *c, const char *p, size_t n)
{
	static const int window = WINDOW_BYTES;

	if (!c->narrowed) {
		c->narrowed = true;
		(void)setsockopt(c->fcgi.ipcFd, SOL_SOCKET, SO_SNDBUF, &window, sizeof(window));
	}
	if (FCGX_FFlush(c->fcgi.out) != 0)
		return -1;
	while (n > 0) {
		size_t part = n < RECORD_BYTES ? n : RECORD_BYTES;
		unsigned char pad = (unsigned char)(-part & 7);
		unsigned char head[8] = { 1,
					  STDOUT_RECORD,
					  (unsigned char)(c->fcgi.requestId >> 8),
					  (unsigned char)c->fcgi.requestId,
					  (unsigned char)(part >> 8),
					  (unsigned char)part,
					  pad,
					  0 };
		static const char zero[8];
		struct iovec v[3] = { { head, sizeof(head) },
				      { (void *)p, part },
				      { (void *)zero, pad } };

		if (write_all(c, c->fcgi.ipcFd, v, 3) < 0)
			return -1;
		p += part;
		n -= part;
	}
	return 0;
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
		rc = write_records(c, p, n);
	else
		rc = FCGX_PutStr(p, (int)n, c->fcgi.out) == (int)n ? 0 : -1;
	if (rc < 0)
		c->broken = true;
	return rc;
}

int
conn_flush(struct conn *c)
{
	if (c->cgi || c->broken)
		return c->broken ? -1 : 0;
	if (FCGX_FFlush(c->fcgi.out) != 0)
		c->broken = true;
	return c->broken ? -1 : 0;
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

void
conn_close(struct conn *c)
{
	if (c->cgi)
		return;
	if (c->input_ended && !c->broken)
		c->fcgi.detached = 1; /* nothing is left to read: no lingering */
	if (c->broken) {
		/* FCGX_Finish_r() would write what is left of the answer to a client that takes none of it. */
		c->fcgi.detached = 1;
		FCGX_Free(&c->fcgi, 1);
	} else if (c->fcgi.in) {
		FCGX_Finish_r(&c->fcgi);
	} else {
		/* What FCGX_Finish_r() does, which takes a request without input for none. */
		(void)FCGX_FClose(c->fcgi.err);
		(void)FCGX_FClose(c->fcgi.out);
		FCGX_Free(&c->fcgi, 1);
	}
	c->input_open = false;
}
