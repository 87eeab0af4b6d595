/* shared/job/degrade, usual_time: asking for less, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "job/degrade.h"
#include "job/image_run.h"
#include "job/usual_time.h"

#define STEPS_MAX 6

static struct image_request
wish(void)
{
	return (struct image_request){ .prompt = "p",
				       .n = 1,
				       .output_compression = -1,
				       .seed = -1,
				       .guidance = -1,
				       .strength = -1,
				       .noise = -1 };
}

static const struct image_caps caps = {
	.keeps = PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_QUALITY) |
		 PARAM_BIT(PARAM_STEPS) | PARAM_BIT(PARAM_USER),
};

/* The steps that take effect one after the other, as "quality=medium; …". */
static void
expect_steps(const char *const *list, const struct image_request *rq, const char *expected)
{
	char *steps[STEPS_MAX], found[256] = "", receipt_words[256] = "";
	struct model_conf m = { .id = (char *)(uintptr_t) "m", .degrade = { steps, 0 } };
	AUTO(receipt) receipt = { 0 };
	struct degrade d;
	const char *step;

	for (; list[m.degrade.n]; m.degrade.n++)
		steps[m.degrade.n] = (char *)(uintptr_t)list[m.degrade.n];
	degrade_init(&d, rq, &m, &caps);
	while ((step = degrade_step(&d, &receipt))) {
		size_t n = strlen(found);

		(void)snprintf(found + n, sizeof(found) - n, "%s%s", n ? "; " : "", step);
		/* What was changed last stands in the receipt. */
		receipt_text(&receipt, receipt_words, sizeof(receipt_words));
		assert_non_null(strstr(receipt_words, step));
	}
	assert_string_equal(found, expected);
	assert_null(degrade_step(&d, &receipt));
	degrade_done(&d);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
steps_are_taken_in_order_where_they_change_something(void **state)
{
	struct image_request none = wish(), medium = wish(), low = wish(), high = wish(),
			     small = wish();

	(void)state;
	medium.quality = "medium";
	low.quality = "low";
	high.quality = "high";
	small.width = small.height = 512;
	expect_steps(LIST("quality=medium", "quality=low"), &none, "quality=medium; quality=low");
	expect_steps(LIST("quality=medium", "quality=low"), &high, "quality=medium; quality=low");
	/* Never up. */
	expect_steps(LIST("quality=medium", "quality=low"), &medium, "quality=low");
	expect_steps(LIST("quality=medium", "quality=low"), &low, "");
	expect_steps(LIST("size=1024x1024", "size=512x512"), &small, "");
	expect_steps(LIST("size=512x512", "steps=8", "steps=4"), &none,
		     "size=512x512; steps=8; steps=4");
	/* The same twice is one. */
	expect_steps(LIST("quality=low", "quality=low"), &none, "quality=low");
	/* What is no parameter, none of this model's, no value, or a promise: passed over. */
	expect_steps(LIST("qualty=low", "style=vivid", "steps=many", "size=big"), &none, "");
	expect_steps(LIST("n=1", "user=x", "stream=false", "quality=low"), &none, "quality=low");
}

static void
what_is_asked_for_is_less_and_the_rest_stays(void **state)
{
	struct image_request rq = wish();
	char *steps[] = { (char *)(uintptr_t) "quality=low", (char *)(uintptr_t) "size=512x256",
			  (char *)(uintptr_t) "steps=7" };
	struct model_conf m = { .id = (char *)(uintptr_t) "m", .degrade = { steps, 3 } };
	AUTO(receipt) receipt = { 0 };
	struct degrade d;

	(void)state;
	rq.n = 3;
	rq.quality = "high";
	degrade_init(&d, &rq, &m, &caps);
	assert_int_equal(d.level, 0);
	assert_non_null(degrade_step(&d, &receipt));
	assert_int_equal(d.level, 1);
	assert_string_equal(d.rq.quality, "low");
	assert_int_equal(d.rq.width, 0);
	assert_non_null(degrade_step(&d, &receipt));
	assert_non_null(degrade_step(&d, &receipt));
	assert_string_equal(d.rq.quality, "low");
	assert_int_equal(d.rq.width, 512);
	assert_int_equal(d.rq.height, 256);
	assert_int_equal(d.rq.steps, 7);
	assert_int_equal(d.rq.n, 3);
	assert_int_equal(d.rq.given,
			 PARAM_BIT(PARAM_QUALITY) | PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_STEPS));
	assert_string_equal(rq.quality, "high"); /* the caller's own is untouched */
	degrade_done(&d);
}

/* ---- usual times ---- */

static char dir[64];

static int
setup(void **state)
{
	struct err e;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(usual_time_open(dir, &e), 0);
	return 0;
}

static int
teardown(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	usual_time_close();
	pid = fork();
	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static void
the_usual_time_is_the_median_of_the_last_twenty(void **state)
{
	(void)state;
	assert_int_equal(usual_time_ms("a", 0), 0);
	usual_time_add("a", 0, 5000);
	assert_int_equal(usual_time_ms("a", 0), 5000);
	usual_time_add("a", 0, 1000);
	assert_int_equal(usual_time_ms("a", 0), 3000);
	usual_time_add("a", 0, 100000); /* one that hung is not usual */
	assert_int_equal(usual_time_ms("a", 0), 5000);
	for (int i = 0; i < 11; i++)
		usual_time_add("a", 0, 200);
	assert_int_equal(usual_time_ms("a", 0), 200);
	for (int i = 0; i < 20; i++)
		usual_time_add("a", 0, 700);
	assert_int_equal(usual_time_ms("a", 0), 700);
	/* Each model and each step for itself. */
	assert_int_equal(usual_time_ms("b", 0), 0);
	assert_int_equal(usual_time_ms("a", 1), 0);
	usual_time_add("a", 1, 0); /* nothing takes no time */
	assert_int_equal(usual_time_ms("a", 1), 1);
}

static void
other_processes_and_later_ones_know_it(void **state)
{
	int status;
	pid_t pid;
	struct err e;

	(void)state;
	usual_time_close();
	usual_time_add("a", 0, 7); /* without a file nothing is remembered */
	assert_int_equal(usual_time_ms("a", 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (usual_time_open(dir, &e) < 0)
			_exit(1);
		for (int i = 0; i < 20; i++)
			usual_time_add("Qwen/Qwen-Image", 0, 15000);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(usual_time_open(dir, &e), 0);
	assert_int_equal(usual_time_ms("Qwen/Qwen-Image", 0), 15000);
}

static void
more_models_than_there_is_room_for_do_no_harm(void **state)
{
	char name[16];
	int known = 0;
	struct err e;

	(void)state;
	for (int i = 0; i < 1500; i++) {
		(void)snprintf(name, sizeof(name), "m%d", i);
		usual_time_add(name, 0, 100 + i);
	}
	for (int i = 0; i < 1500; i++) {
		int64_t ms;

		(void)snprintf(name, sizeof(name), "m%d", i);
		ms = usual_time_ms(name, 0);
		assert_true(ms == 0 || ms == 100 + i);
		known += ms != 0;
	}
	assert_int_equal(known, 1024);
	usual_time_close();
	assert_int_equal(usual_time_open("/proc/nowhere", &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_are_taken_in_order_where_they_change_something),
		cmocka_unit_test(what_is_asked_for_is_less_and_the_rest_stays),
		TEST(the_usual_time_is_the_median_of_the_last_twenty),
		TEST(other_processes_and_later_ones_know_it),
		TEST(more_models_than_there_is_room_for_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
