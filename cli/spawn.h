#ifndef EASEL_CLI_SPAWN_H
#define EASEL_CLI_SPAWN_H
/*
 * spawn - one process under `easel serve`: how it is started, and how soon again after a death
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct child {
	const char *name;  /* for the log */
	char *const *argv; /* argv[0] is the path */
	char *const *envp;
	int stdin_fd;     /* becomes descriptor 0: a program's listening socket; -1: /dev/null */
	int stderr_fd;    /* becomes descriptor 2; -1: ours */
	int listen_fd;    /* becomes descriptor 3, announced as LISTEN_PID in listen_pid; or -1 */
	int keep_fd;      /* keeps its number; or -1 */
	char *listen_pid; /* with listen_fd: the variable in envp that is filled in, LISTEN_PID_TEXT */
	bool front;       /* the web server: it ends first, by SIGINT */
	bool now_and_then; /* runs to its end, again and again */
	int64_t every_ms;  /* … that long after its end; 0: not at all */

	pid_t pid; /* 0: not running */
	int64_t started_us;
	int64_t restart_at_us; /* while not running: when to try again; 0: not at all */
	unsigned quick_deaths; /* in a row, each soon after its start */
};

#define LISTEN_PID_TEXT 32 /* bytes of "LISTEN_PID=…" */

/*
 * Starts it in a process group of its own, so that the terminal's Ctrl-C reaches only `easel serve`.
 * It is told to end (SIGTERM) when this process dies.  0, or -1: ERR_INTERNAL.
 */
int child_start(struct child *c, struct err *e);

/* Notes that it died: sets pid, quick_deaths and restart_at_us. */
void child_died(struct child *c, int64_t now_us);

/* Sets when one that runs now and then is started next: after a tenth of its time more or less than `ms`. */
void child_later(struct child *c, int64_t ms);

/* How long to wait before the next start after so many quick deaths in a row. */
int64_t restart_delay_ms(unsigned quick_deaths);

/* Kills every descendant of this process that is left, however it came there, and reaps it. */
void kill_descendants(void);

#endif
