#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/fingerprint.h"

#define PROCESSES 8

static char dir[64], file[96];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/fingerprint.key", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(file);
	/* Fails, and the test with it, when a temporary file was left. */
	return rmdir(dir);
}

static void
write_file(const char *text, size_t n)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	(void)close(fd);
}

static void
makes_a_private_key_whatever_the_umask(void **state)
{
	struct err e = { 0 };
	mode_t old = umask(0);
	struct stat st;

	(void)state;
	assert_int_equal(fingerprint_init(dir, &e), 0);
	(void)umask(old);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 32);
}

static void
is_hmac_sha256_with_the_file(void **state)
{
	static const char key[] = "0123456789abcdef0123456789abcdef";
	char out[FINGERPRINT_TEXT];
	struct err e = { 0 };

	(void)state;
	write_file(key, 32);
	assert_int_equal(fingerprint_init(dir, &e), 0);
	fingerprint("sk-easel-FAKE", 13, out);
	/* printf sk-easel-FAKE | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef */
	assert_string_equal(out, "f7ff5e7f");
}

static void
stays_the_same_and_differs_by_secret(void **state)
{
	char a[FINGERPRINT_TEXT], b[FINGERPRINT_TEXT], c[FINGERPRINT_TEXT];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(fingerprint_init(dir, &e), 0);
	fingerprint("one", 3, a);
	fingerprint("two", 3, b);
	assert_int_equal(fingerprint_init(dir, &e), 0);
	fingerprint("one", 3, c);
	assert_int_equal(strlen(a), 8);
	assert_string_equal(a, c);
	assert_string_not_equal(a, b);
}

static void
refuses_a_damaged_key(void **state)
{
	struct err e = { 0 };

	(void)state;
	write_file("short", 5);
	assert_int_equal(fingerprint_init(dir, &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	write_file("0123456789abcdef0123456789abcdefX", 33);
	assert_int_equal(fingerprint_init(dir, &e), -1);
	assert_non_null(strstr(e.about, "32 bytes"));
}

static void
refuses_a_folder_it_cannot_use(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(fingerprint_init("/proc/nowhere", &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_null(strstr(e.about, "/proc"));
}

static void
agrees_between_processes_that_start_at_once(void **state)
{
	char first[FINGERPRINT_TEXT], next[FINGERPRINT_TEXT];
	int go[2], said[2], status;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(said), 0);
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			char c, out[FINGERPRINT_TEXT];

			(void)close(go[1]);
			/* Ends of the pipe close for all of them in the same moment. */
			if (read(go[0], &c, 1) != 0 || fingerprint_init(dir, &e) < 0)
				_exit(1);
			fingerprint("one", 3, out);
			_exit(write(said[1], out, sizeof(out)) == sizeof(out) ? 0 : 1);
		}
	}
	(void)close(go[1]);
	assert_int_equal(read(said[0], first, sizeof(first)), sizeof(first));
	for (int i = 1; i < PROCESSES; i++) {
		assert_int_equal(read(said[0], next, sizeof(next)), sizeof(next));
		assert_string_equal(first, next);
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	(void)close(go[0]);
	(void)close(said[0]);
	(void)close(said[1]);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(makes_a_private_key_whatever_the_umask),
		TEST(is_hmac_sha256_with_the_file),
		TEST(stays_the_same_and_differs_by_secret),
		TEST(refuses_a_damaged_key),
		TEST(refuses_a_folder_it_cannot_use),
		TEST(agrees_between_processes_that_start_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
