#ifndef EASEL_HTTP_CONN_H
#define EASEL_HTTP_CONN_H
/*
 * conn - one request's connection to the web server: FastCGI, or CGI
 *
 * The only module that knows libfcgi (2.4.2: http/conn.c says which of its edges are worked around).
 * A struct conn is used by one thread at a time and can serve any number of requests one after
 * another.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conn;

/* Once a process, before threads.  0 or -1. */
int conn_library_init(void);

struct conn *conn_new(void); /* NULL: out of memory */
void conn_free(struct conn *c);

/*
 * Takes over `fd`, an accepted FastCGI connection, and reads the request's parameters.  A peer that
 * sends nothing or nonsense is given up after CONN_PEER_TIMEOUT_S.  0, or -1: the connection is
 * closed and there is nothing to answer.
 */
#define CONN_PEER_TIMEOUT_S 10
int conn_open(struct conn *c, int fd);
/* The CGI request in the environment and on standard input. */
int conn_open_cgi(struct conn *c);

bool conn_is_cgi(const struct conn *c);

/* A CGI variable, or NULL; also when the request is closed. */
const char *conn_param(const struct conn *c, const char *name);

/* From here on the body is not waited for past `at_us` (CLOCK_MONOTONIC): reading it fails then. */
void conn_read_until(struct conn *c, int64_t at_us);
/*
 * An answer is written until `at_us` at most, and a client that takes none of it for CONN_STALL_S is
 * given up before that: then writing fails, and the connection is broken.
 */
#define CONN_STALL_S 20
void conn_write_until(struct conn *c, int64_t at_us);

/* Reads up to n bytes of the body; fewer only at its end.  -1: the connection broke, or time is up. */
ssize_t conn_read(struct conn *c, void *p, size_t n);
/* Gives the input's memory back; nothing can be read afterwards.  For long waits. */
void conn_input_done(struct conn *c);

/* 0, or -1: the web server is gone. */
int conn_write(struct conn *c, const void *p, size_t n);
int conn_flush(struct conn *c);
/* What was written leaves, and nothing more: the answer has no end. */
void conn_break(struct conn *c);

/*
 * Has the client left?  Told by the web server, which closes its side of the connection (lighttpd with
 * tcp-fin-propagate, nginx; Apache never does), or by a write that failed.  Waits for nothing.
 */
bool conn_is_left(const struct conn *c);

/* Ends the request.  Whatever was not read of the body is thrown away. */
void conn_close(struct conn *c);

#endif
