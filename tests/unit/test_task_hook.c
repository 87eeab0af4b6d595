/* Webhooks: how they are signed, and when one is sent again.  What is on the wire: tests/system/test_webhooks.py. */
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
#include <unistd.h>

#include "api/task_hook.h"
#include "base/cleanup.h"

static char folder[] = "/tmp/easel-hook-XXXXXX";

static int
setup(void **state)
{
	unsigned char key[32];
	char path[64];
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/webhook.key", folder);
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)i;
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, key, sizeof(key)), (ssize_t)sizeof(key));
	assert_int_equal(task_hook_init(folder, &e), 0);
	return 0;
}

static int
teardown(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/webhook.key", folder);
	(void)unlink(path);
	return rmdir(folder);
}

/* Made with the standard's own library for Python: Webhook("whsec_AAEC…").sign("msg_1", …, body). */
static void
signs_as_the_standard_says(void **state)
{
	static const char body[] = "{\"type\":\"task.succeeded\"}";
	char secret[HOOK_SECRET], signature[HOOK_SIGNATURE];

	(void)state;
	task_hook_secret(secret);
	assert_string_equal(secret, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
	task_hook_sign("msg_1", 1771000000, body, strlen(body), signature);
	assert_string_equal(signature, "v1,uG3SP7P1qp7kujxU1+xwRPIb3O58Ro15WmucQRDHXjw=");
	task_hook_sign("msg_1", 1771000001, body, strlen(body), signature);
	assert_string_not_equal(signature, "v1,uG3SP7P1qp7kujxU1+xwRPIb3O58Ro15WmucQRDHXjw=");
}

static void
waits_longer_each_time_and_ends(void **state)
{
	int64_t before = 0;

	(void)state;
	for (int64_t tries = 1; tries < TASK_HOOK_TRIES; tries++) {
		assert_true(task_hook_pause_ms(tries) > before);
		before = task_hook_pause_ms(tries);
	}
	assert_int_equal(task_hook_pause_ms(1), 5000);
	assert_int_equal(task_hook_pause_ms(TASK_HOOK_TRIES - 1), 43200000);
	assert_int_equal(task_hook_pause_ms(TASK_HOOK_TRIES), -1);
	assert_int_equal(task_hook_pause_ms(TASK_HOOK_TRIES + 1), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_as_the_standard_says),
		cmocka_unit_test(waits_longer_each_time_and_ends),
	};

	return cmocka_run_group_tests_name("task_hook", tests, setup, teardown);
}
