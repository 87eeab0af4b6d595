#ifndef TESTS_WIRE_SERVER_H
#define TESTS_WIRE_SERVER_H
/*
 * wire_server - a server on 127.0.0.1 whose every byte the test decides
 *
 * A thread accepts; each connection gets a thread that calls serve(fd).  Stopped by wire_stop(), which
 * breaks all connections and waits for all threads, so that nothing is left behind.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define WIRE_CONNECTIONS 64
#define WIRE_REQUEST     65536

struct wire {
	void (*serve)(struct wire *w, int fd, int number); /* number: of the connection, from 0 */
	const void *arg;
	int fd, port;
	char url[64]; /* "http://127.0.0.1:PORT" */
	atomic_int connections, requests;
	atomic_int ended; /* connections that were served and shut down */
	int started;      /* threads; the acceptor's own until it was joined */
	pthread_mutex_t lock;
	char last[WIRE_REQUEST]; /* the last request, head and body */
	pthread_t acceptor, threads[WIRE_CONNECTIONS];
	int fds[WIRE_CONNECTIONS];
};

struct wire_job {
	struct wire *w;
	int fd, number;
};

static inline void *
wire_serve(void *arg)
{
	struct wire_job job = *(struct wire_job *)arg;

	free(arg);
	job.w->serve(job.w, job.fd, job.number);
	(void)shutdown(job.fd, SHUT_RDWR);
	atomic_fetch_add(&job.w->ended, 1);
	return NULL;
}

static inline void *
wire_accept(void *arg)
{
	struct wire *w = arg;
	int fd;

	while ((fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct wire_job *job = malloc(sizeof(*job));
		int number = w->started;

		if (!job || number == WIRE_CONNECTIONS)
			abort();
		*job = (struct wire_job){ w, fd, number };
		w->fds[number] = fd;
		/* Counted before it is served, so that whoever has an answer finds it counted. */
		atomic_fetch_add(&w->connections, 1);
		if (pthread_create(&w->threads[number], NULL, wire_serve, job) != 0)
			abort();
		w->started++;
	}
	return NULL;
}

static inline void
wire_start(struct wire *w, void (*serve)(struct wire *, int, int), const void *arg)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	memset(w, 0, sizeof(*w));
	(void)pthread_mutex_init(&w->lock, NULL);
	w->serve = serve;
	w->arg = arg;
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    listen(w->fd, 64) < 0 || getsockname(w->fd, (struct sockaddr *)&in, &len) < 0)
		abort();
	w->port = ntohs(in.sin_port);
	(void)snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d", w->port);
	if (pthread_create(&w->acceptor, NULL, wire_accept, w) != 0)
		abort();
}

static inline void
wire_stop(struct wire *w)
{
	int n;

	(void)shutdown(w->fd, SHUT_RDWR);
	(void)pthread_join(w->acceptor, NULL);
	(void)close(w->fd);
	n = w->started;
	for (int i = 0; i < n; i++)
		(void)shutdown(w->fds[i], SHUT_RDWR);
	for (int i = 0; i < n; i++) {
		(void)pthread_join(w->threads[i], NULL);
		(void)close(w->fds[i]);
	}
	(void)pthread_mutex_destroy(&w->lock);
}

/* Reads one request with its body (by Content-Length) into w->last.  0, or -1: the peer is gone. */
static inline int
wire_request(struct wire *w, int fd)
{
	static _Thread_local char text[WIRE_REQUEST];
	size_t len = 0, need = 0;

	for (;;) {
		const char *end, *length;
		ssize_t got = recv(fd, text + len, sizeof(text) - 1 - len, 0);

		if (got <= 0)
			return -1;
		len += (size_t)got;
		text[len] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		length = strcasestr(text, "\r\ncontent-length:");
		need = (size_t)(end + 4 - text);
		if (length && length < end)
			need += strtoul(length + 17, NULL, 10);
		if (len >= need)
			break;
	}
	(void)pthread_mutex_lock(&w->lock);
	memcpy(w->last, text, len + 1);
	(void)pthread_mutex_unlock(&w->lock);
	atomic_fetch_add(&w->requests, 1);
	return 0;
}

static inline int
wire_write(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t put = send(fd, at, n, MSG_NOSIGNAL);

		if (put <= 0)
			return -1;
		at += put;
		n -= (size_t)put;
	}
	return 0;
}

static inline int
wire_say(int fd, const char *text)
{
	return wire_write(fd, text, strlen(text));
}

/* A whole answer that keeps the connection. */
static inline int
wire_answer(int fd, const char *status, const char *headers, const char *body)
{
	char head[4096];

	(void)snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status,
		       headers, strlen(body));
	return wire_say(fd, head) < 0 || wire_say(fd, body) < 0 ? -1 : 0;
}

/* Waits until the peer closes. */
static inline void
wire_wait_gone(int fd)
{
	char c[4096];

	while (recv(fd, c, sizeof(c), 0) > 0)
		;
}

#endif
