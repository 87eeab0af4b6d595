#ifndef EASEL_CLI_PROBE_H
#define EASEL_CLI_PROBE_H
/*
 * probe - asks the front door for /healthz, without ever waiting
 *
 * The listening socket exists before the web server runs, so the question is put at once and the
 * answer comes when the whole chain stands: no polling in the usual case.  With TLS the question goes
 * through it; whose certificate it is does not matter, as the socket is our own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct probe {
	struct sockaddr_storage to;
	socklen_t to_len;
	bool tls;
	int fd;             /* -1: no question is under way */
	struct ssl_st *ssl; /* NULL without TLS */
	bool asked;
	char in[64];
	size_t n;
};

/*
 * Goes on as far as it can.  The HTTP status of an answer, 0 while none came (wait until fd is
 * readable), -1 when the connection failed (try again a little later).
 */
int probe_step(struct probe *p);
void probe_done(struct probe *p);

#endif
