#ifndef EASEL_STORE_USER_H
#define EASEL_STORE_USER_H
/*
 * store_user - users, their sessions, and who guesses passwords
 *
 * Hashing and comparing is not done here: `password` is Argon2id's text, `hash` the SHA-256 of a
 * session's opaque token.  E-mail addresses come normalised.
 */
#include "store/store.h"

enum user_role { ROLE_USER, ROLE_ADMIN };

struct user_record {
	char id[40];     /* "user_…" */
	char email[256]; /* normalised; one user each */
	enum user_role role;
	char password[160];
	bool disabled;
	int64_t created_ms;
};

/* *added false: there is a user of that e-mail or id. */
int store_user_add(struct store *s, const struct user_record *u, bool *added,
		   const struct deadline *d, struct err *e);
int store_user_by_email(struct store *s, const char *email, struct user_record *out, bool *found,
			const struct deadline *d, struct err *e);
int store_user_by_id(struct store *s, const char *id, struct user_record *out, bool *found,
		     const struct deadline *d, struct err *e);
/* Role, password and disabled of the user u->id.  All of that user's sessions end with it. */
int store_user_set(struct store *s, const struct user_record *u, bool *found,
		   const struct deadline *d, struct err *e);
/* Oldest first. */
int store_user_each(struct store *s, void (*fn)(const struct user_record *u, void *arg), void *arg,
		    const struct deadline *d, struct err *e);

#define SESSION_HASH_BYTES 32

struct session_record {
	unsigned char hash[SESSION_HASH_BYTES]; /* SHA-256 of the token */
	char user_id[40];
	int64_t created_ms, expires_ms, revoked_ms;
};

int store_session_add(struct store *s, const struct session_record *r, const struct deadline *d,
		      struct err *e);
/* With its user, as it is now.  Whether it has expired or was revoked is the caller's to say. */
int store_session_get(struct store *s, const unsigned char hash[SESSION_HASH_BYTES],
		      struct session_record *out, struct user_record *user, bool *found,
		      const struct deadline *d, struct err *e);
/* *found: was there one, not revoked before. */
int store_session_revoke(struct store *s, const unsigned char hash[SESSION_HASH_BYTES],
			 int64_t now_ms, bool *found, const struct deadline *d, struct err *e);

/* ---- failed logins ---- */

#define LOCKOUT_TEXT 288

/* `free` failures cost nothing; each further one locks twice as long as the one before. */
struct lockout_rule {
	int64_t free, first_ms, max_ms;
	int64_t forget_ms; /* after that long without a failure it begins anew */
};
struct lockout {
	int64_t count, until_ms; /* wall clock of this machine; 0: not locked */
};

/* `subject`: "account:EMAIL", "address:IP".  One more failure; *out is how it stands now. */
int
store_lockout_fail(struct store *s, const char *subject, const struct lockout_rule *rule,
		   int64_t now_ms, struct lockout *out, const struct deadline *d, struct err *e);
/* Zeroes: nothing is known of it. */
int store_lockout_get(struct store *s, const char *subject, int64_t now_ms, struct lockout *out,
		      const struct deadline *d, struct err *e);
int
store_lockout_clear(struct store *s, const char *subject, const struct deadline *d, struct err *e);

#endif
