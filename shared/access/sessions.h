#ifndef EASEL_ACCESS_SESSIONS_H
#define EASEL_ACCESS_SESSIONS_H
/*
 * sessions - what a login gives: an opaque token that authenticate() takes like an API key
 *
 * "sk-easel-session-" and 256 random bits; only its SHA-256 is stored.  A new one for each login; all of a
 * user's end with a change of password, role or standing (store_user_set()).  Thread-safe.  Does not log.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/deadline.h"
#include "base/err.h"
#include "store/store_user.h"

#define SESSION_PREFIX "sk-easel-session-"
#define SESSION_TEXT   64 /* bytes of a token with its NUL */

/* Is it a session's token, by its shape? */
bool session_is(const char *token, size_t n);

unsigned session_scopes(enum user_role role); /* bits of enum scope */
const char *session_role(enum user_role role); /* "user", "admin" */

/*
 * Begins one for the user as it was read when the password was checked; token is the only copy there will
 * ever be.  0; or -1: ERR_LOGIN (the user was changed in the meantime), ERR_STORE, ERR_INTERNAL.
 */
int session_begin(struct store *s, const struct user_record *user, int64_t ttl_ms,
		  char token[SESSION_TEXT], const struct deadline *d, struct err *e);
/* Ends it.  *found: there was one. */
int session_end(struct store *s, const char *token, size_t n, bool *found, const struct deadline *d,
		struct err *e);

#define EMAIL_TEXT 255 /* bytes of an address with its NUL */

/*
 * An address as users have it: no white space around it, ASCII capitals small.  0, or -1: ERR_VALUE for
 * `email`: empty, too long, not UTF-8, not like name@host.  What was found is not in the error: people type
 * passwords into the wrong field.
 */
int email_normalise(const char *typed, char out[EMAIL_TEXT], struct err *e);

#endif
