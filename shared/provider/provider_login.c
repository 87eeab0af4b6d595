#include "provider/provider_login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider/novelai_login.h"

bool
provider_has_login(enum dialect d)
{
	return d == DIALECT_NOVELAI;
}

/* The catalogue speaks of the operator's credential; this one is the caller's own. */
static void
blame_the_caller(struct err *e)
{
	struct err was = *e;

	if (was.kind != ERR_UP_AUTH)
		return;
	(void)err_set(e, ERR_UP_LOGIN, "%s", was.about);
	e->stage = was.stage;
	e->upstream = was.upstream;
}

int
provider_login_try(const struct provider_conf *p, const char *email, const char *password,
		   const struct deadline *d, struct ledger *ledger, struct err *e)
{
	AUTO_FREE struct image_call *call = calloc(1, sizeof(*call)); /* large */
	AUTO(novelai_token) token = { 0 };

	if (!call)
		return err_set(e, ERR_OVERLOADED, "no memory");
	call->provider = p;
	call->credential = email;
	call->password = password;
	call->deadline = *d;
	call->ledger = ledger;
	if (novelai_token_get(call, &token, e) < 0) {
		blame_the_caller(e);
		return -1;
	}
	novelai_token_forget(call, &token);
	return 0;
}
