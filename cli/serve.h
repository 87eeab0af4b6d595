#ifndef EASEL_CLI_SERVE_H
#define EASEL_CLI_SERVE_H
/*
 * serve - what the files of `easel serve` share
 */
#include "base/buf.h"
#include "front.h"
#include "http/stats.h"
#include "supervise.h"
#include "tls.h"

/* What a reload has prepared and not yet taken over. */
struct reloading {
	struct config *conf;
	struct state state;
	int config_fd; /* -1: nothing is prepared */
	struct buf front_text;
	bool front_differs;
	char tls_seen[TLS_SEEN_BYTES];
	uint64_t starts[NPROGRAMS]; /* of workers, before */
};

struct serve {
	const char *file; /* the argument of --config */
	struct config *conf;
	struct state state;
	struct programs programs;
	struct front front;
	int signal_fd, config_fd, log_pipe[2];
	char lighttpd[PATH_MAX], lighttpd_conf[PATH_MAX];
	struct buf front_text; /* what is in lighttpd_conf */
	char tls_seen[TLS_SEEN_BYTES];
	char listen_pid[LISTEN_PID_TEXT];
	char *front_argv[6], *front_envp[8];
	char self[PATH_MAX]; /* this executable */
	char *prune_argv[5];
	struct child children[NPROGRAMS + 2]; /* the web server first, what prunes last */
	size_t nchildren;
	int64_t max_fds;
	struct supervisor supervisor;
	struct reloading next;
	struct stats *stats[NPROGRAMS];
};

/* serve.c */
int64_t serve_drain_ms(const struct config *c);
/* Creates or upgrades the store and says what is weak about it, makes the installation's secret key. */
int serve_prepare_store(const struct config *c, struct err *e);
/* The web server's configuration for `c`, checked certificate and all, into *text. */
int serve_front_text(const struct serve *s, const struct config *c, const struct state *state,
		     char tls_seen[TLS_SEEN_BYTES], struct buf *text, struct err *e);

/* reload.c */
struct reload serve_reload(struct serve *s);
void reloading_done(struct reloading *n);

#endif
