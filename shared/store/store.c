#include "store/store.h"

#include <string.h>

#include "store/store_driver.h"

static const struct store_driver *const drivers[] = { &store_sqlite, &store_redis,
						      &store_redis_unix };

int
store_open(struct store **out, const char *url, const char *state_dir, bool migrate, struct err *e)
{
	const struct store_driver *driver = NULL;
	size_t n = strcspn(url, ":");
	struct store *s;

	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++)
		if (strlen(drivers[i]->scheme) == n && !memcmp(url, drivers[i]->scheme, n))
			driver = drivers[i];
	if (!strncmp(url, "rediss:", 7))
		return err_set(e, ERR_CONFIG,
			       "[store] url: rediss (Redis over TLS) is not in this build, whose "
			       "hiredis has no TLS; there are 'sqlite:', 'redis:' and "
			       "'redis+unix:'.");
	/* Only the scheme is named: the rest of a store's address may hold a password. */
	if (!driver || url[n] != ':')
		return err_set(e, ERR_CONFIG,
			       "[store] url: no store of the kind '%.*s:'; there are 'sqlite:', "
			       "'redis:' and 'redis+unix:'.",
			       url[n] ? (int)(n < 32 ? n : 32) : 0, url);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_INTERNAL, "out of memory");
	s->driver = driver;
	if (driver->open(&s->self, url + n + 1, state_dir, migrate, e) < 0 ||
	    driver->slot->open(&s->slots, state_dir, e) < 0) {
		store_free(s);
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
	if (s->limits)
		s->driver->limit->close(s);
	s->driver->slot->close(s->slots); /* it may still have something to say */
	s->driver->close(s->self);
	free(s);
}
