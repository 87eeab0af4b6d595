#ifndef EASEL_CLI_STATE_H
#define EASEL_CLI_STATE_H
/*
 * state - the folders of a running installation
 *
 *	STATE_DIR/               0700
 *	  run/                   0700
 *	    serve.lock           held while `easel serve` runs
 *	    NAME.sock            one a program
 *	    sockets -> DIR       instead, when STATE_DIR is too long a name for a socket
 *	    lighttpd.conf        exists exactly while it runs, or after it was killed
 *	    errors/ upload/ empty/
 *	  files/                 the pictures
 */
#include <limits.h>
#include <stdbool.h>

#include "config/config.h"

struct state {
	char run[PATH_MAX];
	char sockets[PATH_MAX]; /* where NAME.sock stand: run, or a folder with a short name */
	char files[PATH_MAX];
	bool short_dir;  /* sockets is not run */
	bool was_killed; /* the last run did not end by itself */
	int lock_fd;
};

/* Makes what is missing, takes the lock, tidies up after a killed run.  0 or -1. */
int state_open(struct state *s, const struct config *c, struct err *e);
/* Removes sockets and the web server's configuration.  Accepts a zeroed one with lock_fd -1. */
void state_close(struct state *s);

/* The names alone, for another web server's configuration; nothing is made or locked.  0 or -1. */
int state_names(struct state *s, const struct config *c, struct err *e);
/* Makes run/ with its folders, and files/.  0 or -1. */
int state_folders(const struct state *s, struct err *e);
/* Takes over (and makes) the folder of pictures of another configuration.  0 or -1. */
int state_files(struct state *s, const struct config *c, struct err *e);

/*
 * Removes what a web server that was killed had collected of bodies: they hold prompts, pictures, and the
 * credentials of callers.  While none runs.
 */
void state_forget_uploads(const struct state *s);

/* DIR/NAME into out (PATH_MAX).  0, or -1: ERR_CONFIG, too long. */
int path_join(char *out, const char *dir, const char *name, struct err *e);

#endif
