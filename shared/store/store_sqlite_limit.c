/* The limits beside an SQLite database: counted in the mapped table. */
#include "store/limit_table.h"
#include "store/sqlite_store.h"

#define MINUTE_NS 60000000000

static int
limit_open(struct store *s, const char *state_dir, struct err *e)
{
	struct limit_table *l;

	if (limit_table_open(&l, state_dir, e) < 0)
		return -1;
	s->limits = l;
	return 0;
}

static void
limit_close(struct store *s)
{
	limit_table_free(s->limits);
}

/* The bucket of requests of the last minute; `take` one. */
static int
count_request(struct limit_key *k, struct grant *g, bool take, struct err *e)
{
	int64_t limit = g->set.requests_per_minute, now_ns = clock_us() * 1000;
	int64_t each_ns, room_ns, used_ns;

	if (!limit)
		return 0;
	each_ns = MINUTE_NS / limit;
	room_ns = each_ns * limit;
	used_ns = k->full_at_ns - now_ns;
	if (used_ns < 0 || used_ns > MINUTE_NS) /* of another boot */
		used_ns = 0;
	if (used_ns > room_ns)
		used_ns = room_ns;
	g->requests = (struct limit_state){ limit, (room_ns - used_ns) / each_ns,
					    (used_ns + 999999) / 1000000 };
	if (!g->requests.remaining)
		return limit_refuse(g, (used_ns + each_ns - room_ns + 999999) / 1000000, e,
				    "requests_per_minute", limit);
	if (!take)
		return 0;
	used_ns += each_ns;
	k->full_at_ns = now_ns + used_ns;
	g->requests.remaining--;
	g->requests.reset_ms = (used_ns + 999999) / 1000000;
	return 0;
}

static int
count_images(struct limit_key *k, struct grant *g, int64_t pictures, struct err *e)
{
	int64_t limit = g->set.images_per_day, now_ms = clock_wall_ms();
	uint32_t day = (uint32_t)(now_ms / LIMIT_DAY_MS);

	if (!limit)
		return 0;
	if (k->day != day) {
		k->pictures = 0;
		k->day = day;
	}
	g->images = (struct limit_state){ limit, limit > k->pictures ? limit - k->pictures : 0,
					  LIMIT_DAY_MS - now_ms % LIMIT_DAY_MS };
	if (pictures > g->images.remaining)
		return limit_refuse(g, g->images.reset_ms, e, "images_per_day", limit);
	k->pictures += pictures;
	g->images.remaining -= pictures;
	if (g->day != day)
		g->pictures = 0; /* those of yesterday are no longer counted */
	g->pictures += pictures;
	g->day = day;
	return 0;
}

/* With the key's place locked; -1 with *full: no more may be in hand, unless some of those are the dead's. */
static int
take_locked(struct limit_table *l, unsigned place, struct grant *g, bool *full, struct err *e)
{
	struct limit_key *k = limit_table_key(l, place);

	(void)count_images(k, g, 0, e); /* none can always be had */
	*full = !limit_table_has_room(l, place, g->set.concurrent);
	if (count_request(k, g, !*full, e) < 0) {
		*full = false;
		return -1;
	}
	if (*full)
		return limit_refuse(g, LIMIT_FULL_RETRY_MS, e, "concurrent", g->set.concurrent);
	limit_table_hold(l, place);
	g->place = place;
	return 0;
}

static int
limit_take(struct store *s, const char *key_id, const struct limit_set *set, struct grant *g,
	   const struct deadline *d, struct err *e)
{
	struct limit_table *l = s->limits;
	bool full = false;
	unsigned place;
	int rc;

	(void)set;
	do {
		if (limit_table_find(l, key_id, &place, d, e) < 0)
			return -1;
		rc = take_locked(l, place, g, &full, e);
		limit_table_unlock(l, place);
	} while (rc < 0 && full && limit_table_reap(l));
	return rc;
}

static int
limit_take_images(struct store *s, struct grant *g, int64_t pictures, const struct deadline *d,
		  struct err *e)
{
	struct limit_table *l = s->limits;
	unsigned place = (unsigned)g->place;
	int rc;

	if (limit_table_lock(l, place, d, e) < 0)
		return -1;
	rc = count_images(limit_table_key(l, place), g, pictures, e);
	limit_table_unlock(l, place);
	return rc;
}

static void
limit_keep(struct store *s, struct grant *g, const struct deadline *until)
{
	/* Held as long as this process lives. */
	(void)s, (void)g, (void)until;
}

static void
limit_leave(struct store *s, struct grant *g)
{
	limit_table_let_go(s->limits, (unsigned)g->place);
}

static void
limit_give(struct store *s, struct grant *g, int64_t came)
{
	struct limit_table *l = s->limits;
	unsigned place = (unsigned)g->place;
	struct limit_key *k = limit_table_key(l, place);
	struct deadline d = deadline_in_ms(LIMIT_LOCK_MS);
	struct err ignored;

	if (g->pictures > came && limit_table_lock(l, place, &d, &ignored) == 0) {
		/* A day that has ended is no longer counted. */
		if (k->day == g->day)
			k->pictures -= g->pictures - came;
		limit_table_unlock(l, place);
	}
	if (!g->left)
		limit_leave(s, g);
}

const struct limit_driver sqlite_limit = {
	.limit_open = limit_open,
	.limit_take = limit_take,
	.limit_take_images = limit_take_images,
	.limit_keep = limit_keep,
	.limit_leave = limit_leave,
	.limit_give = limit_give,
	.close = limit_close,
};
