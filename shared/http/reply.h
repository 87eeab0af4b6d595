#ifndef EASEL_HTTP_REPLY_H
#define EASEL_HTTP_REPLY_H
/*
 * reply - the answer to one request
 *
 * x-request-id, server-timing and whatever else is on every answer are added by themselves.
 * A reply can be given once; after reply_begin() errors can only end the connection.
 */
#include <jansson.h>

#include "http/request.h"

/* Adds a header to the answer that is to come.  A value with CR, LF or NUL is dropped. */
void reply_header(struct request *r, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The whole answer; takes doc. */
int reply_json(struct request *r, int status, json_t *doc, struct err *e);
/* The whole answer, any type. */
int reply_text(struct request *r, int status, const char *content_type, const char *text, size_t n,
	       struct err *e);

/* An answer of length_bytes in pieces (-1: not known). */
int reply_begin(struct request *r, int status, const char *content_type, int64_t length_bytes,
		struct err *e);
int reply_write(struct request *r, const void *p, size_t n, struct err *e);
int reply_end(struct request *r, struct err *e);
/*
 * *e ends an answer in the middle: the web server is left without its end, and leaves the client so, who must not take
 * it for whole.  (A CGI program's answer just ends.)
 */
void reply_break(struct request *r, const struct err *e);

/*
 * An answer that begins before its outcome is known: a stream (http/sse.h).  server-timing then says what is
 * known so far; the handler tells the rest.
 */
int reply_stream(struct request *r, const char *content_type, struct err *e);
/* The time until now that was not booked yet was spent on this. */
void reply_book(struct request *r, enum ledger_item item);
/* The ledger in milliseconds, as server-timing has it, as a new reference: for the end of a stream. */
json_t *reply_ledger(struct request *r);

/* Adds what only the frame knows of an error: how long the deadline was.  Those below do it, too. */
void reply_complete_error(const struct request *r, struct err *e);
/* Answers with an error, where nothing was answered yet, and logs it: what the frame does with a handler's. */
void reply_failure(struct request *r, struct err *e);
/* The same with further members of the error; takes them over. */
void reply_failure_with(struct request *r, struct err *e, json_t *members);

/*
 * The error object that every answer has, as a new reference: for streams, tasks and tests.  Bytes that are no UTF-8 are told
 * as '?'.  NULL: out of memory; then ERROR_PLAIN is said instead, so that nobody is left without an answer.
 */
json_t *error_json(const struct err *e, enum err_lang lang, const char *request_id);
#define ERROR_PLAIN                                                                          \
	"{\"message\":\"It failed, and there was no memory to say why.\",\"type\":\"server_error\"," \
	"\"code\":\"internal_error\",\"param\":null}"

#endif
