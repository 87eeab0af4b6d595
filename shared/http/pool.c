/*
 * pool - the threads of one worker process
 *
 * A request is a thread.  At most ACCEPTORS of them wait in accept(); whoever takes a connection makes
 * sure that somebody still waits there, waking the thread that was parked last (its stack and caches
 * are the warmest) or making a new one.  Parked threads leave after PARK_S.  Measured against an event
 * loop and other accept policies: docs/design.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "http/frame.h"
#include "http/watchdog.h"

#define ACCEPTORS    4
#define PARK_S       30
#define ACCEPT_S     1
#define SHED_WAIT_MS 250  /* how long a request beyond the limit waits for a place */
#define LEAVE_MS     1500 /* beyond the drain time, for the last answers */
#ifdef EASEL_SANITIZED
#define STACK_BYTES (1 << 20)
#else
#define STACK_BYTES (256 << 10)
#endif

struct parked {
	pthread_cond_t wake;
	bool woken;
	struct parked *below;
};

static struct {
	struct frame *frame;
	int listen_fd;
	pthread_mutex_t lock;
	pthread_cond_t place; /* a request ended: somebody beyond the limit may go on */
	struct parked *top;
	int64_t threads, acceptors, in_flight, waiting;
	int64_t served;  /* requests accepted, for max_requests */
	int64_t last_us; /* of the last request's end, for idle_exit */
	bool stop;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .place = PTHREAD_COND_INITIALIZER };

static void *thread_main(void *arg);

/* Called with the lock held. */
static void
spawn(void)
{
	pthread_attr_t attr;
	pthread_t t;

	if (pool.threads >= pool.frame->process.max_in_flight + SHED_EXTRA)
		return;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (pthread_create(&t, &attr, thread_main, NULL) == 0) {
		pool.threads++;
		pool.acceptors++; /* on its behalf, so that nobody makes another one meanwhile */
	}
	(void)pthread_attr_destroy(&attr);
}

/* Somebody must wait in accept(): the last parked thread, or a new one.  With the lock held. */
static void
replace_acceptor(void)
{
	struct parked *p = pool.top;

	if (pool.stop || pool.acceptors > 0)
		return;
	if (!p) {
		spawn();
		return;
	}
	pool.top = p->below;
	p->woken = true;
	pool.acceptors++;
	(void)pthread_cond_signal(&p->wake);
}

/* Waits to be needed.  False: it was not for long, and the thread may leave.  With the lock held. */
static bool
park(void)
{
	struct parked self = { .woken = false };
	pthread_condattr_t attr;
	struct timespec until;
	struct parked **p;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&self.wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PARK_S;
	self.below = pool.top;
	pool.top = &self;
	while (!self.woken && !pool.stop)
		if (pthread_cond_timedwait(&self.wake, &pool.lock, &until) == ETIMEDOUT)
			break;
	if (!self.woken) {
		for (p = &pool.top; *p != &self; p = &(*p)->below)
			;
		*p = self.below;
	}
	(void)pthread_cond_destroy(&self.wake);
	/* Whoever woke it took it off the list, else it did so itself above. */
	return self.woken; /* NOLINT(clang-analyzer-core.StackAddressEscape) */
}

/*
 * A connection, or -1 when the pool stops.  A blocking accept(): the kernel wakes exactly one waiter,
 * of all the program's workers, for each connection (epoll wakes several: measured, 1.8 in vain).
 */
static int
take_connection(void)
{
	while (!__atomic_load_n(&pool.stop, __ATOMIC_ACQUIRE)) {
		int fd = accept4(pool.listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			return fd;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_error(NULL, "no descriptors or memory to accept with");
			(void)poll(NULL, 0, 100);
		} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_error(NULL, "accept: error %d", errno);
			(void)poll(NULL, 0, 100);
		}
	}
	return -1;
}

/* Is there a place for one more, now or very soon?  With the lock held. */
static bool
take_place(void)
{
	int64_t max = pool.frame->process.max_in_flight;
	struct timespec until;

	if (pool.in_flight < max) {
		pool.in_flight++;
		return true;
	}
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += SHED_WAIT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pool.waiting++;
	while (pool.in_flight >= max)
		if (pthread_cond_timedwait(&pool.place, &pool.lock, &until) == ETIMEDOUT)
			break;
	pool.waiting--;
	if (pool.in_flight >= max)
		return false;
	pool.in_flight++;
	return true;
}

static void
one_request(struct conn *conn, int fd)
{
	int64_t now_us = clock_us(), waited_us;
	bool place, served;

	(void)pthread_mutex_lock(&pool.lock);
	pool.acceptors--;
	replace_acceptor();
	place = take_place();
	(void)pthread_mutex_unlock(&pool.lock);
	waited_us = clock_us() - now_us;

	served = conn_open(conn, fd) == 0;
	if (served && place)
		frame_serve(pool.frame, conn, now_us, waited_us);
	else if (served)
		frame_shed(pool.frame, conn, now_us);

	(void)pthread_mutex_lock(&pool.lock);
	pool.served += served;
	if (place) {
		pool.in_flight--;
		if (pool.waiting)
			(void)pthread_cond_signal(&pool.place);
	}
	pool.last_us = clock_us();
	(void)pthread_mutex_unlock(&pool.lock);
}

static void *
thread_main(void *arg)
{
	struct conn *conn = conn_new();
	bool acceptor = true; /* whoever made or woke this thread counted it */
	int fd;

	(void)arg;
	while (conn) {
		(void)pthread_mutex_lock(&pool.lock);
		if (!acceptor && pool.acceptors < ACCEPTORS && !pool.stop) {
			pool.acceptors++;
			acceptor = true;
		}
		if (!acceptor)
			acceptor = !pool.stop && park();
		(void)pthread_mutex_unlock(&pool.lock);
		if (!acceptor)
			break;
		fd = take_connection();
		if (fd < 0)
			break;
		one_request(conn, fd);
		acceptor = false;
	}
	conn_free(conn);
	(void)pthread_mutex_lock(&pool.lock);
	pool.threads--;
	if (acceptor)
		pool.acceptors--;
	(void)pthread_mutex_unlock(&pool.lock);
	return NULL;
}

/*
 * Ends the waiting in accept().  No signal does: it could cut a body that another thread just reads.
 * Instead the process calls itself until nobody waits any more; a call that a sibling takes is
 * harmless, and should no call go through, accept() returns by itself after ACCEPT_S.
 */
static void
stop_accepting(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct sockaddr_storage self = { 0 };
	socklen_t size = sizeof(self);
	int64_t left;

	(void)pthread_mutex_lock(&pool.lock);
	__atomic_store_n(&pool.stop, true, __ATOMIC_RELEASE);
	for (struct parked *p = pool.top; p; p = p->below)
		(void)pthread_cond_signal(&p->wake);
	left = pool.acceptors;
	(void)pthread_mutex_unlock(&pool.lock);
	if (getsockname(pool.listen_fd, (struct sockaddr *)&self, &size) < 0)
		return;
	while (left > 0) {
		int fd = socket(self.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&self, size) < 0)
			left = 0; /* not this way: ACCEPT_S will do */
		if (fd >= 0)
			(void)close(fd);
		if (!left)
			break;
		(void)nanosleep(&pause, NULL);
		(void)pthread_mutex_lock(&pool.lock);
		left = pool.acceptors;
		(void)pthread_mutex_unlock(&pool.lock);
	}
}

/* The socket may have come non-blocking (systemd, another server): here it waits, but not for ever. */
static int
open_waiting(int listen_fd)
{
	const struct timeval limit = { .tv_sec = ACCEPT_S };

	pool.listen_fd = listen_fd;
	if (fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) & ~O_NONBLOCK) < 0 ||
	    setsockopt(listen_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
		log_error(NULL, "the listening socket cannot be waited for: error %d", errno);
		return -1;
	}
	return 0;
}

enum end {
	END_TOLD,
	END_RETIRES, /* by count, age or idleness, or because the whole program has a successor (SIGQUIT) */
	END_NO_THREAD /* could be made, or had memory for a connection: nobody would ever accept one */
};

/* Waits for a reason to leave. */
static enum end
wait_for_end(const sigset_t *signals)
{
	const struct process_conf *p = &pool.frame->process;
	int64_t start_us = clock_us();
	const struct timespec tick = { .tv_nsec = 100000000 };
	/* Not all workers at once: up to a tenth sooner. */
	int64_t spread = (int64_t)(getpid() % 100);
	int64_t max_requests = p->max_requests - p->max_requests * spread / 1000;
	int64_t max_age_us = (p->max_age_ms - p->max_age_ms * spread / 1000) * 1000;

	for (;;) {
		int64_t now_us, served, idle_us, threads;
		int sig;

		watchdog_alive();
		sig = sigtimedwait(signals, NULL, &tick);
		if (sig == SIGTERM || sig == SIGINT)
			return END_TOLD;
		if (sig == SIGQUIT)
			return END_RETIRES;
		now_us = clock_us();
		(void)pthread_mutex_lock(&pool.lock);
		served = pool.served;
		threads = pool.threads;
		idle_us = pool.in_flight ? 0 : now_us - pool.last_us;
		(void)pthread_mutex_unlock(&pool.lock);
		if (!threads)
			return END_NO_THREAD;
		if ((max_requests && served >= max_requests) ||
		    (p->max_age_ms && now_us - start_us >= max_age_us) ||
		    (p->idle_exit_ms && idle_us >= p->idle_exit_ms * 1000))
			return END_RETIRES;
	}
}

/* May the process end?  *left: the requests that are still in hand. */
static bool
is_done(int64_t *left)
{
	int64_t leave_us = atomic_load(&pool.frame->leave_us), in_flight;

	(void)pthread_mutex_lock(&pool.lock);
	*left = pool.threads;
	in_flight = pool.in_flight;
	(void)pthread_mutex_unlock(&pool.lock);
	if (!*left || !leave_us || clock_us() < leave_us)
		return !*left;
	return in_flight <= atomic_load(&pool.frame->nlet_go) ||
	       clock_us() >= leave_us + LEAVE_MS * 1000;
}

/*
 * Waits until nothing is in hand.  Told to end: for the drain time, and a moment more, in which whoever still waits
 * is told.  Retiring, each request has its own time; the parent ends a worker in which one is late.
 * The number of requests that are left.
 */
static int64_t
drain(const sigset_t *gate, bool told)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int64_t left = 0;

	for (;;) {
		int sig;

		watchdog_alive();
		if (told && !atomic_load(&pool.frame->leave_us))
			atomic_store(&pool.frame->leave_us,
				     clock_us() + pool.frame->process.drain_ms * 1000);
		if (is_done(&left))
			return left;
		sig = sigtimedwait(gate, NULL, &pause);
		told = told || sig == SIGTERM || sig == SIGINT;
	}
}

/*
 * A thread that wakes up must not interrupt who woke it: the web server has only connected then, and what would
 * be read is not there yet.  On one core that is two of a request's six switches.  Nothing is given up but that
 * right: the share of the processor stays the same.
 */
static void
do_not_interrupt(void)
{
	(void)sched_setscheduler(0, SCHED_BATCH,
				 &(const struct sched_param){ .sched_priority = 0 });
}

int
pool_run(struct frame *f, int listen_fd, int parent_pipe)
{
	sigset_t gate;
	enum end end;
	int64_t left;

	pool.frame = f;
	pool.last_us = clock_us();
	if (open_waiting(listen_fd) < 0)
		return 1;
	/* Blocked in every thread, as they were since the fork: only the main thread asks for them. */
	(void)sigemptyset(&gate);
	(void)sigaddset(&gate, SIGTERM);
	(void)sigaddset(&gate, SIGINT);
	(void)sigaddset(&gate, SIGQUIT);
	(void)pthread_sigmask(SIG_BLOCK, &gate, NULL);
	do_not_interrupt(); /* nor do the threads that come from this one */
	(void)pthread_mutex_lock(&pool.lock);
	spawn();
	(void)pthread_mutex_unlock(&pool.lock);

	end = wait_for_end(&gate);
	if (end == END_NO_THREAD) {
		log_error(NULL, "no thread or memory to take requests with");
		return 1; /* the parent starts another one, after a while when that does not help */
	}
	/* The parent starts a successor now, while this process finishes what it has in hand. */
	if (end == END_RETIRES && parent_pipe >= 0 && write(parent_pipe, "r", 1) < 0)
		log_warn(NULL, "the parent is gone");
	stop_accepting();
	left = drain(&gate, end == END_TOLD);
	if (left)
		log_warn(NULL, "leaving with %lld requests in hand", (long long)left);
	return left ? 1 : 0;
}
