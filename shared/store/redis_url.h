#ifndef EASEL_STORE_REDIS_URL_H
#define EASEL_STORE_REDIS_URL_H
/*
 * redis_url - where a Redis is, from [store] url
 *
 *	redis://[user:password@]host[:port][/db]      user and password may be percent-encoded
 *	redis+unix://[user:password@]/path[?db=N]
 */
#include <stdbool.h>

#include "base/err.h"

struct redis_url {
	char host[256], port[8]; /* host "" : path is a socket's */
	char path[108];
	char user[128], password[256];
	char db[8];
};

/* `rest` begins behind the scheme's colon.  -1: ERR_CONFIG, which quotes nothing of it. */
int redis_url_parse(struct redis_url *out, const char *rest, bool local, struct err *e);

#endif
