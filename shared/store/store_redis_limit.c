/* The limits in Redis: held over all machines that share it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alive.h"
#include "store/redis_store.h"

#define HEAD_TEXT     40      /* two numbers of 16 digits, two slashes */
#define MEMBER_TEXT   64      /* and a number */
#define BURY_PAUSE_US 100000  /* looking for the dead costs two round trips */
#define SILENT_US     1000000 /* for which nothing is given to a Redis that did not answer */
#define OWED_MAX      1024
#define OWED_BATCH    15 /* REDIS_NUMBERS: three each */

/* What a request gives back: its place; and when came >= 0, the pictures of `day` that did not come. */
struct owed {
	char key_id[32];
	uint64_t number;
	int64_t day, came;
};

struct limits {
	/* How the members of their requests begin. */
	char machine[HEAD_TEXT], process[HEAD_TEXT];
	_Atomic int64_t buried_us; /* when somebody here looked for the dead last */
	_Atomic int64_t silent_until_us;
	pthread_mutex_t mutex; /* guards what follows */
	unsigned nowed;
	struct owed owed[OWED_MAX];
};

/* Of this process's requests, whatever store they are counted in. */
static _Atomic uint64_t last_number;

static void
member_of(const struct limits *l, const struct grant *g, char out[MEMBER_TEXT])
{
	(void)snprintf(out, MEMBER_TEXT, "%s%llu", l->process, (unsigned long long)g->place);
}

/* ---- giving back ---- */

static void
owe(struct limits *l, const struct owed *o, unsigned n)
{
	(void)pthread_mutex_lock(&l->mutex);
	/* Beyond that a place lapses, and pictures count until midnight. */
	for (unsigned i = 0; i < n && l->nowed < OWED_MAX; i++)
		l->owed[l->nowed++] = o[i];
	(void)pthread_mutex_unlock(&l->mutex);
}

/* Some of what is owed. */
static unsigned
owed_take(struct limits *l, struct owed *out, unsigned most)
{
	unsigned n;

	(void)pthread_mutex_lock(&l->mutex);
	n = l->nowed < most ? l->nowed : most;
	l->nowed -= n;
	memcpy(out, &l->owed[l->nowed], n * sizeof(*out));
	(void)pthread_mutex_unlock(&l->mutex);
	return n;
}

static int
send_back(struct store *s, const struct limits *l, const struct owed *o, unsigned n,
	  const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t done;

	args_begin(&a, NULL);
	arg_text(&a, l->process);
	for (unsigned i = 0; i < n; i++) {
		arg_text(&a, o[i].key_id);
		arg_i64(&a, (int64_t)o[i].number);
		arg_i64(&a, o[i].day);
		arg_i64(&a, o[i].came);
	}
	return redis_eval_i64(s, SCRIPT_LIMIT_GIVE, &a, &done, d, e);
}

/*
 * Gives back *own, which may be NULL, and with it some of what is owed.  What is not taken is owed.  Its own
 * goes with this call and not another thread's: when a client has its answer, its place is free.
 */
static bool
give_back(struct store *s, const struct owed *own)
{
	struct deadline d = deadline_in_ms(STORE_LIMIT_GIVE_MS);
	struct limits *l = s->limits;
	struct owed batch[OWED_BATCH];
	struct err ignored;
	unsigned n = 0;

	if (own)
		batch[n++] = *own;
	/* Who has just kept somebody waiting in vain is not asked again by each that follows. */
	if (clock_us() < atomic_load(&l->silent_until_us)) {
		owe(l, batch, n);
		return false;
	}
	n += owed_take(l, batch + n, OWED_BATCH - n);
	if (!n)
		return false;
	if (send_back(s, l, batch, n, &d, &ignored) == 0)
		return true;
	atomic_store(&l->silent_until_us, clock_us() + SILENT_US);
	owe(l, batch, n);
	return false;
}

static struct owed
owed_of(const struct grant *g, int64_t came)
{
	struct owed o = { .number = g->place, .day = g->day, .came = came };

	(void)snprintf(o.key_id, sizeof(o.key_id), "%s", g->key_id);
	return o;
}

static void
limit_leave(struct store *s, struct grant *g)
{
	struct owed o = owed_of(g, -1);

	if (g->set.concurrent)
		(void)give_back(s, &o);
}

static void
limit_give(struct store *s, struct grant *g, int64_t came)
{
	struct owed o = owed_of(g, came);

	if (g->pictures || (g->set.concurrent && !g->left))
		(void)give_back(s, &o);
}

/* ---- the dead of this machine ---- */

static bool
bury(struct store *s, const char *key_id, const char *process, const struct deadline *d)
{
	const struct limits *l = s->limits;
	char head[MEMBER_TEXT];
	struct redis_args a;
	struct err ignored;
	int64_t n = 0;

	(void)snprintf(head, sizeof(head), "%s%.16s/", l->machine, process);
	args_begin(&a, NULL);
	arg_text(&a, key_id);
	arg_text(&a, head);
	return redis_eval_i64(s, SCRIPT_LIMIT_BURY, &a, &n, d, &ignored) == 0 && n > 0;
}

/* Now and then, when a request of the key was refused.  True: it is worth asking again. */
static bool
bury_the_dead(struct store *s, const char *key_id, const struct deadline *d)
{
	struct limits *l = s->limits;
	int64_t now_us = clock_us(), was_us = atomic_load(&l->buried_us);
	AUTO_REPLY reply = NULL;
	struct redis_args a;
	struct err ignored;
	bool any = false;

	if (now_us - was_us < BURY_PAUSE_US ||
	    !atomic_compare_exchange_strong(&l->buried_us, &was_us, now_us))
		return false;
	args_begin(&a, NULL);
	arg_text(&a, key_id);
	arg_text(&a, l->machine);
	reply = redis_eval(s, SCRIPT_LIMIT_HOLDERS, &a, d, &ignored);
	for (size_t i = 0; answer_at(reply, i); i++) {
		const char *process = answer_text(answer_at(reply, i));

		if (!alive_is(strtoull(process, NULL, 16)) && bury(s, key_id, process, d))
			any = true;
	}
	return any;
}

/* ---- taking ---- */

/* -1 with *full: no more may be in hand, unless some of those are the dead's. */
static int
take_once(struct store *s, struct grant *g, const struct deadline *d, bool *full, struct err *e)
{
	const struct limits *l = s->limits;
	const struct limit_set *set = &g->set;
	AUTO_REPLY reply = NULL;
	char member[MEMBER_TEXT];
	struct redis_args a;
	int64_t what;

	*full = false;
	member_of(l, g, member);
	args_begin(&a, NULL);
	arg_text(&a, g->key_id);
	arg_i64(&a, set->requests_per_minute);
	arg_i64(&a, set->concurrent);
	arg_i64(&a, set->images_per_day);
	arg_text(&a, member);
	arg_i64(&a, deadline_left_ms(d) + STORE_LIMIT_MARGIN_MS);
	reply = redis_eval(s, SCRIPT_LIMIT_TAKE, &a, d, e);
	if (!reply)
		return -1;
	what = answer_i64(answer_at(reply, 0));
	if (set->requests_per_minute)
		g->requests = (struct limit_state){ set->requests_per_minute,
						    answer_i64(answer_at(reply, 1)),
						    answer_i64(answer_at(reply, 2)) };
	if (set->images_per_day)
		g->images =
			(struct limit_state){ set->images_per_day, answer_i64(answer_at(reply, 3)),
					      answer_i64(answer_at(reply, 4)) };
	g->day = (uint32_t)answer_i64(answer_at(reply, 5));
	*full = what == 2;
	if (*full)
		return limit_refuse(g, LIMIT_FULL_RETRY_MS, e, "concurrent", set->concurrent);
	return !what ? 0
		     : limit_refuse(g, answer_i64(answer_at(reply, 6)), e, "requests_per_minute",
				    set->requests_per_minute);
}

static int
limit_take(struct store *s, const char *key_id, const struct limit_set *set, struct grant *g,
	   const struct deadline *d, struct err *e)
{
	struct limits *l = s->limits;
	bool full;
	int rc;

	(void)set;
	(void)snprintf(g->key_id, sizeof(g->key_id), "%s", key_id);
	g->place = atomic_fetch_add(&last_number, 1) + 1;
	do
		rc = take_once(s, g, d, &full, e);
	while (rc < 0 && full && (give_back(s, NULL) || bury_the_dead(s, key_id, d)));
	if (rc == 0)
		(void)give_back(s, NULL); /* what was owed: it answers again, perhaps */
	if (rc < 0 && e->kind != ERR_RATE_LIMITED && g->set.concurrent) {
		/* It may be in hand there all the same. */
		struct owed o = owed_of(g, -1);

		owe(l, &o, 1);
	}
	return rc;
}

static int
take_images_once(struct store *s, struct grant *g, int64_t pictures, const struct deadline *d,
		 struct err *e)
{
	AUTO_REPLY reply = NULL;
	char member[MEMBER_TEXT];
	struct redis_args a;
	uint32_t day;

	member_of(s->limits, g, member);
	args_begin(&a, NULL);
	arg_text(&a, g->key_id);
	arg_i64(&a, g->set.images_per_day);
	arg_text(&a, member);
	arg_i64(&a, pictures);
	arg_i64(&a, g->pictures);
	arg_i64(&a, g->day);
	reply = redis_eval(s, SCRIPT_LIMIT_IMAGES, &a, d, e);
	if (!reply) {
		/* They may be counted; what is given back is what Redis knows of. */
		g->pictures += pictures;
		return -1;
	}
	day = (uint32_t)answer_i64(answer_at(reply, 3));
	g->images = (struct limit_state){ g->set.images_per_day, answer_i64(answer_at(reply, 1)),
					  answer_i64(answer_at(reply, 2)) };
	if (answer_i64(answer_at(reply, 0)))
		return limit_refuse(g, g->images.reset_ms, e, "images_per_day",
				    g->set.images_per_day);
	g->pictures = (g->day == day ? g->pictures : 0) + pictures;
	g->day = day;
	return 0;
}

static int
limit_take_images(struct store *s, struct grant *g, int64_t pictures, const struct deadline *d,
		  struct err *e)
{
	int rc;

	do
		rc = take_images_once(s, g, pictures, d, e);
	while (rc < 0 && e->kind == ERR_RATE_LIMITED && give_back(s, NULL));
	return rc;
}

static void
limit_keep(struct store *s, struct grant *g, const struct deadline *until)
{
	struct deadline d = deadline_in_ms(STORE_LIMIT_GIVE_MS);
	struct limits *l = s->limits;
	char member[MEMBER_TEXT];
	struct redis_args a;
	struct err ignored;
	int64_t done;

	if (!g->set.concurrent || clock_us() < atomic_load(&l->silent_until_us))
		return;
	member_of(l, g, member);
	args_begin(&a, NULL);
	arg_text(&a, g->key_id);
	arg_text(&a, member);
	arg_i64(&a, deadline_left_ms(until) + STORE_LIMIT_MARGIN_MS);
	if (redis_eval_i64(s, SCRIPT_LIMIT_KEEP, &a, &done, &d, &ignored) < 0)
		atomic_store(&l->silent_until_us, clock_us() + SILENT_US);
}

/* ---- opening ---- */

static int
limit_open(struct store *s, const char *state_dir, struct err *e)
{
	struct limits *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (alive_open(state_dir, e) < 0) {
		free(l);
		return -1;
	}
	(void)snprintf(l->machine, sizeof(l->machine), "%llx/",
		       (unsigned long long)alive_machine());
	(void)snprintf(l->process, sizeof(l->process), "%llx/%llx/",
		       (unsigned long long)alive_machine(), (unsigned long long)alive_self());
	(void)pthread_mutex_init(&l->mutex, NULL);
	s->limits = l;
	return 0;
}

static void
limit_close(struct store *s)
{
	struct limits *l = s->limits;

	while (give_back(s, NULL))
		;
	(void)pthread_mutex_destroy(&l->mutex);
	free(l);
	alive_close();
}

const struct limit_driver redis_limit = {
	.limit_open = limit_open,
	.limit_take = limit_take,
	.limit_take_images = limit_take_images,
	.limit_keep = limit_keep,
	.limit_leave = limit_leave,
	.limit_give = limit_give,
	.close = limit_close,
};
