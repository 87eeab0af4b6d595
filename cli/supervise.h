#ifndef EASEL_CLI_SUPERVISE_H
#define EASEL_CLI_SUPERVISE_H
/*
 * supervise - keeps the web server and the programs alive, and ends them in order
 *
 * One thread, one poll.  Whatever dies is started again, ever more slowly when it dies at once.
 * SIGTERM or SIGINT drains: the web server takes nothing new and finishes; then the programs get
 * SIGTERM and their drain time; what is left is killed.  A second one kills at once.
 *
 * SIGHUP takes the configuration over anew without losing a request: the new programs are started
 * beside the old ones, on the same sockets; when all of them are up, the old ones are told to finish
 * what they have in hand (SIGQUIT), however long that takes.  When one of them does not come up, it is
 * the new ones that go.  The web server is replaced last, in the same way, and only when its own
 * configuration or certificate is another.
 */
#include "spawn.h"
#include "listen.h"
#include "state.h"

/* What a reload means to `easel serve`; each is given `arg`. */
struct reload {
	void *arg;
	/* 0: from here on `children` are started the new way; -1: it said why not. */
	int (*prepare)(void *arg);
	bool (*ready)(void *arg);   /* are all new programs up? */
	bool (*commit)(void *arg);  /* true: the web server is to be replaced too */
	void (*abandon)(void *arg); /* `children` are started the old way again */
};

struct supervisor {
	struct child *children; /* the web server first */
	size_t n;
	struct front *front;
	const struct state *state;
	int log_fd;       /* the web server's standard error, non-blocking */
	int64_t drain_ms; /* the programs' */
	int64_t exec_us;  /* when this process began, for the log */
	struct reload reload;
};

/* Blocks the signals that supervise() waits for; before the first child. */
int supervise_signals(struct err *e);

/* Starts all, prints "ready URL" when /healthz answers 200, and stays until told to end.  The exit
 * status; afterwards no descendant is left.  Closes front->fd. */
int supervise(struct supervisor *s, int signal_fd);

#endif
