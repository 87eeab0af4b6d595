/*
 * prefork - the small parent in front of a program's workers
 *
 * It holds the listening socket and takes no requests, so whatever happens to a worker, nothing that
 * waits in the backlog is lost: a worker that dies is replaced at once, one that retires is replaced
 * while it finishes.  A program that dies again and again is restarted ever more slowly.  Workers end
 * with their parent (PR_SET_PDEATHSIG).
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "http/frame.h"
#include "http/watchdog.h"

#define SLOTS           (PROCESS_WORKERS_MAX * 2) /* half of them may be retiring */
#define CRASH_WINDOW_MS 2000
#define CRASH_FREE      3 /* deaths in a window that cost no delay */
#define BACKOFF_MAX_MS  5000
#define STAGGER_MS      10   /* between the starts of a program's workers */
#define KILL_AFTER_MS   3000 /* beyond the drain time, in which the last are answered */

struct worker {
	pid_t pid;            /* 0: none */
	int pipe;             /* it writes here when it retires; -1: closed */
	bool retiring, ended; /* … by the watchdog */
	int64_t started_us;
	struct watchdog *board;
};

static struct {
	struct frame *frame;
	const struct app *app;
	const struct config *config;
	pid_t pid;
	int listen_fd, signal_fd;
	sigset_t signals;
	struct worker workers[SLOTS];
	unsigned deaths; /* within CRASH_WINDOW_MS of each other */
	int64_t not_before_us, looked_us;
	bool idle; /* the last worker left for want of work: wait for a connection */
} parent;

static _Noreturn void
worker_main(int pipe_fd, struct watchdog *board)
{
	struct frame f;
	struct err e;
	char text[512];
	int rc;

	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent.pid)
		_exit(1);
	/* SIGTERM and SIGINT stay blocked: the pool waits for them, and none may be lost before it does. */
	(void)close(parent.signal_fd);
	watchdog_use(board);
	if (frame_open(&f, parent.app, parent.config, &e) < 0) {
		err_message(&e, LANG_EN, text, sizeof(text));
		log_error(NULL, "cannot start: %s %s", text, e.detail);
		f.stats = parent.frame->stats;
		if (!parent.app->work)
			stand_in_run(&f, parent.listen_fd, &e);
		_exit(1);
	}
	(void)malloc_trim(0);
	(void)__atomic_fetch_add(&f.stats->worker_starts, 1, __ATOMIC_RELAXED);
	rc = parent.app->work ? work_run(&f, pipe_fd) : pool_run(&f, parent.listen_fd, pipe_fd);
	/* Threads may still be at work when the drain time was too short: free nothing then. */
	if (rc == 0)
		frame_close(&f);
	_exit(rc);
}

static void
start_worker(struct worker *w)
{
	struct watchdog *board =
		watchdog_new((unsigned)parent.frame->process.max_in_flight + SHED_EXTRA);
	int fds[2];
	pid_t pid;

	if (!board || pipe2(fds, O_CLOEXEC) < 0) {
		log_error(NULL, "no descriptors or memory for a worker");
		watchdog_free(board);
		return;
	}
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		for (int i = 0; i < SLOTS; i++)
			if (parent.workers[i].pid && parent.workers[i].pipe >= 0)
				(void)close(parent.workers[i].pipe);
		worker_main(fds[1], board);
	}
	(void)close(fds[1]);
	if (pid < 0) {
		(void)close(fds[0]);
		watchdog_free(board);
		log_error(NULL, "a worker cannot be started: error %d", errno);
		parent.not_before_us = clock_us() + 100000;
		return;
	}
	*w = (struct worker){
		.pid = pid, .pipe = fds[0], .started_us = clock_us(), .board = board
	};
}

/* As many active workers as there should be. */
static void
fill(void)
{
	int64_t want = parent.frame->process.workers, active = 0;

	if (parent.idle || clock_us() < parent.not_before_us)
		return;
	for (int i = 0; i < SLOTS; i++)
		active += parent.workers[i].pid && !parent.workers[i].retiring;
	for (int i = 0; i < SLOTS && active < want; i++)
		if (!parent.workers[i].pid) {
			start_worker(&parent.workers[i]);
			/* One after the other: the first one is to answer soon. */
			if (++active < want) {
				parent.not_before_us = clock_us() + STAGGER_MS * 1000;
				return;
			}
		}
}

static void
note_death(const struct worker *w, int status)
{
	int64_t now_us = clock_us();
	int64_t delay_ms = 0;

	if (WIFSIGNALED(status))
		log_warn(NULL, "worker %d was ended by signal %d", (int)w->pid, WTERMSIG(status));
	else
		log_warn(NULL, "worker %d ended with status %d", (int)w->pid, WEXITSTATUS(status));
	if (parent.frame->stats)
		(void)__atomic_fetch_add(&parent.frame->stats->worker_deaths, 1, __ATOMIC_RELAXED);
	/* One that lived a while before it died starts the count anew. */
	if (now_us - w->started_us > CRASH_WINDOW_MS * 1000)
		parent.deaths = 0;
	if (++parent.deaths > CRASH_FREE) {
		delay_ms =
			100LL << (parent.deaths - CRASH_FREE > 6 ? 6 : parent.deaths - CRASH_FREE);
		if (delay_ms > BACKOFF_MAX_MS)
			delay_ms = BACKOFF_MAX_MS;
		log_error(NULL, "its workers die one after another; the next one in %lld ms",
			  (long long)delay_ms);
	}
	parent.not_before_us = now_us + delay_ms * 1000;
}

static void
reap(bool stopping)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SLOTS; i++) {
			struct worker *w = &parent.workers[i];

			if (w->pid != pid)
				continue;
			if (!stopping && (WIFSIGNALED(status) || WEXITSTATUS(status) != 0) &&
			    !w->retiring)
				note_death(w, status);
			if (w->pipe >= 0)
				(void)close(w->pipe);
			watchdog_free(w->board);
			w->pid = 0;
		}
}

/*
 * Ends workers that are late by their own fault.  When this process was held up itself (by a debugger,
 * a suspended machine, all of us stopped and continued), they had no chance either: then they get one.
 */
static void
look_after_workers(void)
{
	int64_t now_us = clock_us(), since_ms = (now_us - parent.looked_us) / 1000;
	struct overdue o;

	if (since_ms < WATCHDOG_LOOK_MS)
		return;
	parent.looked_us = now_us;
	if (since_ms > WATCHDOG_LOOK_MS + WATCHDOG_MARGIN_MS)
		return;
	for (int i = 0; i < SLOTS; i++) {
		struct worker *w = &parent.workers[i];

		if (!w->pid || w->ended || !watchdog_late(w->board, &o))
			continue;
		w->ended = true;
		log_error(o.request[0] ? o.request : NULL,
			  "worker %d is stuck: %lld ms too late at stage %s; it is ended",
			  (int)w->pid, (long long)o.late_ms, o.stage);
		(void)kill(w->pid, SIGKILL);
	}
}

static int
alive(void)
{
	int n = 0;

	for (int i = 0; i < SLOTS; i++)
		n += parent.workers[i].pid != 0;
	return n;
}

static void
tell_all(int sig)
{
	for (int i = 0; i < SLOTS; i++)
		if (parent.workers[i].pid)
			(void)kill(parent.workers[i].pid, sig);
}

/* Waits up to `ms` for a signal, a retiring worker, or (when idle) a connection.  The signal or 0. */
static int
wait_event(int ms)
{
	struct pollfd p[SLOTS + 2];
	struct worker *of[SLOTS + 2];
	struct signalfd_siginfo si;
	nfds_t n = 0;

	p[n++] = (struct pollfd){ .fd = parent.signal_fd, .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = parent.idle ? parent.listen_fd : -1, .events = POLLIN };
	for (int i = 0; i < SLOTS; i++)
		if (parent.workers[i].pid && parent.workers[i].pipe >= 0) {
			of[n] = &parent.workers[i];
			p[n++] = (struct pollfd){ .fd = parent.workers[i].pipe, .events = POLLIN };
		}
	if (poll(p, n, ms) <= 0)
		return 0;
	if (p[1].revents)
		parent.idle = false;
	for (nfds_t i = 2; i < n; i++)
		if (p[i].revents) {
			char c;

			if (read(of[i]->pipe, &c, 1) == 1)
				of[i]->retiring = true;
			(void)close(of[i]->pipe);
			of[i]->pipe = -1;
		}
	if (p[0].revents && read(parent.signal_fd, &si, sizeof(si)) == sizeof(si))
		return (int)si.ssi_signo;
	return 0;
}

/* Scale to zero: with idle_exit the parent leaves when nobody has anything to do and somebody else
 * (systemd) holds the socket; otherwise it waits here for the next connection. */
static void
note_retirement(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (parent.workers[i].pid && !parent.workers[i].retiring)
			return;
	parent.idle = parent.frame->process.idle_exit_ms > 0;
}

/*
 * SIGTERM and SIGINT: the installation ends, what is in hand has the drain time.  SIGQUIT: a successor
 * has taken over, on the same socket; each request in hand has its own time.
 */
static void
stop(int sig)
{
	int64_t drain_ms = parent.frame->process.drain_ms;
	bool retiring = sig == SIGQUIT;
	struct deadline d = deadline_in_ms(drain_ms + KILL_AFTER_MS);

	tell_all(retiring ? SIGQUIT : SIGTERM);
	while (alive() && (retiring || !deadline_over(&d))) {
		sig = wait_event(50);
		if (retiring && (sig == SIGTERM || sig == SIGINT)) {
			retiring = false;
			tell_all(SIGTERM);
			d = deadline_in_ms(drain_ms + KILL_AFTER_MS);
		}
		reap(true);
		look_after_workers();
	}
	tell_all(SIGKILL);
	while (alive()) {
		(void)wait_event(50);
		reap(true);
	}
}

void
prefork_hold_signals(void)
{
	(void)sigemptyset(&parent.signals);
	(void)sigaddset(&parent.signals, SIGTERM);
	(void)sigaddset(&parent.signals, SIGINT);
	(void)sigaddset(&parent.signals, SIGQUIT);
	(void)sigaddset(&parent.signals, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &parent.signals, NULL);
}

int
prefork_run(struct frame *f, int listen_fd)
{
	int sig = 0;

	parent.frame = f;
	parent.app = f->app;
	parent.config = f->config;
	parent.pid = getpid();
	parent.listen_fd = listen_fd;
	parent.signal_fd = signalfd(-1, &parent.signals, SFD_CLOEXEC);
	if (parent.signal_fd < 0)
		return 1;
	while (sig != SIGTERM && sig != SIGINT && sig != SIGQUIT) {
		fill();
		sig = wait_event(parent.not_before_us > clock_us() ? STAGGER_MS : WATCHDOG_LOOK_MS);
		reap(false);
		look_after_workers();
		note_retirement();
		/* Does somebody else hold the socket, so that leaving loses nothing? */
		if (parent.idle && !alive() && getenv("LISTEN_FDS"))
			return 0;
	}
	stop(sig);
	return 0;
}
