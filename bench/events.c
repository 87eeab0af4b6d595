/*
 * events - a chat provider for measurements: each POST is answered with so many events, one write each
 *
 *	events [--events 2000] [--gap-us 0] [--first-ms 0]
 *
 * One connection at a time, kept alive.  Prints "ready PORT".  SIGTERM ends it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char event[] =
	"data: "
	"{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":"
	"\"m\","
	"\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,"
	"\"finish_reason\":null}]}\n\n";
static const char done[] = "data: [DONE]\n\n";

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w <= 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int
write_chunk(int fd, const char *text)
{
	char piece[512];
	int n = snprintf(piece, sizeof(piece), "%zx\r\n%s\r\n", strlen(text), text);

	return write_all(fd, piece, (size_t)n);
}

/* Reads one request with its body.  -1: there are no more. */
static int
read_request(int fd)
{
	static char head[65536];
	size_t len = 0;
	char *end = NULL, *said;
	long left;

	while (!end) {
		ssize_t n = read(fd, head + len, sizeof(head) - 1 - len);

		if (n <= 0)
			return -1;
		len += (size_t)n;
		head[len] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	said = strcasestr(head, "\r\ncontent-length:");
	left = (said ? strtol(said + 17, NULL, 10) : 0) - (long)(len - (size_t)(end + 4 - head));
	while (left > 0) {
		ssize_t n = read(fd, head, sizeof(head));

		if (n <= 0)
			return -1;
		left -= n;
	}
	return 0;
}

static int
answer(int fd, long events, long gap_us)
{
	static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
				   "transfer-encoding: chunked\r\n\r\n";
	struct timespec next;

	if (write_all(fd, head, sizeof(head) - 1) < 0)
		return -1;
	(void)clock_gettime(CLOCK_MONOTONIC, &next);
	for (long i = 0; i < events; i++) {
		if (write_chunk(fd, event) < 0)
			return -1;
		next.tv_nsec += gap_us * 1000;
		next.tv_sec += next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		if (gap_us)
			(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	if (write_chunk(fd, done) < 0)
		return -1;
	return write_all(fd, "0\r\n\r\n", 5);
}

int
main(int argc, char **argv)
{
	long events = 2000, gap_us = 0, first_ms = 0;
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--events"))
			events = strtol(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--gap-us"))
			gap_us = strtol(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--first-ms"))
			first_ms = strtol(argv[i + 1], NULL, 10);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(listener, 128) < 0 || getsockname(listener, (struct sockaddr *)&at, &n) < 0)
		return 1;
	(void)printf("ready %d\n", ntohs(at.sin_port));
	(void)fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			return 1;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		/* Kept for one request: whoever comes next must not wait for an idle connection. */
		if (read_request(fd) == 0)
			(void)usleep((useconds_t)first_ms * 1000), (void)answer(fd, events, gap_us);
		(void)shutdown(fd, SHUT_WR);
		(void)close(fd);
	}
}
