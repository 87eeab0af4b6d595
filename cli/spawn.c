#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"

#define QUICK_MS       2000 /* a life shorter than this is a quick death */
#define FREE_RESTARTS  2    /* so many of them in a row cost no delay */
#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS   5000
#define KILL_WAIT_MS   5000 /* for the kernel to end what was killed */

static _Noreturn void
cannot(const char *what, const char *name)
{
	(void)dprintf(STDERR_FILENO, "easel: %s: %s: %s\n", name, what, strerror(errno));
	_exit(127);
}

/* Makes `from` descriptor `to` of the program that follows. */
static void
hand_over(int from, int to, const char *name)
{
	if (from == to ? fcntl(to, F_SETFD, 0) < 0 : dup2(from, to) < 0)
		cannot("handing over a descriptor", name);
}

/* Signals as a fresh process has them; PR_SET_PDEATHSIG outlives the exec. */
static void
reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void
become(const struct child *c, pid_t parent)
{
	int null;

	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		cannot("prctl", c->name);
	if (getppid() != parent) /* it died before the line above */
		_exit(127);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		cannot("/dev/null", c->name);
	/* The new descriptor 2 first: it may be what the others would overwrite. */
	if (c->stderr_fd >= 0)
		hand_over(c->stderr_fd, STDERR_FILENO, c->name);
	hand_over(STDERR_FILENO, STDOUT_FILENO, c->name);
	hand_over(c->stdin_fd >= 0 ? c->stdin_fd : null, STDIN_FILENO, c->name);
	if (c->listen_fd >= 0) {
		hand_over(c->listen_fd, 3, c->name);
		(void)snprintf(c->listen_pid, LISTEN_PID_TEXT, "LISTEN_PID=%d", (int)getpid());
	}
	if (c->keep_fd >= 0 && fcntl(c->keep_fd, F_SETFD, 0) < 0)
		cannot("keeping a descriptor", c->name);
	reset_signals();
	(void)execve(c->argv[0], c->argv, c->envp);
	cannot(c->argv[0], c->name);
}

int
child_start(struct child *c, struct err *e)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0) {
		(void)err_set(e, ERR_INTERNAL, "%s cannot be started", c->name);
		err_detail(e, "fork: %s", strerror(errno));
		return -1;
	}
	if (pid == 0)
		become(c, parent);
	(void)setpgid(pid, pid); /* the child does the same; whoever is first */
	c->pid = pid;
	c->started_us = clock_us();
	c->restart_at_us = 0;
	return 0;
}

int64_t
restart_delay_ms(unsigned quick_deaths)
{
	int64_t ms = DELAY_FIRST_MS;

	if (quick_deaths <= FREE_RESTARTS)
		return 0;
	for (unsigned i = FREE_RESTARTS + 1; i < quick_deaths && ms < DELAY_MAX_MS; i++)
		ms *= 2;
	return ms < DELAY_MAX_MS ? ms : DELAY_MAX_MS;
}

void
child_died(struct child *c, int64_t now_us)
{
	c->quick_deaths = now_us - c->started_us < QUICK_MS * 1000LL ? c->quick_deaths + 1 : 0;
	c->pid = 0;
	c->restart_at_us = now_us + restart_delay_ms(c->quick_deaths) * 1000;
}

void
child_later(struct child *c, int64_t ms)
{
	int64_t us = ms * 1000, tenth = us / 10, spread = 0;
	uint32_t random = 0;

	/* Many installations on one machine shall not do it all at once. */
	if (tenth && getrandom(&random, sizeof(random), GRND_NONBLOCK) == sizeof(random))
		spread = (int64_t)random % (2 * tenth) - tenth;
	c->restart_at_us = c->every_ms ? clock_us() + us + spread : 0;
}

/* This process adopts whatever its children leave behind (PR_SET_CHILD_SUBREAPER), so killing its
 * children until none is left reaches every descendant. */
static void
kill_children(void)
{
	char path[64], *line = NULL, *word, *rest;
	size_t size = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (!f)
		return;
	if (getline(&line, &size, f) > 0) {
		rest = line;
		while ((word = strsep(&rest, " \n")))
			if (*word)
				(void)kill((pid_t)strtol(word, NULL, 10), SIGKILL);
	}
	free(line);
	(void)fclose(f);
}

void
kill_descendants(void)
{
	struct deadline d = deadline_in_ms(KILL_WAIT_MS);

	while (!deadline_over(&d)) {
		pid_t pid;

		kill_children();
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0 && errno == ECHILD)
			return;
		(void)poll(NULL, 0, 1);
	}
}
