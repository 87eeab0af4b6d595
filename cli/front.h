#ifndef EASEL_CLI_FRONT_H
#define EASEL_CLI_FRONT_H
/*
 * front - what the web server is told: its configuration and its last-resort error files
 */
#include "config/config.h"
#include "programs.h"
#include "state.h"

/*
 * Writes run/lighttpd.conf from the template, and run/errors/STATUS.html from the catalogue.
 * max_fds: descriptors that the web server may use.  0 or -1.
 */
int front_configure(const struct config *c, const struct state *s, const struct programs *p,
		    const char *url, int64_t max_fds, int64_t drain_ms, struct err *e);

#endif
