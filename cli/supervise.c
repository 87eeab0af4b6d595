#include "supervise.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/log.h"
#include "cli.h"
#include "run.h"

#define READY_LIMIT_MS 10000
#define PROBE_AGAIN_MS 2
#define FRONT_HEAD_MS \
	2000 /* the web server hands over what it has accepted before the programs stop */
#define LAST_MS     5000 /* beyond the programs' drain time, before everything is killed */
#define EXIT_CONFIG 78   /* a program's word for a configuration it refuses */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* ---- ending ---- */

void
run_tell(const struct child *c, int sig)
{
	if (c->pid)
		(void)kill(c->pid, sig);
}

/* Tells the programs to drain. */
static void
stop_programs(struct run *r)
{
	int64_t now_us = clock_us();

	for (size_t i = 0; i < r->s->n; i++)
		if (!r->s->children[i].front)
			run_tell(&r->s->children[i], SIGTERM);
	asides_tell_programs(&r->old, SIGTERM);
	r->term_at_us = 0;
	r->kill_at_us = now_us + (r->s->drain_ms + LAST_MS) * 1000;
}

static void
stop(struct run *r, int status)
{
	int64_t head_ms = r->s->drain_ms < FRONT_HEAD_MS ? r->s->drain_ms : FRONT_HEAD_MS;

	if (r->phase == STOPPING || r->phase == GONE)
		return;
	r->phase = STOPPING;
	r->status = status;
	r->settle_by_us = 0;
	probe_done(&r->probe);
	/* Ours must close too, or new connections would wait in its backlog for nobody. */
	close_fd(&r->s->front->fd);
	for (size_t i = 0; i < r->s->n; i++) {
		r->s->children[i].restart_at_us = 0;
		if (r->s->children[i].front)
			run_tell(&r->s->children[i], SIGINT);
	}
	asides_finish(&r->old);
	r->term_at_us = clock_us() + head_ms * 1000;
	if (!r->s->children[0].pid)
		stop_programs(r);
}

static void
fail(struct run *r, int status)
{
	stop(r, status);
	r->phase = GONE; /* nothing was served yet: nothing to wait for */
}

/* ---- living ---- */

static bool
front_lives(const struct run *r)
{
	for (size_t i = 0; i < r->old.n; i++)
		if (r->old.v[i].child.front && r->old.v[i].child.pid)
			return true;
	return false;
}

void
run_start(struct run *r, struct child *c)
{
	struct err e;

	if (c->front && !front_lives(r))
		state_forget_uploads(r->s->state);
	if (child_start(c, &e) == 0)
		return;
	log_error(NULL, "%s cannot be started: %s", c->name, e.detail);
	child_died(c, clock_us());
	if (r->phase == STARTING)
		fail(r, CLI_FAILED);
}

void
run_describe(char out[64], int status)
{
	if (WIFSIGNALED(status))
		(void)snprintf(out, 64, "was ended by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(out, 64, "ended with status %d", WEXITSTATUS(status));
}

static void
note_death(struct run *r, struct child *c, int status)
{
	char what[64];

	run_describe(what, status);
	child_died(c, clock_us());
	if (c->now_and_then) {
		child_later(c, c->every_ms);
		if (r->phase == STOPPING || r->phase == GONE)
			c->restart_at_us = 0;
		if (status && r->phase == RUNNING)
			log_warn(NULL, "%s %s", c->name, what);
		return;
	}
	front_log_read(&r->log, r->s->log_fd); /* its last words come before ours */
	if (r->phase == STARTING) {
		log_error(NULL, "%s %s before it was ready", c->name, what);
		fail(r, WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CONFIG ? CLI_CONFIG
										: CLI_FAILED);
		return;
	}
	if (r->phase != RUNNING) {
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			log_warn(NULL, "%s %s", c->name, what);
		c->restart_at_us = 0;
		/* Whoever still waits in its backlog is refused now and may try elsewhere. */
		close_fd(&c->stdin_fd);
		if (c->front && r->term_at_us)
			stop_programs(r);
		return;
	}
	log_warn(NULL, "%s %s; it is started again%s", c->name, what,
		 c->restart_at_us > clock_us() ? " after a pause: it dies at once" : "");
}

/* ---- signals and the dead ---- */

static void
note_aside_death(struct aside *x, int status)
{
	char what[64];

	x->child.pid = 0;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return;
	run_describe(what, status);
	log_warn(NULL, "the former %s %s", x->child.name, what);
}

static void
note_child_death(struct run *r, struct child *c, int status)
{
	char why[128], what[64];

	if (!r->settle_by_us || c->front || c->now_and_then) {
		note_death(r, c, status);
		return;
	}
	run_describe(what, status);
	(void)snprintf(why, sizeof(why), "the new %s %s", c->name, what);
	c->pid = 0;
	reload_abandon(r, why);
}

/* True while there is a child or an adopted descendant. */
static bool
reap(struct run *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct aside *old = asides_find(&r->old, pid);

		if (old)
			note_aside_death(old, status);
		for (size_t i = 0; i < r->s->n && !old; i++)
			if (r->s->children[i].pid == pid) {
				note_child_death(r, &r->s->children[i], status);
				break;
			}
	}
	asides_sweep(&r->old);
	return !(pid < 0 && errno == ECHILD);
}

static void
take_signal(struct run *r)
{
	struct signalfd_siginfo si;

	while (read(r->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			if (r->phase == STOPPING) {
				log_warn(NULL, "told to end a second time: ending at once");
				r->phase = GONE;
			} else if (r->phase == STARTING) {
				fail(r, CLI_OK);
			} else if (r->phase == RUNNING) {
				log_info(NULL, "told to end: finishing what is in hand");
				stop(r, CLI_OK);
			}
			break;
		case SIGHUP: r->reload_again = true; break; /* soon: tick() does it */
		default: break;                             /* SIGCHLD: reap() looks */
		}
	}
}

static void
try_probe(struct run *r)
{
	int answer = probe_step(&r->probe);
	int64_t now_us = clock_us();

	if (answer > 0)
		r->last_answer = answer;
	if (answer == 200) {
		r->phase = RUNNING;
		(void)printf("ready %s\n", r->s->front->url);
		(void)fflush(stdout);
		log_info(NULL, "ready on %s after %lld ms", r->s->front->url,
			 (long long)((now_us - r->s->exec_us) / 1000));
		(void)malloc_trim(0); /* from here on it only waits */
		return;
	}
	if (now_us - r->start_us < READY_LIMIT_MS * 1000LL)
		return;
	if (r->last_answer)
		log_error(NULL, "not ready within %d s: GET /healthz answers %d",
			  READY_LIMIT_MS / 1000, r->last_answer);
	else
		log_error(NULL, "not ready within %d s: GET /healthz is not answered",
			  READY_LIMIT_MS / 1000);
	fail(r, CLI_FAILED);
}

/* Milliseconds until something is due; -1: nothing is. */
static int
next_due_ms(const struct run *r)
{
	int64_t now_us = clock_us(), due_us = INT64_MAX;

	if (r->phase == STARTING)
		due_us = now_us + (r->probe.fd < 0 ? PROBE_AGAIN_MS : 100) * 1000;
	if (r->phase == STOPPING)
		due_us = r->term_at_us ? r->term_at_us : r->kill_at_us;
	if (r->phase == RUNNING && (r->settle_by_us || r->reload_again))
		due_us = now_us + (r->settle_by_us ? RELOAD_STEP_MS * 1000 : 0);
	for (size_t i = 0; i < r->s->n; i++) {
		const struct child *c = &r->s->children[i];

		if (!c->pid && c->restart_at_us && c->restart_at_us < due_us)
			due_us = c->restart_at_us;
	}
	if (due_us == INT64_MAX)
		return -1;
	return due_us <= now_us ? 0 : (int)((due_us - now_us + 999) / 1000);
}

/* Does what is due.  False: the end. */
static bool
tick(struct run *r)
{
	bool any = reap(r);
	int64_t now_us = clock_us();

	for (size_t i = 0; i < r->s->n; i++) {
		struct child *c = &r->s->children[i];

		if (!c->pid && c->restart_at_us && c->restart_at_us <= now_us)
			run_start(r, c);
	}
	if (r->phase == STARTING)
		try_probe(r);
	if (r->phase == RUNNING)
		reload_go_on(r);
	if (r->phase != STOPPING)
		return r->phase != GONE;
	if (r->term_at_us && now_us >= r->term_at_us)
		stop_programs(r);
	if (!any)
		return false;
	if (!r->term_at_us && now_us >= r->kill_at_us) {
		log_warn(NULL, "the time to drain is over: ending what is left");
		return false;
	}
	return true;
}

int
supervise_signals(struct err *e)
{
	static const int waited_for[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP };
	sigset_t set;
	int fd;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(waited_for) / sizeof(waited_for[0]); i++) {
		/* Whoever started us may have ignored it (a shell does so behind "&"). */
		(void)signal(waited_for[i], SIG_DFL);
		(void)sigaddset(&set, waited_for[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		(void)err_set(e, ERR_INTERNAL, "signals cannot be waited for");
		err_detail(e, "signalfd: %s", strerror(errno));
	}
	return fd;
}

int
supervise(struct supervisor *s, int signal_fd)
{
	struct run r = { .s = s, .signal_fd = signal_fd, .phase = STARTING };

	r.start_us = clock_us();
	r.probe.fd = -1;
	r.probe.to = s->front->probe;
	r.probe.to_len = s->front->probe_len;
	r.probe.tls = !strncmp(s->front->url, "https:", 6);
	for (size_t i = 0; i < s->n && r.phase == STARTING; i++)
		if (s->children[i].now_and_then) /* soon, for whoever restarts often */
			child_later(&s->children[i], s->children[i].every_ms / 10);
		else
			run_start(&r, &s->children[i]);
	while (tick(&r)) {
		struct pollfd p[] = { { .fd = signal_fd, .events = POLLIN },
				      { .fd = s->log_fd, .events = POLLIN },
				      { .fd = r.probe.fd, .events = POLLIN } };

		if (poll(p, 3, next_due_ms(&r)) < 0 && errno != EINTR)
			break;
		if (p[0].revents)
			take_signal(&r);
		if (p[1].revents)
			front_log_read(&r.log, s->log_fd);
	}
	kill_descendants();
	front_log_read(&r.log, s->log_fd);
	probe_done(&r.probe);
	close_fd(&s->front->fd);
	asides_done(&r.old);
	return r.status;
}
