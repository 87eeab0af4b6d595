#ifndef EASEL_CLI_PROBE_H
#define EASEL_CLI_PROBE_H
/*
 * probe - asks the front door for /healthz, without ever waiting
 *
 * The listening socket exists before the web server runs, so the question is put at once and the
 * answer comes when the whole chain stands: no polling in the usual case.
 */
#include <stddef.h>
#include <sys/socket.h>

struct probe {
	struct sockaddr_storage to;
	socklen_t to_len;
	int fd; /* -1: no question is under way */
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
