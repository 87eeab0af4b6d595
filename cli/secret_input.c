#include "secret_input.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "access/passwords.h"
#include "cli.h"

static volatile sig_atomic_t interrupted;

static void
note(int sig)
{
	interrupted = sig;
}

/*
 * To the end, or, with `waiting`, to the end of a line: the signals that are blocked are let in while it
 * waits, and only then, so that none is overlooked.  The bytes that there were, -1: a failure or too many.
 */
static ssize_t
read_all(char *out, size_t size, const sigset_t *waiting)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	bool line = waiting != NULL;
	size_t n = 0;

	while (n < size) {
		ssize_t got = line ? ppoll(&in, 1, NULL, waiting) : 1;

		if (interrupted)
			return -1;
		if (got > 0)
			got = read(STDIN_FILENO, out + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		n += (size_t)got;
		if (got == 0 || (line && n && out[n - 1] == '\n'))
			break;
	}
	if (n == size || memchr(out, '\0', n))
		return -1;
	out[n] = '\0';
	return (ssize_t)n;
}

static int
read_typed(const char *prompt, char *out, size_t size)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	const size_t nsignals = sizeof(signals) / sizeof(*signals);
	struct sigaction stop = { .sa_handler = note }, old[sizeof(signals) / sizeof(*signals)];
	struct termios was, quiet;
	sigset_t block, waiting;
	ssize_t n;

	if (tcgetattr(STDIN_FILENO, &was) < 0)
		return -1;
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	/* Without SA_RESTART: the terminal must get its echo back before the signal takes its course. */
	(void)sigemptyset(&block);
	for (size_t i = 0; i < nsignals; i++) {
		(void)sigaddset(&block, signals[i]);
		(void)sigaction(signals[i], &stop, &old[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &block, &waiting);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	(void)fprintf(stderr, "%s: ", prompt);
	n = read_all(out, size, &waiting);
	(void)fputc('\n', stderr);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	for (size_t i = 0; i < nsignals; i++)
		(void)sigaction(signals[i], &old[i], NULL);
	(void)sigprocmask(SIG_SETMASK, &waiting, NULL);
	if (interrupted)
		(void)raise(interrupted);
	return n < 0 ? -1 : 0;
}

static void
trim(char *text)
{
	char *start = password_trim(text);

	memmove(text, start, strlen(start) + 1);
}

int
secret_read(const char *what, char *out, size_t size)
{
	AUTO_FREE char *again = NULL;
	char prompt[64];
	int rc, status = CLI_OK;

	if (!isatty(STDIN_FILENO)) {
		rc = read_all(out, size, NULL) < 0 ? -1 : 0;
	} else {
		again = calloc(1, size);
		(void)snprintf(prompt, sizeof(prompt), "%s, once more", what);
		rc = again && read_typed(what, out, size) == 0 &&
				     read_typed(prompt, again, size) == 0
			     ? 0
			     : -1;
	}
	if (rc < 0) {
		say("no %s could be read from standard input: it is longer than %zu bytes, has a "
		    "NUL in it, "
		    "or reading failed",
		    what, size - 2);
		status = CLI_USAGE;
	} else {
		trim(out);
		if (again)
			trim(again);
		if (again && strcmp(out, again) != 0) {
			say("the two were not the same");
			status = CLI_FAILED;
		}
	}
	if (again)
		explicit_bzero(again, size);
	if (status)
		explicit_bzero(out, size);
	return status;
}
