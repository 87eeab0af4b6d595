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

#define STAY_MS   3000
#define LOOK_MS   5
#define LOOKS     20 /* a good worker takes a connection in microseconds: it would be seen at once */
#define ACCEPT_MS 5

static bool
somebody_waits(int listen_fd)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void
interrupt(int sig)
{
	(void)sig;
}

/*
 * The connection that was just seen to wait, or -1 when somebody else was quicker.  The socket is the
 * good workers', too, and they wait in accept(), so it is not made non-blocking: a signal ends the wait
 * here, before a newcomer could be taken that one of them would have served.
 */
static int
take_waiting(int listen_fd)
{
	const struct timeval step = { .tv_usec = ACCEPT_MS * 1000 };
	const struct itimerval soon = { .it_interval = step, .it_value = step }, off = { 0 };
	int fd;

	(void)setitimer(ITIMER_REAL, &soon, NULL);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	(void)setitimer(ITIMER_REAL, &off, NULL);
	return fd;
}

/* Has nobody taken what waits for LOOKS looks?  False also when it is told to leave: *left then. */
static bool
nobody_takes_it(int listen_fd, const sigset_t *leave, bool *left)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };

	for (int i = 0; i < LOOKS; i++) {
		*left = sigtimedwait(leave, NULL, &pause) > 0;
		if (*left || !somebody_waits(listen_fd))
			return false;
	}
	return true;
}

void
stand_in_run(struct frame *f, int listen_fd, const struct err *why)
{
	const struct sigaction wake = { .sa_handler =
						interrupt }; /* no SA_RESTART: it is to interrupt */
	struct deadline end = deadline_in_ms(STAY_MS);
	struct conn *conn = conn_new();
	sigset_t leave;
	bool left = false;

	(void)sigemptyset(&leave);
	(void)sigaddset(&leave, SIGTERM);
	(void)sigaddset(&leave, SIGINT);
	(void)sigaddset(&leave, SIGQUIT);
	(void)sigaction(SIGALRM, &wake, NULL);
	while (conn && !left && !deadline_over(&end)) {
		watchdog_alive();
		if (!nobody_takes_it(listen_fd, &leave, &left))
			continue;
		while (!deadline_over(&end) && somebody_waits(listen_fd)) {
			int64_t now_us = clock_us();
			int fd = take_waiting(listen_fd);

			if (fd < 0)
				break; /* there is a good worker again */
			watchdog_alive();
			if (conn_open(conn, fd) == 0)
				frame_refuse(f, conn, now_us, why);
		}
	}
	conn_free(conn);
}
