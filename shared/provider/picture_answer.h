#ifndef EASEL_PROVIDER_PICTURE_ANSWER_H
#define EASEL_PROVIDER_PICTURE_ANSWER_H
/*
 * picture_answer - receives a JSON answer with pictures in it
 *
 * The pictures go to the disk while they arrive; what stands around them is kept for a JSON parser; an
 * answer that is no success is kept as text.  For every dialect that answers with JSON:
 *
 *	AUTO(picture_answer) a;
 *	picture_answer_init(&a, call, room);
 *	struct upstream_body body = picture_answer_body(&a);
 *	rc = upstream_call(&rq, &body, &head, …);
 *	picture_answer_book(&a, LEDGER_PROVIDER);
 *
 * Pictures that nobody took are removed by picture_answer_done().
 */
#include "base/buf.h"
#include "files/answer_scan.h"
#include "files/sink.h"
#include "net/upstream.h"
#include "provider/provider.h"

#define ANSWER_REST_BYTES (256 * 1024) /* everything but the pictures */

struct picture_answer {
	struct image_call *call;
	unsigned room; /* pictures to keep; further ones are not stored */
	struct answer_scan scan;
	struct sink sink;
	unsigned current; /* the picture that is arriving */
	bool failed;      /* collects text instead: no 2xx, or a web page */
	bool sniffed;     /* the first character was seen */
	struct buf text;  /* of a failure */
	int64_t store_us;
	struct picture pictures[IMAGES_MAX];
	enum { ANSWER_NONE, ANSWER_STORED, ANSWER_TAKEN } state[IMAGES_MAX];
};

void picture_answer_init(struct picture_answer *a, struct image_call *call, unsigned room);
void picture_answer_done(struct picture_answer *a);
struct upstream_body picture_answer_body(struct picture_answer *a);

/* Moves the time spent on the disk from `item` to LEDGER_STORE. */
void picture_answer_book(const struct picture_answer *a, enum ledger_item item);

/* Appends the picture with that number to call->images.  false: there is none, or it was taken. */
bool picture_answer_take(struct picture_answer *a, int64_t number);
/* All that are left, in order, while call->nimages < max. */
void picture_answer_take_rest(struct picture_answer *a, unsigned max);

/* Did the text end inside of a string, an object or an array? */
bool picture_answer_is_cut(const struct picture_answer *a);

#endif
