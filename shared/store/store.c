#include "store/store.h"

#include <string.h>

struct store {
	const struct store_driver *driver;
	void *self;
};

static const struct store_driver *const drivers[] = { &store_sqlite };

int
store_open(struct store **out, const char *url, const char *state_dir, bool migrate, struct err *e)
{
	const struct store_driver *driver = NULL;
	size_t n = strcspn(url, ":");
	struct store *s;

	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++)
		if (strlen(drivers[i]->scheme) == n && !memcmp(url, drivers[i]->scheme, n))
			driver = drivers[i];
	/* Only the scheme is named: the rest of a store's address may hold a password. */
	if (!driver || url[n] != ':')
		return err_set(e, ERR_CONFIG,
			       "[store] url: no store of the kind '%.*s:'; there is 'sqlite:'.",
			       url[n] ? (int)(n < 32 ? n : 32) : 0, url);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_INTERNAL, "out of memory");
	s->driver = driver;
	if (driver->open(&s->self, url + n + 1, state_dir, migrate, e) < 0) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void
store_free(struct store *s)
{
	if (!s)
		return;
	s->driver->close(s->self);
	free(s);
}

int
store_ping(struct store *s, const struct deadline *d, struct err *e)
{
	return s->driver->ping(s->self, d, e);
}

int
store_key_add(struct store *s, const struct key_record *k, const struct deadline *d, struct err *e)
{
	return s->driver->key_add(s->self, k, d, e);
}

int
store_key_by_hash(struct store *s, const unsigned char hash[KEY_HASH_BYTES], struct key_record *out,
		  bool *found, const struct deadline *d, struct err *e)
{
	return s->driver->key_by_hash(s->self, hash, out, found, d, e);
}

int
store_key_revoke(struct store *s, const char *id_or_name, int64_t now_ms, bool *found,
		 const struct deadline *d, struct err *e)
{
	return s->driver->key_revoke(s->self, id_or_name, now_ms, found, d, e);
}

int
store_key_each(struct store *s, void (*fn)(const struct key_record *k, void *arg), void *arg,
	       const struct deadline *d, struct err *e)
{
	return s->driver->key_each(s->self, fn, arg, d, e);
}

int
store_job_add(struct store *s, const struct job_record *j, const struct deadline *d, struct err *e)
{
	return s->driver->job_add(s->self, j, d, e);
}

int
store_job_each(struct store *s, size_t limit, void (*fn)(const struct job_record *j, void *arg),
	       void *arg, const struct deadline *d, struct err *e)
{
	return s->driver->job_each(s->self, limit, fn, arg, d, e);
}
