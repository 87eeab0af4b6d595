#ifndef EASEL_STORE_IDEM_H
#define EASEL_STORE_IDEM_H
/*
 * store_idem - what a repeated request is to be answered with
 *
 * One record a request that may be repeated: found by owner and Idempotency-Key, or by owner and the
 * SHA-256 of route and body (an SDK's retry, which has no key).  Written before anything is bought, done
 * when the answer is known.  Whoever finds one that is not done joins it: by task_id once there is one,
 * else by looking again.  A record past expires_ms is as good as absent: an answer that was taken soon is,
 * and those that were not are found before it.
 */
#include "store/store.h"

#define IDEM_HASH_BYTES 32
#define IDEM_KEY_TEXT   256 /* longer keys are refused by the caller */

struct idem_record {
	char owner[40];
	char key[IDEM_KEY_TEXT];             /* "" : only to be found by its body */
	unsigned char hash[IDEM_HASH_BYTES]; /* SHA-256 of route and body */
	char request_id[40];                 /* names the record in every later call */
	char task_id[40];                    /* "" until it was handed off */
	bool done;
	int64_t status; /* HTTP, of the answer; 0 until done */
	int64_t created_ms, expires_ms;
	char *answer; /* a small answer's JSON, or the pictures' ids; the record's own */
};
void idem_record_done(struct idem_record *r);

/* Adds *r, or finds another request's under its owner and key: *begun false, and *other is that one.  A key
 * of "" always begins.  The same request once more changes nothing and has begun. */
int store_idem_begin(struct store *s, const struct idem_record *r, struct idem_record *other,
		     bool *begun, const struct deadline *d, struct err *e);
int store_idem_by_key(struct store *s, const char *owner, const char *key, struct idem_record *out,
		      bool *found, const struct deadline *d, struct err *e);
/* Of those without a key the one that counts longest: the newest that was not delivered. */
int
store_idem_by_body(struct store *s, const char *owner, const unsigned char *hash,
		   struct idem_record *out, bool *found, const struct deadline *d, struct err *e);
/* It became a task. */
int store_idem_task(struct store *s, const char *request_id, const char *task_id, bool *found,
		    const struct deadline *d, struct err *e);
/*
 * The answer is known, and the record counts no longer than expires_ms; 0: as long as it does.  What is done keeps its
 * answer.
 */
int store_idem_finish(struct store *s, const char *request_id, int64_t status, const char *answer,
		      int64_t expires_ms, bool *found, const struct deadline *d, struct err *e);
/* Nothing was bought: the same request may begin anew. */
int
store_idem_drop(struct store *s, const char *request_id, const struct deadline *d, struct err *e);

#endif
