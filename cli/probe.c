#include "probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

static int
failed(struct probe *p)
{
	probe_done(p);
	return -1;
}

static int
ask(struct probe *p)
{
	static const char question[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
				       "User-Agent: easel-serve\r\nConnection: close\r\n\r\n";

	p->n = 0;
	p->fd = socket(p->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return -1;
	/* Both end at once: the socket listens on this machine, and the question is short. */
	if (connect(p->fd, (const struct sockaddr *)&p->to, p->to_len) < 0 ||
	    send(p->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != sizeof(question) - 1)
		return failed(p);
	return 0;
}

int
probe_step(struct probe *p)
{
	int64_t status;
	ssize_t n;

	if (p->fd < 0 && ask(p) < 0)
		return -1;
	n = recv(p->fd, p->in + p->n, sizeof(p->in) - 1 - p->n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return failed(p);
	p->n += (size_t)n;
	p->in[p->n] = '\0';
	if (p->n < sizeof("HTTP/1.1 200") - 1)
		return 0;
	p->in[sizeof("HTTP/1.1 200") - 1] = '\0';
	if (strncmp(p->in, "HTTP/1.", 7) != 0 || num_i64(p->in + 9, 100, 599, &status) < 0)
		return failed(p);
	probe_done(p);
	return (int)status;
}

void
probe_done(struct probe *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
}
