#ifndef EASEL_CLI_PROGRAMS_H
#define EASEL_CLI_PROGRAMS_H
/*
 * programs - what `easel serve` runs, where it is found, and what it is handed
 */
#include <limits.h>
#include <stdbool.h>

#include "config/config.h"
#include "state.h"

#define PROGRAM_NAME_MAX 24 /* bytes of the longest name */

/* Has it a listening socket, and a place in the web server's configuration?  task-worker has none. */
bool program_listens(size_t i);

struct programs {
	char path[NPROGRAMS][PATH_MAX];   /* "" for one that is not there */
	char socket[NPROGRAMS][PATH_MAX]; /* of the fallback for one that is not there */
	int fd[NPROGRAMS];                /* listening; -1 for one that is not there */
	char *argv[NPROGRAMS][2];
	size_t count; /* of those that are there */
	char config_fd_variable[32];
	char *envp[24];
};

/* Finds the executables and names their sockets.  0, or -1: ERR_CONFIG (there are none), … */
int programs_find(struct programs *p, const struct state *s, struct err *e);
/* The same, and makes the sockets.  0 or -1. */
int programs_open(struct programs *p, const struct state *s, struct err *e);
void programs_close(struct programs *p);

/* Fills envp: the harmless part of our environment and EASEL_CONFIG_FD. */
void programs_environment(struct programs *p, int config_fd);

/*
 * Finds a file of the installation: in the folder that the variable names, else in the first of
 * `places` (relative to this executable's folder, ends with NULL) that has it.
 * 0 with its path in out (PATH_MAX), or -1.
 */
int find_installed(const char *variable, const char *const *places, const char *name, char *out);

/* Finds a program in PATH and the folders of system programs.  0 or -1. */
int find_command(const char *name, char *out);

#endif
