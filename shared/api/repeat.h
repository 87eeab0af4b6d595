#ifndef EASEL_API_REPEAT_H
#define EASEL_API_REPEAT_H
/*
 * repeat - a request that was sent before
 *
 * Known by its Idempotency-Key or, without one, when an SDK says that it tries again
 * (x-stainless-retry-count) and the same key has sent the same to the same route.  It never buys again: it gets the
 * first one's outcome, waits for it while that runs, or is told that the outcome is not known.
 *
 * With a key a record is written before anything is bought, and kept for REPEAT_KEEP_MS; it goes when
 * nothing was bought.  Without one, a record is written when the request has run for REPEAT_NOTE_MS or its
 * client has left, and counts for REPEAT_TAKEN_MS once the client has its answer: quick requests write nothing,
 * except those of SDKs that count their tries, after the answer: it may be lost on its way.
 *
 * "The same" is the same JSON, whatever the order of its members, and the same pictures: a form's text differs
 * from try to try.  Private to api/.  Logs.
 */
#include "base/deadline.h"
#include "http/request.h"
#include "job/image_run.h"
#include "store/store_idem.h"

#define REPEAT_KEY_MAX 255
#define REPEAT_KEEP_MS (24 * 3600 * 1000LL)
#define REPEAT_RETRY_MS \
	(10 * 60 * 1000LL) /* beyond its end, without a key: SDKs try again at once */
#define REPEAT_NOTE_MS  1000
#define REPEAT_TAKEN_MS 10000

struct repeat {
	struct request *r;
	const struct image_request *rq; /* whose pictures belong to it; NULL: none do */
	const json_t *body;             /* what was sent, without those pictures; borrowed */
	const char *key;                /* NULL: none */
	int64_t longest_ms;
	bool retries;       /* an SDK says so */
	bool may_retry;     /* it would: it counts its tries */
	bool hashed, noted; /* its hash is known; it has a record */
	unsigned char hash[IDEM_HASH_BYTES];
};

/* longest_ms: how long its work may last.  0 or -1: ERR_TOO_LONG, ERR_VALUE. */
int repeat_open(struct repeat *p, struct request *r, const json_t *body,
		const struct image_request *rq, int64_t longest_ms, struct err *e);

/*
 * Was it sent before?  *found: then *other is that record, which is not this request's own; else it is
 * the first, and with a key has its record now.
 * 0 or -1: ERR_IDEMPOTENCY, ERR_STORE.
 */
int repeat_look(struct repeat *p, struct idem_record *other, bool *found, struct err *e);

/* The same without writing anything: the record is to be stored together with a task. */
int repeat_peek(struct repeat *p, struct idem_record *other, bool *found, struct err *e);
/*
 * The record under this request's key is *other: is it the same request's?  0; -1: ERR_IDEMPOTENCY, and *other is
 * ended.
 */
int repeat_compare(struct repeat *p, struct idem_record *other, struct err *e);

/* What it is known by, for whoever finds what is left of it; NULL: out of memory. */
const unsigned char *repeat_hash(struct repeat *p);

/* Writes the record that a request without a key has; task_id: "" none.  0 or -1: ERR_STORE. */
int repeat_note(struct repeat *p, const char *task_id, const struct deadline *d, struct err *e);
/* The same record, to be stored together with a task. */
int repeat_record(struct repeat *p, const char *task_id, struct idem_record *out, struct err *e);

/* Its outcome is known: an answer's status and text; or nothing was bought and the record goes. */
void repeat_finish(struct repeat *p, int status, const char *text);
void repeat_drop(struct repeat *p);
/*
 * Its record is finished with this text once the answer has left; whether that was taken is known then: if it was, the
 * record counts for REPEAT_TAKEN_MS more.
 */
void repeat_settle_later(struct request *r, int status, const char *text);
/* The same of the record of request `id`, whose outcome is this one's answer.  Not for one with a key. */
void repeat_settle_first(struct request *r, const char *id);
/*
 * The same where the store has not taken the record yet: it is tried for another REPEAT_TAKEN_MS, before anything else
 * that is done after the answer, so that the job's intent is there to be found until then.
 */
void repeat_note_later(struct repeat *p, int status, const char *text);

#endif
