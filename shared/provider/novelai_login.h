#ifndef EASEL_PROVIDER_NOVELAI_LOGIN_H
#define EASEL_PROVIDER_NOVELAI_LOGIN_H
/*
 * novelai_login - the token that a request carries: the given one, or that of a login
 *
 * A login's token is kept in this process's memory, by account, until it says that it has expired; at most
 * NOVELAI_ACCOUNTS of them.  One login at a time for an account, whoever else needs it waits; at most two
 * access keys are derived at once.  A refused login is remembered for a minute, because NovelAI locks
 * accounts after some: until then the same address with the same password is not tried again.
 *
 * Private to provider/.  Thread-safe.  Does not log.
 */
#include <stdbool.h>

#include "provider/provider.h"

#define NOVELAI_ACCOUNTS 64

struct novelai_token {
	char *text;  /* owned */
	bool cached; /* an earlier login's: when it is refused, another may help */
};

/*
 * 0: *t is for call->credential, or for that address and call->password.
 * -1, stage provider.login, never may_have_been_billed: ERR_UP_AUTH (wrong address or password, or a
 * second factor is asked for), ERR_UP_MOVED, ERR_UP_CHALLENGE, ERR_UP_RATE, ERR_UP_FAILED, ERR_UP_GARBAGE,
 * ERR_DEADLINE, ERR_OVERLOADED, what upstream_call() says.  The remote's words are not in it.
 */
int novelai_token_get(struct image_call *call, struct novelai_token *t, struct err *e);
void novelai_token_done(struct novelai_token *t);

/* It was refused: the next one is of another login. */
void novelai_token_forget(const struct image_call *call, const struct novelai_token *t);

/* Forgets every account: for tests. */
void novelai_login_forget(void);

#endif
