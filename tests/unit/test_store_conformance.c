/*
 * What every kind of store must do alike: each test runs against SQLite, and against a redis-server of its
 * own with the user that docs/redis.md describes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "store_fixture.h"

/* ---- what is kept ---- */

static void
keeps_every_field_of_a_task(void **state)
{
	AUTO(task_record) got = { 0 };
	struct task_record t = a_task("task_1", "lane");
	struct store_bytes secret = { (unsigned char *)"s\0al", 4 };
	enum task_found found;
	bool is;

	(void)state;
	(void)snprintf(t.model, sizeof(t.model), "图像/Model");
	(void)snprintf(t.provider, sizeof(t.provider), "relay");
	t.request = (char *)"{\"prompt\":\"一朵红色的玫瑰花\"}";
	t.input = (char *)"[\"in/1.png\"]";
	t.callback = (char *)"{\"url\":\"https://example.com/hook\"}";
	t.secret = secret;
	OK(store_task_add(s, &t, NULL, NULL, &is, &d, &e));
	assert_true(is);
	OK(store_task_get(s, "task_1", &got, &is, &d, &e));
	assert_true(is);
	assert_string_equal(got.id, "task_1");
	assert_string_equal(got.owner, "key_1");
	assert_string_equal(got.request_id, "req_1");
	assert_string_equal(got.lane, "lane");
	assert_string_equal(got.model, "图像/Model");
	assert_string_equal(got.provider, "relay");
	assert_string_equal(got.request, t.request);
	assert_string_equal(got.input, t.input);
	assert_string_equal(got.callback, t.callback);
	assert_int_equal(got.status, TASK_PENDING);
	assert_int_equal(got.created_ms, t.created_ms);
	assert_null(got.secret.p);
	assert_null(got.result);
	task_record_done(&got);

	OK(store_task_claim(s, "worker-1", 60000, &got, &found, &d, &e));
	assert_int_equal(found, TASK_FRESH);
	assert_int_equal(got.secret.len, 4);
	assert_memory_equal(got.secret.p, "s\0al", 4);
	assert_string_equal(got.worker, "worker-1");
	assert_int_equal(got.status, TASK_STARTED);
	assert_int_equal(got.attempts, 1);
	assert_int_equal(got.fence, 1);
	assert_true(got.started_ms > 0 && got.lease_until_ms > got.started_ms);
	OK(store_task_get(s, "task_9", &got, &is, &d, &e));
	assert_false(is);
}

static void
adds_the_same_task_once(void **state)
{
	struct task_counts n;

	(void)state;
	add("task_1", "");
	add("task_1", "");
	OK(store_task_counts(s, &n, &d, &e));
	assert_int_equal(n.n[TASK_PENDING], 1);
}

/* ---- the queue ---- */

static void
hands_out_each_lane_in_order_and_one_at_a_time(void **state)
{
	static const char *const tasks[][2] = { { "a1", "a" }, { "a2", "a" }, { "b1", "b" },
						{ "c1", "" },  { "c2", "" },  { "a3", "a" } };

	(void)state;
	for (size_t i = 0; i < 6; i++)
		add(tasks[i][0], tasks[i][1]);
	assert_string_equal(claim_all(), "a1 b1 c1 c2");
	end_task("b1", 1, TASK_SUCCESS);
	assert_string_equal(claim_all(), "");
	end_task("a1", 1, TASK_FAILURE);
	assert_string_equal(claim_all(), "a2");
	/* The first of its lane waits for its next try, and the lane with it. */
	again("a2", 1, 60000);
	assert_string_equal(claim_all(), "");
	cancel("a2");
	assert_string_equal(claim_all(), "a3");
}

static void
hands_out_as_many_of_a_lane_as_its_name_says(void **state)
{
	static const char *const tasks[][2] = { { "a1", "a*3" }, { "a2", "a*3" }, { "a3", "a*3" },
						{ "a4", "a*3" }, { "a5", "a*3" }, { "b1", "a*0" },
						{ "b2", "a*0" }, { "c1", "a*" },  { "c2", "a*" } };

	(void)state;
	for (size_t i = 0; i < 9; i++)
		add(tasks[i][0], tasks[i][1]);
	assert_string_equal(claim_all(), "a1 a2 a3 b1 c1"); /* what is no number is one */
	end_task("a2", 1, TASK_SUCCESS);
	assert_string_equal(claim_all(), "a4");
	/* One that waits for its next try keeps its place. */
	again("a1", 1, 60000);
	assert_string_equal(claim_all(), "");
	end_task("a4", 1, TASK_FAILURE);
	assert_string_equal(claim_all(), "a5");
	cancel("a1");
	end_task("a3", 1, TASK_SUCCESS);
	end_task("a5", 1, TASK_SUCCESS);
	add("a6", "a*3");
	add("a7", "a*3");
	add("a8", "a*3");
	add("a9", "a*3");
	assert_string_equal(claim_all(), "a6 a7 a8");
	end_task("b1", 1, TASK_SUCCESS);
	assert_string_equal(claim_all(), "b2");
}

static void
tries_again_at_its_old_place_when_it_is_due(void **state)
{
	AUTO(task_record) t = { 0 };
	enum task_found found;
	bool is;

	(void)state;
	add("a1", "a");
	add("a2", "a");
	assert_string_equal(claim_all(), "a1");
	step("a1", 1, "up-1");
	again("a1", 1, 30);
	OK(store_task_get(s, "a1", &t, &is, &d, &e));
	assert_int_equal(t.status, TASK_RETRY);
	assert_string_equal(t.upstream_id, "");
	assert_false(t.dispatched);
	assert_int_equal(t.attempts, 1);
	task_record_done(&t);
	claim_until(&t, &found);
	assert_string_equal(t.id, "a1");
	assert_int_equal(found, TASK_FRESH);
	assert_int_equal(t.attempts, 2);
	assert_int_equal(t.fence, 2);
	assert_string_equal(claim_all(), "");
}

static void
gives_back_an_attempt_that_was_none(void **state)
{
	struct task_again how = { .uncounted = true, .history = "[1]" };
	AUTO(task_record) t = { 0 };
	enum task_status now;
	bool held;

	(void)state;
	add("a1", "");
	assert_string_equal(claim_all(), "a1");
	OK(store_task_requeue(s, "a1", 1, &how, &held, &now, &d, &e));
	assert_true(held);
	assert_int_equal(now, TASK_RETRY);
	OK(store_task_get(s, "a1", &t, &held, &d, &e));
	assert_int_equal(t.attempts, 0);
	assert_string_equal(t.history, "[1]");
}

static void
refuses_beyond_the_queue_s_length(void **state)
{
	struct task_record t = a_task("task_4", "");
	struct task_add how = { .queue_length = 3 };
	bool is;

	(void)state;
	for (int i = 1; i <= 2; i++)
		add(text("task_%d", i), "");
	assert_string_equal(claim_all(), "task_1 task_2");
	for (int i = 3; i <= 5; i++)
		add(text("more_%d", i), "");
	assert_int_equal(store_task_add(s, &t, &how, NULL, &is, &d, &e), -1);
	assert_int_equal(e.kind, ERR_RATE_LIMITED);
	/* What already runs is no part of the queue. */
	t.status = TASK_STARTED;
	how.lease_ms = 60000;
	OK(store_task_add(s, &t, &how, NULL, &is, &d, &e));
	cancel("more_3");
	t = a_task("task_5", "");
	OK(store_task_add(s, &t, &how, NULL, &is, &d, &e));
}

static void
takes_work_that_already_runs(void **state)
{
	struct task_record t = a_task("h1", "a");
	struct task_add how = { .lease_ms = 60000 };
	AUTO(task_record) got = { 0 };
	bool is, cancelled;

	(void)state;
	t.status = TASK_STARTED;
	t.dispatched = true;
	(void)snprintf(t.worker, sizeof(t.worker), "images-generations/1");
	(void)snprintf(t.upstream_id, sizeof(t.upstream_id), "up-7");
	OK(store_task_add(s, &t, &how, NULL, &is, &d, &e));
	assert_string_equal(claim_all(), "");
	OK(store_task_renew(s, "h1", 1, 60000, &is, &cancelled, &d, &e));
	assert_true(is);
	OK(store_task_get(s, "h1", &got, &is, &d, &e));
	assert_int_equal(got.status, TASK_STARTED);
	assert_true(got.dispatched);
	assert_string_equal(got.upstream_id, "up-7");
	end_task("h1", 1, TASK_SUCCESS);
}

/* ---- leases ---- */

static void
hands_on_what_a_dead_worker_knew(void **state)
{
	AUTO(task_record) t = { 0 };
	enum task_found found;
	bool held, cancelled;

	(void)state;
	add("a1", "a");
	add("a2", "a");
	claim_one("dead", 40, &t);
	task_record_done(&t);
	step("a1", 1, "up-9");
	claim_until(&t, &found);
	assert_int_equal(found, TASK_ORPHAN);
	assert_string_equal(t.id, "a1");
	assert_true(t.dispatched);
	assert_string_equal(t.upstream_id, "up-9");
	assert_string_equal(t.stage, "provider.wait");
	assert_int_equal(t.attempts, 1);
	assert_int_equal(t.fence, 2);
	/* It was not dead: nothing of it counts any more. */
	OK(store_task_renew(s, "a1", 1, 60000, &held, &cancelled, &d, &e));
	assert_false(held);
	assert_false(try_step("a1", 1));
	assert_false(try_end("a1", 1, TASK_SUCCESS));
	assert_false(try_again("a1", 1));
	OK(store_task_renew(s, "a1", 2, 60000, &held, &cancelled, &d, &e));
	assert_true(held);
	assert_string_equal(claim_all(), "");
	end_task("a1", 2, TASK_FAILURE);
	assert_string_equal(claim_all(), "a2");
}

static void
keeps_a_lease_that_is_renewed(void **state)
{
	AUTO(task_record) t = { 0 };
	int64_t end = clock_us() + 400000;
	bool held, cancelled;

	(void)state;
	add("a1", "");
	claim_one("w", 2000, &t);
	while (clock_us() < end) {
		OK(store_task_renew(s, "a1", 1, 2000, &held, &cancelled, &d, &e));
		assert_true(held);
		assert_string_equal(claim_all(), "");
	}
}

/* ---- the end ---- */

static void
never_changes_what_has_ended(void **state)
{
	AUTO(task_record) t = { 0 };
	struct task_end end = { .status = TASK_FAILURE, .error = "{}" };
	enum task_status ended;
	bool held, is, changed;

	(void)state;
	add("a1", "");
	assert_string_equal(claim_all(), "a1");
	end_task("a1", 1, TASK_SUCCESS);
	OK(store_task_finish(s, "a1", 1, &end, &held, &ended, &d, &e));
	assert_true(held);
	assert_int_equal(ended, TASK_SUCCESS);
	end.status = TASK_REVOKED;
	OK(store_task_finish(s, "a1", 2, &end, &held, &ended, &d, &e));
	assert_false(held);
	assert_false(try_step("a1", 1));
	OK(store_task_cancel(s, "a1", 0, &is, &changed, &ended, &d, &e));
	assert_true(is);
	assert_false(changed);
	assert_int_equal(ended, TASK_SUCCESS);
	OK(store_task_get(s, "a1", &t, &is, &d, &e));
	assert_int_equal(t.status, TASK_SUCCESS);
	assert_string_equal(t.result, "{\"images\":[]}");
	assert_null(t.error);
	assert_true(t.ended_ms >= t.started_ms);
}

static void
wipes_the_secret_at_every_end(void **state)
{
	static const char *const ids[] = { "t_end", "t_queued", "t_asked" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct task_record t = a_task(ids[i], text("lane%d", (int)i));
		bool is;

		t.secret = (struct store_bytes){ (unsigned char *)"canary", 6 };
		t.due_ms = i == 1 ? clock_wall_ms() + 60000 : 0;
		OK(store_task_add(s, &t, NULL, NULL, &is, &d, &e));
		assert_true(has_secret(ids[i]));
	}
	assert_string_equal(claim_all(), "t_end t_asked");
	assert_true(has_secret("t_end"));
	end_task("t_end", 1, TASK_FAILURE);
	cancel("t_queued");
	cancel("t_asked");
	assert_true(has_secret("t_asked"));
	again("t_asked", 1, 0);
	for (size_t i = 0; i < 3; i++)
		assert_false(has_secret(ids[i]));
}

static void
cancels_what_waits_at_once_and_asks_what_runs(void **state)
{
	struct task_end end = { .status = TASK_SUCCESS, .result = "{}" };
	AUTO(task_record) t = { 0 };
	enum task_status status;
	bool is, changed, held, cancelled;

	(void)state;
	add("a1", "a");
	add("a2", "a");
	assert_string_equal(claim_all(), "a1");
	OK(store_task_cancel(s, "a2", 0, &is, &changed, &status, &d, &e));
	assert_true(is && changed);
	assert_int_equal(status, TASK_REVOKED);
	OK(store_task_cancel(s, "a1", 0, &is, &changed, &status, &d, &e));
	assert_true(is && changed);
	assert_int_equal(status, TASK_STARTED);
	OK(store_task_renew(s, "a1", 1, 60000, &held, &cancelled, &d, &e));
	assert_true(held && cancelled);
	/* The result came late. */
	OK(store_task_finish(s, "a1", 1, &end, &held, &status, &d, &e));
	assert_true(held);
	assert_int_equal(status, TASK_REVOKED);
	OK(store_task_get(s, "a1", &t, &is, &d, &e));
	assert_null(t.result);
	OK(store_task_cancel(s, "a9", 0, &is, &changed, &status, &d, &e));
	assert_false(is);
	assert_string_equal(claim_all(), "");
}

/* ---- looking at it ---- */

static void
lists_an_owner_s_tasks_in_pages(void **state)
{
	struct task_query q = { .owner = "key_1", .status = -1, .limit = 2 };

	(void)state;
	for (int i = 1; i <= 5; i++)
		add(text("t%d", i), "");
	add_owned("other", "key_2");
	cancel("t2");
	assert_string_equal(list(&q), "t5 t4");
	q.after = "t4";
	assert_string_equal(list(&q), "t3 t2");
	q.after = "t2";
	assert_string_equal(list(&q), "t1");
	q.after = "t1";
	assert_string_equal(list(&q), "");
	q.after = "nobody's";
	assert_string_equal(list(&q), "");
	q = (struct task_query){ .owner = "key_1", .status = TASK_REVOKED, .limit = 10 };
	assert_string_equal(list(&q), "t2");
	q = (struct task_query){ .status = -1, .limit = 3 };
	assert_string_equal(list(&q), "other t5 t4");
	q.limit = 0;
	assert_string_equal(list(&q), "");
}

static void
tells_place_and_counts(void **state)
{
	static const struct {
		const char *id;
		uint64_t place;
	} rows[] = { { "a1", 0 }, { "a2", 1 }, { "a3", 2 }, { "b1", 0 }, { "no", 0 } };
	struct task_counts n;

	(void)state;
	add("a1", "a");
	add("b1", "");
	assert_string_equal(claim_all(), "a1 b1");
	add("a2", "a");
	add("b2", "");
	add("a3", "a");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t place = 99;

		OK(store_task_position(s, rows[i].id, NULL, &place, &d, &e));
		assert_int_equal(place, rows[i].place);
		place = 99;
		OK(store_task_position(s, rows[i].id, rows[i].id[0] == 'a' ? "a" : "", &place, &d,
				       &e));
		assert_int_equal(place, rows[i].place);
	}
	end_task("b1", 1, TASK_SUCCESS);
	again("a1", 1, 60000);
	OK(store_task_counts(s, &n, &d, &e));
	assert_int_equal(n.n[TASK_PENDING], 3);
	assert_int_equal(n.n[TASK_STARTED], 0);
	assert_int_equal(n.n[TASK_RETRY], 1);
	assert_int_equal(n.n[TASK_SUCCESS], 1);
}

static void
tells_places_in_a_long_line(void **state)
{
	static const int places[] = { 1, 2, 255, 256, 257, 258, 383, 384, 385, 512, 513, 599, 600 };
	struct deadline end = deadline_in_ms(30000);
	uint64_t place;

	(void)state;
	for (int i = 1; i <= 600; i++) {
		add(text("t%d", i), "");
		if (i % 100 == 0)
			add(text("other%d", i), "a");
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		OK(store_task_position(s, text("t%d", places[i]), NULL, &place, &d, &e));
		assert_int_equal(place, places[i]);
	}
	/* Behind what is remembered of the line. */
	for (int i = 601; i <= 800; i++)
		add(text("t%d", i), "");
	OK(store_task_position(s, "t800", NULL, &place, &d, &e));
	assert_int_equal(place, 800);
	OK(store_task_position(s, "other600", NULL, &place, &d, &e));
	assert_int_equal(place, 6);
	/* Who has left is counted for a moment at most. */
	for (int i = 1; i <= 500; i++)
		cancel(text("t%d", i));
	do {
		OK(store_task_position(s, "t800", NULL, &place, &d, &e));
		assert_true(place >= 300 && place <= 800);
	} while (place > 300 && !deadline_over(&end) && usleep(20000) == 0);
	assert_int_equal(place, 300);
	OK(store_task_position(s, "t501", NULL, &place, &d, &e));
	assert_int_equal(place, 1);
}

static void
delivers_webhooks_until_done(void **state)
{
	struct task_end end = { .status = TASK_SUCCESS, .callback = true };
	AUTO(task_record) t = { 0 };
	enum task_status ended;
	bool is;

	(void)state;
	add("a1", "");
	assert_string_equal(claim_all(), "a1");
	OK(store_task_callback(s, 60000, &t, &is, &d, &e));
	assert_false(is);
	OK(store_task_finish(s, "a1", 1, &end, &is, &ended, &d, &e));
	OK(store_task_callback(s, 60000, &t, &is, &d, &e));
	assert_true(is);
	assert_string_equal(t.id, "a1");
	assert_int_equal(t.callback_tries, 1);
	task_record_done(&t);
	OK(store_task_callback(s, 60000, &t, &is, &d, &e));
	assert_false(is);
	OK(store_task_callback_done(s, "a1", "{\"tries\":1}", 0, &d, &e));
	OK(store_task_callback(s, 60000, &t, &is, &d, &e));
	assert_true(is);
	assert_int_equal(t.callback_tries, 2);
	assert_string_equal(t.callback, "{\"tries\":1}");
	task_record_done(&t);
	OK(store_task_callback_done(s, "a1", NULL, -1, &d, &e));
	OK(store_task_callback(s, 60000, &t, &is, &d, &e));
	assert_false(is);
}

static void
tells_of_a_task_that_was_cancelled_while_it_waited(void **state)
{
	struct task_add how = { 0 };
	AUTO(task_record) t = { 0 };
	char told[] = "{\"url\":\"https://example.com/\"}";
	enum task_status status;
	bool found, changed;

	(void)state;
	for (const char *id = "a1"; id; id = !strcmp(id, "a1") ? "a2" : NULL) {
		struct task_record one = { .created_ms = 1 };

		(void)snprintf(one.id, sizeof(one.id), "%s", id);
		(void)snprintf(one.owner, sizeof(one.owner), "key_1");
		one.callback = !strcmp(id, "a2") ? told : NULL;
		OK(store_task_add(s, &one, &how, NULL, &changed, &d, &e));
		OK(store_task_cancel(s, id, 60000, &found, &changed, &status, &d, &e));
		assert_true(found && changed && status == TASK_REVOKED);
	}
	OK(store_task_callback(s, 60000, &t, &found, &d, &e));
	assert_true(found);
	assert_string_equal(t.id, "a2");
	task_record_done(&t);
	OK(store_task_callback(s, 60000, &t, &found, &d, &e));
	assert_false(found);
}

static void
remembers_that_a_removed_task_has_expired(void **state)
{
	struct task_end end = { .status = TASK_SUCCESS, .keep_ms = 1 };
	struct task_query q = { .status = -1, .limit = 9 };
	AUTO(task_record) t = { 0 };
	enum task_status ended;
	struct task_counts n;
	uint64_t removed = 0;
	bool is;

	(void)state;
	add("a1", "");
	add("a2", "");
	assert_string_equal(claim_all(), "a1 a2");
	OK(store_task_finish(s, "a1", 1, &end, &is, &ended, &d, &e));
	end_task("a2", 1, TASK_SUCCESS);
	while (!removed) {
		assert_false(deadline_over(&d));
		OK(store_prune(s, 100, &removed, &d, &e));
	}
	assert_int_equal(removed, 1);
	OK(store_task_get(s, "a1", &t, &is, &d, &e));
	assert_true(is && t.expired);
	assert_string_equal(t.owner, "key_1");
	assert_string_equal(list(&q), "a2");
	OK(store_task_counts(s, &n, &d, &e));
	assert_int_equal(n.n[TASK_SUCCESS], 1);
}

static void *
add_later(void *arg)
{
	static const struct timespec pause = { .tv_nsec = 50000000 };

	(void)nanosleep(&pause, NULL);
	add_quietly(arg);
	return NULL;
}

static void
wakes_who_waits_for_work(void **state)
{
	struct deadline far = deadline_in_ms(60000), now = deadline_in_ms(0);
	uint32_t seen = 0;
	pthread_t thread;

	(void)state;
	OK(store_task_wait(s, TASK_WAIT_QUEUE, &seen, &now, &e));
	assert_int_equal(pthread_create(&thread, NULL, add_later, (void *)"late"), 0);
	OK(store_task_wait(s, TASK_WAIT_QUEUE, &seen, &far, &e));
	assert_true(deadline_left_ms(&far) > 20000);
	(void)pthread_join(thread, NULL);
	assert_string_equal(claim_all(), "late");
}

/* ---- repeated requests ---- */

static struct idem_record
an_idem(const char *key, int body, const char *request)
{
	struct idem_record r = { .created_ms = clock_wall_ms(),
				 .expires_ms = clock_wall_ms() + 60000 };

	(void)snprintf(r.owner, sizeof(r.owner), "key_1");
	(void)snprintf(r.key, sizeof(r.key), "%s", key);
	(void)snprintf(r.request_id, sizeof(r.request_id), "%s", request);
	r.hash[0] = (unsigned char)body;
	r.hash[31] = 0xff;
	return r;
}

static void
begins_a_request_once(void **state)
{
	struct idem_record r = an_idem("k:1 '\"", 1, "req_1"),
			   same = an_idem("k:1 '\"", 2, "req_2");
	AUTO(idem_record) other = { 0 };
	bool begun, is;

	(void)state;
	OK(store_idem_begin(s, &r, &other, &begun, &d, &e));
	assert_true(begun);
	OK(store_idem_begin(s, &r, &other, &begun, &d, &e));
	assert_true(begun);
	OK(store_idem_begin(s, &same, &other, &begun, &d, &e));
	assert_false(begun);
	assert_string_equal(other.request_id, "req_1");
	assert_memory_equal(other.hash, r.hash, sizeof(r.hash));
	assert_false(other.done);
	idem_record_done(&other);
	(void)snprintf(same.owner, sizeof(same.owner), "key_2");
	OK(store_idem_begin(s, &same, &other, &begun, &d, &e));
	assert_true(begun);

	OK(store_idem_task(s, "req_1", "task_7", &is, &d, &e));
	assert_true(is);
	OK(store_idem_finish(s, "req_1", 200, "{\"a\":1}", 0, &is, &d, &e));
	assert_true(is);
	OK(store_idem_finish(s, "req_1", 500, "{}", 0, &is, &d, &e));
	OK(store_idem_by_key(s, "key_1", "k:1 '\"", &other, &is, &d, &e));
	assert_true(is && other.done);
	assert_int_equal(other.status, 200);
	assert_string_equal(other.answer, "{\"a\":1}");
	assert_string_equal(other.task_id, "task_7");
	idem_record_done(&other);
	OK(store_idem_drop(s, "req_1", &d, &e));
	OK(store_idem_by_key(s, "key_1", "k:1 '\"", &other, &is, &d, &e));
	assert_false(is);
	OK(store_idem_finish(s, "req_1", 200, "{}", 0, &is, &d, &e));
	assert_false(is);
}

static void
finds_a_request_by_its_body(void **state)
{
	AUTO(idem_record) other = { 0 };
	bool is;

	(void)state;
	for (int i = 1; i <= 3; i++) {
		struct idem_record r = an_idem("", i / 2, text("req_%d", i));

		r.expires_ms += i * 1000;
		OK(store_idem_begin(s, &r, &other, &is, &d, &e));
		assert_true(is);
	}
	other = an_idem("", 1, "");
	OK(store_idem_by_body(s, "key_1", other.hash, &other, &is, &d, &e));
	assert_true(is);
	assert_string_equal(other.request_id, "req_3");
	idem_record_done(&other);
	other = an_idem("", 9, "");
	OK(store_idem_by_body(s, "key_1", other.hash, &other, &is, &d, &e));
	assert_false(is);
}

/* The one that is found among those with that body; "": none is. */
static const char *
found_by_body(int body)
{
	static char request[40];
	struct idem_record other = an_idem("", body, "");
	bool is;

	OK(store_idem_by_body(s, "key_1", other.hash, &other, &is, &d, &e));
	(void)snprintf(request, sizeof(request), "%s", is ? other.request_id : "");
	if (is)
		idem_record_done(&other);
	return request;
}

static void
finds_a_request_behind_others_with_its_body(void **state)
{
	AUTO(idem_record) other = { 0 };
	int64_t now_ms = clock_wall_ms();
	bool is;

	(void)state;
	for (int i = 1; i <= 4; i++) {
		struct idem_record r = an_idem(i == 4 ? "k" : "", 1, text("req_%d", i));

		r.expires_ms = now_ms + 60000 + i * 1000;
		OK(store_idem_begin(s, &r, &other, &is, &d, &e));
		assert_true(is);
	}
	assert_string_equal(found_by_body(1), "req_3");
	OK(store_idem_finish(s, "req_3", 200, "{}", now_ms + 30000, &is, &d, &e));
	assert_true(is);
	assert_string_equal(found_by_body(1), "req_2");
	OK(store_idem_drop(s, "req_2", &d, &e));
	assert_string_equal(found_by_body(1), "req_1");
	/* Those that were delivered come last, and it is never longer that they count. */
	OK(store_idem_finish(s, "req_1", 200, "{}", now_ms + 20000, &is, &d, &e));
	assert_string_equal(found_by_body(1), "req_3");
	OK(store_idem_finish(s, "req_1", 500, "", now_ms + 40000, &is, &d, &e));
	OK(store_idem_finish(s, "req_1", 500, "", 0, &is, &d, &e));
	assert_string_equal(found_by_body(1), "req_3");
	OK(store_idem_drop(s, "req_3", &d, &e));
	assert_string_equal(found_by_body(1), "req_1");
	OK(store_idem_finish(s, "req_1", 500, "", now_ms - 1, &is, &d, &e));
	assert_string_equal(found_by_body(1), "");
	OK(store_idem_by_key(s, "key_1", "k", &other, &is, &d, &e));
	assert_true(is);
}

static void
forgets_a_request_that_expired(void **state)
{
	struct idem_record r = an_idem("k", 1, "req_1"), later = an_idem("k", 2, "req_2");
	AUTO(idem_record) other = { 0 };
	bool is = true;

	(void)state;
	r.expires_ms = clock_wall_ms() + 40;
	OK(store_idem_begin(s, &r, &other, &is, &d, &e));
	assert_true(is);
	do {
		idem_record_done(&other);
		OK(store_idem_by_key(s, "key_1", "k", &other, &is, &d, &e));
		assert_false(deadline_over(&d));
	} while (is);
	OK(store_idem_begin(s, &later, &other, &is, &d, &e));
	assert_true(is);
}

static void
adds_a_task_together_with_its_record(void **state)
{
	struct task_record t = a_task("task_1", "");
	struct idem_record r = an_idem("k", 1, "req_1"), same = an_idem("k", 1, "req_2");
	struct task_add how = { .idem = &r };
	AUTO(idem_record) other = { 0 };
	bool added, is;

	(void)state;
	(void)snprintf(r.task_id, sizeof(r.task_id), "task_1");
	OK(store_task_add(s, &t, &how, &other, &added, &d, &e));
	assert_true(added);
	t = a_task("task_2", "");
	how.idem = &same;
	OK(store_task_add(s, &t, &how, &other, &added, &d, &e));
	assert_false(added);
	assert_string_equal(other.task_id, "task_1");
	assert_string_equal(other.request_id, "req_1");
	assert_string_equal(claim_all(), "task_1");
	/* A full queue leaves no record behind. */
	add("more", "");
	same = an_idem("k2", 1, "req_3");
	how.queue_length = 1;
	assert_int_equal(store_task_add(s, &t, &how, &other, &added, &d, &e), -1);
	idem_record_done(&other);
	OK(store_idem_by_key(s, "key_1", "k2", &other, &is, &d, &e));
	assert_false(is);
}

/* ---- keys, jobs, users ---- */

static void
collect_key(const struct key_record *k, void *arg)
{
	(void)arg;
	collect(k->id);
}

static void
collect_job(const struct job_record *j, void *arg)
{
	(void)arg;
	collect(j->id);
}

static void
keeps_keys_and_jobs(void **state)
{
	struct key_record k = { .id = "key_1",
				.name = "one",
				.scopes = 5,
				.expires_ms = 7,
				.hint = "sk-easel-FAKE" },
			  got;
	struct job_record j = { .id = "job_1", .request_id = "req_1", .created_ms = 5 };
	bool is;

	(void)state;
	for (int i = 0; i < 250; i++) {
		(void)snprintf(k.id, sizeof(k.id), "key_%d", i);
		(void)snprintf(k.name, sizeof(k.name), "name %d", i);
		k.created_ms = 1000 - i;
		memcpy(k.hash, &i, sizeof(i));
		OK(store_key_add(s, &k, &d, &e));
	}
	OK(store_key_by_hash(s, k.hash, &got, &is, &d, &e));
	assert_true(is);
	assert_memory_equal(&got, &k, sizeof(k));
	assert_int_equal(store_key_add(s, &k, &d, &e), -1);
	OK(store_key_revoke(s, "name 3", 9, &is, &d, &e));
	assert_true(is);
	OK(store_key_revoke(s, "key_3", 9, &is, &d, &e));
	assert_false(is);
	collected(0);
	OK(store_key_each(s, collect_key, NULL, &d, &e));
	assert_int_equal(collected(8), 250);
	assert_string_equal(collection, "key_249 ");
	for (int i = 1; i <= 3; i++) {
		(void)snprintf(j.id, sizeof(j.id), "job_%d", i);
		j.created_ms = 10 - i;
		OK(store_job_add(s, &j, &d, &e));
		OK(store_job_add(s, &j, &d, &e));
	}
	collected(0);
	OK(store_job_each(s, 2, collect_job, NULL, &d, &e));
	assert_string_equal(collection, "job_1 job_2 ");
}

/* In a month nobody asks what became of it. */
static void
forgets_jobs_in_time(void **state)
{
	int64_t now = clock_wall_ms();
	struct job_record j = { .request_id = "req_1", .created_ms = now - STORE_GONE_MS - 60000 };
	uint64_t removed;

	(void)state;
	for (int i = 1; i <= 3; i++) {
		(void)snprintf(j.id, sizeof(j.id), "job_%d", i);
		OK(store_job_add(s, &j, &d, &e));
	}
	(void)snprintf(j.id, sizeof(j.id), "job_new");
	j.created_ms = now - STORE_GONE_MS + 600000;
	OK(store_job_add(s, &j, &d, &e));
	OK(store_prune(s, 2, &removed, &d, &e));
	assert_int_equal(removed, 2);
	OK(store_prune(s, 2, &removed, &d, &e));
	assert_int_equal(removed, 1);
	OK(store_prune(s, 2, &removed, &d, &e));
	assert_int_equal(removed, 0);
	collected(0);
	OK(store_job_each(s, 9, collect_job, NULL, &d, &e));
	assert_string_equal(collection, "job_new ");
	/* All of it has gone: it can be added again. */
	j.created_ms = now;
	(void)snprintf(j.id, sizeof(j.id), "job_1");
	OK(store_job_add(s, &j, &d, &e));
	collected(0);
	OK(store_job_each(s, 9, collect_job, NULL, &d, &e));
	assert_string_equal(collection, "job_1 job_new ");
}

static void
keeps_users_and_their_sessions(void **state)
{
	struct user_record u = { .id = "user_1",
				 .email = "a@example.com",
				 .role = ROLE_ADMIN,
				 .password = "$argon2id$v=19$fake",
				 .created_ms = 5 },
			   v = u, got;
	struct session_record r = { .hash = { 1, 2, 3 }, .user_id = "user_1", .created_ms = 5 },
			      sess;
	bool is;

	(void)state;
	r.expires_ms = clock_wall_ms() + 60000;
	OK(store_user_add(s, &u, &is, &d, &e));
	assert_true(is);
	(void)snprintf(v.id, sizeof(v.id), "user_2");
	OK(store_user_add(s, &v, &is, &d, &e));
	assert_false(is);
	OK(store_user_by_email(s, "a@example.com", &got, &is, &d, &e));
	assert_true(is);
	assert_memory_equal(&got, &u, sizeof(u));
	OK(store_user_by_id(s, "user_1", &got, &is, &d, &e));
	assert_true(is);
	OK(store_user_by_id(s, "user_2", &got, &is, &d, &e));
	assert_false(is);

	OK(store_session_add(s, &r, &d, &e));
	OK(store_session_get(s, r.hash, &sess, &got, &is, &d, &e));
	assert_true(is);
	assert_memory_equal(&sess, &r, sizeof(r));
	assert_string_equal(got.email, "a@example.com");
	OK(store_session_revoke(s, r.hash, 77, &is, &d, &e));
	assert_true(is);
	OK(store_session_revoke(s, r.hash, 78, &is, &d, &e));
	assert_false(is);
	OK(store_session_get(s, r.hash, &sess, &got, &is, &d, &e));
	assert_int_equal(sess.revoked_ms, 77);
	r.hash[0] = 9;
	OK(store_session_add(s, &r, &d, &e));
	u.disabled = true;
	u.role = ROLE_USER;
	OK(store_user_set(s, &u, &is, &d, &e));
	assert_true(is);
	OK(store_session_get(s, r.hash, &sess, &got, &is, &d, &e));
	assert_false(is);
	OK(store_user_by_id(s, "user_1", &got, &is, &d, &e));
	assert_true(got.disabled);
	assert_int_equal(got.role, ROLE_USER);
}

static void
locks_out_longer_with_each_failure(void **state)
{
	static const int64_t locked[] = { 0, 0, 1000, 2000, 4000, 5000, 5000 };
	struct lockout_rule rule = {
		.free = 2, .first_ms = 1000, .max_ms = 5000, .forget_ms = 60000
	};
	int64_t now = clock_wall_ms();
	struct lockout l;

	(void)state;
	for (size_t i = 0; i < sizeof(locked) / sizeof(*locked); i++) {
		OK(store_lockout_fail(s, "account:a@example.com", &rule, now, &l, &d, &e));
		assert_int_equal(l.count, i + 1);
		assert_int_equal(l.until_ms, locked[i] ? now + locked[i] : 0);
	}
	OK(store_lockout_get(s, "account:a@example.com", now, &l, &d, &e));
	assert_int_equal(l.until_ms, now + 5000);
	OK(store_lockout_get(s, "address:127.0.0.1", now, &l, &d, &e));
	assert_int_equal(l.count, 0);
	OK(store_lockout_get(s, "account:a@example.com", now + 66000, &l, &d, &e));
	assert_int_equal(l.count, 0);
	OK(store_lockout_fail(s, "account:a@example.com", &rule, now + 66000, &l, &d, &e));
	assert_int_equal(l.count, 1);
	OK(store_lockout_clear(s, "account:a@example.com", &d, &e));
	OK(store_lockout_get(s, "account:a@example.com", now, &l, &d, &e));
	assert_int_equal(l.count, 0);
}

/* ---- sums and pictures ---- */

static void
collect_sum(const struct usage_record *u, void *arg)
{
	(void)arg;
	collect(text("%s%s%s=%d/%d/%d", u->day, u->key_id, u->model, (int)u->requests,
		     (int)u->pictures, (int)u->price_micro));
}

static void
sums_by_key_model_and_day(void **state)
{
	static const struct usage_record rows[] = {
		{ "2026-02-13", "key_1", "m:1", 1, 2, 30 },
		{ "2026-02-13", "key_1", "m:1", 1, 1, 10 },
		{ "2026-02-14", "key_2", "m:1", 1, 4, 5 },
		{ "2026-02-15", "key_1", "图", 1, 0, 0 },
	};
	static const struct {
		enum usage_by by;
		const char *since, *until, *sum;
	} cases[] = {
		{ USAGE_BY_KEY, NULL, NULL, "key_1=3/3/40 key_2=1/4/5 " },
		{ USAGE_BY_MODEL, NULL, NULL, "m:1=3/7/45 图=1/0/0 " },
		{ USAGE_BY_DAY, NULL, NULL,
		  "2026-02-13=2/3/40 2026-02-14=1/4/5 2026-02-15=1/0/0 " },
		{ USAGE_BY_DAY, "2026-02-14", "2026-02-14", "2026-02-14=1/4/5 " },
		{ USAGE_BY_KEY, "2027-01-01", NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct picture_entry v = { .used = rows[i] };

		(void)snprintf(v.picture.id, sizeof(v.picture.id), "p%zu", i);
		OK(store_picture_add_all(s, &v, 1, &d, &e));
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		collected(0);
		OK(store_usage_sum(s, cases[i].by, cases[i].since, cases[i].until, collect_sum,
				   NULL, &d, &e));
		assert_string_equal(collection, cases[i].sum);
	}
}

static void
collect_picture(const struct picture_record *p, void *arg)
{
	(void)arg;
	collect(p->id);
}

static void
add_picture(int i, const char *owner, const char *prompt)
{
	struct picture_entry v = { .picture = {
					   .created_ms = 1000 + i, .bytes = 100, .seed = -1 } };
	struct picture_record *p = &v.picture;

	(void)snprintf(p->id, sizeof(p->id), "p%d", i);
	(void)snprintf(p->owner, sizeof(p->owner), "%s", owner);
	(void)snprintf(p->model, sizeof(p->model), "m%d", i % 2);
	(void)snprintf(p->type, sizeof(p->type), "image/png");
	p->prompt = (char *)prompt;
	p->parameters = (char *)"{}";
	OK(store_picture_add_all(s, &v, 1, &d, &e));
	OK(store_picture_add_all(s, &v, 1, &d, &e));
}

static void
keeps_pictures_and_removes_the_oldest(void **state)
{
	static const struct {
		struct picture_query q;
		const char *ids;
	} rows[] = {
		{ { .limit = 9 }, "p5 p4 p3 p2 p1 " },
		{ { .owner = "key_1", .limit = 9 }, "p4 p3 p2 p1 " },
		{ { .owner = "key_1", .limit = 2, .after = "p4" }, "p3 p2 " },
		{ { .q = "ROSE", .limit = 9 }, "p3 p1 " },
		{ { .q = "玫瑰", .limit = 9 }, "p2 " },
		{ { .model = "m0", .limit = 9 }, "p4 p2 " },
		{ { .owner = "key_1", .q = "100%", .limit = 9 }, "p4 " },
		{ { .owner = "key_9", .limit = 9 }, "" },
	};
	AUTO(picture_record) got = { 0 };
	bool is;

	(void)state;
	add_picture(1, "key_1", "a Rose");
	add_picture(2, "key_1", "红色的玫瑰花");
	add_picture(3, "key_1", "two roses");
	add_picture(4, "key_1", "100% sky");
	add_picture(5, "key_2", NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		collected(0);
		OK(store_picture_list(s, &rows[i].q, collect_picture, NULL, &d, &e));
		assert_string_equal(collection, rows[i].ids);
	}
	OK(store_picture_get(s, "p2", &got, &is, &d, &e));
	assert_true(is);
	assert_string_equal(got.prompt, "红色的玫瑰花");
	assert_string_equal(got.type, "image/png");
	assert_int_equal(got.seed, -1);
	OK(store_picture_delete(s, "p2", "key_2", &is, &d, &e));
	assert_false(is);
	OK(store_picture_delete(s, "p2", "key_1", &is, &d, &e));
	assert_true(is);
	collected(0);
	OK(store_picture_prune(s, 1002, 0, 9, collect_picture, NULL, &d, &e));
	assert_string_equal(collection, "p1 ");
	collected(0);
	OK(store_picture_prune(s, 0, 250, 9, collect_picture, NULL, &d, &e));
	assert_string_equal(collection, "p3 ");
	collected(0);
	OK(store_picture_prune(s, INT64_MAX / 2, 0, 1, collect_picture, NULL, &d, &e));
	assert_string_equal(collection, "p4 ");
}

static void
add_sum(const struct usage_record *u, void *arg)
{
	struct usage_record *sum = arg;

	sum->requests += u->requests;
	sum->pictures += u->pictures;
	sum->price_micro += u->price_micro;
}

/* Several processes write at their own pace: a record's place is that of its picture. */
static void
a_late_record_stands_at_its_picture_s_place(void **state)
{
	(void)state;
	add_picture(7, "key_late", "x");
	add_picture(9, "key_late", "x");
	add_picture(8, "key_late", "x");
	collected(0);
	OK(store_picture_list(s, &(const struct picture_query){ .owner = "key_late", .limit = 9 },
			      collect_picture, NULL, &d, &e));
	assert_string_equal(collection, "p9 p8 p7 ");
	collected(0);
	OK(store_picture_list(s,
			      &(const struct picture_query){
				      .owner = "key_late", .limit = 9, .after = "p8" },
			      collect_picture, NULL, &d, &e));
	assert_string_equal(collection, "p7 ");
	collected(0);
	OK(store_picture_prune(s, 1009, 0, 9, collect_picture, NULL, &d, &e));
	assert_non_null(strstr(collection, "p7 p8 "));
	assert_null(strstr(collection, "p9"));
}

static void
what_a_picture_cost_counts_once_with_it(void **state)
{
	struct picture_entry v[3] = { 0 };
	struct usage_record sum = { .requests = 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		(void)snprintf(v[i].picture.id, sizeof(v[i].picture.id), "cost%d", i);
		(void)snprintf(v[i].picture.owner, sizeof(v[i].picture.owner), "key_cost");
		v[i].picture.created_ms = 5000 + i;
		(void)snprintf(v[i].used.day, sizeof(v[i].used.day), "1999-01-01");
		(void)snprintf(v[i].used.key_id, sizeof(v[i].used.key_id), "key_cost");
		(void)snprintf(v[i].used.model, sizeof(v[i].used.model), "m");
		v[i].used.requests = i == 0;
		v[i].used.pictures = 1;
		v[i].used.price_micro = 40000;
	}
	OK(store_picture_add_all(s, v, 2, &d, &e));
	OK(store_picture_add_all(s, v, 2, &d, &e));
	OK(store_picture_add_all(s, v, 3, &d, &e));
	OK(store_usage_sum(s, USAGE_BY_KEY, "1999-01-01", "1999-01-01", add_sum, &sum, &d, &e));
	assert_int_equal(sum.requests, 1);
	assert_int_equal(sum.pictures, 3);
	assert_int_equal(sum.price_micro, 120000);
	collected(0);
	OK(store_picture_list(s, &(const struct picture_query){ .owner = "key_cost", .limit = 9 },
			      collect_picture, NULL, &d, &e));
	assert_string_equal(collection, "cost2 cost1 cost0 ");
}

#define EVERY_TEST(driver)                                               \
	TEST(driver, keeps_every_field_of_a_task)                        \
	TEST(driver, adds_the_same_task_once)                            \
	TEST(driver, hands_out_each_lane_in_order_and_one_at_a_time)     \
	TEST(driver, hands_out_as_many_of_a_lane_as_its_name_says)       \
	TEST(driver, tries_again_at_its_old_place_when_it_is_due)        \
	TEST(driver, gives_back_an_attempt_that_was_none)                \
	TEST(driver, refuses_beyond_the_queue_s_length)                  \
	TEST(driver, takes_work_that_already_runs)                       \
	TEST(driver, hands_on_what_a_dead_worker_knew)                   \
	TEST(driver, keeps_a_lease_that_is_renewed)                      \
	TEST(driver, never_changes_what_has_ended)                       \
	TEST(driver, wipes_the_secret_at_every_end)                      \
	TEST(driver, cancels_what_waits_at_once_and_asks_what_runs)      \
	TEST(driver, lists_an_owner_s_tasks_in_pages)                    \
	TEST(driver, tells_place_and_counts)                             \
	TEST(driver, tells_places_in_a_long_line)                        \
	TEST(driver, delivers_webhooks_until_done)                       \
	TEST(driver, tells_of_a_task_that_was_cancelled_while_it_waited) \
	TEST(driver, remembers_that_a_removed_task_has_expired)          \
	TEST(driver, wakes_who_waits_for_work)                           \
	TEST(driver, begins_a_request_once)                              \
	TEST(driver, finds_a_request_by_its_body)                        \
	TEST(driver, finds_a_request_behind_others_with_its_body)        \
	TEST(driver, forgets_a_request_that_expired)                     \
	TEST(driver, adds_a_task_together_with_its_record)               \
	TEST(driver, keeps_keys_and_jobs)                                \
	TEST(driver, forgets_jobs_in_time)                               \
	TEST(driver, keeps_users_and_their_sessions)                     \
	TEST(driver, locks_out_longer_with_each_failure)                 \
	TEST(driver, sums_by_key_model_and_day)                          \
	TEST(driver, keeps_pictures_and_removes_the_oldest)              \
	TEST(driver, a_late_record_stands_at_its_picture_s_place)        \
	TEST(driver, what_a_picture_cost_counts_once_with_it)

int
main(void)
{
#define TEST(driver, name) { #driver ": " #name, name, setup_##driver, teardown_any, NULL },
	const struct CMUnitTest tests[] = { EVERY_TEST(sqlite) EVERY_TEST(redis) };

	return cmocka_run_group_tests(tests, begin_redis, end_redis);
}
