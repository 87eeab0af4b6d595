#include "access/guesses.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_SHOWN 16 /* bytes of SHA-256 that tell subjects apart */
/* With the NUL.  Whoever asks with a longer one may cut it too, and then mean the same account. */
#define EMAIL_BYTES 255
#define SECOND      1000LL
#define MINUTE      (60 * SECOND)

const struct lockout_rule guesses_of_pair = {
	.free = 5, .first_ms = SECOND, .max_ms = 15 * MINUTE, .forget_ms = 60 * MINUTE
};
/* An office may share one. */
const struct lockout_rule guesses_of_address = {
	.free = 30, .first_ms = SECOND, .max_ms = 15 * MINUTE, .forget_ms = 15 * MINUTE
};
/* The owner may be on a new address: short. */
const struct lockout_rule guesses_of_account = {
	.free = 50, .first_ms = SECOND, .max_ms = MINUTE, .forget_ms = 60 * MINUTE
};
/* No lock: that there is a count says that the address is known. */
static const struct lockout_rule known_rule = { .free = 1LL << 40, .forget_ms = GUESSES_KNOWN_MS };

static void
subject(char out[GUESS_SUBJECT], const char *kind, const char *const *parts)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state c;
	size_t len = (size_t)snprintf(out, GUESS_SUBJECT, "%s:", kind);

	(void)crypto_hash_sha256_init(&c);
	for (; *parts; parts++)
		(void)crypto_hash_sha256_update(&c, (const unsigned char *)*parts,
						strlen(*parts) + 1);
	(void)crypto_hash_sha256_final(&c, hash);
	for (int i = 0; i < DIGEST_SHOWN; i++)
		len += (size_t)snprintf(out + len, GUESS_SUBJECT - len, "%02x", hash[i]);
}

static void
fold(const char *email, char out[EMAIL_BYTES])
{
	size_t n;

	while (isspace((unsigned char)*email))
		email++;
	n = strnlen(email, EMAIL_BYTES - 1);
	while (n && isspace((unsigned char)email[n - 1]))
		n--;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)email[i]);
	out[n] = '\0';
}

void
guess_of(struct guess *g, const char *realm, const char *email, const char *address)
{
	char account[EMAIL_BYTES];

	fold(email, account);
	subject(g->pair, "account-address", (const char *const[]){ realm, account, address, NULL });
	subject(g->address, "address", (const char *const[]){ address, NULL });
	subject(g->account, "account", (const char *const[]){ realm, account, NULL });
	subject(g->known, "known", (const char *const[]){ realm, account, address, NULL });
}

static int
locked(struct err *e, int64_t ms, const char *why)
{
	(void)err_set(e, ERR_RATE_LIMITED, "%s", why);
	e->retry_after_s = (int)((ms + SECOND - 1) / SECOND);
	e->stage = "auth";
	return -1;
}

int
guess_allowed(struct store *s, const struct guess *g, const struct deadline *d, struct err *e)
{
	int64_t now = clock_wall_ms();
	struct lockout l;

	if (store_lockout_get(s, g->pair, now, &l, d, e) < 0)
		return -1;
	if (l.until_ms > now)
		return locked(e, l.until_ms - now,
			      "wrong logins of this account from this address");
	if (store_lockout_get(s, g->address, now, &l, d, e) < 0)
		return -1;
	if (l.until_ms > now)
		return locked(e, l.until_ms - now, "wrong logins from this address");
	if (store_lockout_get(s, g->account, now, &l, d, e) < 0)
		return -1;
	if (l.until_ms > now) {
		struct lockout known;

		if (store_lockout_get(s, g->known, now, &known, d, e) < 0)
			return -1;
		if (!known.count)
			return locked(e, l.until_ms - now, "wrong logins of this account");
	}
	return 0;
}

int
guess_was_wrong(struct store *s, const struct guess *g, const struct deadline *d, struct err *e)
{
	int64_t now = clock_wall_ms();
	struct lockout l;

	if (store_lockout_fail(s, g->pair, &guesses_of_pair, now, &l, d, e) < 0 ||
	    store_lockout_fail(s, g->address, &guesses_of_address, now, &l, d, e) < 0)
		return -1;
	return store_lockout_fail(s, g->account, &guesses_of_account, now, &l, d, e);
}

int
guess_was_right(struct store *s, const struct guess *g, const struct deadline *d, struct err *e)
{
	struct lockout l;

	if (store_lockout_clear(s, g->pair, d, e) < 0)
		return -1;
	return store_lockout_fail(s, g->known, &known_rule, clock_wall_ms(), &l, d, e);
}

int
guesses_forget(struct store *s, const char *realm, const char *email, const struct deadline *d,
	       struct err *e)
{
	struct guess g;

	guess_of(&g, realm, email, "");
	return store_lockout_clear(s, g.account, d, e);
}
