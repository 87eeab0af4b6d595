#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store_fixture.h"

#include "job/owed_task.h"

#define ID   "task_0123456789abcdefghjkmnpqrs"
#define KEEP 60000

static struct owed_task
owed(void)
{
	struct owed_task o = { .hold = -1 };
	struct task_record *t = &o.task;

	(void)snprintf(t->id, sizeof(t->id), ID);
	(void)snprintf(t->request_id, sizeof(t->request_id), "req_1");
	(void)snprintf(t->owner, sizeof(t->owner), "key_1");
	(void)snprintf(t->model, sizeof(t->model), "图像/Model");
	(void)snprintf(t->provider, sizeof(t->provider), "relay");
	(void)snprintf(t->stage, sizeof(t->stage), "provider.wait");
	(void)snprintf(t->upstream_id, sizeof(t->upstream_id), "up-77");
	t->status = TASK_STARTED;
	t->dispatched = true;
	t->created_ms = 1771000000000;
	t->request = strdup("{\"prompt\":\"a \\\"panda\\\"\"}");
	t->progress = strdup("{}");
	(void)snprintf(o.idem.owner, sizeof(o.idem.owner), "key_1");
	(void)snprintf(o.idem.request_id, sizeof(o.idem.request_id), "req_1");
	(void)snprintf(o.idem.task_id, sizeof(o.idem.task_id), ID);
	for (int i = 0; i < IDEM_HASH_BYTES; i++)
		o.idem.hash[i] = (unsigned char)(i * 9);
	o.idem.created_ms = clock_wall_ms();
	o.idem.expires_ms = clock_wall_ms() + KEEP;
	return o;
}

static char *
file(const char *name)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "%s/run/owed/%s", dir, name);
	return path;
}

static void
put_file(const char *name, const char *content)
{
	FILE *f = fopen(file(name), "w");

	assert_non_null(f);
	(void)fputs(content, f);
	assert_int_equal(fclose(f), 0);
}

static int
files(bool drop)
{
	DIR *list = opendir(file(""));
	struct dirent *entry;
	int n = 0;

	while (list && (entry = readdir(list))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		n++;
		if (drop)
			(void)unlinkat(dirfd(list), entry->d_name, 0);
	}
	if (list)
		(void)closedir(list);
	return n;
}

static int
setup(void **state)
{
	return setup_sqlite(state);
}

static int
teardown(void **state)
{
	(void)files(true);
	(void)rmdir(file(""));
	(void)rmdir(text("%s/run", dir));
	return teardown_any(state);
}

static void
is_shown_as_started_until_the_store_has_it(void **state)
{
	AUTO(owed_task) o = owed();
	AUTO(task_record) t = { 0 };
	struct stat st;
	bool found = true, held = false;

	(void)state;
	OK(owed_task_find(dir, s, ID, &t, &found, &d, &e));
	assert_false(found);
	o.task.status = TASK_SUCCESS;
	o.task.result = strdup("{\"images\":[]}");
	OK(owed_task_write(dir, &o, &e));
	assert_int_equal(stat(file(ID), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(owed_task_waits(dir, ID));
	OK(owed_task_find(dir, s, ID, &t, &found, &d, &e));
	assert_true(found);
	assert_int_equal(t.status, TASK_STARTED);
	assert_null(t.result);
	assert_string_equal(t.owner, "key_1");
	assert_string_equal(t.model, "图像/Model");
	assert_string_equal(t.request, o.task.request);
	assert_int_equal(t.created_ms, o.task.created_ms);
	task_record_done(&t);

	OK(owed_task_give(s, &o, 30000, KEEP, &held, &d, &e));
	assert_true(held);
	OK(owed_task_give(s, &o, 30000, KEEP, &held, &d, &e)); /* once more does no harm */
	owed_task_drop(dir, &o);
	assert_int_equal(files(false), 0);
	OK(owed_task_find(dir, s, ID, &t, &found, &d, &e));
	assert_true(found);
	assert_int_equal(t.status, TASK_SUCCESS);
	assert_string_equal(t.result, "{\"images\":[]}");
}

static void
goes_into_the_store_when_its_process_is_dead(void **state)
{
	AUTO(owed_task) o = owed();
	AUTO(task_record) t = { 0 };
	AUTO(idem_record) r = { 0 };
	unsigned char hash[IDEM_HASH_BYTES];
	bool found = false;

	(void)state;
	memcpy(hash, o.idem.hash, sizeof(hash));
	OK(owed_task_write(dir, &o, &e));
	OK(owed_tasks_end(dir, s, KEEP, &e)); /* its owner lives */
	assert_int_equal(files(false), 1);
	OK(owed_task_write(dir, &o, &e)); /* written anew it is locked, too */
	OK(owed_tasks_end(dir, s, KEEP, &e));
	assert_int_equal(files(false), 1);
	owed_task_done(&o);
	OK(owed_tasks_end(dir, s, KEEP, &e));
	assert_int_equal(files(false), 0);
	OK(store_task_get(s, ID, &t, &found, &d, &e));
	assert_true(found);
	assert_int_equal(t.status, TASK_STARTED);
	assert_true(t.dispatched);
	assert_string_equal(t.upstream_id, "up-77");
	assert_int_equal(t.fence, 1);
	OK(store_idem_by_body(s, "key_1", hash, &r, &found, &d, &e));
	assert_true(found);
	assert_string_equal(r.task_id, ID);
}

static void
updates_a_row_that_was_written_although_the_answer_did_not_come(void **state)
{
	AUTO(owed_task) o = owed();
	AUTO(task_record) t = { 0 };
	bool found, held = false, added;
	const struct task_add how = { .lease_ms = 30000 };

	(void)state;
	o.task.upstream_id[0] = '\0';
	OK(store_task_add(s, &o.task, &how, NULL, &added, &d, &e));
	(void)snprintf(o.task.upstream_id, sizeof(o.task.upstream_id), "up-78");
	OK(owed_task_give(s, &o, 30000, KEEP, &held, &d, &e));
	assert_true(held);
	OK(store_task_get(s, ID, &t, &found, &d, &e));
	assert_string_equal(t.upstream_id, "up-78");
}

static void
is_somebody_elses_when_that_one_has_claimed_it(void **state)
{
	AUTO(owed_task) o = owed();
	AUTO(task_record) t = { 0 };
	const struct task_add how = { .lease_ms = 1 };
	enum task_found how_found = TASK_NONE;
	bool held = true, added;

	(void)state;
	OK(store_task_add(s, &o.task, &how, NULL, &added, &d, &e));
	while (how_found == TASK_NONE)
		OK(store_task_claim(s, "other", 30000, &t, &how_found, &d, &e));
	OK(owed_task_give(s, &o, 30000, KEEP, &held, &d, &e));
	assert_false(held);
}

static void
is_no_way_out_of_its_folder(void **state)
{
	static const char *const ids[] = { "",
					   "task_",
					   "../x",
					   "task_../../x",
					   "task_a/b",
					   ".new_0123456789abcdefghjkmnpqrs",
					   "task_0123456789abcdefghjkmnpqrs0123456789abcdefg" };
	AUTO(owed_task) o = owed();
	struct task_record t = { 0 };
	bool found;

	(void)state;
	OK(owed_task_write(dir, &o, &e));
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_false(owed_task_waits(dir, ids[i]));
		OK(owed_task_find(dir, s, ids[i], &t, &found, &d, &e));
		assert_false(found);
	}
}

static void
survives_files_that_are_no_task(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"status\":\"NEVER\"}",
		"{\"status\":\"STARTED\"}",
		"{\"status\":\"STARTED\",\"id\":\"task_other\",\"owner\":\"k\"}"
	};
	AUTO(owed_task) o = owed();
	struct task_record t = { 0 };
	bool found;

	(void)state;
	OK(owed_task_write(dir, &o, &e));
	owed_task_drop(dir, &o);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put_file(ID, texts[i]);
		OK(owed_tasks_end(dir, s, KEEP, &e));
		assert_int_equal(files(false), 0); /* nobody can read it, ever */
		OK(store_task_get(s, ID, &t, &found, &d, &e));
		assert_false(found);
	}
	put_file(".new_young", "");
	OK(owed_tasks_end(dir, s, KEEP, &e));
	assert_int_equal(files(false), 1);
	assert_int_equal(utimensat(AT_FDCWD, file(".new_young"),
				   (struct timespec[]){ { .tv_sec = 1 }, { .tv_sec = 1 } }, 0),
			 0);
	OK(owed_tasks_end(dir, s, KEEP, &e));
	assert_int_equal(files(false), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(is_shown_as_started_until_the_store_has_it),
		TEST(goes_into_the_store_when_its_process_is_dead),
		TEST(updates_a_row_that_was_written_although_the_answer_did_not_come),
		TEST(is_somebody_elses_when_that_one_has_claimed_it),
		TEST(is_no_way_out_of_its_folder),
		TEST(survives_files_that_are_no_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
