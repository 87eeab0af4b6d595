#ifndef EASEL_HTTP_SSE_H
#define EASEL_HTTP_SSE_H
/*
 * sse - an answer that is an event stream (WHATWG HTML, "Server-sent events")
 *
 *	struct sse s;
 *	sse_init(&s, r);
 *	…
 *	sse_event(&s, "image_generation.completed", json, e);
 *
 * The 200 leaves with the first event or comment: until then the request can still fail with a status of
 * its own, which the SDKs understand better.  sse_keep_alive() makes sure that nobody in between takes
 * silence for an end.  Whatever is written reaches the client at once.  A client that has left is
 * noticed here and remembered; all functions then do nothing and return -1 with ERR_GONE.
 * One thread.  Does not log.
 */
#include <jansson.h>

#include "http/request.h"

struct sse {
	struct request *r;
	int64_t written_us; /* when the last byte was written; of sse_init() before */
	bool begun;         /* the 200 has left */
	bool left;          /* so has the client */
	bool nameless;      /* its errors are no "event: error": chat's streams have data alone */
};

void sse_init(struct sse *s, struct request *r);

/* Sends the headers, unless they have left. */
int sse_begin(struct sse *s, struct err *e);

/* One event; `name` NULL: it has only data, which is one line: JSON without line breaks, or "[DONE]". */
int sse_event(struct sse *s, const char *name, const char *data, struct err *e);
/*
 * One event, whose data is `before`, the first `bytes` of a file in base64, and `after`; in pieces, so that
 * memory stays constant.
 */
int sse_event_base64(struct sse *s, const char *name, const char *before, int fd, uint64_t bytes,
		     const char *after, struct err *e);

/* ": text", which readers skip. */
int sse_comment(struct sse *s, const char *text, struct err *e);

/*
 * For a tick: looks whether the client has left, and sends ": keep-alive" when nothing was sent for [server]
 * stream_keep_alive.  False: it has left.
 */
bool sse_keep_alive(struct sse *s);
/* How often that is worth calling. */
int64_t sse_tick_us(const struct sse *s);

/*
 * An error once the stream has begun: "event: error", data {"type":"error","error":{…}}, which OpenAI's SDKs
 * raise as an APIError.  in_error: further members of the error, beside: of the event; both are taken
 * over, NULL: none.  Completes *e as the frame completes an error that is an answer; the caller returns
 * -1 with it, so that it is logged.  Nothing when the stream has not begun: then the frame answers.
 */
void sse_error(struct sse *s, struct err *e, json_t *in_error, json_t *beside);

#endif
