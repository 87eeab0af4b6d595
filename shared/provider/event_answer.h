#ifndef EASEL_PROVIDER_EVENT_ANSWER_H
#define EASEL_PROVIDER_EVENT_ANSWER_H
/*
 * event_answer - receives an answer that may be OpenAI's stream of image events, or plain JSON after all
 *
 *	event: image_generation.partial_image
 *	data: {"type":"image_generation.partial_image","b64_json":"…","partial_image_index":0,…}
 *
 *	event: image_generation.completed
 *	data: {"type":"image_generation.completed","b64_json":"…","usage":{…},…}
 *
 * (image_edit.… likewise; "event: error" or an "error" member is the end.)  A partial picture goes into a
 * file without a name and from there to call->on_partial; one that is no picture is passed over.  A
 * completed one is stored as it arrives and is in the call with the end of its event.  Memory stays
 * constant.  What is known by nothing but "type" after its picture, or not at all, is a completed one.
 *
 * A picture_answer does the storing; it must have been made, and outlive this:
 *
 *	event_answer_init(&ev, &a, &f, want);
 *	struct upstream_body body = event_answer_body(&ev);
 *	…
 *	return event_answer_read(&ev, e);
 *
 * Private to provider/.  Thread-safe.
 */
#include "files/source.h"
#include "net/sse_read.h"
#include "provider/picture_answer.h"
#include "provider/upstream_error.h"

struct event_answer {
	struct picture_answer *a;
	const struct upstream_failure *f;
	unsigned want; /* pictures in the call when all have come */
	struct upstream_body plain;
	struct sse_read read;
	bool chosen, is_stream;
	bool in_event;
	bool partial; /* the picture that is arriving is a partial one, … */
	bool dropped; /* … of no use */
	unsigned next; /* the number of the next completed picture */
	struct source so_far;
	struct err *unfetched; /* why a picture that came as a URL could not be had; NULL: none */
};

void event_answer_init(struct event_answer *v, struct picture_answer *a,
		       const struct upstream_failure *f, unsigned want);
void event_answer_done(struct event_answer *v);
struct upstream_body event_answer_body(struct event_answer *v);

/*
 * The answer has arrived.  0 or -1 as openai_answer_read(), and as upstream_error() for a status that is no
 * success; a stream that ended before its pictures came is ERR_UP_TRUNCATED.
 */
int event_answer_read(struct event_answer *v, struct err *e);

#endif
