#ifndef EASEL_CLI_RUN_H
#define EASEL_CLI_RUN_H
/*
 * run - the supervisor's state, shared by supervise.c and replace.c
 */
#include "aside.h"
#include "base/deadline.h"
#include "front_log.h"
#include "probe.h"
#include "supervise.h"

#define RELOAD_STEP_MS 10 /* between two looks at the new programs */

enum phase { STARTING, RUNNING, STOPPING, GONE };

struct run {
	struct supervisor *s;
	struct probe probe;
	struct front_log log;
	struct asides old;
	enum phase phase;
	int signal_fd;
	int status;      /* of `easel serve` */
	int last_answer; /* of the probe */
	int64_t start_us;
	int64_t term_at_us; /* STOPPING: when the programs get SIGTERM; 0: they have had it */
	int64_t kill_at_us;
	int64_t settle_by_us; /* a reload is under way, until then; 0: none is */
	bool reload_again;    /* SIGHUP came meanwhile */
};

/* supervise.c */
void run_tell(const struct child *c, int sig);
void run_start(struct run *r, struct child *c);
void run_describe(char out[64], int status);

/* replace.c */
/* Goes on with the reload that is under way, or begins the one that was asked for. */
void reload_go_on(struct run *r);
/* The new programs go, the old ones stay. */
void reload_abandon(struct run *r, const char *why);

#endif
