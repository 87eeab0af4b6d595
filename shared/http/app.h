#ifndef EASEL_HTTP_APP_H
#define EASEL_HTTP_APP_H
/*
 * app - the frame around a program: everything that is the same for all of them
 *
 *	int main(int argc, char **argv) { return app_main(&(const struct app){ … }, argc, argv); }
 *
 * The frame reads the configuration, holds the listening socket (descriptor 0, or LISTEN_FDS) in a
 * parent process, keeps its workers alive, takes requests in threads made on demand, stamps each with
 * an id and a deadline, routes, authenticates, sheds load that is too much, answers errors, writes one
 * log line a request, and retires a worker by count, age or idleness.  Started without a listening
 * socket the program answers the one CGI request in its environment.  --help prints its routes and
 * settings; --check validates the settings and exits 0 or 78.
 */
#include "config/config.h"
#include "http/reply.h"
#include "http/request.h"

/* Answers the request (0), or returns -1 with *e: then the frame answers it with the error. */
typedef int handler_fn(struct request *r, void *state, struct err *e);

enum {
	ROUTE_OPEN = 1 << 0,   /* needs no credential */
	ROUTE_ERRORS = 1 << 1, /* also judges requests that no route matches: the fallback */
	ROUTE_SPENDS = 1 << 2, /* can cost money: [limits] per key hold here */
	ROUTE_OLDER = 1 << 3   /* errors are {"success":false,"error","code","request_id"} */
};

struct route {
	const char *method; /* "GET" takes HEAD too */
	const char
		*path; /* "/v1/models", "/v1/models/" followed by "*" takes the rest of the path; of two
		          that fit the first one is taken */
	handler_fn *handler;
	unsigned scope; /* enum scope; 0: any key */
	unsigned flags;
	/* The deadline's length: offset of an int64_t in struct config; 0: 10 s. */
	size_t budget_offset;
	/* The body's limit: offset of an int64_t in struct config; 0: no body is taken. */
	size_t body_offset;
	int64_t body_most; /* and no more than that, whatever the setting says; 0: as it says */
};

/* What the frame has opened for a worker; lives as long as it. */
struct app_env {
	const char *program; /* its name */
	const struct config *config;
	const struct process_conf *process;
	struct store *store;
};

struct app {
	const char *name;
	const char *summary;         /* one line for --help */
	const struct route *routes;  /* ends with a zero row */
	const char *const *sections; /* of the settings it uses, for --help; NULL at the end */
	size_t state_size;           /* of what its threads share; zeroed before init */
	/* Once, before the workers are forked: what they can share.  NULL: nothing to do. */
	int (*prepare)(struct err *e);
	/* In each worker, after fork, before threads.  NULL: nothing to do. */
	int (*init)(void *state, const struct app_env *env, struct err *e);
	void (*done)(void *state);
	/*
	 * Set: a program without routes or a listening socket, whose threads init() has started.  The frame
	 * keeps its workers alive, retires them and tells them to leave all the same.
	 */
	const struct app_work *work;
};

struct app_work {
	/* Take nothing new; `leaving`: what can still be given back is given back. */
	void (*stop)(void *state, bool leaving);
	unsigned (*in_hand)(void *state); /* threads that are still there: afterwards none shall be */
	int64_t (*served)(void *state);   /* so far, for max_requests */
};

int app_main(const struct app *app, int argc, char **argv);

#endif
