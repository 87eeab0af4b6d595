#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "http/conn.h"
#include "http/watchdog.h"

#define PLACES 8
/* Else a silent peer's timeout ends it. */
#define IN_TIME_US ((CONN_PEER_TIMEOUT_S - 1) * 1000000)
#define ROUNDS     100000
#ifdef EASEL_SANITIZED
#define COST_NS_MAX 10000
#else
#define COST_NS_MAX 1000 /* measured: some 60 */
#endif

static struct watchdog *board;
static struct overdue o;

static int
setup(void **state)
{
	(void)state;
	board = watchdog_new(PLACES);
	assert_non_null(board);
	watchdog_use(board);
	o = (struct overdue){ 0 };
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	watchdog_use(NULL);
	watchdog_free(board);
	return 0;
}

static int64_t
ago(int64_t ms)
{
	return clock_us() - ms * 1000;
}

/* ---- the board ---- */

static void
a_request_in_time_is_not_late_and_one_past_its_margin_is(void **state)
{
	static const struct {
		int64_t past_ms;
		bool late;
	} rows[] = {
		{ -60000, false },
		{ 0, false },
		{ WATCHDOG_MARGIN_MS - 500, false },
		{ WATCHDOG_MARGIN_MS + 10, true },
		{ 3600000, true },
	};

	(void)state;
	assert_false(watchdog_late(board, &o));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		watchdog_begin("req_x", ago(rows[i].past_ms));
		assert_int_equal(watchdog_late(board, &o), rows[i].late);
		watchdog_end();
		assert_false(watchdog_late(board, &o));
	}
}

static void
the_latest_is_named_with_its_stage(void **state)
{
	(void)state;
	watchdog_begin("req_first", ago(5000));
	watchdog_stage("auth");
	watchdog_use(board);
	assert_true(watchdog_late(board, &o));
	assert_string_equal(o.request, "req_first");
	assert_string_equal(o.stage, "auth");
	assert_in_range(o.late_ms, 5000, 60000);
	watchdog_until(ago(-1000)); /* it got more time */
	assert_false(watchdog_late(board, &o));
	watchdog_until(ago(9000));
	assert_true(watchdog_late(board, &o));
	assert_in_range(o.late_ms, 9000, 60000);
	watchdog_end();
}

static void
what_a_child_does_is_seen_by_its_parent(void **state)
{
	int ready[2], status;
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		watchdog_begin("req_child", ago(2500));
		watchdog_stage("work");
		(void)!write(ready[1], "r", 1);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(watchdog_late(board, &o));
	assert_string_equal(o.request, "req_child");
	assert_string_equal(o.stage, "work");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static void
a_worker_without_any_sign_of_life_is_late(void **state)
{
	(void)state;
	assert_false(watchdog_late(board, &o)); /* it is starting still */
	watchdog_alive();
	assert_false(watchdog_late(board, &o));
}

static pthread_barrier_t meet;

static void *
hold_a_place(void *arg)
{
	watchdog_begin("req_many", ago(*(const int64_t *)arg));
	(void)pthread_barrier_wait(&meet);
	(void)pthread_barrier_wait(&meet);
	watchdog_stage("work"); /* also for those that found no place */
	watchdog_end();
	return NULL;
}

static void
more_threads_than_places_are_no_harm(void **state)
{
	pthread_t t[PLACES + 3];
	int64_t late = 4000;

	(void)state;
	(void)pthread_barrier_init(&meet, NULL, PLACES + 4);
	for (int i = 0; i < PLACES + 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hold_a_place, &late), 0);
	(void)pthread_barrier_wait(&meet);
	assert_true(watchdog_late(board, &o));
	(void)pthread_barrier_wait(&meet);
	for (int i = 0; i < PLACES + 3; i++)
		(void)pthread_join(t[i], NULL);
	(void)pthread_barrier_destroy(&meet);
	assert_false(watchdog_late(board, &o));
	watchdog_begin("req_again", ago(4000));
	assert_true(watchdog_late(board, &o));
	assert_string_equal(o.request, "req_again");
	watchdog_end();
}

static void
it_costs_little(void **state)
{
	int64_t start_us = clock_us(), ns;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		watchdog_begin("req_01jd0000000000000000000000", 1);
		watchdog_stage("auth");
		watchdog_until(2);
		watchdog_end();
	}
	ns = (clock_us() - start_us) * 1000 / ROUNDS;
	print_message("one request: %lld ns\n", (long long)ns);
	assert_true(ns < COST_NS_MAX);
}

static void
an_alarm_ends_a_process_without_a_parent(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	watchdog_use(NULL);
	pid = fork();
	if (!pid) {
		watchdog_use_alarm();
		watchdog_begin("req_cgi", ago(WATCHDOG_MARGIN_MS - 100));
		for (;;)
			(void)pause();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGALRM);
}

/* ---- a peer that is slow, which no watchdog is needed for ---- */

static int peer;
static struct conn *conn;

/* A record of FastCGI 1.0. */
static void
record(int type, const void *p, size_t n)
{
	unsigned char head[8] = { 1, (unsigned char)type,     0,
				  1, (unsigned char)(n >> 8), (unsigned char)n };

	assert_int_equal(write(peer, head, sizeof(head)), sizeof(head));
	assert_int_equal(write(peer, p, n), n);
}

/* A connection with a request on it whose body has not come yet. */
static int
setup_conn(void **state)
{
	static const unsigned char begin[8] = { 0,
						1 }; /* FCGI_RESPONDER, the connection is closed */
	static const char params[] = "\x0e\x01"
				     "REQUEST_METHOD"
				     "P";
	int fds[2], room = 65536;

	(void)state;
	assert_int_equal(conn_library_init(), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	peer = fds[1];
	record(1, begin, sizeof(begin));
	record(4, params, sizeof(params) - 1);
	record(4, "", 0);
	conn = conn_new();
	assert_non_null(conn);
	assert_int_equal(conn_open(conn, fds[0]), 0);
	assert_string_equal(conn_param(conn, "REQUEST_METHOD"), "P");
	return 0;
}

static int
teardown_conn(void **state)
{
	(void)state;
	conn_free(conn);
	(void)close(peer);
	return 0;
}

static void
a_body_that_does_not_come_is_given_up_in_time(void **state)
{
	int64_t start_us = clock_us();
	char text[100];

	(void)state;
	record(5, "abc", 3);
	conn_read_until(conn, start_us + 300000);
	assert_int_equal(conn_read(conn, text, 3), 3);
	assert_int_equal(conn_read(conn, text, sizeof(text)), -1);
	assert_in_range(clock_us() - start_us, 290000, IN_TIME_US);
	assert_int_equal(conn_write(conn, "late", 4), 0); /* it can be told so */
	conn_close(conn);
}

static void *
dribble(void *arg)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	static const unsigned char head[8] = { 1, 5, 0, 1, 0, 1 };

	(void)arg;
	for (int i = 0; i < 100; i++) {
		if (send(peer, head, 8, MSG_NOSIGNAL) < 0 || send(peer, "x", 1, MSG_NOSIGNAL) < 0)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

static void
a_body_that_dribbles_is_given_up_in_time(void **state)
{
	int64_t start_us = clock_us();
	char text[1000];
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, dribble, NULL), 0);
	conn_read_until(conn, start_us + 400000);
	assert_int_equal(conn_read(conn, text, sizeof(text)), -1);
	assert_in_range(clock_us() - start_us, 390000, IN_TIME_US);
	(void)shutdown(peer, SHUT_RDWR);
	conn_close(conn);
	(void)pthread_join(t, NULL);
}

static void
a_body_in_many_pieces_is_whole(void **state)
{
	char text[40000], sent[20000], got[40000];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)('a' + i % 26);
	record(5, sent, sizeof(sent));
	record(5, sent, 1);
	record(5, sent + 1, sizeof(sent) - 1);
	record(5, "", 0);
	conn_read_until(conn, clock_us() + 5000000);
	while (n < sizeof(text)) {
		ssize_t m = conn_read(conn, got, 7777);

		assert_true(m > 0);
		memcpy(text + n, got, (size_t)m);
		n += (size_t)m;
	}
	assert_int_equal(conn_read(conn, got, 10), 0);
	assert_memory_equal(text, sent, sizeof(sent));
	assert_memory_equal(text + sizeof(sent), sent, sizeof(sent));
	conn_close(conn);
}

static void
who_takes_nothing_of_the_answer_is_given_up_in_time(void **state)
{
	static char piece[100000];
	int64_t start_us;
	int rc = 0;

	(void)state;
	record(5, "", 0);
	assert_int_equal(conn_read(conn, piece, 1), 0);
	start_us = clock_us();
	conn_write_until(conn, start_us + 300000);
	for (int i = 0; i < 100 && rc == 0; i++)
		rc = conn_write(conn, piece, sizeof(piece));
	assert_int_equal(rc, -1);
	assert_in_range(clock_us() - start_us, 290000, IN_TIME_US);
	assert_int_equal(conn_write(conn, "x", 1), -1);
	start_us = clock_us();
	conn_close(conn);
	assert_in_range(clock_us() - start_us, 0, IN_TIME_US);
}

static void
a_small_answer_that_nobody_takes_is_given_up_too(void **state)
{
	static const char piece[1000];
	int64_t start_us;
	int rc = 0;

	(void)state;
	record(5, "", 0);
	assert_int_equal(conn_read(conn, (char[1]){ 0 }, 1), 0);
	start_us = clock_us();
	conn_write_until(conn, start_us + 300000);
	for (int i = 0; i < 10000 && rc == 0; i++)
		rc = conn_write(conn, piece, sizeof(piece));
	assert_int_equal(rc, -1);
	conn_close(conn);
	assert_in_range(clock_us() - start_us, 290000, IN_TIME_US);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define C(f) cmocka_unit_test_setup_teardown(f, setup_conn, teardown_conn)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_request_in_time_is_not_late_and_one_past_its_margin_is),
		T(the_latest_is_named_with_its_stage),
		T(what_a_child_does_is_seen_by_its_parent),
		T(a_worker_without_any_sign_of_life_is_late),
		T(more_threads_than_places_are_no_harm),
		T(it_costs_little),
		T(an_alarm_ends_a_process_without_a_parent),
		C(a_body_that_does_not_come_is_given_up_in_time),
		C(a_body_that_dribbles_is_given_up_in_time),
		C(a_body_in_many_pieces_is_whole),
		C(who_takes_nothing_of_the_answer_is_given_up_in_time),
		C(a_small_answer_that_nobody_takes_is_given_up_too),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
