/* base/tick, and those who wait: a thread's duty goes on, and nobody buys for a client that has left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "access/fingerprint.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/tick.h"
#include "store/store_slot.h"
#include "net/upstream.h"
#include "wire_server.h"

#define EVERY_US 20000

static char folder[] = "/tmp/easel-tick-XXXXXX";
static struct store *store;

/* ---- a tick that counts ---- */

struct counter {
	struct tick tick;
	int times, forsaken_at; /* 0: never */
};

static void
count(void *self)
{
	struct counter *c = self;

	if (++c->times == c->forsaken_at)
		c->tick.forsaken = true;
}

static void
start(struct counter *c, int forsaken_at)
{
	*c = (struct counter){ .tick = { .fn = count, .self = c, .every_us = EVERY_US },
			       .forsaken_at = forsaken_at };
	c->tick.next_us = clock_us() + EVERY_US;
	assert_null(tick_set(&c->tick));
}

static void
stop(const struct counter *c)
{
	assert_ptr_equal(tick_set(NULL), &c->tick);
}

static void
without_a_tick_nothing_happens(void **state)
{
	int64_t start_us = clock_us();

	(void)state;
	tick();
	tick_now();
	assert_false(tick_forsaken());
	assert_int_equal(tick_wait_ms(0), 0);
	assert_int_equal(tick_wait_ms(12345), 12345);
	assert_true(tick_pause(30, true));
	assert_true(clock_us() - start_us >= 30000);
}

static void
it_is_called_when_it_is_time(void **state)
{
	struct counter c;

	(void)state;
	start(&c, 0);
	tick();
	assert_int_equal(c.times, 0);
	assert_true(tick_wait_ms(10000) <= EVERY_US / 1000 + 1);
	assert_int_equal(tick_wait_ms(1), 1);
	assert_true(tick_pause(10 * EVERY_US / 1000, false));
	assert_in_range(c.times, 2, 10);
	c.tick.next_us = clock_us() + 60000000;
	c.times = 0;
	tick();
	assert_int_equal(c.times, 0);
	tick_now();
	assert_int_equal(c.times, 1);
	stop(&c);
}

static void
a_tick_within_a_tick_gives_the_first_back(void **state)
{
	struct counter outer, inner = { 0 };

	(void)state;
	start(&outer, 0);
	assert_ptr_equal(tick_set(&inner.tick), &outer.tick);
	assert_ptr_equal(tick_set(&outer.tick), &inner.tick);
	stop(&outer);
}

static void
a_pause_ends_when_nobody_waits(void **state)
{
	struct counter c;
	int64_t start_us = clock_us();

	(void)state;
	start(&c, 2);
	assert_false(tick_pause(60000, true));
	assert_true(clock_us() - start_us < 30000000);
	assert_true(tick_forsaken());
	assert_true(tick_pause(3, false)); /* who has bought waits on */
	stop(&c);
	assert_false(tick_forsaken());
}

/* ---- slots ---- */

static void
who_has_left_leaves_the_line(void **state)
{
	static const uint64_t keys[] = { 1 };
	const struct slot_wish wish = { "acme", keys, 1, 1 };
	struct deadline far = deadline_in_ms(60000);
	struct slot held, other;
	struct counter c;
	struct err e;

	(void)state;
	assert_int_equal(store_slot_take(store, &held, &wish, &far, &e), 0);
	start(&c, 3);
	assert_int_equal(store_slot_take(store, &other, &wish, &far, &e), -1);
	assert_int_equal(e.kind, ERR_GONE);
	assert_string_equal(e.stage, "queue");
	assert_false(e.may_have_been_billed);
	assert_int_equal(c.times, 3);
	stop(&c);
	/* Its place went with it. */
	store_slot_done(&held);
	assert_int_equal(store_slot_take(store, &other, &wish, &far, &e), 0);
	store_slot_done(&other);
}

/* ---- upstream ---- */

static void
answer(struct wire *w, int fd, int number)
{
	(void)number;
	while (wire_request(w, fd) == 0)
		if (wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") < 0)
			return;
}

static int
ask(const struct wire *w, const char *method, enum ledger_item item, struct err *e)
{
	struct buf out = BUF_INIT(100);
	struct upstream_req rq = { .method = method,
				   .url = w->url,
				   .body = strcmp(method, "GET") != 0 ? "{}" : NULL,
				   .body_len = strcmp(method, "GET") != 0 ? 2 : 0,
				   .provider = "acme",
				   .item = item };
	struct upstream_body body = upstream_to_buf(&out);
	struct deadline d = deadline_in_ms(20000);
	AUTO(upstream_head) head = { 0 };
	struct ledger ledger = { 0 };
	int rc = upstream_call(&rq, &body, &head, &d, &ledger, e);

	buf_done(&out);
	return rc;
}

static void
nothing_is_bought_for_nobody(void **state)
{
	static struct wire w;
	struct counter c;
	struct err e;

	(void)state;
	wire_start(&w, answer, NULL);
	start(&c, 1);
	assert_int_equal(ask(&w, "POST", LEDGER_PROVIDER, &e), 0);
	tick_now();
	assert_true(tick_forsaken());
	assert_int_equal(ask(&w, "POST", LEDGER_PROVIDER, &e), -1);
	assert_int_equal(e.kind, ERR_GONE);
	assert_false(e.may_have_been_billed);
	assert_int_equal(atomic_load(&w.requests), 1);
	/* What was bought is still fetched. */
	assert_int_equal(ask(&w, "GET", LEDGER_PROVIDER, &e), 0);
	assert_int_equal(ask(&w, "GET", LEDGER_FETCH, &e), 0);
	assert_int_equal(atomic_load(&w.requests), 3);
	stop(&c);
	wire_stop(&w);
}

/* Its answer is whole for its reader, and then goes on. */
static void
go_on(struct wire *w, int fd, int number)
{
	(void)number;
	if (wire_request(w, fd) == 0 && wire_say(fd, "HTTP/1.1 200 OK\r\n\r\nenough") == 0)
		(void)wire_request(w, fd); /* until the other side closes */
}

static int
take(void *self, const char *p, size_t n, struct err *e)
{
	(void)p;
	(void)e;
	*(size_t *)self += n;
	return 0;
}

static bool
is_six(void *self)
{
	return *(size_t *)self == 6;
}

static void
who_has_enough_does_not_wait_for_the_end(void **state)
{
	static struct wire w;
	size_t got = 0;
	struct upstream_body body = { .data = take, .self = &got, .enough = is_six };
	struct deadline d = deadline_in_ms(60000);
	AUTO(upstream_head) head = { 0 };
	struct ledger ledger = { 0 };
	struct upstream_req rq = { .method = "POST",
				   .url = w.url,
				   .body = "{}",
				   .body_len = 2,
				   .provider = "acme",
				   .item = LEDGER_PROVIDER };
	int64_t start_us;
	struct err e;

	(void)state;
	wire_start(&w, go_on, NULL);
	start_us = clock_us();
	assert_int_equal(upstream_call(&rq, &body, &head, &d, &ledger, &e), 0);
	assert_int_equal(got, 6);
	assert_true(clock_us() - start_us < 30000000);
	wire_stop(&w);
}

/* ---- */

static int
setup(void **state)
{
	struct err e;

	(void)state;
	return mkdtemp(folder) && fingerprint_init(folder, &e) == 0 &&
			       store_open(&store, "sqlite:t.db", folder, true, &e) == 0 &&
			       upstream_init(&e) == 0
		       ? 0
		       : -1;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	upstream_shutdown();
	store_free(TAKE_PTR(store));
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_tick_nothing_happens),
		cmocka_unit_test(it_is_called_when_it_is_time),
		cmocka_unit_test(a_tick_within_a_tick_gives_the_first_back),
		cmocka_unit_test(a_pause_ends_when_nobody_waits),
		cmocka_unit_test(who_has_left_leaves_the_line),
		cmocka_unit_test(nothing_is_bought_for_nobody),
		cmocka_unit_test(who_has_enough_does_not_wait_for_the_end),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
