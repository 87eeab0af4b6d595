#ifndef EASEL_ACCESS_GUESSES_H
#define EASEL_ACCESS_GUESSES_H
/*
 * guesses - how often somebody may be wrong about a password
 *
 * Three counts, each with a lock that doubles with each further failure:
 *
 *	account and address   who mistypes, and who guesses from one place; a right login clears it
 *	address               who tries one password on many accounts
 *	account               many addresses guess one account's password.  Whoever logged in from an address
 *	                      within GUESSES_KNOWN_MS is not held by it, so that guessing never keeps the owner out
 *
 * They lie in the store, for all processes, under digests: people type passwords into the wrong field.
 * Accounts that do not exist count like those that do.  Thread-safe.  Does not log.
 */
#include "base/deadline.h"
#include "base/err.h"
#include "store/store_user.h"

#define GUESSES_KNOWN_MS (30 * 86400000LL)

extern const struct lockout_rule guesses_of_pair, guesses_of_address, guesses_of_account;

#define GUESS_SUBJECT 80

struct guess {
	char pair[GUESS_SUBJECT], address[GUESS_SUBJECT], account[GUESS_SUBJECT],
		known[GUESS_SUBJECT];
};

/*
 * `realm` is whose accounts they are ("easel", a provider's name), `address` as http/peer.h gives it.  An e-mail address
 * is the same one whatever its case and the white space around it: providers fold both.
 */
void guess_of(struct guess *g, const char *realm, const char *email, const char *address);

/* 0: a guess may be made; -1: ERR_RATE_LIMITED with retry_after_s, ERR_STORE. */
int guess_allowed(struct store *s, const struct guess *g, const struct deadline *d, struct err *e);
int guess_was_wrong(struct store *s, const struct guess *g, const struct deadline *d,
		    struct err *e);
int guess_was_right(struct store *s, const struct guess *g, const struct deadline *d,
		    struct err *e);
/* The account may be tried afresh from everywhere that did not fail itself: its password was set anew. */
int guesses_forget(struct store *s, const char *realm, const char *email, const struct deadline *d,
		   struct err *e);

#endif
