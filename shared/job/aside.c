#include "job/aside.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/deadline.h"

#define RATE_MS    60000
#define QUOTA_MS   60000
#define REFUSED_MS 600000
#define PROBE_MS   5000
#define ENTRIES    128 /* when they are full, the one whose time ends first is dropped */

struct entry {
	const char *credential;         /* NULL: free */
	const struct model_conf *model; /* NULL: every model */
	int64_t until_us, probe_us;     /* probe_us: from when on it may be tried all the same */
	struct err why;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[ENTRIES];

bool
aside_is_reason(const struct err *why)
{
	return !why->may_have_been_billed &&
	       (why->kind == ERR_UP_RATE || why->kind == ERR_UP_QUOTA || why->kind == ERR_UP_AUTH);
}

static int64_t
length_ms(const struct err *why)
{
	if (why->kind == ERR_UP_AUTH)
		return REFUSED_MS;
	if (why->retry_after_s)
		return (int64_t)why->retry_after_s * 1000;
	return why->kind == ERR_UP_QUOTA ? QUOTA_MS : RATE_MS;
}

static bool
is_for_one_model(const struct err *why)
{
	return why->kind == ERR_UP_RATE ||
	       (why->kind == ERR_UP_AUTH && why->upstream.status == 403);
}

/* The entry of exactly these two, or NULL.  With the lock held, as all below. */
static struct entry *
exact(const char *credential, const struct model_conf *m)
{
	for (size_t i = 0; i < ENTRIES; i++)
		if (entries[i].credential == credential && entries[i].model == m)
			return &entries[i];
	return NULL;
}

static struct entry *
room(void)
{
	struct entry *soonest = &entries[0];

	for (size_t i = 0; i < ENTRIES; i++) {
		if (!entries[i].credential)
			return &entries[i];
		if (entries[i].until_us < soonest->until_us)
			soonest = &entries[i];
	}
	return soonest;
}

/* What keeps this credential aside for the longest time, or NULL. */
static struct entry *
longest(const char *credential, const struct model_conf *m, int64_t now_us)
{
	struct entry *found = NULL;

	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *n = &entries[i];

		if (n->credential != credential || (n->model && n->model != m))
			continue;
		if (n->until_us <= now_us)
			n->credential = NULL;
		else if (!found || n->until_us > found->until_us)
			found = n;
	}
	return found;
}

int64_t
aside_put(const char *credential, const struct model_conf *m, const struct err *why)
{
	int64_t ms = length_ms(why), now_us = clock_us();
	struct entry *n;

	(void)pthread_mutex_lock(&mutex);
	if (!is_for_one_model(why))
		m = NULL;
	n = exact(credential, m);
	if (!n)
		n = room();
	*n = (struct entry){ .credential = credential,
			     .model = m,
			     .until_us = now_us + ms * 1000,
			     .probe_us = now_us + PROBE_MS * 1000,
			     .why = *why };
	(void)pthread_mutex_unlock(&mutex);
	return ms;
}

void
aside_clear(const char *credential, const struct model_conf *m)
{
	(void)pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < ENTRIES; i++)
		if (entries[i].credential == credential &&
		    (!entries[i].model || entries[i].model == m))
			entries[i].credential = NULL;
	(void)pthread_mutex_unlock(&mutex);
}

int64_t
aside_ms(const char *credential, const struct model_conf *m)
{
	int64_t now_us = clock_us(), ms = 0;
	const struct entry *n;

	(void)pthread_mutex_lock(&mutex);
	n = longest(credential, m, now_us);
	if (n)
		ms = (n->until_us - now_us + 999) / 1000;
	(void)pthread_mutex_unlock(&mutex);
	return ms;
}

int
aside_probe(const char *const *credentials, unsigned n, const struct model_conf *m)
{
	int64_t now_us = clock_us();
	struct entry *oldest = NULL;
	int found = -1;

	(void)pthread_mutex_lock(&mutex);
	for (unsigned i = 0; i < n; i++) {
		struct entry *a = longest(credentials[i], m, now_us);

		if (!a || a->why.kind == ERR_UP_RATE) {
			found = -1; /* one is free, or will be: no need to try a dead one */
			break;
		}
		if (a->probe_us <= now_us && (!oldest || a->probe_us < oldest->probe_us)) {
			oldest = a;
			found = (int)i;
		}
	}
	if (found >= 0)
		oldest->probe_us = now_us + PROBE_MS * 1000;
	(void)pthread_mutex_unlock(&mutex);
	return found;
}

int
aside_error(const char *const *credentials, unsigned n, const struct model_conf *m, struct err *e)
{
	const struct entry *rate = NULL, *last = NULL;
	int64_t now_us = clock_us();

	(void)pthread_mutex_lock(&mutex);
	for (unsigned i = 0; i < n; i++) {
		const struct entry *a = longest(credentials[i], m, now_us);

		if (a && a->why.kind == ERR_UP_RATE && (!rate || a->until_us < rate->until_us))
			rate = a;
		if (a && (!last || a->probe_us > last->probe_us))
			last = a;
	}
	if (rate) {
		*e = rate->why;
		e->retry_after_s = (int)((rate->until_us - now_us + 999999) / 1000000);
	} else if (last) {
		*e = last->why;
	} else {
		(void)err_set(e, ERR_INTERNAL, "no key is left aside");
	}
	(void)pthread_mutex_unlock(&mutex);
	if (n > 1 && (rate || last))
		(void)snprintf(e->about, sizeof(e->about), " None of its %u keys can be used now.",
			       n);
	return -1;
}

void
aside_forget(void)
{
	(void)pthread_mutex_lock(&mutex);
	memset(entries, 0, sizeof(entries));
	(void)pthread_mutex_unlock(&mutex);
}
