#include "job/picture_record.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json_text.h"
#include "base/log.h"
#include "job/intent.h"
#include "store/store_usage.h"

#define WRITER_STACK_BYTES (256 * 1024)
#define BATCH_MAX          4096  /* pictures in one transaction */
#define BATCH_BUSY         16    /* from here on the next one waits longer */
#define WRITE_MS           10000 /* for one */
#define AGAIN_MS           1000  /* after one that failed */
#define MICRO              1000000
#define TEXTS_BYTES        (4 << 20) /* of a prompt, and what its request asked for */
#define DAY_MS             86400000

/* One piece of memory: thousands may wait, and whoever frees them is another thread. */
struct picture_note {
	struct picture_note *next;
	struct picture_records *records;
	struct intent *intent; /* which stays until it is written; NULL: none does */
	int64_t price_micro;   /* of each */
	size_t n;
	struct picture_record v[]; /* behind them their texts, which all of them share */
};

struct picture_records {
	struct store *store;
	pthread_mutex_t lock;
	pthread_cond_t moved; /* the writer waits for it */
	struct picture_note *first, **last;
	size_t waiting; /* pictures in the list */
	bool running;   /* there is a writer */
	bool idle;      /* … and it sleeps until something comes */
	bool ending;
	struct deadline end; /* once ending */
	pthread_t writer;
};

/* ---- a note ---- */

/* A text that fits: here for every picture of every request, where snprintf() costs as much as SQLite. */
static void
put(char *to, size_t size, const char *text)
{
	size_t n = strlen(text);

	if (n >= size)
		n = size - 1;
	memcpy(to, text, n);
	to[n] = '\0';
}

static void
fill_picture(struct picture_record *p, const struct image_job *job, unsigned i, const char *task_id,
	     int64_t now_ms)
{
	const struct picture *from = &job->call.images[i];
	char path[PICTURE_PATH];

	picture_path(from, path);
	put(p->id, sizeof(p->id), from->id);
	put(p->file, sizeof(p->file), strrchr(path, '/') + 1);
	put(p->owner, sizeof(p->owner), job->key_id);
	put(p->request_id, sizeof(p->request_id), job->request_id);
	put(p->task_id, sizeof(p->task_id), task_id ? task_id : "");
	put(p->type, sizeof(p->type), picture_mime(from->type));
	(void)snprintf(p->size, sizeof(p->size), "%ux%u", from->width, from->height);
	put(p->model, sizeof(p->model), job->model->id);
	put(p->provider, sizeof(p->provider), job->model->provider);
	p->created_ms = now_ms;
	p->bytes = (int64_t)from->bytes;
	p->seed = job->rq->seed;
}

/* Prompt, parameters and receipt, each with its NUL; where the latter two begin. */
static int
texts_make(const struct image_job *job, struct buf *b, size_t *parameters, size_t *receipt)
{
	if (buf_adds(b, job->rq->prompt ? job->rq->prompt : "") < 0 || buf_addc(b, '\0') < 0)
		return -1;
	*parameters = b->len;
	if (image_params_text(job->rq, b) < 0 || buf_addc(b, '\0') < 0)
		return -1;
	*receipt = b->len;
	return receipt_json_text(&job->receipt, b) < 0 ? -1 : buf_addc(b, '\0');
}

static struct picture_note *
note_make(struct picture_records *r, const struct image_job *job, const char *task_id,
	  int64_t now_ms)
{
	AUTO(buf) texts = BUF_INIT(TEXTS_BYTES);
	unsigned n = job->call.nimages;
	size_t parameters, receipt;
	struct picture_note *note;
	char *text;

	if (texts_make(job, &texts, &parameters, &receipt) < 0)
		return NULL;
	note = calloc(1, sizeof(*note) + n * sizeof(note->v[0]) + texts.len);
	if (!note)
		return NULL;
	note->records = r;
	note->n = n;
	note->price_micro = llround(job->model->price * MICRO);
	text = (char *)(note->v + n);
	memcpy(text, texts.p, texts.len);
	for (unsigned i = 0; i < n; i++) {
		struct picture_record *p = &note->v[i];

		fill_picture(p, job, i, task_id, now_ms);
		p->prompt = text;
		p->parameters = text + parameters;
		p->receipt = text + receipt;
	}
	return note;
}

struct picture_note *
picture_note_make(struct picture_records *r, struct image_job *job, const char *task_id)
{
	unsigned n = job->call.nimages;
	struct picture_note *note;

	if (!n || !job->model)
		return NULL;
	note = note_make(r, job, task_id, clock_wall_ms());
	if (note)
		note->intent = TAKE_PTR(job->intent);
	else
		log_error(job->request_id,
			  "no memory for the records of %u pictures, the first is %s", n,
			  job->call.images[0].id);
	return note;
}

/* ---- writing ---- */

/* Its intent stays as it is: whoever finds that once this process is gone writes them. */
static void
forget(struct picture_note *n, const char *why)
{
	log_error(n->v[0].request_id, "the records of %zu pictures are %s, the first is %s: %s",
		  n->n, n->intent ? "left to others" : "lost", n->v[0].id, why);
	free(n);
}

/* The first of the list, or NULL; with the lock. */
static struct picture_note *
pop(struct picture_records *r)
{
	struct picture_note *n = r->first;

	if (!n)
		return NULL;
	r->first = n->next;
	if (!r->first)
		r->last = &r->first;
	r->waiting -= n->n;
	n->next = NULL;
	return n;
}

/* So many as fit into one transaction, as a list of their own; with the lock. */
static struct picture_note *
pop_batch(struct picture_records *r, size_t *pictures)
{
	struct picture_note *batch = NULL, **last = &batch;

	for (*pictures = 0; r->first && (!batch || *pictures + r->first->n <= BATCH_MAX);) {
		struct picture_note *n = pop(r);

		*pictures += n->n;
		*last = n;
		last = &n->next;
	}
	return batch;
}

static void
day_of(int64_t ms, char out[sizeof(((struct usage_record *)0)->day)])
{
	time_t at = (time_t)(ms / 1000);
	struct tm tm;

	if (gmtime_r(&at, &tm))
		(void)strftime(out, sizeof(((struct usage_record *)0)->day), "%Y-%m-%d", &tm);
}

/* What one of the note's pictures adds to the sums, its day aside. */
static void
fill_used(const struct picture_note *note, size_t i, struct usage_record *u)
{
	const struct picture_record *p = &note->v[i];

	*u = (struct usage_record){ .requests = i == 0,
				    .pictures = 1,
				    .price_micro = note->price_micro };
	put(u->key_id, sizeof(u->key_id), p->owner);
	put(u->model, sizeof(u->model), p->model);
}

/* The list is lent: entries hold pointers, which are copied flat. */
static int
write_batch(struct store *s, const struct picture_note *batch, size_t pictures,
	    const struct deadline *d, struct err *e)
{
	AUTO_FREE struct picture_entry *flat = malloc(pictures * sizeof(*flat));
	size_t n = 0;

	if (!flat)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (const struct picture_note *note = batch; note; note = note->next)
		for (size_t i = 0; i < note->n; i++, n++) {
			flat[n].picture = note->v[i];
			fill_used(note, i, &flat[n].used);
			if (n && note->v[i].created_ms / DAY_MS ==
					 flat[n - 1].picture.created_ms / DAY_MS)
				memcpy(flat[n].used.day, flat[n - 1].used.day,
				       sizeof(flat[n].used.day));
			else
				day_of(note->v[i].created_ms, flat[n].used.day);
		}
	return store_picture_add_all(s, flat, pictures, d, e);
}

/* Waits, with the lock, until then at most; for the end, or (any) for whatever comes. */
static void
wait_until(struct picture_records *r, int64_t at_us, bool any)
{
	struct timespec at = { .tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000 };

	while (!r->ending && !(any && r->first)) {
		if (any) {
			r->idle = true;
			(void)pthread_cond_wait(&r->moved, &r->lock);
			r->idle = false;
		} else if (pthread_cond_clockwait(&r->moved, &r->lock, CLOCK_MONOTONIC, &at) != 0) {
			return;
		}
	}
}

static void
batch_free(struct picture_note *batch)
{
	while (batch) {
		struct picture_note *next = batch->next;

		intent_release(batch->intent);
		free(batch);
		batch = next;
	}
}

/* With the lock, which is left while it is written.  False: it could not be, and waits again. */
static bool
write_some(struct picture_records *r, bool *said)
{
	size_t pictures;
	struct picture_note *batch = pop_batch(r, &pictures), **last = &batch;
	struct deadline d = deadline_in_ms(WRITE_MS);
	struct err e;
	int rc;

	(void)pthread_mutex_unlock(&r->lock);
	rc = write_batch(r->store, batch, pictures, &d, &e);
	if (rc < 0 && !*said)
		log_error(batch->v[0].request_id,
			  "the records of %zu pictures cannot be written yet: %s %s", pictures,
			  e.about, e.detail);
	*said = rc < 0;
	if (rc == 0)
		batch_free(batch);
	(void)pthread_mutex_lock(&r->lock);
	if (rc == 0)
		return true;
	while (*last)
		last = &(*last)->next;
	*last = r->first;
	if (!r->first)
		r->last = last;
	r->first = batch;
	r->waiting += pictures;
	return false;
}

static void *
writer_main(void *arg)
{
	struct picture_records *r = arg;
	bool said = false;

	(void)pthread_mutex_lock(&r->lock);
	while (r->first || !r->ending) {
		int64_t begun_us = clock_us();
		size_t had = r->waiting;
		bool written = !r->first || write_some(r, &said);
		int64_t pause_ms = !written            ? AGAIN_MS
				   : had >= BATCH_BUSY ? PICTURE_RECORD_BUSY_MS
						       : PICTURE_RECORD_EVERY_MS;

		if (r->ending && deadline_over(&r->end))
			break;
		if (r->ending && !written) {
			(void)pthread_mutex_unlock(&r->lock);
			(void)poll(NULL, 0, PICTURE_RECORD_EVERY_MS);
			(void)pthread_mutex_lock(&r->lock);
		}
		if (!r->ending && !(written && r->waiting >= BATCH_MAX))
			wait_until(r, begun_us + pause_ms * 1000, false);
		if (written)
			wait_until(r, 0, true);
	}
	(void)pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* With the lock. */
static void
start_writer(struct picture_records *r)
{
	pthread_attr_t attr;
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, WRITER_STACK_BYTES);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r->running = pthread_create(&r->writer, &attr, writer_main, r) == 0;
	if (r->running)
		(void)pthread_setname_np(r->writer, "picture-records");
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
}

void
picture_note_write(void *arg)
{
	struct picture_note *n = arg, *lost = NULL;
	struct picture_records *r;

	if (!n)
		return;
	r = n->records;
	if (n->intent && !intent_answered(n->intent))
		n->intent = NULL;
	(void)pthread_mutex_lock(&r->lock);
	*r->last = n;
	r->last = &n->next;
	r->waiting += n->n;
	if (r->waiting > PICTURE_RECORDS_MAX)
		lost = pop(r);
	if (!r->running)
		start_writer(r); /* without a thread now the next note tries again, and the end */
	else if (r->idle)
		(void)pthread_cond_signal(&r->moved);
	(void)pthread_mutex_unlock(&r->lock);
	if (lost)
		forget(lost, "too many wait for the store");
}

int
picture_note_store(struct store *s, const struct image_job *job, const char *task_id,
		   int64_t created_ms, const struct deadline *d, struct err *e)
{
	AUTO_FREE struct picture_note *note = note_make(NULL, job, task_id, created_ms);

	return note ? write_batch(s, note, note->n, d, e)
		    : err_set(e, ERR_INTERNAL, "out of memory");
}

/* ---- beginning and end ---- */

int
picture_records_open(struct picture_records **out, struct store *store, struct err *e)
{
	struct picture_records *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, ERR_INTERNAL, "out of memory");
	r->store = store;
	r->last = &r->first;
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->moved, NULL);
	*out = r;
	return 0;
}

void
picture_records_free(struct picture_records *r)
{
	struct picture_note *n;

	if (!r)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->ending = true;
	r->end = deadline_in_ms(PICTURE_RECORDS_END_MS);
	(void)pthread_cond_signal(&r->moved);
	(void)pthread_mutex_unlock(&r->lock);
	if (r->running)
		(void)pthread_join(r->writer, NULL);
	else
		(void)writer_main(r); /* there was no memory for a thread */
	while ((n = pop(r)))
		forget(n, "the store could not be reached");
	(void)pthread_cond_destroy(&r->moved);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}
