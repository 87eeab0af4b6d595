#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/keys.h"

#define THREADS 8
#define HITS    200000

static char dir[64], file[96];
static struct err e;
static struct store *store;
static struct authenticator *auth;
static struct key_record record;
static char key[KEY_TEXT];

static struct deadline
soon(void)
{
	return deadline_in_ms(10000);
}

static int
setup(void **state)
{
	struct deadline d = soon();

	(void)state;
	e = (struct err){ 0 };
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/t.db", dir);
	assert_int_equal(store_open(&store, "sqlite:t.db", dir, true, &e), 0);
	assert_int_equal(authenticator_open(&auth, store, dir, true, &e), 0);
	assert_int_equal(key_create(store, "laptop", SCOPE_IMAGES | SCOPE_CHAT, 0, &record, key, &d,
				    &e),
			 0);
	return 0;
}

static int
teardown(void **state)
{
	struct dirent *entry;
	DIR *list;

	(void)state;
	authenticator_free(auth);
	store_free(store);
	list = opendir(dir);
	assert_non_null(list);
	while ((entry = readdir(list)))
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(list), entry->d_name, 0);
	(void)closedir(list);
	return rmdir(dir);
}

/* authenticate() with "Bearer <text>". */
static int
try_key(const char *text, unsigned scope, struct principal *who)
{
	struct deadline d = soon();
	char header[256];

	(void)snprintf(header, sizeof(header), "Bearer %s", text);
	e = (struct err){ 0 };
	return authenticate(auth, header, "", scope, who, &d, &e);
}

static void
run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 10000);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
makes_keys_of_256_random_bits_and_stores_only_their_hash(void **state)
{
	struct deadline d = soon();
	struct key_record other;
	char second[KEY_TEXT], text[65536];
	unsigned char hash[32];
	int fd;
	ssize_t n;

	(void)state;
	assert_int_equal(strlen(key), 9 + 43);
	assert_memory_equal(key, "sk-easel-", 9);
	assert_int_equal(strspn(key + 9, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789-_"),
			 43);
	assert_non_null(SHA256((unsigned char *)key, strlen(key), hash));
	assert_memory_equal(record.hash, hash, sizeof(hash));
	assert_memory_equal(record.id, "key_", 4);
	assert_string_equal(record.name, "laptop");
	assert_memory_equal(record.hint, key, 13);
	assert_int_equal(strlen(record.hint), 13);
	assert_int_equal(key_create(store, "laptop", SCOPE_CHAT, 0, &other, second, &d, &e), 0);
	assert_string_not_equal(key, second);
	assert_string_not_equal(record.id, other.id);

	/* Neither in the database nor in its log. */
	for (int wal = 0; wal < 2; wal++) {
		char name[128];

		(void)snprintf(name, sizeof(name), "%s%s", file, wal ? "-wal" : "");
		fd = open(name, O_RDONLY | O_CLOEXEC);
		while ((n = read(fd, text, sizeof(text))) > 0)
			assert_null(memmem(text, (size_t)n, key + 9, 43));
		assert_int_equal(n, 0);
		(void)close(fd);
	}
}

static void
refuses_to_make_what_would_be_no_key(void **state)
{
	static const struct {
		const char *name;
		unsigned scopes;
		const char *param;
	} rows[] = { { "", 1, "name" },
		     { "\xff", 1, "name" },
		     { "0123456789012345678901234567890123456789012345678901234567890123456789"
		       "0123456789012345678901234567890123456789012345678901234567",
		       1, "name" },
		     { "x", 0, "scopes" },
		     { "x", 1 << 6, "scopes" } };
	struct deadline d = soon();
	struct key_record k;
	char text[KEY_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(key_create(store, rows[i].name, rows[i].scopes, 0, &k, text, &d,
					    &e),
				 -1);
		assert_int_equal(e.kind, ERR_VALUE);
		assert_string_equal(e.param, rows[i].param);
	}
}

static void
reads_and_writes_scopes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		unsigned bits;
	} rows[] = { { "images", 0, SCOPE_IMAGES },
		     { "images,chat", 0, SCOPE_IMAGES | SCOPE_CHAT },
		     { " tasks , metrics ", 0, SCOPE_TASKS | SCOPE_METRICS },
		     { "admin,admin", 0, SCOPE_ADMIN },
		     { "requests", 0, SCOPE_REQUESTS },
		     { "", -1, 7 },
		     { ",", -1, 7 },
		     { "images,", -1, 7 },
		     { "image", -1, 7 },
		     { "images chat", -1, 7 },
		     { "Images", -1, 7 } };
	char text[SCOPES_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned bits = 7;

		assert_int_equal(scopes_parse(rows[i].text, &bits, &e), rows[i].rc);
		assert_int_equal(bits, rows[i].bits);
	}
	assert_int_equal(scopes_parse("images,imagse", &(unsigned){ 0 }, &e), -1);
	assert_string_equal(e.found, "'imagse'");
	scopes_text(SCOPE_IMAGES | SCOPE_TASKS, text);
	assert_string_equal(text, "images,tasks");
	scopes_text(0, text);
	assert_string_equal(text, "");
	scopes_text(~0U, text);
	assert_string_equal(text, "images,chat,tasks,requests,metrics,admin");
}

static void
lets_a_key_in_and_says_who_it_is(void **state)
{
	struct principal who, again;
	char padded[128];

	(void)state;
	assert_int_equal(try_key(key, SCOPE_IMAGES, &who), 0);
	assert_string_equal(who.id, record.id);
	assert_string_equal(who.name, "laptop");
	assert_int_equal(who.scopes, SCOPE_IMAGES | SCOPE_CHAT);
	assert_int_equal(strspn(who.fingerprint, "0123456789abcdef"), 8);
	/* From the cache, with the line break of a pasted key. */
	(void)snprintf(padded, sizeof(padded), " %s\r\n", key);
	assert_int_equal(try_key(padded, 0, &again), 0);
	assert_memory_equal(&who, &again, sizeof(who));
}

static void
says_why_a_key_is_refused(void **state)
{
	static const char unknown[] = "sk-easel-FAKEfakeFAKEfakeFAKEfakeFAKEfakeFAKEfakeFAK";
	struct deadline d = soon();
	struct key_record k;
	struct principal who;
	char text[KEY_TEXT], message[512];

	(void)state;
	/* Twice each: the store's answer and the cache's are the same. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(try_key(unknown, 0, &who), -1);
		assert_string_equal(err_code(&e), "invalid_api_key");
		assert_string_equal(err_cause(&e), "unknown_key");
		assert_non_null(strstr(e.about, "52 characters, fingerprint "));
		assert_string_equal(e.stage, "auth");
		err_message(&e, LANG_EN, message, sizeof(message));
		assert_null(strstr(message, "FAKE"));
	}
	assert_int_equal(key_create(store, "old", 1, 1767225600000, &k, text, &d, &e), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(try_key(text, 0, &who), -1);
		assert_string_equal(err_cause(&e), "expired");
		assert_string_equal(e.about, " on 2026-01-01T00:00:00Z");
	}
	assert_int_equal(key_create(store, "gone", 1, 0, &k, text, &d, &e), 0);
	assert_int_equal(store_key_revoke(store, k.id, 1, &(bool){ false }, &d, &e), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(try_key(text, 0, &who), -1);
		assert_string_equal(err_cause(&e), "revoked");
		assert_string_equal(err_code(&e), "invalid_api_key");
	}
	assert_int_equal(key_create(store, "soon", 1, clock_wall_ms() + 3600000, &k, text, &d, &e),
			 0);
	assert_int_equal(try_key(text, 0, &who), 0);
}

static void
judges_the_scope(void **state)
{
	struct deadline d = soon();
	struct principal who;
	struct key_record k;
	char admin[KEY_TEXT];

	(void)state;
	assert_int_equal(try_key(key, SCOPE_IMAGES | SCOPE_CHAT, &who), 0);
	assert_int_equal(try_key(key, SCOPE_METRICS, &who), -1);
	assert_string_equal(err_code(&e), "insufficient_scope");
	assert_string_equal(e.expected, "metrics");
	assert_string_equal(e.found, "images,chat");
	assert_string_equal(e.stage, "auth");
	assert_int_equal(try_key(key, SCOPE_IMAGES | SCOPE_TASKS, &who), -1);
	assert_int_equal(key_create(store, "root", SCOPE_ADMIN, 0, &k, admin, &d, &e), 0);
	assert_int_equal(try_key(admin, SCOPE_METRICS | SCOPE_IMAGES, &who), 0);
}

static void
refuses_a_revoked_key_within_a_second(void **state)
{
	struct deadline d = soon();
	struct principal who;
	int64_t revoked_us;
	bool found = false;

	(void)state;
	assert_int_equal(try_key(key, 0, &who), 0);
	assert_int_equal(store_key_revoke(store, "laptop", clock_wall_ms(), &found, &d, &e), 0);
	assert_true(found);
	revoked_us = clock_us();
	for (;;) {
		int64_t asked_us = clock_us();

		if (try_key(key, 0, &who) < 0)
			break;
		/* Asked a second after the revocation, it must not be let in. */
		assert_true(asked_us - revoked_us < 1000000);
		(void)usleep(1000);
	}
	assert_string_equal(err_cause(&e), "revoked");
}

static void
keeps_known_keys_in_the_cache_while_others_guess(void **state)
{
	struct principal who;
	int64_t start_us;
	char guess[64];
	int rc;

	(void)state;
	/* Fewer guesses on a slow machine: all of it must happen while the entry lives. */
	for (int guesses = 3000; guesses >= 300; guesses /= 2) {
		start_us = clock_us();
		assert_int_equal(try_key(key, 0, &who), 0);
		for (int i = 0; i < guesses; i++) {
			(void)snprintf(guess, sizeof(guess), "sk-easel-guess-%d", i);
			assert_int_equal(try_key(guess, 0, &who), -1);
		}
		/* A good key must be found without the store: it has no tables any more. */
		run_sql("ALTER TABLE keys RENAME TO hidden");
		rc = try_key(key, 0, &who);
		run_sql("ALTER TABLE hidden RENAME TO keys");
		/* Too slow, and the entry had ended by itself: once more. */
		if (clock_us() - start_us < 800000) {
			assert_int_equal(rc, 0);
			return;
		}
	}
	fail_msg("300 guesses took longer than an entry lives");
}

static void
passes_up_what_is_wrong_with_the_store(void **state)
{
	struct principal who;

	(void)state;
	run_sql("DROP TABLE keys");
	assert_int_equal(try_key(key, 0, &who), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
	assert_string_equal(e.stage, "auth");
}

static void
lets_everybody_in_when_no_key_is_required(void **state)
{
	static const char *const headers[] = { NULL, "Basic eDp5", "Bearer sk-easel-FAKE", "" };
	struct authenticator *open = NULL;
	struct deadline d = soon();

	(void)state;
	assert_int_equal(authenticator_open(&open, store, dir, false, &e), 0);
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		struct principal who;

		assert_int_equal(authenticate(open, headers[i], "", SCOPE_ADMIN | SCOPE_METRICS,
					      &who, &d, &e),
				 0);
		assert_string_equal(who.id, "anonymous");
		assert_true(who.scopes & SCOPE_IMAGES);
	}
	authenticator_free(open);
}

static void *
thread_authenticates(void *arg)
{
	struct deadline d = deadline_in_ms(60000);
	struct principal who;
	struct err te;
	char header[128];

	(void)snprintf(header, sizeof(header), "Bearer %s", key);
	for (int i = 0; i < HITS / THREADS; i++)
		if (authenticate(auth, header, "", SCOPE_IMAGES, &who, &d, &te) < 0 ||
		    strcmp(who.id, record.id) != 0)
			return arg;
	return NULL;
}

static void
serves_many_threads_quickly(void **state)
{
	pthread_t thread[THREADS];
	struct timespec a, b;
	double ns;
	void *failed;

	(void)state;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, thread_authenticates, key), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / HITS;
	print_message("           %.0f ns of CPU each\n", ns);
#ifndef EASEL_SANITIZED
	assert_true(ns < 20000); /* 700 on a quiet machine; this only finds a missing cache */
#endif
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(makes_keys_of_256_random_bits_and_stores_only_their_hash),
		TEST(refuses_to_make_what_would_be_no_key),
		TEST(reads_and_writes_scopes),
		TEST(lets_a_key_in_and_says_who_it_is),
		TEST(says_why_a_key_is_refused),
		TEST(judges_the_scope),
		TEST(refuses_a_revoked_key_within_a_second),
		TEST(keeps_known_keys_in_the_cache_while_others_guess),
		TEST(passes_up_what_is_wrong_with_the_store),
		TEST(lets_everybody_in_when_no_key_is_required),
		TEST(serves_many_threads_quickly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
