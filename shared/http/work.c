/*
 * work - a worker process whose threads find their work themselves
 *
 * What pool.c is for programs that take requests: waits for a reason to leave, then for what is in hand.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "http/frame.h"
#include "http/watchdog.h"

/* True: told to; false: retiring by count or age, or because there is a successor (SIGQUIT). */
static bool
wait_for_end(const struct frame *f, const sigset_t *signals)
{
	const struct process_conf *p = &f->process;
	const struct timespec tick = { .tv_nsec = 100000000 };
	int64_t start_us = clock_us(), spread = (int64_t)(getpid() % 100);
	int64_t max_age_us = (p->max_age_ms - p->max_age_ms * spread / 1000) * 1000;

	for (;;) {
		int sig;

		watchdog_alive();
		sig = sigtimedwait(signals, NULL, &tick);
		if (sig == SIGTERM || sig == SIGINT)
			return true;
		if (sig == SIGQUIT ||
		    (p->max_requests && f->app->work->served(f->state) >= p->max_requests) ||
		    (p->max_age_ms && clock_us() - start_us >= max_age_us))
			return false;
	}
}

/*
 * Waits until nothing is in hand: for the drain time when it was told to leave, also while it retires; else each
 * thing in hand has its own time, and the parent ends a worker in which one is late.
 */
static unsigned
drain(const struct frame *f, const sigset_t *signals, bool leaving)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct deadline d = deadline_in_ms(f->process.drain_ms);
	unsigned left;

	while ((left = f->app->work->in_hand(f->state)) > 0 && !(leaving && deadline_over(&d))) {
		int sig = sigtimedwait(signals, NULL, &pause);

		watchdog_alive();
		if (!leaving && (sig == SIGTERM || sig == SIGINT)) {
			leaving = true;
			d = deadline_in_ms(f->process.drain_ms);
			f->app->work->stop(f->state, true);
		}
	}
	return left;
}

int
work_run(struct frame *f, int parent_pipe)
{
	sigset_t gate;
	unsigned left;
	bool told;

	(void)sigemptyset(&gate);
	(void)sigaddset(&gate, SIGTERM);
	(void)sigaddset(&gate, SIGINT);
	(void)sigaddset(&gate, SIGQUIT);
	(void)pthread_sigmask(SIG_BLOCK, &gate, NULL);
	told = wait_for_end(f, &gate);
	if (!told && parent_pipe >= 0 && write(parent_pipe, "r", 1) < 0)
		log_warn(NULL, "the parent is gone");
	f->app->work->stop(f->state, told);
	left = drain(f, &gate, told);
	if (left)
		log_warn(NULL, "leaving with %u tasks in hand", left);
	return left ? 1 : 0;
}
