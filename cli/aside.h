#ifndef EASEL_CLI_ASIDE_H
#define EASEL_CLI_ASIDE_H
/*
 * aside - processes that have a successor and finish what they have in hand
 *
 * After a reload the old web server and the old programs live on for as long as their requests do;
 * several generations may.  Nobody starts them again.
 */
#include "spawn.h"

struct aside {
	struct child child;
	size_t index; /* of its successor among the children */
	bool told;    /* it was told to finish; before, it may still be taken back */
};

struct asides {
	struct aside *v;
	size_t n;
};

/* Puts a copy of it there.  0, or -1: ERR_INTERNAL, no memory. */
int asides_add(struct asides *a, const struct child *c, size_t index, struct err *e);
/* The one with that pid, or NULL. */
struct aside *asides_find(struct asides *a, pid_t pid);
/* Tells those that were not told yet to finish: the web server by SIGINT, a program by SIGQUIT. */
void asides_finish(struct asides *a);
/* Sends the programs among them a signal. */
void asides_tell_programs(const struct asides *a, int sig);
/* Forgets those that have ended (pid 0) after they were told to. */
void asides_sweep(struct asides *a);
void asides_done(struct asides *a);

#endif
