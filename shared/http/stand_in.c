/*
 * stand_in - answers for a worker that could not start
 *
 * While no worker of a program can start (the disk is full, the store does not answer), its requests
 * would wait in the socket's backlog until the web server gives up.  So a worker that failed stays for
 * a while and tells them why, and then ends, so that another one tries anew.  It only takes what
 * nobody else took: with a good worker beside it, it has nothing to do.
 */
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "http/frame.h"
#include "http/watchdog.h"

#define STAY_MS     3000
#define PATIENCE_MS 20 /* a good worker takes a connection in microseconds */

static bool
somebody_waits(int listen_fd)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void
answer_one(struct frame *f, struct conn *conn, int listen_fd, const struct err *why)
{
	int64_t now_us = clock_us();
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0 && conn_open(conn, fd) == 0)
		frame_refuse(f, conn, now_us, why);
}

void
stand_in_run(struct frame *f, int listen_fd, const struct err *why)
{
	const struct timespec patience = { .tv_nsec = PATIENCE_MS * 1000000 };
	const struct timeval limit = { .tv_sec = 1 }; /* somebody else may be quicker */
	struct deadline end = deadline_in_ms(STAY_MS);
	struct conn *conn = conn_new();
	sigset_t leave;

	(void)sigemptyset(&leave);
	(void)sigaddset(&leave, SIGTERM);
	(void)sigaddset(&leave, SIGINT);
	(void)sigaddset(&leave, SIGQUIT);
	(void)setsockopt(listen_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (conn && !deadline_over(&end)) {
		bool before = somebody_waits(listen_fd);

		watchdog_alive();
		if (sigtimedwait(&leave, NULL, &patience) > 0)
			break;
		while (before && !deadline_over(&end) && somebody_waits(listen_fd))
			answer_one(f, conn, listen_fd, why);
	}
	conn_free(conn);
}
