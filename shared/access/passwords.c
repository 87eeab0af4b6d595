#include "access/passwords.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

_Static_assert(PASSWORD_TEXT >= crypto_pwhash_STRBYTES, "a hash's text does not fit");

static struct {
	pthread_mutex_t lock;
	pthread_cond_t given;
	unsigned taken;
} turns = { .lock = PTHREAD_MUTEX_INITIALIZER, .given = PTHREAD_COND_INITIALIZER };

/* isspace() depends on the locale. */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

char *
password_trim(char *text)
{
	size_t n = strlen(text);

	while (n && is_space(text[n - 1]))
		text[--n] = '\0';
	while (is_space(*text))
		text++;
	return text;
}

int
password_judge(const char *password, struct err *e)
{
	size_t n = strlen(password);
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "%d to %d bytes of UTF-8", PASSWORD_MIN_BYTES,
		       PASSWORD_MAX_BYTES);
	if (n < PASSWORD_MIN_BYTES || n > PASSWORD_MAX_BYTES)
		return err_field(e, ERR_VALUE, "password", expected, "%zu bytes", n);
	if (!utf8_valid(password, n))
		return err_field(e, ERR_VALUE, "password", expected, "other bytes");
	return 0;
}

int
password_turn_take(const struct deadline *d, struct err *e)
{
	struct timespec until = { d->at_us / 1000000, d->at_us % 1000000 * 1000 };
	bool mine = true;

	(void)pthread_mutex_lock(&turns.lock);
	while (mine && turns.taken >= PASSWORDS_AT_ONCE)
		mine = pthread_cond_clockwait(&turns.given, &turns.lock, CLOCK_MONOTONIC, &until) ==
			       0 ||
		       turns.taken < PASSWORDS_AT_ONCE;
	turns.taken += mine;
	(void)pthread_mutex_unlock(&turns.lock);
	if (mine)
		return 0;
	(void)err_set(e, ERR_OVERLOADED, "too many passwords are being checked");
	e->retry_after_s = 1;
	e->stage = "auth";
	return -1;
}

void
password_turn_give(void)
{
	(void)pthread_mutex_lock(&turns.lock);
	turns.taken--;
	(void)pthread_cond_signal(&turns.given);
	(void)pthread_mutex_unlock(&turns.lock);
}

static int
no_memory(struct err *e)
{
	(void)err_set(e, ERR_OVERLOADED, "no memory to check a password");
	e->retry_after_s = 1;
	e->stage = "auth";
	return -1;
}

int
password_hash(const char *password, char out[PASSWORD_TEXT], struct err *e)
{
	if (sodium_init() < 0 ||
	    crypto_pwhash_str_alg(out, password, strlen(password), PASSWORD_PASSES,
				  PASSWORD_MEMORY_BYTES, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return no_memory(e);
	return 0;
}

/* A hash that no known password has: what is compared with when there is no user. */
static void
nobodys_hash(char out[PASSWORD_TEXT])
{
	(void)snprintf(out, PASSWORD_TEXT,
		       "$argon2id$v=19$m=%lu,t=%d,p=1$bm9ib2R5IGlzIGhlcmUhIQ$"
		       "Tm9ib2R5IGtub3dzIHdoYXQgd291bGQgaGFzaCB0byB0aGk",
		       PASSWORD_MEMORY_BYTES >> 10, PASSWORD_PASSES);
}

int
password_check(const char *hash, const char *password, bool *right, struct err *e)
{
	char nobodys[PASSWORD_TEXT];

	if (sodium_init() < 0)
		return no_memory(e);
	nobodys_hash(nobodys);
	*right = crypto_pwhash_str_verify(hash ? hash : nobodys, password, strlen(password)) == 0 &&
		 hash != NULL;
	return 0;
}
