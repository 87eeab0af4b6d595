#ifndef EASEL_CLI_LISTEN_H
#define EASEL_CLI_LISTEN_H
/*
 * listen - the sockets that `easel serve` holds, and the lock on its state folder
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"

#define LISTEN_BACKLOG 4096
#define URL_TEXT       320

struct address {
	char host[256]; /* without brackets; "" for every address of this machine */
	char port[8];
};

/* Takes "HOST:PORT", "[IPV6]:PORT" or ":PORT" apart.  0, or -1: ERR_CONFIG. */
int address_parse(const char *listen, struct address *out, struct err *e);

struct front {
	int fd;                        /* the listening TCP socket */
	struct sockaddr_storage probe; /* where this machine reaches it */
	socklen_t probe_len;
	char url[URL_TEXT]; /* "http://127.0.0.1:8080" */
};

/*
 * Binds and listens; port 0 takes a free one.  A port in use is tried for wait_ms.
 * 0, or -1: ERR_CONFIG (no such address, no permission), ERR_INTERNAL (in use).
 */
int front_listen(const char *listen, int64_t wait_ms, struct front *out, struct err *e);

/* Makes the URL one with TLS, or without. */
void front_scheme(struct front *f, bool tls);

/* A listening unix socket at `path`, mode 0600, in place of whatever socket was there.  Or -1. */
int unix_listen(const char *path, struct err *e);

/* An exclusive lock on the file `path` for as long as the descriptor lives, or -1: ERR_INTERNAL. */
int lock_file(const char *path, struct err *e);

#endif
