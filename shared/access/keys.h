#ifndef EASEL_ACCESS_KEYS_H
#define EASEL_ACCESS_KEYS_H
/*
 * keys - API keys and the one authentication that every route uses
 *
 * A key is "sk-easel-" and 256 random bits (43 characters of base64url); only its SHA-256 is stored.
 * The token of a login's session (access/sessions.h) is taken wherever a key is.  Thread-safe.  Does not log.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/deadline.h"
#include "base/err.h"
#include "store/store.h"

/* Bits of a key's scopes. */
enum scope {
	SCOPE_IMAGES = 1 << 0,
	SCOPE_CHAT = 1 << 1,
	SCOPE_TASKS = 1 << 2,
	SCOPE_REQUESTS = 1 << 3,
	SCOPE_METRICS = 1 << 4,
	SCOPE_ADMIN = 1 << 5, /* includes every other */
};
#define SCOPES_DEFAULT (SCOPE_IMAGES | SCOPE_CHAT | SCOPE_TASKS | SCOPE_REQUESTS)
#define SCOPE_ALL      (SCOPES_DEFAULT | SCOPE_METRICS | SCOPE_ADMIN)
#define SCOPES_TEXT    64 /* bytes that scopes_text() needs at most */

#define KEY_PREFIX "sk-easel-"
#define KEY_TEXT   64 /* bytes of a key's text with its NUL */

/* "images,chat" to bits.  0, or -1: ERR_VALUE naming the unknown word. */
int scopes_parse(const char *text, unsigned *out, struct err *e);
void scopes_text(unsigned scopes, char out[SCOPES_TEXT]);
json_t *scopes_json(unsigned scopes); /* their names, a new reference */

/* Makes a key and stores its hash.  key_text is the only copy there will ever be. */
int key_create(struct store *s, const char *name, unsigned scopes, int64_t expires_ms,
	       struct key_record *out, char key_text[KEY_TEXT], const struct deadline *d,
	       struct err *e);

/* What let it in. */
enum principal_kind {
	BY_NOTHING, /* [auth] required = false, or an open route */
	BY_KEY,
	BY_SESSION
};

/* Who is asking. */
struct principal {
	enum principal_kind kind;
	char id[32]; /* the key's; of a session its user's; "anonymous" when [auth] required = false */
	char name[128];      /* the key's; of a session its user's e-mail address */
	char fingerprint[9]; /* access/fingerprint.h */
	unsigned scopes;
	int64_t expires_ms;
};

struct authenticator; /* the store and a cache of what was seen within the last second */

int authenticator_open(struct authenticator **out, struct store *s, const char *state_dir,
		       bool required, struct err *e);
void authenticator_free(struct authenticator *a);
DEFINE_FREEP(authenticator);

/*
 * Judges the Authorization header (NULL when none arrived) and the raw query string ("" when none).
 * A revoked key, an ended session and the sessions of a user who was disabled are refused within a second.
 *
 * 0: *out is the principal and has every bit of `scope` (0: any key will do).
 * -1: ERR_BEARER or ERR_KEY with cause, ERR_SCOPE, ERR_STORE.
 */
int authenticate(struct authenticator *a, const char *authorization, const char *query,
		 unsigned scope, struct principal *out, const struct deadline *d, struct err *e);

#endif
