#ifndef EASEL_API_CHAT_PASS_H
#define EASEL_API_CHAT_PASS_H
/*
 * chat_pass - a provider's answer to a chat request on its way to the client
 *
 *	struct chat_pass p = { .r = r, .model = m, .attempts = n, .turn = &turn, .sse = &sse, .stream = stream, … };
 *	struct upstream_body receiver = chat_pass_receiver(&p);
 *	rc = … upstream_call(… &receiver …);
 *	if (rc == 0)
 *		rc = chat_pass_end(&p, &failure, e);
 *	chat_pass_done(&p);
 *
 * An event stream goes out byte for byte, each line as it arrives; any other answer once it is whole, so that one that
 * breaks off or holds an error is an error with a status.  Of a line, or an answer, 16 MB are held back so; what is
 * longer goes out as it arrives, and breaks off where the provider's does.  Only a plain answer where a stream was
 * asked for must be whole, for its events are made of it.
 *
 * Private to api/.  Does not log.
 */
#include "base/buf.h"
#include "http/request.h"
#include "http/sse.h"
#include "job/key_turn.h"
#include "net/upstream.h"
#include "provider/upstream_error.h"

struct chat_pass {
	/* From the caller. */
	struct request *r;
	const struct model_conf *model; /* that is asked */
	unsigned attempts;              /* calls to providers until now, this one included */
	const struct key_turn *turn; /* its keys are nobody else's business should one come back */
	struct sse *sse;     /* knows whether the stream has begun, and tells errors in it */
	bool stream;         /* one was asked for */
	size_t events_bytes; /* of a plain answer in its place */

	/* Its own. */
	const struct upstream_head *head;
	char type[96];
	enum { PASS_STREAM, PASS_WHOLE, PASS_ERROR } how;
	/* PASS_WHOLE: the answer.  PASS_ERROR: what it says.  PASS_STREAM: what came until it began, and then the
	   beginning of a line whose end has not come. */
	struct buf text;
	bool flows;  /* … and is too long for that: what goes before has left */
	bool unsent; /* pieces of the stream are on their way, but not out yet */
};

/* Of one exchange; ends it, too, when the client has left (ERR_GONE), or when tick_forsaken() (ERR_STOPPING). */
struct upstream_body chat_pass_receiver(struct chat_pass *p);
/* The exchange has ended well: what is left goes out.  0, or -1: *e says what is wrong with the answer. */
int chat_pass_end(struct chat_pass *p, const struct upstream_failure *f, struct err *e);
void chat_pass_done(struct chat_pass *p);
/* Who was asked, in how many calls: for an answer that is to begin.  The caller's for an error's alone. */
void chat_pass_headers(struct request *r, const struct model_conf *model, unsigned attempts);

#endif
