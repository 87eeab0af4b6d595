#include "api/repeat.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/num.h"

#define PIECE_BYTES  65536
#define END_MS       3000 /* for the last word about a request */
#define AGAIN_MS     200  /* before the store is asked again */
#define AGAIN_FOR_MS 500
#define WATCHDOG_MS  (REPEAT_TAKEN_MS + 3 * END_MS)

int
repeat_open(struct repeat *p, struct request *r, const json_t *body, const struct image_request *rq,
	    int64_t longest_ms, struct err *e)
{
	const char *key = request_header(r, "HTTP_IDEMPOTENCY_KEY");
	const char *tries = request_header(r, "HTTP_X_STAINLESS_RETRY_COUNT");
	int64_t n = 0;

	*p = (struct repeat){ .r = r, .rq = rq, .body = body, .longest_ms = longest_ms };
	p->may_retry = tries && num_i64(tries, 0, INT32_MAX, &n) == 0;
	p->retries = p->may_retry && n > 0;
	if (!key || !*key)
		return 0;
	if (strlen(key) > REPEAT_KEY_MAX)
		return err_field(e, ERR_TOO_LONG, "Idempotency-Key", "at most 255 bytes", "%zu",
				 strlen(key));
	for (const char *c = key; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			return err_field(e, ERR_VALUE, "Idempotency-Key",
					 "printable ASCII characters", "others");
	p->key = key;
	return 0;
}

/* ---- what it is known by ---- */

static int
hash_source(EVP_MD_CTX *ctx, const struct source *s, char *piece, struct err *e)
{
	uint64_t at = 0;
	size_t got = 1;

	(void)EVP_DigestUpdate(ctx, &s->bytes, sizeof(s->bytes));
	while (got && at < s->bytes) {
		if (source_read(s, at, piece, PIECE_BYTES, &got, e) < 0)
			return -1;
		(void)EVP_DigestUpdate(ctx, piece, got);
		at += got;
	}
	return 0;
}

/* Looked up once: EVP_sha256() would be looked up by name for each digest. */
static EVP_MD *sha256;

static void
sha256_fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static int
hash_all(struct repeat *p, EVP_MD_CTX *ctx, struct err *e)
{
	AUTO_FREE char *text = json_text_sorted(p->body);
	AUTO_FREE char *piece = p->rq && p->rq->nsources ? malloc(PIECE_BYTES) : NULL;
	const char *route = request_route(p->r);
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, sha256_fetch);
	if (!text || (p->rq && p->rq->nsources && !piece) ||
	    EVP_DigestInit_ex(ctx, sha256, NULL) != 1)
		return err_set(e, ERR_INTERNAL, "out of memory");
	(void)EVP_DigestUpdate(ctx, route, strlen(route) + 1);
	(void)EVP_DigestUpdate(ctx, text, strlen(text) + 1);
	for (unsigned i = 0; p->rq && i < p->rq->nsources; i++)
		if (hash_source(ctx, &p->rq->sources[i], piece, e) < 0)
			return -1;
	if (piece && p->rq->mask && hash_source(ctx, p->rq->mask, piece, e) < 0)
		return -1;
	(void)EVP_DigestFinal_ex(ctx, p->hash, NULL);
	p->hashed = true;
	return 0;
}

static int
hash(struct repeat *p, struct err *e)
{
	EVP_MD_CTX *ctx;
	int rc;

	if (p->hashed)
		return 0;
	ctx = EVP_MD_CTX_new();
	rc = ctx ? hash_all(p, ctx, e) : err_set(e, ERR_INTERNAL, "out of memory");
	EVP_MD_CTX_free(ctx);
	return rc;
}

const unsigned char *
repeat_hash(struct repeat *p)
{
	struct err e;

	return hash(p, &e) == 0 ? p->hash : NULL;
}

/* ---- the record ---- */

int
repeat_record(struct repeat *p, const char *task_id, struct idem_record *out, struct err *e)
{
	int64_t now_ms = clock_wall_ms();

	*out = (struct idem_record){ .created_ms = now_ms };
	if (hash(p, e) < 0)
		return -1;
	(void)snprintf(out->owner, sizeof(out->owner), "%s", request_principal(p->r)->id);
	(void)snprintf(out->key, sizeof(out->key), "%s", p->key ? p->key : "");
	(void)snprintf(out->request_id, sizeof(out->request_id), "%s", request_id(p->r));
	(void)snprintf(out->task_id, sizeof(out->task_id), "%s", task_id);
	memcpy(out->hash, p->hash, sizeof(out->hash));
	out->expires_ms = now_ms + (p->key ? REPEAT_KEEP_MS : p->longest_ms + REPEAT_RETRY_MS);
	return 0;
}

int
repeat_note(struct repeat *p, const char *task_id, const struct deadline *d, struct err *e)
{
	struct idem_record record, other = { 0 };
	bool begun;

	if (repeat_record(p, task_id, &record, e) < 0 ||
	    store_idem_begin(request_store(p->r), &record, &other, &begun, d, e) < 0)
		return -1;
	idem_record_done(&other);
	p->noted = true;
	return 0;
}

int
repeat_compare(struct repeat *p, struct idem_record *other, struct err *e)
{
	if (!memcmp(other->hash, p->hash, sizeof(p->hash)))
		return 0;
	idem_record_done(other);
	(void)err_set(e, ERR_IDEMPOTENCY, "%s", "");
	(void)snprintf(e->param, sizeof(e->param), "Idempotency-Key");
	return -1;
}

static int
look_by_key(struct repeat *p, struct idem_record *other, bool *found, struct err *e)
{
	struct idem_record record;
	bool begun;

	if (repeat_record(p, "", &record, e) < 0 ||
	    store_idem_begin(request_store(p->r), &record, other, &begun, request_deadline(p->r),
			     e) < 0)
		return -1;
	p->noted = begun;
	if (!begun && repeat_compare(p, other, e) < 0)
		return -1;
	*found = !begun;
	return 0;
}

static int
look_by_body(struct repeat *p, struct idem_record *other, bool *found, struct err *e)
{
	return hash(p, e) < 0
		       ? -1
		       : store_idem_by_body(request_store(p->r), request_principal(p->r)->id,
					    p->hash, other, found, request_deadline(p->r), e);
}

int
repeat_look(struct repeat *p, struct idem_record *other, bool *found, struct err *e)
{
	*found = false;
	*other = (struct idem_record){ 0 };
	if (p->key)
		return look_by_key(p, other, found, e);
	return p->retries ? look_by_body(p, other, found, e) : 0;
}

int
repeat_peek(struct repeat *p, struct idem_record *other, bool *found, struct err *e)
{
	if (!p->key)
		return repeat_look(p, other, found, e);
	*found = false;
	*other = (struct idem_record){ 0 };
	if (hash(p, e) < 0 ||
	    store_idem_by_key(request_store(p->r), request_principal(p->r)->id, p->key, other,
			      found, request_deadline(p->r), e) < 0)
		return -1;
	return *found ? repeat_compare(p, other, e) : 0;
}

/* ---- its end ---- */

static void
finish(struct store *store, const char *id, int status, const char *text, int64_t expires_ms)
{
	struct deadline d = deadline_in_ms(END_MS);
	bool found = false;
	struct err e = { 0 };

	if (store_idem_finish(store, id, status, text, expires_ms, &found, &d, &e) < 0 || !found)
		log_error(id, "its outcome is not written down for a repetition: %s %s", e.about,
			  e.detail);
}

void
repeat_finish(struct repeat *p, int status, const char *text)
{
	if (p->noted && text)
		finish(request_store(p->r), request_id(p->r), status, text, 0);
}

static void
drop(struct store *store, const char *id)
{
	struct deadline d = deadline_in_ms(END_MS);
	struct err e;

	if (store_idem_drop(store, id, &d, &e) < 0)
		log_error(id, "its record stays: %s %s", e.about, e.detail);
}

void
repeat_drop(struct repeat *p)
{
	if (p->noted)
		drop(request_store(p->r), request_id(p->r));
	p->noted = false;
}

struct later {
	struct request *r;
	int status;
	char *text;
	struct idem_record record; /* to be written first; without a request_id: it is */
};

/*
 * An answer that was taken, as far as is known, is no other request's.  Not every web server tells of a client
 * that has left, so for as long as an SDK takes to come back it may be a retry's.
 */
static int64_t
taken_until_ms(const struct request *r)
{
	return request_is_left(r) ? 0 : clock_wall_ms() + REPEAT_TAKEN_MS;
}

static bool
note_at_last(const struct later *l)
{
	const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000L };
	struct deadline end = deadline_in_ms(REPEAT_TAKEN_MS);
	struct idem_record other = { 0 };
	struct err e;
	bool begun;

	request_may_last(l->r, clock_us() + WATCHDOG_MS * 1000);
	for (;;) {
		struct deadline d = deadline_in_ms(AGAIN_FOR_MS);

		if (store_idem_begin(request_store(l->r), &l->record, &other, &begun, &d, &e) ==
		    0) {
			idem_record_done(&other);
			return true;
		}
		if (deadline_over(&end))
			break;
		(void)nanosleep(&pause, NULL);
	}
	log_warn(request_id(l->r), "an SDK's retry will not find it: %s %s", e.about, e.detail);
	return false;
}

static void
settle_later(void *arg)
{
	struct later *l = arg;

	if (!l->record.request_id[0] || note_at_last(l))
		finish(request_store(l->r), request_id(l->r), l->status, l->text,
		       taken_until_ms(l->r));
	free(l->text);
	free(l);
}

static struct later *
later_make(struct request *r, int status, const char *text)
{
	struct later *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->r = r;
	l->status = status;
	l->text = strdup(text);
	if (l->text)
		return l;
	free(l);
	return NULL;
}

void
repeat_settle_later(struct request *r, int status, const char *text)
{
	struct later *l = later_make(r, status, text);

	if (l)
		request_after(r, settle_later, l);
}

void
repeat_note_later(struct repeat *p, int status, const char *text)
{
	struct later *l = later_make(p->r, status, text);
	struct err ignored;

	if (l && repeat_record(p, "", &l->record, &ignored) == 0)
		request_after_first(p->r, settle_later, l);
	else if (l) {
		free(l->text);
		free(l);
	}
}

struct first {
	struct request *r;
	char id[sizeof(((struct idem_record *)0)->request_id)];
};

static void
settle_first(void *arg)
{
	struct first *f = arg;
	struct deadline d = deadline_in_ms(END_MS);
	int64_t until_ms = taken_until_ms(f->r);
	bool found;
	struct err e;

	if (until_ms &&
	    store_idem_finish(request_store(f->r), f->id, 0, "", until_ms, &found, &d, &e) < 0)
		log_warn(request_id(f->r), "%s may be repeated once more: %s %s", f->id, e.about,
			 e.detail);
	free(f);
}

void
repeat_settle_first(struct request *r, const char *id)
{
	struct first *f = calloc(1, sizeof(*f));

	if (!f)
		return;
	f->r = r;
	(void)snprintf(f->id, sizeof(f->id), "%s", id);
	request_after(r, settle_first, f);
}
