/*
 * load - a bounded number of POSTs over a fixed number of connections
 *
 *	load --port P --path PATH --connections C --requests R --body-file FILE [--bearer-file FILE]
 *	     [--timeout-s S] [--say-sent]
 *	load --port P --path PATH --connections C --requests R --ids-file FILE [--bearer-file FILE] …
 *
 * With --ids-file the requests are GETs, and the '*' in PATH becomes one of the file's lines, which all have the
 * same length: always the next but 7,919.
 *
 * Each connection is kept alive and has one request in hand.  Prints one JSON object: counts, the time
 * from the first send to the last answer, and percentiles of the time from a request's first byte to
 * the last byte of its answer.  --say-sent prints "sent" when the first C requests are written, for
 * whoever wants to look at the server while they wait.  Count-bounded, unlike wrk: what opens a
 * connection for each request runs out of ports otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

#define EVENTS       256
#define HEAD_MAX     8192
#define FILE_MAX     65536
#define READ_BYTES   (256 * 1024)
#define ID_STEP      7919 /* a prime: neighbours in the file are not neighbours in time */
#define CONNECTS_MAX 3 /* tries of one request whose kept-alive connection turns out to be closed */

/* Where a connection is in its answer. */
enum where { HEAD, FIXED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE, DONE };

struct conn {
	int fd, tries;
	bool used;    /* has had an answer before */
	bool writing; /* epoll watches for room to write */
	enum where where;
	size_t sent, head_len, left, line_len;
	long id; /* the line in the file */
	int64_t start_us;
	int status;
	bool close_after;
	char head[HEAD_MAX];
};

static struct {
	struct sockaddr_in to;
	char *request;
	size_t request_len;
	char *ids; /* NULL: there are none */
	size_t id_len, id_at;
	long nids, next_id;
	long connections, requests, issued, finished, ok, errors, reconnects, first_sent;
	int first_status; /* the first that was not 200 */
	uint64_t body_bytes;
	int64_t *took_us, start_us;
	bool say_sent;
	int epoll_fd;
} all;

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
conn_open(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&all.to, sizeof(all.to)) < 0 && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(all.epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll_ctl");
	c->used = false;
	c->writing = true;
	c->sent = 0;
}

static void
conn_wait(struct conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(all.epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void
answer_over(struct conn *c, bool good)
{
	if (good && c->status == 200) {
		all.took_us[all.ok++] = now_us() - c->start_us;
	} else {
		all.errors++;
		if (!all.first_status)
			all.first_status = c->status;
	}
	all.finished++;
}

static void
conn_reopen(struct conn *c)
{
	(void)close(c->fd);
	conn_open(c);
}

/* The connection broke.  One that the server closed between two requests may be tried again. */
static void
conn_broke(struct conn *c)
{
	if (c->where == UNTIL_CLOSE) {
		answer_over(c, true);
	} else if (c->used && c->where == HEAD && !c->head_len && c->tries < CONNECTS_MAX) {
		c->tries++;
		all.reconnects++;
		conn_reopen(c);
		return;
	} else {
		answer_over(c, false);
	}
	c->tries = 0;
	if (all.issued < all.requests) {
		all.issued++;
		c->where = HEAD;
		c->head_len = 0;
		c->status = 0;
		conn_reopen(c);
		c->start_us = now_us();
		return;
	}
	(void)close(c->fd);
	c->fd = -1;
}

/* Sends what is left of the request.  -1: broken. */
static int
conn_send(struct conn *c)
{
	ssize_t n;

	if (all.ids && !c->sent)
		c->id = all.next_id = (all.next_id + ID_STEP) % all.nids;
	if (all.ids)
		memcpy(all.request + all.id_at, all.ids + (size_t)c->id * (all.id_len + 1),
		       all.id_len);
	n = send(c->fd, all.request + c->sent, all.request_len - c->sent, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	c->sent += (size_t)n;
	if (c->sent < all.request_len) {
		conn_wait(c, EPOLLIN | EPOLLOUT);
		c->writing = true;
		return 0;
	}
	if (c->writing)
		conn_wait(c, EPOLLIN);
	c->writing = false;
	if (++all.first_sent == all.connections && all.say_sent) {
		(void)printf("sent\n");
		(void)fflush(stdout);
	}
	return 0;
}

static void
conn_next(struct conn *c)
{
	if (all.issued >= all.requests) {
		(void)close(c->fd);
		c->fd = -1;
		return;
	}
	all.issued++;
	c->where = HEAD;
	c->head_len = c->sent = 0;
	c->status = c->tries = 0;
	c->start_us = now_us();
	c->used = true;
	if (c->close_after)
		conn_reopen(c);
	else if (conn_send(c) < 0)
		conn_broke(c);
}

/* Reads the head up to the empty line; how many of n bytes belong to it, or -1. */
static ssize_t
take_head(struct conn *c, const char *p, size_t n)
{
	size_t old = c->head_len, add = n < HEAD_MAX - 1 - old ? n : HEAD_MAX - 1 - old;
	const char *line, *end;
	bool chunked = false, fixed = false;

	memcpy(c->head + old, p, add);
	c->head[c->head_len = old + add] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (!end)
		return add == n ? (ssize_t)n : -1;
	if (strncmp(c->head, "HTTP/1.", 7) != 0)
		return -1;
	c->status = (int)strtol(c->head + 9, NULL, 10);
	c->close_after = false;
	for (line = strstr(c->head, "\r\n"); line && line < end; line = strstr(line, "\r\n")) {
		line += 2;
		if (!strncasecmp(line, "content-length:", 15)) {
			c->left = strtoul(line + 15, NULL, 10);
			fixed = true;
		} else if (!strncasecmp(line, "transfer-encoding: chunked", 26)) {
			chunked = true;
		} else if (!strncasecmp(line, "connection: close", 17)) {
			c->close_after = true;
		}
	}
	c->line_len = 0;
	c->where = chunked ? CHUNK_SIZE : !fixed ? UNTIL_CLOSE : c->left ? FIXED : DONE;
	if (chunked)
		c->left = 0;
	return end + 4 - c->head - (ssize_t)old;
}

static size_t
take_data(struct conn *c, size_t n, enum where then)
{
	size_t use = n < c->left ? n : c->left;

	c->left -= use;
	all.body_bytes += use;
	if (!c->left)
		c->where = then;
	return use;
}

/* One character of a chunk's size line, of the line after its data, or of the trailer. */
static int
take_mark(struct conn *c, char ch)
{
	int digit = ch >= '0' && ch <= '9'                 ? ch - '0'
		    : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10
							   : -1;

	if (ch == '\n') {
		if (c->where == CHUNK_SIZE)
			c->where = c->left ? CHUNK_DATA : TRAILER;
		else if (c->where == CHUNK_END)
			c->where = CHUNK_SIZE;
		else if (!c->line_len)
			c->where = DONE;
		c->line_len = 0;
		return 0;
	}
	if (ch == '\r')
		return 0;
	c->line_len++;
	if (c->where == CHUNK_SIZE) {
		if (digit < 0 || c->line_len > 8)
			return -1;
		c->left = c->left * 16 + (size_t)digit;
	}
	return c->where == CHUNK_END ? -1 : 0;
}

static int
take(struct conn *c, const char *p, size_t n)
{
	while (n) {
		ssize_t use = 1;

		switch (c->where) {
		case HEAD: use = take_head(c, p, n); break;
		case FIXED: use = (ssize_t)take_data(c, n, DONE); break;
		case CHUNK_DATA: use = (ssize_t)take_data(c, n, CHUNK_END); break;
		case UNTIL_CLOSE: all.body_bytes += n; return 0;
		case DONE: return -1; /* more than was announced */
		default:
			use = take_mark(c, *p);
			if (use == 0)
				use = 1;
		}
		if (use < 0)
			return -1;
		p += use;
		n -= (size_t)use;
	}
	return 0;
}

static void
conn_read(struct conn *c)
{
	static char buf[READ_BYTES];
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || take(c, buf, (size_t)n) < 0) {
		conn_broke(c);
	} else if (c->where == DONE) {
		answer_over(c, true);
		conn_next(c);
	}
}

static void
run(struct conn *conns, int64_t until_us)
{
	struct epoll_event ev[EVENTS];

	all.start_us = now_us();
	for (long i = 0; i < all.connections; i++) {
		all.issued++;
		conn_open(&conns[i]);
		conns[i].start_us = now_us();
	}
	while (all.finished < all.requests) {
		int64_t left = (until_us - now_us()) / 1000;
		int n = left > 0 ? epoll_wait(all.epoll_fd, ev, EVENTS, (int)left) : 0;

		if (left <= 0)
			break;
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (c->fd < 0)
				continue;
			if ((ev[i].events & EPOLLOUT) && c->sent < all.request_len &&
			    conn_send(c) < 0)
				conn_broke(c);
			else if (ev[i].events & ~(uint32_t)EPOLLOUT)
				conn_read(c);
		}
	}
}

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
report(void)
{
	double seconds = (double)(now_us() - all.start_us) / 1e6;
	int64_t p50 = 0, p99 = 0, max = 0;

	qsort(all.took_us, (size_t)all.ok, sizeof(*all.took_us), by_value);
	if (all.ok) {
		p50 = all.took_us[all.ok / 2];
		p99 = all.took_us[all.ok * 99 / 100];
		max = all.took_us[all.ok - 1];
	}
	(void)printf("{\"ok\": %ld, \"errors\": %ld, \"unfinished\": %ld, \"reconnects\": %ld, "
		     "\"bad_status\": %d, \"seconds\": %.6f, \"body_bytes\": %llu, "
		     "\"p50_us\": %lld, \"p99_us\": %lld, \"max_us\": %lld}\n",
		     all.ok, all.errors, all.requests - all.finished, all.reconnects,
		     all.first_status, seconds, (unsigned long long)all.body_bytes, (long long)p50,
		     (long long)p99, (long long)max);
}

static char *
read_file(const char *name, size_t *n)
{
	char *text = malloc(FILE_MAX);
	FILE *f = fopen(name, "re");

	if (!f || !text)
		die(name);
	*n = fread(text, 1, FILE_MAX - 1, f);
	text[*n] = '\0';
	(void)fclose(f);
	return text;
}

/* The lines of the file, and where the '*' of the request is. */
static void
read_ids(const char *name)
{
	FILE *f = fopen(name, "re");
	char *star = strchr(all.request, '*');
	long size;

	if (!f || !star || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) <= 0)
		die(name);
	rewind(f);
	all.ids = malloc((size_t)size + 1);
	if (!all.ids || fread(all.ids, 1, (size_t)size, f) != (size_t)size)
		die(name);
	(void)fclose(f);
	all.ids[size] = '\0';
	all.id_len = strcspn(all.ids, "\n");
	all.nids = size / (long)(all.id_len + 1);
	all.id_at = (size_t)(star - all.request);
	memmove(star + all.id_len, star + 1, all.request_len - all.id_at - 1);
	all.request_len += all.id_len - 1;
}

static void
make_request(const char *method, const char *path, const char *body_file, const char *bearer_file)
{
	size_t body_len = 0, bearer_len = 0;
	char *body = read_file(body_file, &body_len), *bearer = NULL;
	int head;

	if (bearer_file) {
		bearer = read_file(bearer_file, &bearer_len);
		bearer[strcspn(bearer, "\r\n")] = '\0';
	}
	all.request = malloc(body_len + FILE_MAX + 1024);
	if (!all.request)
		die("memory");
	head = snprintf(all.request, FILE_MAX + 1024,
			"%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%s"
			"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			method, path, ntohs(all.to.sin_port),
			bearer ? "Authorization: Bearer " : "", bearer ? bearer : "",
			bearer ? "\r\n" : "", body_len);
	memcpy(all.request + head, body, body_len);
	all.request_len = (size_t)head + body_len;
	free(body);
	free(bearer);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", 1, NULL, 'p' },        { "path", 1, NULL, 'P' },
		{ "connections", 1, NULL, 'c' }, { "requests", 1, NULL, 'r' },
		{ "body-file", 1, NULL, 'b' },   { "ids-file", 1, NULL, 'i' },
		{ "bearer-file", 1, NULL, 'k' }, { "timeout-s", 1, NULL, 't' },
		{ "say-sent", 0, NULL, 's' },    { NULL, 0, NULL, 0 }
	};
	const char *path = "/", *body = "/dev/null", *bearer = NULL, *ids = NULL;
	struct conn *conns;
	long timeout_s = 60, port = 0;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (o) {
		case 'p': port = strtol(optarg, NULL, 10); break;
		case 'P': path = optarg; break;
		case 'c': all.connections = strtol(optarg, NULL, 10); break;
		case 'r': all.requests = strtol(optarg, NULL, 10); break;
		case 'b': body = optarg; break;
		case 'i': ids = optarg; break;
		case 'k': bearer = optarg; break;
		case 't': timeout_s = strtol(optarg, NULL, 10); break;
		case 's': all.say_sent = true; break;
		default: return 2;
		}
	if (port < 1 || port > 65535 || all.connections < 1 || all.requests < all.connections) {
		(void)fprintf(stderr, "load: --port, --connections <= --requests\n");
		return 2;
	}
	all.to = (struct sockaddr_in){ .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	make_request(ids ? "GET" : "POST", path, body, bearer);
	if (ids)
		read_ids(ids);
	conns = calloc((size_t)all.connections, sizeof(*conns));
	all.took_us = calloc((size_t)all.requests, sizeof(*all.took_us));
	all.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || !all.took_us || all.epoll_fd < 0)
		die("start");
	run(conns, now_us() + timeout_s * 1000000);
	report();
	free(conns);
	return 0;
}
