#ifndef EASEL_CLI_SUPERVISE_H
#define EASEL_CLI_SUPERVISE_H
/*
 * supervise - keeps the web server and the programs alive, and ends them in order
 *
 * One thread, one poll.  Whatever dies is started again, ever more slowly when it dies at once.
 * SIGTERM or SIGINT drains: the web server takes nothing new and finishes; then the programs get
 * SIGTERM and their drain time; what is left is killed.  A second one kills at once.
 */
#include "spawn.h"
#include "listen.h"

struct supervisor {
	struct child *children; /* the web server first */
	size_t n;
	struct front *front;
	int log_fd;       /* the web server's standard error, non-blocking */
	int64_t drain_ms; /* the programs' */
	int64_t exec_us;  /* when this process began, for the log */
};

/* Blocks the signals that supervise() waits for; before the first child. */
int supervise_signals(struct err *e);

/* Starts all, prints "ready URL" when /healthz answers 200, and stays until told to end.  The exit
 * status; afterwards no descendant is left.  Closes front->fd. */
int supervise(struct supervisor *s, int signal_fd);

#endif
