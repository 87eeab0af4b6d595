/* Sessions, and the counts of wrong guesses, with either store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/sha.h>

#include "access/guesses.h"
#include "access/keys.h"
#include "access/sessions.h"
#include "store_fixture.h"

static struct authenticator *auth;
static struct user_record owner;

static int
ready(void)
{
	bool added = false;

	owner = (struct user_record){ .id = "user_0123456789abcdefghjkmnpqrs",
				      .email = "owner@example.com",
				      .role = ROLE_USER,
				      .password = "$argon2id$",
				      .created_ms = 1 };
	OK(authenticator_open(&auth, s, dir, true, &e));
	OK(store_user_add(s, &owner, &added, &d, &e));
	return added ? 0 : -1;
}

static int
with_sqlite(void **state)
{
	return setup_sqlite(state) < 0 ? -1 : ready();
}

static int
with_redis(void **state)
{
	return setup_redis(state) < 0 ? -1 : ready();
}

static int
end(void **state)
{
	authenticator_free(TAKE_PTR(auth));
	(void)unlink(text("%s/fingerprint.key", dir));
	return teardown_any(state);
}

static int
try_token(const char *token, unsigned scope, struct principal *who)
{
	char header[256];

	(void)snprintf(header, sizeof(header), "Bearer %s", token);
	e = (struct err){ 0 };
	return authenticate(auth, header, "", scope, who, &d, &e);
}

static void
begins_with_256_random_bits_and_stores_their_hash(void **state)
{
	char token[SESSION_TEXT], other[SESSION_TEXT];
	struct session_record r;
	unsigned char hash[32];
	struct user_record u;
	bool found;

	(void)state;
	OK(session_begin(s, &owner, 60000, token, &d, &e));
	OK(session_begin(s, &owner, 60000, other, &d, &e));
	assert_string_not_equal(token, other);
	assert_memory_equal(token, "sk-easel-session-", 17);
	assert_int_equal(strspn(token + 17, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					    "0123456789-_"),
			 43);
	assert_int_equal(strlen(token), 60);
	assert_non_null(SHA256((unsigned char *)token, 60, hash));
	OK(store_session_get(s, hash, &r, &u, &found, &d, &e));
	assert_true(found);
	assert_int_equal(r.expires_ms - r.created_ms, 60000);
	assert_string_equal(u.email, "owner@example.com");
}

static void
is_known_by_its_shape(void **state)
{
	static const char all[] = "sk-easel-session-0123456789012345678901234567890123456789abc";

	(void)state;
	assert_true(session_is(all, 60));
	assert_false(session_is(all, 59));
	assert_false(
		session_is("sk-easel-Session-0123456789012345678901234567890123456789abc", 60));
	assert_false(session_is("sk-easel-0123456789012345678901234567890123456789abc", 52));
	assert_false(session_is("", 0));
}

static void
lets_in_like_a_key(void **state)
{
	char token[SESSION_TEXT];
	struct principal who;

	(void)state;
	OK(session_begin(s, &owner, 60000, token, &d, &e));
	for (int i = 0; i < 2; i++) { /* from the store, from the cache */
		OK(try_token(token, SCOPE_IMAGES | SCOPE_TASKS, &who));
		assert_int_equal(who.kind, BY_SESSION);
		assert_string_equal(who.id, owner.id);
		assert_string_equal(who.name, "owner@example.com");
		assert_int_equal(who.scopes, SCOPES_DEFAULT);
		assert_int_equal(strlen(who.fingerprint), 8);
	}
	assert_int_equal(try_token(token, SCOPE_METRICS, &who), -1);
	assert_string_equal(err_code(&e), "insufficient_scope");
}

static void
gives_an_admin_every_scope(void **state)
{
	char token[SESSION_TEXT];
	struct principal who;
	bool found;

	(void)state;
	owner.role = ROLE_ADMIN;
	OK(store_user_set(s, &owner, &found, &d, &e));
	OK(session_begin(s, &owner, 60000, token, &d, &e));
	OK(try_token(token, SCOPE_METRICS, &who));
	assert_int_equal(who.scopes, SCOPE_ALL);
}

/* Until it is refused; asked a second after `since_us`, it must be. */
static void
refused_within_a_second(const char *token, int64_t since_us, const char *cause)
{
	struct principal who;

	for (;;) {
		int64_t asked_us = clock_us();

		if (try_token(token, 0, &who) < 0)
			break;
		assert_true(asked_us - since_us < 1000000);
		(void)usleep(2000);
	}
	assert_string_equal(err_code(&e), "invalid_api_key");
	assert_string_equal(err_cause(&e), cause);
}

static void
ends_once(void **state)
{
	char token[SESSION_TEXT];
	struct principal who;
	int64_t ended_us;
	bool found;

	(void)state;
	OK(session_begin(s, &owner, 60000, token, &d, &e));
	OK(try_token(token, 0, &who));
	OK(session_end(s, token, strlen(token), &found, &d, &e));
	ended_us = clock_us();
	assert_true(found);
	refused_within_a_second(token, ended_us, "session_ended");
	OK(session_end(s, token, strlen(token), &found, &d, &e));
	assert_false(found);
	OK(session_end(s, "sk-easel-session-unknown", 24, &found, &d, &e));
	assert_false(found);
}

static void
ends_with_its_time(void **state)
{
	char token[SESSION_TEXT];
	struct principal who;
	int rc = 0;

	(void)state;
	OK(session_begin(s, &owner, 400, token, &d, &e));
	OK(try_token(token, 0, &who));
	for (int i = 0; i < 2000 && rc == 0; i++) {
		(void)usleep(5000);
		rc = try_token(token, 0, &who);
	}
	assert_int_equal(rc, -1);
	assert_non_null(
		strstr(err_cause(&e), "session_e")); /* a store may have forgotten it by then */
	assert_true(clock_wall_ms() >= who.expires_ms);
}

static void
ends_when_the_user_is_disabled(void **state)
{
	char token[SESSION_TEXT];
	struct principal who;
	int64_t since_us;
	bool found;

	(void)state;
	OK(session_begin(s, &owner, 60000, token, &d, &e));
	OK(try_token(token, 0, &who));
	owner.disabled = true;
	OK(store_user_set(s, &owner, &found, &d, &e));
	since_us = clock_us();
	refused_within_a_second(token, since_us, "session_ended");
}

static void
does_not_begin_for_a_user_who_was_changed_meanwhile(void **state)
{
	struct user_record read_before = owner, now = owner;
	char token[SESSION_TEXT] = "x";
	bool found;

	(void)state;
	for (int i = 0; i < 3; i++) {
		now = owner;
		now.disabled = i == 0;
		now.role = i == 1 ? ROLE_ADMIN : ROLE_USER;
		if (i == 2)
			(void)snprintf(now.password, sizeof(now.password), "another");
		OK(store_user_set(s, &now, &found, &d, &e));
		assert_int_equal(session_begin(s, &read_before, 60000, token, &d, &e), -1);
		assert_string_equal(err_code(&e), "invalid_credentials");
		assert_string_equal(token, "");
	}
}

static void
addresses_are_told_from_other_texts(void **state)
{
	static const struct {
		const char *typed, *out;
	} rows[] = {
		{ "a@b", "a@b" },
		{ "  Name.Surname@Example.COM\r\n", "name.surname@example.com" },
		{ "\xc3\x84@example.com", "\xc3\x84@example.com" },
		{ "\"a@b\"@example.com", "\"a@b\"@example.com" },
		{ "", NULL },
		{ "  ", NULL },
		{ "name", NULL },
		{ "@example.com", NULL },
		{ "name@", NULL },
		{ "na me@example.com", NULL },
		{ "na\nme@example.com", NULL },
		{ "name@example.com\x7f", NULL },
		{ "\xff@example.com", NULL },
	};
	char out[EMAIL_TEXT], longest[EMAIL_TEXT + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int rc = email_normalise(rows[i].typed, out, &e);

		assert_int_equal(rc, rows[i].out ? 0 : -1);
		if (rows[i].out)
			assert_string_equal(out, rows[i].out);
		else
			assert_string_equal(e.param, "email");
	}
	memset(longest, 'x', sizeof(longest));
	longest[1] = '@';
	longest[EMAIL_TEXT] = '\0';
	assert_int_equal(email_normalise(longest, out, &e), -1);
	longest[EMAIL_TEXT - 1] = '\0';
	assert_int_equal(email_normalise(longest, out, &e), 0);
}

/* ---- wrong guesses ---- */

static struct guess
a_guess(const char *email, const char *address)
{
	struct guess g;

	guess_of(&g, "easel", email, address);
	return g;
}

/* 0, or the seconds to wait. */
static int
wait_of(const char *email, const char *address)
{
	struct guess g = a_guess(email, address);

	e = (struct err){ 0 };
	if (guess_allowed(s, &g, &d, &e) == 0)
		return 0;
	assert_string_equal(err_code(&e), "rate_limited");
	return e.retry_after_s;
}

static void
wrong(const char *email, const char *address)
{
	struct guess g = a_guess(email, address);

	OK(guess_was_wrong(s, &g, &d, &e));
}

static void
counts_by_account_and_address(void **state)
{
	(void)state;
	for (int64_t i = 0; i < guesses_of_pair.free; i++)
		wrong("a@b", "192.0.2.1");
	assert_int_equal(wait_of("a@b", "192.0.2.1"), 0);
	wrong("a@b", "192.0.2.1");
	assert_int_equal(wait_of("a@b", "192.0.2.1"), 1);
	assert_int_equal(wait_of("a@b", "192.0.2.2"), 0);
	assert_int_equal(wait_of("c@b", "192.0.2.1"), 0);
	for (int i = 0; i < 20; i++)
		wrong("a@b", "192.0.2.1");
	assert_int_equal(wait_of("a@b", "192.0.2.1"), guesses_of_pair.max_ms / 1000);
}

static void
forgets_the_pair_after_a_right_one(void **state)
{
	struct guess g = a_guess("a@b", "192.0.2.1");

	(void)state;
	for (int64_t i = 0; i < guesses_of_pair.free + 3; i++)
		wrong("a@b", "192.0.2.1");
	assert_int_not_equal(wait_of("a@b", "192.0.2.1"), 0);
	OK(guess_was_right(s, &g, &d, &e));
	assert_int_equal(wait_of("a@b", "192.0.2.1"), 0);
}

static void
counts_an_address_over_all_accounts(void **state)
{
	(void)state;
	for (int64_t i = 0; i <= guesses_of_address.free; i++) {
		assert_int_equal(wait_of(text("u%d@b", (int)i), "192.0.2.1"), 0);
		wrong(text("u%d@b", (int)i), "192.0.2.1");
	}
	assert_int_equal(wait_of("somebody@b", "192.0.2.1"), 1);
	assert_int_equal(wait_of("somebody@b", "192.0.2.2"), 0);
}

static void
never_holds_the_owner_at_a_known_address(void **state)
{
	struct guess home = a_guess("a@b", "192.0.2.1");

	(void)state;
	OK(guess_was_right(s, &home, &d, &e));
	for (int64_t i = 0; i < guesses_of_account.free + 30; i++)
		wrong("a@b", text("198.51.100.%d", (int)i));
	assert_int_equal(wait_of("a@b", "203.0.113.1"), guesses_of_account.max_ms / 1000);
	assert_int_equal(wait_of("a@b", "192.0.2.1"), 0);
	assert_int_equal(wait_of("c@b", "203.0.113.1"), 0);
	OK(guesses_forget(s, "easel", "a@b", &d, &e));
	assert_int_equal(wait_of("a@b", "203.0.113.1"), 0);
}

static void
keeps_realms_apart_and_texts_out_of_the_store(void **state)
{
	struct guess one, other;

	(void)state;
	guess_of(&one, "easel", "a@b", "192.0.2.1");
	guess_of(&other, "novelai", "a@b", "192.0.2.1");
	assert_string_not_equal(one.pair, other.pair);
	assert_string_not_equal(one.account, other.account);
	assert_string_equal(one.address, other.address);
	guess_of(&other, "easel", "a@b1", "92.0.2.1"); /* the same letters */
	assert_string_not_equal(one.pair, other.pair);
	assert_null(strstr(one.pair, "a@b"));
	assert_null(strstr(one.address, "192.0.2.1"));
}

static void
an_address_is_the_same_one_however_it_is_typed(void **state)
{
	static const char *const typed[] = { "A@B.example", " a@b.example", "a@b.EXAMPLE\r\n",
					     "\t\va@b.example \f" };
	struct guess one, other;
	char padded[512];

	(void)state;
	guess_of(&one, "novelai", "a@b.example", "192.0.2.1");
	for (size_t i = 0; i < sizeof(typed) / sizeof(*typed); i++) {
		guess_of(&other, "novelai", typed[i], "192.0.2.1");
		assert_string_equal(one.pair, other.pair);
		assert_string_equal(one.account, other.account);
		assert_string_equal(one.known, other.known);
	}
	(void)snprintf(padded, sizeof(padded), "%-400sx", "a@b.example");
	guess_of(&other, "novelai", padded, "192.0.2.1");
	assert_string_equal(one.account, other.account);
	guess_of(&other, "novelai", "a@b .example", "192.0.2.1");
	assert_string_not_equal(one.account, other.account);
}

#define BOTH(test)                                            \
	{ #test " (SQLite)", test, with_sqlite, end, NULL },  \
	{                                                     \
#test " (Redis)", test, with_redis, end, NULL \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(begins_with_256_random_bits_and_stores_their_hash),
		cmocka_unit_test(is_known_by_its_shape),
		BOTH(lets_in_like_a_key),
		BOTH(gives_an_admin_every_scope),
		BOTH(ends_once),
		BOTH(ends_with_its_time),
		BOTH(ends_when_the_user_is_disabled),
		BOTH(does_not_begin_for_a_user_who_was_changed_meanwhile),
		cmocka_unit_test(addresses_are_told_from_other_texts),
		BOTH(counts_by_account_and_address),
		BOTH(forgets_the_pair_after_a_right_one),
		BOTH(counts_an_address_over_all_accounts),
		BOTH(never_holds_the_owner_at_a_known_address),
		cmocka_unit_test(keeps_realms_apart_and_texts_out_of_the_store),
		cmocka_unit_test(an_address_is_the_same_one_however_it_is_typed),
	};

	return cmocka_run_group_tests(tests, begin_redis, end_redis);
}
