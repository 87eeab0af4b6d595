#include "files/thumbnails.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "files/imaging.h"

#define MAKERS      2
#define STACK_BYTES (256 * 1024)
#define FAILED_MAX  64 /* pictures that cannot be decoded and are remembered */

struct thumbnails {
	struct filestore *fs;
	pthread_mutex_t lock;
	pthread_cond_t more, made;
	struct picture queue[THUMBNAILS_QUEUE_MAX]; /* a ring */
	size_t first, n;
	char making[MAKERS][PICTURE_ID]; /* "": that maker waits */
	char failed[FAILED_MAX][PICTURE_ID];
	size_t failed_at; /* the next one's place */
	pthread_t maker[MAKERS];
	unsigned makers;
	bool ending;
};

/* What a maker is told. */
struct maker {
	struct thumbnails *t;
	unsigned index;
};

bool
thumbnail_is_needless(const struct picture *p)
{
	return (p->width <= THUMBNAIL_SIDE && p->height <= THUMBNAIL_SIDE) ||
	       p->bytes <= THUMBNAIL_NO_BYTES;
}

/* ---- with the lock ---- */

static bool
has_failed(const struct thumbnails *t, const struct picture *p)
{
	for (size_t i = 0; i < FAILED_MAX; i++)
		if (!strcmp(t->failed[i], p->id))
			return true;
	return false;
}

static bool
is_under_way(const struct thumbnails *t, const struct picture *p)
{
	for (unsigned i = 0; i < MAKERS; i++)
		if (!strcmp(t->making[i], p->id))
			return true;
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->queue[(t->first + i) % THUMBNAILS_QUEUE_MAX].id, p->id))
			return true;
	return false;
}

static void
remember_failed(struct thumbnails *t, const struct picture *p)
{
	memcpy(t->failed[t->failed_at], p->id, PICTURE_ID);
	t->failed_at = (t->failed_at + 1) % FAILED_MAX;
}

/* ---- making ---- */

static void
make(struct thumbnails *t, const struct picture *p)
{
	struct deadline d = deadline_in_ms(THUMBNAIL_MS);
	struct picture small;
	struct err e;
	int rc = imaging_thumbnail(t->fs, p, THUMBNAIL_SIDE, &small, &d, &e);

	/* It may have been removed meanwhile, and its thumbnail before that was there. */
	if (rc == 0 && filestore_bytes(t->fs, p) < 0)
		filestore_remove_thumbnail(t->fs, p);
	if (rc < 0 && (e.kind == ERR_RESULT_NOT_IMAGE || e.kind == ERR_UP_TOO_LARGE)) {
		(void)pthread_mutex_lock(&t->lock);
		remember_failed(t, p);
		(void)pthread_mutex_unlock(&t->lock);
	}
}

static void *
maker_main(void *arg)
{
	const struct maker m = *(struct maker *)arg;
	struct thumbnails *t = m.t;

	free(arg);
	(void)pthread_mutex_lock(&t->lock);
	while (!t->ending) {
		struct picture p;

		if (!t->n) {
			(void)pthread_cond_wait(&t->more, &t->lock);
			continue;
		}
		p = t->queue[t->first];
		t->first = (t->first + 1) % THUMBNAILS_QUEUE_MAX;
		t->n--;
		memcpy(t->making[m.index], p.id, PICTURE_ID);
		(void)pthread_mutex_unlock(&t->lock);
		make(t, &p);
		(void)pthread_mutex_lock(&t->lock);
		t->making[m.index][0] = '\0';
		(void)pthread_cond_broadcast(&t->made);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* With the lock.  One more, if there may be one. */
static void
start_maker(struct thumbnails *t)
{
	struct maker *m = t->makers < MAKERS ? malloc(sizeof(*m)) : NULL;
	pthread_attr_t attr;
	sigset_t all, before;

	if (!m)
		return;
	*m = (struct maker){ t, t->makers };
	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&t->maker[t->makers], &attr, maker_main, m) == 0)
		t->makers++;
	else
		free(m);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
}

/* ---- wanting ---- */

static bool
is_missing(struct thumbnails *t, const struct picture *p)
{
	return p->type != PICTURE_NONE && !thumbnail_is_needless(p) &&
	       !filestore_has_thumbnail(t->fs, p);
}

/* With the lock. */
static void
enqueue(struct thumbnails *t, const struct picture *p)
{
	if (t->n == THUMBNAILS_QUEUE_MAX || has_failed(t, p) || is_under_way(t, p))
		return;
	t->queue[(t->first + t->n++) % THUMBNAILS_QUEUE_MAX] = *p;
	start_maker(t);
	(void)pthread_cond_signal(&t->more);
}

static bool
any_under_way(const struct thumbnails *t, const struct picture *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_under_way(t, &p[i]))
			return true;
	return false;
}

void
thumbnails_want(struct thumbnails *t, const struct picture *p, size_t n, const struct deadline *d)
{
	struct timespec until = { d->at_us / 1000000, d->at_us % 1000000 * 1000 };
	bool any = false;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_missing(t, &p[i]))
			continue;
		any = true;
		(void)pthread_mutex_lock(&t->lock);
		enqueue(t, &p[i]);
		(void)pthread_mutex_unlock(&t->lock);
	}
	if (!any)
		return;
	(void)pthread_mutex_lock(&t->lock);
	while (rc == 0 && !t->ending && any_under_way(t, p, n))
		rc = pthread_cond_clockwait(&t->made, &t->lock, CLOCK_MONOTONIC, &until);
	(void)pthread_mutex_unlock(&t->lock);
}

/* ---- beginning and end ---- */

int
thumbnails_open(struct thumbnails **out, struct filestore *fs, struct err *e)
{
	struct thumbnails *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, ERR_INTERNAL, "out of memory");
	t->fs = fs;
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_cond_init(&t->more, NULL);
	(void)pthread_cond_init(&t->made, NULL);
	*out = t;
	return 0;
}

void
thumbnails_free(struct thumbnails *t)
{
	if (!t)
		return;
	(void)pthread_mutex_lock(&t->lock);
	t->ending = true;
	(void)pthread_cond_broadcast(&t->more);
	(void)pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->makers; i++)
		(void)pthread_join(t->maker[i], NULL);
	(void)pthread_cond_destroy(&t->made);
	(void)pthread_cond_destroy(&t->more);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}
