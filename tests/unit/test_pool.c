/* The threads of a worker: what happens when there can be none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "http/frame.h"

static bool no_thread, no_connection;

/* In place of the system's. */
int
pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	void *found = dlsym(RTLD_NEXT, "pthread_create");

	memcpy(&real, &found, sizeof(real));
	return no_thread ? EAGAIN : real(t, attr, fn, arg);
}

/* In place of libfcgi's. */
int
FCGX_InitRequest(FCGX_Request *request, int sock, int flags)
{
	(void)request;
	(void)sock;
	(void)flags;
	return no_connection ? ENOMEM : 0;
}

/* A socket that listens at an address of the system's choice. */
static int
listening(void)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* What pool_run() said; where it does not end by itself it is told to after a while, and says 0. */
static int
run_pool(void)
{
	const struct itimerspec while_ = { .it_value.tv_sec = 10 };
	struct sigevent tell = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM };
	struct frame f = { .process = { .max_in_flight = 8, .drain_ms = 1000 } };
	int fd = listening(), rc;
	timer_t timer;

	assert_int_equal(timer_create(CLOCK_MONOTONIC, &tell, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &while_, NULL), 0);
	rc = pool_run(&f, fd, -1);
	(void)timer_delete(timer);
	(void)close(fd);
	return rc;
}

static void
without_a_thread_the_process_ends(void **state)
{
	(void)state;
	no_thread = true;
	assert_int_equal(run_pool(), 1);
	no_thread = false;
}

static void
without_memory_for_a_connection_the_process_ends(void **state)
{
	(void)state;
	no_connection = true;
	assert_int_equal(run_pool(), 1);
	no_connection = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_thread_the_process_ends),
		cmocka_unit_test(without_memory_for_a_connection_the_process_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
