#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "access/passwords.h"

#define CROWD 12

static struct err e;

static void
makes_argon2id_that_only_its_password_fits(void **state)
{
	static const struct {
		const char *password;
		bool right;
	} rows[] = {
		{ "correct horse", true },  { "correct horsf", false }, { "", false },
		{ "Correct horse", false }, { "correct hors", false },  { "correct horse ", false }
	};
	char one[PASSWORD_TEXT], two[PASSWORD_TEXT];
	bool right;

	(void)state;
	assert_int_equal(password_hash("correct horse", one, &e), 0);
	assert_int_equal(password_hash("correct horse", two, &e), 0);
	assert_string_not_equal(one, two);
	assert_memory_equal(one, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
	assert_null(strstr(one, "correct"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(password_check(one, rows[i].password, &right, &e), 0);
		assert_int_equal(right, rows[i].right);
	}
}

static int64_t
check_us(const char *hash)
{
	int64_t best = INT64_MAX;
	bool right;

	for (int i = 0; i < 5; i++) {
		int64_t start = clock_us();

		assert_int_equal(password_check(hash, "correct horse", &right, &e), 0);
		assert_int_equal(right, hash != NULL);
		if (clock_us() - start < best)
			best = clock_us() - start;
	}
	return best;
}

static void
takes_as_long_for_nobody(void **state)
{
	char hash[PASSWORD_TEXT];
	int64_t known, nobody;

	(void)state;
	assert_int_equal(password_hash("correct horse", hash, &e), 0);
	/* The best of five; other processes may be at work. */
	for (int i = 0; i < 10; i++) {
		known = check_us(hash);
		nobody = check_us(NULL);
		if (nobody * 4 > known * 3 && known * 4 > nobody * 3)
			return;
	}
	fail_msg("%lld µs for a user, %lld for nobody", (long long)known, (long long)nobody);
}

static void
is_never_right_with_a_hash_that_is_none(void **state)
{
	static const char *const rows[] = { "", "x", "$argon2id$", "correct horse",
					    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$" };
	bool right = true;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(password_check(rows[i], "correct horse", &right, &e), 0);
		assert_false(right);
	}
}

static void
leaves_out_white_space_at_both_ends(void **state)
{
	static const char *const rows[][2] = { { "a b", "a b" },   { " a b\r\n", "a b" },
					       { "\t\v\fa", "a" }, { " \n", "" },
					       { "", "" },         { "\xc2\xa0x", "\xc2\xa0x" } };
	char text[16];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		(void)memcpy(text, rows[i][0], strlen(rows[i][0]) + 1);
		assert_string_equal(password_trim(text), rows[i][1]);
	}
}

static void
judges_new_passwords(void **state)
{
	char longest[PASSWORD_MAX_BYTES + 2];

	(void)state;
	assert_int_equal(password_judge("1234567", &e), -1);
	assert_string_equal(e.param, "password");
	assert_string_equal(e.found, "7 bytes");
	assert_int_equal(password_judge("12345678", &e), 0);
	assert_int_equal(password_judge("1234567\xff", &e), -1);
	memset(longest, 'x', sizeof(longest));
	longest[PASSWORD_MAX_BYTES + 1] = '\0';
	assert_int_equal(password_judge(longest, &e), -1);
	longest[PASSWORD_MAX_BYTES] = '\0';
	assert_int_equal(password_judge(longest, &e), 0);
}

static int at_once, most;

static void *
take_a_turn(void *arg)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };
	struct deadline d = deadline_in_ms(60000);
	struct err own;
	int now;

	(void)arg;
	if (password_turn_take(&d, &own) < 0)
		return NULL;
	now = __atomic_add_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
	for (int seen = __atomic_load_n(&most, __ATOMIC_SEQ_CST);
	     now > seen && !__atomic_compare_exchange_n(&most, &seen, now, false, __ATOMIC_SEQ_CST,
							__ATOMIC_SEQ_CST);)
		;
	(void)nanosleep(&pause, NULL);
	(void)__atomic_sub_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
	password_turn_give();
	return (void *)&at_once;
}

static void
lets_a_few_at_once_and_the_others_wait(void **state)
{
	pthread_t t[CROWD];
	void *had;

	(void)state;
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_a_turn, NULL), 0);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(pthread_join(t[i], &had), 0);
		assert_ptr_equal(had, &at_once);
	}
	assert_int_equal(most, PASSWORDS_AT_ONCE);
}

static void
waits_no_longer_than_the_deadline(void **state)
{
	struct deadline d = deadline_in_ms(60000), soon;
	int64_t start;

	(void)state;
	for (int i = 0; i < PASSWORDS_AT_ONCE; i++)
		assert_int_equal(password_turn_take(&d, &e), 0);
	start = clock_us();
	soon = deadline_in_ms(50);
	assert_int_equal(password_turn_take(&soon, &e), -1);
	assert_string_equal(err_code(&e), "overloaded");
	assert_int_equal(e.retry_after_s, 1);
	assert_true(clock_us() - start >= 49000);
	password_turn_give();
	assert_int_equal(password_turn_take(&soon, &e), 0); /* one is free: no wait */
	for (int i = 0; i < PASSWORDS_AT_ONCE; i++)
		password_turn_give();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_argon2id_that_only_its_password_fits),
		cmocka_unit_test(takes_as_long_for_nobody),
		cmocka_unit_test(is_never_right_with_a_hash_that_is_none),
		cmocka_unit_test(leaves_out_white_space_at_both_ends),
		cmocka_unit_test(judges_new_passwords),
		cmocka_unit_test(lets_a_few_at_once_and_the_others_wait),
		cmocka_unit_test(waits_no_longer_than_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
