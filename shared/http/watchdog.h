#ifndef EASEL_HTTP_WATCHDOG_H
#define EASEL_HTTP_WATCHDOG_H
/*
 * watchdog - ends a program that overruns its own deadline
 *
 * Every wait in Easel ends with the request's deadline; where one does not, that is a mistake of ours,
 * and nobody inside the process may be left to notice.  So each worker keeps a board, a page that it
 * shares with its parent: until when each request in hand must have been answered and how far it is.
 * The parent looks at it twice a second and ends a worker that is late, or that shows no sign of life
 * at all; the web server answers its requests with an error, and what they had begun is ended by
 * whoever starts next (job/intent.h).
 *
 * A CGI program has no parent of ours: it sets an alarm.
 *
 * In a worker: thread-safe, and costs some nanoseconds.  Does not log.
 */
#include <stdbool.h>
#include <stdint.h>

#define WATCHDOG_LOOK_MS   500
#define WATCHDOG_MARGIN_MS 2000  /* beyond a request's time */
#define WATCHDOG_SIGN_MS   10000 /* between two signs of life of an idle worker */
#define WATCHDOG_START_MS  20000 /* more, until its first one: it may have to wait for the store */

struct watchdog;

/* ---- in the parent ---- */

/* A board for a worker with at most so many requests in hand; before the fork.  NULL: no memory. */
struct watchdog *watchdog_new(unsigned requests);
void watchdog_free(struct watchdog *w); /* accepts NULL */

struct overdue {
	char request[40];  /* "" when it is the worker itself */
	const char *stage; /* static */
	int64_t late_ms;
};
/* Is the worker late?  *o then says with what: the request that is the latest. */
bool watchdog_late(const struct watchdog *w, struct overdue *o);

/* ---- in the worker ---- */

/* This process's board from here on. */
void watchdog_use(struct watchdog *w);
/* There is no board: this process, with one request, is ended by SIGALRM. */
void watchdog_use_alarm(void);
void watchdog_alive(void); /* a sign of life, from the main thread */

/* The calling thread has taken a request in, which must be answered until then. */
void watchdog_begin(const char *request, int64_t until_us);
void watchdog_until(int64_t until_us);
void watchdog_stage(const char *stage); /* a string constant of the program */
void watchdog_end(void);

#endif
