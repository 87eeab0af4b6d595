#ifndef EASEL_HTTP_FRAME_H
#define EASEL_HTTP_FRAME_H
/*
 * frame - what the files of the frame share; handlers include app.h, request.h and reply.h instead
 */
#include <sys/types.h>

#include "base/buf.h"
#include "http/app.h"
#include "http/conn.h"
#include "http/route.h"
#include "http/stats.h"
#include "store/store_limit.h"

#define HEADERS_MAX_BYTES 16384 /* of an answer */
#define WRITE_GRACE_MS    30000 /* beyond the deadline, for a client to take its answer */

struct frame {
	const struct app *app;
	const struct config *config;
	struct process_conf process;
	struct store *store;
	struct authenticator *auth;
	struct stats *stats;
	void *state;
	_Atomic int64_t
		leave_us; /* when what is in hand is to be let go; 0: this process is not ending */
	_Atomic int64_t nlet_go; /* requests in hand that this process need not wait for */
};

struct after {
	void (*fn)(void *arg);
	void *arg;
};

struct request {
	struct frame *frame;
	struct conn *conn;
	char id[40];
	int64_t accepted_us;
	struct deadline deadline;
	int64_t budget_ms;
	bool ceiling; /* the deadline is the profile's, not the route's */
	struct ledger ledger;
	struct principal who;
	const struct route *route;
	struct grant grant;
	unsigned images_came;
	char method[16];
	const char *target; /* the connection's, until it is closed */
	char *path, *rest;  /* one block, as long as the target needs; "" until it was read */
	char *body;
	size_t body_len;
	/* The answer. */
	struct buf headers; /* added by the handler, "Name: value\r\n" each */
	int status;         /* 0: nothing was answered yet */
	bool head_only, broken;
	bool over; /* answered and closed, while its handler goes on */
	bool let_go;
	uint64_t bytes_in, bytes_out;
	struct after after[REQUEST_AFTERS];
	unsigned nafters;
	const char *code; /* of the error answered with, for the log */
};

/* frame.c: serves the request that `conn` has open, from its parameters to its log line.  It had to
 * wait for waited_us of the time since it was accepted. */
void frame_serve(struct frame *f, struct conn *conn, int64_t accepted_us, int64_t waited_us);
/* Answers with an error without looking further: any, or 503 because there are too many. */
void frame_refuse(struct frame *f, struct conn *conn, int64_t accepted_us, const struct err *e);
void frame_shed(struct frame *f, struct conn *conn, int64_t accepted_us);
int frame_open(struct frame *f, const struct app *app, const struct config *c, struct err *e);
void frame_close(struct frame *f);

/* reply.c */
void reply_error(struct request *r, const struct err *e);
void reply_error_with(struct request *r, const struct err *e, json_t *members);

#define SHED_EXTRA 64 /* threads beyond max_in_flight that only wait briefly and shed */

/* pool.c: serves connections of `listen_fd` until the process is told to leave. */
int pool_run(struct frame *f, int listen_fd, int parent_pipe);

/* work.c: the same for a program whose threads find their work themselves. */
int work_run(struct frame *f, int parent_pipe);

/* stand_in.c: answers with *why, for some seconds, what no other worker takes. */
void stand_in_run(struct frame *f, int listen_fd, const struct err *why);

/*
 * prefork.c: prefork_run() keeps f->process.workers workers alive, each running pool_run(); the exit
 * status.  Before it, and before anything else takes an interest in signals (libfcgi catches SIGTERM and
 * would keep it to itself), prefork_hold_signals() lets those that end a program wait for it.
 */
void prefork_hold_signals(void);
int prefork_run(struct frame *f, int listen_fd);

#endif
