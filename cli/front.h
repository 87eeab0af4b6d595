#ifndef EASEL_CLI_FRONT_H
#define EASEL_CLI_FRONT_H
/*
 * front - what a web server is told: its configuration and its last-resort error files
 *
 * The templates are in lighttpd/ (installed: share/easel/).  `easel serve` fills lighttpd.conf.in for the
 * web server that it runs; `easel config web-server` fills those for another one.
 */
#include "config/config.h"
#include "programs.h"
#include "state.h"

#define FRONT_TEXT_MAX_BYTES ((size_t)256 * 1024)

#define FRONT_FDS 16384 /* descriptors that a web server is given at most */

/* What the places of a template are filled from; borrowed. */
struct front_facts {
	const struct config *conf;
	const struct state *state;
	const struct programs *programs;
	const char *url;      /* where the front door is; NULL: where [server] listen says */
	const char *tls_seen; /* of tls_check(); NULL: this web server has no TLS of ours */
	int64_t max_fds;      /* that the web server may use */
	int64_t drain_ms;     /* of the programs */
};

/* Adds the filled template ("lighttpd.conf.in", its TLS part where there is a certificate) to out. */
int front_text(const char *template, const struct front_facts *k, struct buf *out, struct err *e);
int front_write(const char *path, const struct buf *text, struct err *e);
/* Writes run/errors/STATUS.html from the catalogue.  0 or -1. */
int front_errors(const struct state *s, struct err *e);

#endif
