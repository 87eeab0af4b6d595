#ifndef EASEL_PROVIDER_PROVIDER_LOGIN_H
#define EASEL_PROVIDER_PROVIDER_LOGIN_H
/*
 * provider_login - does somebody's e-mail address and password let them in at a provider?
 *
 * Nothing is bought, nothing is kept: the token that a login gives is wiped.  Thread-safe.  Does not log.
 */
#include "base/deadline.h"
#include "base/err.h"
#include "base/ledger.h"
#include "config/config.h"

/* Has the dialect such a login? */
bool provider_has_login(enum dialect d);

/*
 * 0: it does.  -1: ERR_UP_LOGIN (refused; whose move it is: the caller's); else what novelai_token_get()
 * says of a provider that cannot be asked.  The remote's words are not in it.
 */
int provider_login_try(const struct provider_conf *p, const char *email, const char *password,
		       const struct deadline *d, struct ledger *ledger, struct err *e);

#endif
