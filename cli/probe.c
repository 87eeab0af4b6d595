#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

static const char question[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
			       "User-Agent: easel-serve\r\nConnection: close\r\n\r\n";

static int
failed(struct probe *p)
{
	probe_done(p);
	return -1;
}

static int
start_tls(struct probe *p)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx)
		return -1;
	p->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx); /* the connection keeps it */
	if (!p->ssl || SSL_set_fd(p->ssl, p->fd) != 1)
		return -1;
	SSL_set_connect_state(p->ssl);
	return 0;
}

static int
reach(struct probe *p)
{
	p->n = 0;
	p->asked = false;
	p->fd = socket(p->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return -1;
	/* It connects at once: the socket listens on this machine. */
	if (connect(p->fd, (const struct sockaddr *)&p->to, p->to_len) < 0 ||
	    fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0 || (p->tls && start_tls(p) < 0))
		return failed(p);
	return 0;
}

/* What came of a call on the TLS connection: -1 when it failed, 0 when it must wait. */
static int
tls_result(struct probe *p, int n)
{
	int why = SSL_get_error(p->ssl, n);

	ERR_clear_error();
	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* 1 when the question has left, 0 to wait, -1. */
static int
ask(struct probe *p)
{
	ssize_t n;

	if (p->ssl) {
		n = SSL_write(p->ssl, question, sizeof(question) - 1);
		if (n <= 0)
			return tls_result(p, (int)n);
	} else {
		n = send(p->fd, question, sizeof(question) - 1, MSG_NOSIGNAL);
	}
	p->asked = n == sizeof(question) - 1; /* it is shorter than any buffer */
	return p->asked ? 1 : -1;
}

/* The number of bytes that came, 0 to wait, -1. */
static ssize_t
receive(struct probe *p)
{
	size_t room = sizeof(p->in) - 1 - p->n;
	ssize_t n;

	if (p->ssl) {
		n = SSL_read(p->ssl, p->in + p->n, (int)room);
		return n > 0 ? n : tls_result(p, (int)n);
	}
	n = recv(p->fd, p->in + p->n, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? n : -1;
}

int
probe_step(struct probe *p)
{
	int64_t status;
	ssize_t n = 1;

	if (p->fd < 0 && reach(p) < 0)
		return -1;
	if (!p->asked)
		n = ask(p);
	if (n > 0)
		n = receive(p);
	if (n <= 0)
		return n < 0 ? failed(p) : 0;
	p->n += (size_t)n;
	p->in[p->n] = '\0';
	if (p->n < sizeof("HTTP/1.1 200") - 1)
		return 0;
	p->in[sizeof("HTTP/1.1 200") - 1] = '\0';
	if (strncmp(p->in, "HTTP/1.", 7) || num_i64(p->in + 9, 100, 599, &status) < 0)
		return failed(p);
	probe_done(p);
	return (int)status;
}

void
probe_done(struct probe *p)
{
	SSL_free(p->ssl);
	p->ssl = NULL;
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
}
