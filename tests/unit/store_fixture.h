#ifndef EASEL_TESTS_STORE_FIXTURE_H
#define EASEL_TESTS_STORE_FIXTURE_H
/*
 * store_fixture - an empty store of either kind, and short words for what the tests do with it
 */
#include <pthread.h>
#include <sqlite3.h>

#include "redis_fixture.h"
#include "store/store.h"
#include "store/store_idem.h"
#include "store/store_task.h"
#include "store/store_usage.h"
#include "store/store_user.h"

static char dir[64];
static struct store *s;
static struct deadline d; /* of the whole test */
static struct err e;

#define OK(call)                                                                          \
	do {                                                                              \
		if ((call) != 0)                                                          \
			fail_msg("%s: %s, %s, %s", #call, err_code(&e), e.about, e.detail); \
	} while (0)

/* The text stays until the eighth next call. */
__attribute__((format(printf, 1, 2))) static const char *
text(const char *fmt, ...)
{
	static char ring[8][96];
	static unsigned next;
	char *to = ring[next++ % 8];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(to, sizeof(ring[0]), fmt, ap);
	va_end(ap);
	return to;
}

/* ---- one store a test ---- */

__attribute__((unused)) static int
begin_any(void)
{
	e = (struct err){ 0 };
	d = deadline_in_ms(120000);
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

__attribute__((unused)) static int
setup_sqlite(void **state)
{
	(void)state;
	if (begin_any() < 0)
		return -1;
	OK(store_open(&s, "sqlite:t.db", dir, true, &e));
	return 0;
}

__attribute__((unused)) static int
setup_redis(void **state)
{
	(void)state;
	if (begin_any() < 0)
		return -1;
	redis_say("FLUSHALL");
	OK(store_open(&s, rd.url, dir, true, &e));
	return 0;
}

__attribute__((unused)) static int
teardown_any(void **state)
{
	static const char *const names[] = { "t.db", "t.db-wal", "t.db-shm", "t.db-wake" };

	(void)state;
	store_free(TAKE_PTR(s));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void)unlink(text("%s/%s", dir, names[i]));
	return rmdir(dir);
}

__attribute__((unused)) static int
begin_redis(void **state)
{
	(void)state;
	return redis_begin();
}

__attribute__((unused)) static int
end_redis(void **state)
{
	(void)state;
	redis_end();
	return 0;
}

/* ---- words ---- */

static char collection[4096];
static int n_collected;

__attribute__((unused)) static void
collect(const char *word)
{
	size_t n = strlen(collection);

	n_collected++;
	(void)snprintf(collection + n, sizeof(collection) - n, "%s ", word);
}

/* How many; the collection keeps its first `bytes` and what is collected next. */
__attribute__((unused)) static int
collected(size_t bytes)
{
	int n = n_collected;

	collection[bytes] = '\0';
	n_collected = 0;
	return n;
}

__attribute__((unused)) static struct task_record
a_task(const char *id, const char *lane)
{
	struct task_record t = { .created_ms = clock_wall_ms() };

	(void)snprintf(t.id, sizeof(t.id), "%s", id);
	(void)snprintf(t.owner, sizeof(t.owner), "key_1");
	(void)snprintf(t.request_id, sizeof(t.request_id), "req_1");
	(void)snprintf(t.lane, sizeof(t.lane), "%s", lane);
	return t;
}

__attribute__((unused)) static void
add(const char *id, const char *lane)
{
	struct task_record t = a_task(id, lane);
	bool added;

	OK(store_task_add(s, &t, NULL, NULL, &added, &d, &e));
	assert_true(added);
}

__attribute__((unused)) static void
add_quietly(const char *id)
{
	struct task_record t = a_task(id, "");
	struct err own;
	bool added;

	(void)store_task_add(s, &t, NULL, NULL, &added, &d, &own);
}

__attribute__((unused)) static void
add_owned(const char *id, const char *owner)
{
	struct task_record t = a_task(id, "");
	bool added;

	(void)snprintf(t.owner, sizeof(t.owner), "%s", owner);
	OK(store_task_add(s, &t, NULL, NULL, &added, &d, &e));
}

__attribute__((unused)) static void
claim_one(const char *worker, int64_t lease_ms, struct task_record *out)
{
	enum task_found found;

	OK(store_task_claim(s, worker, lease_ms, out, &found, &d, &e));
	assert_int_not_equal(found, TASK_NONE);
}

/* The ids of all that can be claimed, in order. */
__attribute__((unused)) static const char *
claim_all(void)
{
	static char ids[1024];
	enum task_found found;

	ids[0] = '\0';
	for (;;) {
		AUTO(task_record) t = { 0 };
		size_t n = strlen(ids);

		OK(store_task_claim(s, "tester", 60000, &t, &found, &d, &e));
		if (found == TASK_NONE)
			return ids;
		(void)snprintf(ids + n, sizeof(ids) - n, "%s%s", n ? " " : "", t.id);
	}
}

/* Waits until something can be claimed. */
__attribute__((unused)) static void
claim_until(struct task_record *out, enum task_found *found)
{
	uint32_t seen = 0;

	do {
		struct deadline pause = deadline_in_ms(10);

		assert_false(deadline_over(&d));
		OK(store_task_wait(s, TASK_WAIT_QUEUE, &seen, &pause, &e));
		OK(store_task_claim(s, "patient", 60000, out, found, &d, &e));
	} while (*found == TASK_NONE);
}

__attribute__((unused)) static bool
try_step(const char *id, int64_t fence)
{
	struct task_step what = { .dispatched = true, .stage = "provider.wait" };
	bool held;

	OK(store_task_advance(s, id, fence, &what, &held, &d, &e));
	return held;
}

__attribute__((unused)) static void
step(const char *id, int64_t fence, const char *upstream_id)
{
	struct task_step what = { .dispatched = true,
				  .stage = "provider.wait",
				  .upstream_id = upstream_id };
	bool held;

	OK(store_task_advance(s, id, fence, &what, &held, &d, &e));
	assert_true(held);
}

__attribute__((unused)) static bool
try_end(const char *id, int64_t fence, enum task_status status)
{
	struct task_end end = { .status = status, .result = "{\"images\":[]}" };
	enum task_status ended;
	bool held;

	OK(store_task_finish(s, id, fence, &end, &held, &ended, &d, &e));
	return held;
}

__attribute__((unused)) static void
end_task(const char *id, int64_t fence, enum task_status status)
{
	assert_true(try_end(id, fence, status));
}

__attribute__((unused)) static bool
try_again(const char *id, int64_t fence)
{
	struct task_again how = { 0 };
	enum task_status now;
	bool held;

	OK(store_task_requeue(s, id, fence, &how, &held, &now, &d, &e));
	return held;
}

__attribute__((unused)) static void
again(const char *id, int64_t fence, int64_t delay_ms)
{
	struct task_again how = { .delay_ms = delay_ms };
	enum task_status now;
	bool held;

	OK(store_task_requeue(s, id, fence, &how, &held, &now, &d, &e));
	assert_true(held);
}

__attribute__((unused)) static void
cancel(const char *id)
{
	enum task_status status;
	bool found, changed;

	OK(store_task_cancel(s, id, 0, &found, &changed, &status, &d, &e));
	assert_true(found && changed);
}

__attribute__((unused)) static void
collect_task(const struct task_record *t, void *arg)
{
	char *ids = arg;
	size_t n = strlen(ids);

	(void)snprintf(ids + n, 1024 - n, "%s%s", n ? " " : "", t->id);
}

__attribute__((unused)) static const char *
list(const struct task_query *q)
{
	static char ids[1024];

	ids[0] = '\0';
	OK(store_task_list(s, q, collect_task, ids, &d, &e));
	return ids;
}

/* SQL by a connection of its own, as an operator would with the sqlite3 shell; the first number of it. */
__attribute__((unused)) static int
run_sql(const char *sql)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	int n = 0, code;

	assert_int_equal(sqlite3_open(text("%s/t.db", dir), &db), SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 10000);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	while ((code = sqlite3_step(st)) == SQLITE_ROW)
		n = sqlite3_column_int(st, 0);
	assert_int_equal(code, SQLITE_DONE);
	(void)sqlite3_finalize(st);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return n;
}

/* Does the store hold a secret of that task?  Past the interface, in whichever store it is. */
__attribute__((unused)) static bool
has_secret(const char *id)
{
	redisReply *r;
	bool is;

	if (access(text("%s/t.db", dir), F_OK) == 0)
		return run_sql(text("SELECT length(secret) FROM tasks WHERE id='%s'", id)) > 0;
	r = redisCommand(rd.admin, "HGET easel:task:%s secret", id);
	is = r && r->type == REDIS_REPLY_STRING && r->len > 0;
	if (r)
		freeReplyObject(r);
	return is;
}

#endif
