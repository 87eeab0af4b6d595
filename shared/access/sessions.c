#include "access/sessions.h"

#include <sodium.h>
#include <string.h>

#include "access/keys.h"
#include "access/token.h"
#include "base/utf8.h"

_Static_assert(sizeof(SESSION_PREFIX) + TOKEN_RANDOM_TEXT <= SESSION_TEXT, "no room for a token");

bool
session_is(const char *token, size_t n)
{
	return n == sizeof(SESSION_PREFIX) - 1 + TOKEN_RANDOM_TEXT &&
	       !memcmp(token, SESSION_PREFIX, sizeof(SESSION_PREFIX) - 1);
}

unsigned
session_scopes(enum user_role role)
{
	return role == ROLE_ADMIN ? SCOPE_ALL : SCOPES_DEFAULT;
}

const char *
session_role(enum user_role role)
{
	return role == ROLE_ADMIN ? "admin" : "user";
}

static void
hash_token(const char *token, size_t n, unsigned char hash[SESSION_HASH_BYTES])
{
	(void)crypto_hash_sha256(hash, (const unsigned char *)token, n);
}

/*
 * Somebody may have changed the password while the old one was being checked, and ended all sessions that
 * there were then: this one would outlive that.
 */
static int
see_that_nothing_changed(struct store *s, const struct session_record *r,
			 const struct user_record *user, const struct deadline *d, struct err *e)
{
	struct user_record now;
	bool found;

	if (store_user_by_id(s, user->id, &now, &found, d, e) < 0)
		return -1;
	if (found && !now.disabled && now.role == user->role &&
	    !strcmp(now.password, user->password))
		return 0;
	if (store_session_revoke(s, r->hash, clock_wall_ms(), &found, d, e) < 0)
		return -1;
	(void)err_set(e, ERR_LOGIN, "%s", "");
	e->stage = "auth";
	return -1;
}

int
session_begin(struct store *s, const struct user_record *user, int64_t ttl_ms,
	      char token[SESSION_TEXT], const struct deadline *d, struct err *e)
{
	struct session_record r = { .created_ms = clock_wall_ms() };

	if (token_make(SESSION_PREFIX, token, e) < 0)
		return -1;
	memcpy(r.user_id, user->id, sizeof(r.user_id));
	r.expires_ms = r.created_ms + ttl_ms;
	hash_token(token, strlen(token), r.hash);
	if (store_session_add(s, &r, d, e) == 0 && see_that_nothing_changed(s, &r, user, d, e) == 0)
		return 0;
	explicit_bzero(token, SESSION_TEXT);
	return -1;
}

int
session_end(struct store *s, const char *token, size_t n, bool *found, const struct deadline *d,
	    struct err *e)
{
	unsigned char hash[SESSION_HASH_BYTES];

	hash_token(token, n, hash);
	return store_session_revoke(s, hash, clock_wall_ms(), found, d, e);
}

static int
no_address(struct err *e, const char *found)
{
	return err_field(e, ERR_VALUE, "email", "an e-mail address like name@example.com", "%s",
			 found);
}

int
email_normalise(const char *typed, char out[EMAIL_TEXT], struct err *e)
{
	const char *end = typed + strlen(typed), *at;
	size_t n = 0;

	while (*typed && (*typed == ' ' || (*typed >= '\t' && *typed <= '\r')))
		typed++;
	while (end > typed && (end[-1] == ' ' || (end[-1] >= '\t' && end[-1] <= '\r')))
		end--;
	if (end == typed)
		return no_address(e, "nothing");
	if (end - typed >= EMAIL_TEXT)
		return no_address(e, "a longer text");
	for (; typed < end; typed++) {
		char c = *typed;

		if (c >= 0 && (c <= ' ' || c == 0x7f))
			return no_address(e, "white space in it");
		out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
	}
	out[n] = '\0';
	at = strrchr(out, '@');
	if (!at || at == out || !at[1] || !utf8_valid(out, n))
		return no_address(e, "another text");
	return 0;
}
