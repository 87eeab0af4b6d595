#include "files/imaging_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/tick.h"
#include "files/imaging_wire.h"
#include "files/sink.h"

#define HELPERS_MAX 2     /* at once in this process */
#define READ_BYTES  65536 /* a pipe's capacity */
#define PATH_BYTES  1024

static char helper[PATH_BYTES];

static struct {
	pthread_mutex_t lock;
	pthread_cond_t left;
	unsigned running;
} turn = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

int
imaging_failed(const struct imaging_run *r, struct err *e)
{
	e->stage = r->stage;
	e->may_have_been_billed = r->bought;
	return -1;
}

static int
failed_internally(const struct imaging_run *r, const char *what, struct err *e)
{
	int error = errno;

	(void)err_set(e, ERR_INTERNAL, "the image helper did not work");
	err_detail(e, "%s: %s", what, strerror(error));
	return imaging_failed(r, e);
}

static int
failed_late(const struct imaging_run *r, struct err *e)
{
	(void)err_set(e, ERR_DEADLINE, "%s", r->doing);
	e->party = PARTY_GATEWAY + 1;
	return imaging_failed(r, e);
}

static bool
try_helper(const char *folder, size_t n, const char *rest)
{
	int len = snprintf(helper, sizeof(helper), "%.*s%s", (int)n, folder, rest);

	return len > 0 && (size_t)len < sizeof(helper) && access(helper, X_OK) == 0;
}

int
imaging_init(struct err *e)
{
	static const char *const beside[] = { "/easel-image", "/../libexec/easel-image",
					      "/../libexec/easel/easel-image" };
	const char *given = getenv("EASEL_LIBEXEC");
	char self[PATH_BYTES];
	ssize_t n;

	if (given && *given) {
		if (try_helper(given, strlen(given), "/easel-image"))
			return 0;
	} else if ((n = readlink("/proc/self/exe", self, sizeof(self))) > 0 &&
		   (size_t)n < sizeof(self)) {
		while (n > 0 && self[n - 1] != '/')
			n--;
		for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++)
			if (try_helper(self, (size_t)n, beside[i] + 1))
				return 0;
	}
	helper[0] = '\0';
	return err_set(e, ERR_CONFIG, "the program easel-image is not installed beside this one.");
}

static int
turn_take(const struct imaging_run *r, const struct deadline *d, struct err *e)
{
	bool mine;

	for (;;) {
		struct deadline soon = deadline_sooner(d, tick_wait_ms(deadline_left_ms(d)));
		struct timespec until = { soon.at_us / 1000000, soon.at_us % 1000000 * 1000 };
		int rc = 0;

		pthread_mutex_lock(&turn.lock);
		while (turn.running >= HELPERS_MAX && rc == 0)
			rc = pthread_cond_clockwait(&turn.left, &turn.lock, CLOCK_MONOTONIC,
						    &until);
		mine = turn.running < HELPERS_MAX;
		turn.running += mine;
		pthread_mutex_unlock(&turn.lock);
		if (mine)
			return 0;
		if (deadline_over(d))
			return failed_late(r, e);
		tick();
	}
}

static void
turn_leave(void)
{
	pthread_mutex_lock(&turn.lock);
	turn.running--;
	pthread_cond_signal(&turn.left);
	pthread_mutex_unlock(&turn.lock);
}

/*
 * Moves a descriptor above the numbers that the helper's own get: a dup2() onto one of those must not
 * overwrite a source that is still needed.
 */
static int
above(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, IMAGING_FD__MAX);

	if (fd >= 0)
		(void)close(fd);
	return high;
}

static int
order_file(const struct imaging_run *r)
{
	AUTO_FREE char *text = json_dumps(r->order, JSON_COMPACT);
	int fd = above(memfd_create("order", MFD_CLOEXEC));
	size_t len = text ? strlen(text) : 0;

	if (text && fd >= 0 && write(fd, text, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	cleanup_fd(&fd);
	return -1;
}

/* The descriptors that the helper is given, each under its number there. */
struct ends {
	int order, why, in, out;
};

static void
ends_done(struct ends *f)
{
	const int all[] = { f->order, f->why, f->in, f->out };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		cleanup_fd(&all[i]);
}

static int
spawn_with(struct imaging_run *r, const struct ends *f)
{
	char *const argv[] = { (char *)"easel-image", NULL };
	char *const envp[] = { (char *)"LC_ALL=C", NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&files) != 0)
		return -1;
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&files);
		return -1;
	}
	/*
	 * A group of its own: what a terminal sends to everybody is for us to act on, and the helper
	 * dies with the thread that waits for it.  SIGPIPE and the like are as in a fresh program.
	 */
	rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						     POSIX_SPAWN_SETSIGDEF);
	rc |= posix_spawnattr_setpgroup(&attr, 0);
	rc |= posix_spawnattr_setsigmask(&attr, &none);
	rc |= posix_spawnattr_setsigdefault(&attr, &all);
	rc |= posix_spawn_file_actions_adddup2(&files, f->order, IMAGING_FD_ORDER);
	rc |= posix_spawn_file_actions_adddup2(&files, f->why, 1);
	rc |= posix_spawn_file_actions_adddup2(&files, f->why, IMAGING_FD_WHY);
	rc |= posix_spawn_file_actions_adddup2(&files, f->in, IMAGING_FD_IN);
	rc |= posix_spawn_file_actions_adddup2(&files, f->out, IMAGING_FD_OUT);
	rc |= posix_spawn_file_actions_addclosefrom_np(&files, IMAGING_FD__MAX);
	if (!rc)
		rc = posix_spawn(&r->pid, helper, &files, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (rc) {
		r->pid = 0;
		errno = rc;
		return -1;
	}
	return 0;
}

static int
run_start(struct imaging_run *r, struct err *e)
{
	AUTO(ends) f = { -1, -1, -1, -1 };
	int pipes[2];

	if (!helper[0]) {
		errno = ENOENT;
		return failed_internally(r, "imaging_init", e);
	}
	if ((f.order = order_file(r)) < 0)
		return failed_internally(r, "order", e);
	if ((f.why = above(memfd_create("why", MFD_CLOEXEC))) < 0 ||
	    (f.in = fcntl(r->in >= 0 ? r->in : f.order, F_DUPFD_CLOEXEC, IMAGING_FD__MAX)) < 0 ||
	    pipe2(pipes, O_CLOEXEC) < 0)
		return failed_internally(r, "descriptors", e);
	r->out = pipes[0];
	if ((f.out = above(pipes[1])) < 0)
		return failed_internally(r, "descriptors", e);
	if (spawn_with(r, &f) < 0)
		return failed_internally(r, helper, e);
	r->why = f.why;
	f.why = -1;
	return 0;
}

/* Ends the helper if it has not ended itself, and forgets it.  The status, or -1: lost. */
static int
run_reap(struct imaging_run *r)
{
	int status = -1;

	if (!r->pid)
		return -1;
	/*
	 * After the end of its output a good helper is in the kernel's hands already and keeps its exit
	 * status; one that has only closed the pipe must not keep us.  (The process is not reaped yet,
	 * so the number is still its own.)
	 */
	(void)kill(r->pid, SIGKILL);
	while (waitpid(r->pid, &status, 0) < 0)
		if (errno != EINTR) {
			status = -1;
			break;
		}
	r->pid = 0;
	return status;
}

static void
run_done(struct imaging_run *r)
{
	(void)run_reap(r);
	cleanup_fd(&r->out);
	cleanup_fd(&r->why);
	json_decref(r->order);
	r->order = NULL;
	r->out = r->why = -1;
}

/* Until there is something to read, or the end. */
static int
run_wait(const struct imaging_run *r, const struct deadline *d, struct err *e)
{
	struct pollfd p = { .fd = r->out, .events = POLLIN };

	for (;;) {
		int64_t left = deadline_left_ms(d);
		int n = poll(&p, 1, (int)tick_wait_ms(left > 3600000 ? 3600000 : left));

		tick();
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return failed_internally(r, "poll", e);
		if (deadline_over(d))
			return failed_late(r, e);
	}
}

static int
run_read(const struct imaging_run *r, char *piece, struct sink *sink, const struct deadline *d,
	 struct err *e)
{
	for (;;) {
		ssize_t n;

		if (run_wait(r, d, e) < 0)
			return -1;
		n = read(r->out, piece, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed_internally(r, "read", e);
		if (n == 0)
			return 0;
		if (sink_bytes(sink, piece, (size_t)n, e) < 0)
			return imaging_failed(r, e);
	}
}

/* What the helper's end means; `status` is waitpid's. */
static int
judge(const struct imaging_run *r, int status, struct err *e)
{
	char why[200];
	ssize_t n;

	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == IMAGING_OK)
		return 0;
	n = pread(r->why, why, sizeof(why) - 1, 0);
	why[n > 0 ? n : 0] = '\0';
	why[strcspn(why, "\n")] = '\0';
	if (status >= 0 && WIFEXITED(status)) {
		switch (WEXITSTATUS(status)) {
		case IMAGING_BAD_PICTURE:
			(void)err_set(e, ERR_RESULT_NOT_IMAGE, "it cannot be decoded");
			break;
		case IMAGING_TOO_LARGE:
			(void)err_set(e, ERR_UP_TOO_LARGE, "it has too many pixels");
			break;
		case IMAGING_NO_MASK:
			(void)err_set(e, ERR_RESULT_NOT_IMAGE, "nothing in it is transparent");
			break;
		case IMAGING_NO_ROOM:
			(void)err_set(e, ERR_INTERNAL, "the image helper ran out of memory");
			break;
		default: (void)err_set(e, ERR_INTERNAL, "the image helper failed"); break;
		}
		err_detail(e, "easel-image exit %d: %s", WEXITSTATUS(status), why);
		return imaging_failed(r, e);
	}
	if (status >= 0 && WTERMSIG(status) == SIGXCPU)
		(void)err_set(e, ERR_INTERNAL, "the image helper took too much time");
	else if (status >= 0 && r->in >= 0 && WTERMSIG(status) != SIGKILL)
		/* What makes a decoder crash is no picture. */
		(void)err_set(e, ERR_RESULT_NOT_IMAGE, "decoding it makes the decoder crash");
	else
		(void)err_set(e, ERR_INTERNAL, "the image helper was killed");
	err_detail(e, "easel-image status %#x: %s", (unsigned)status, why);
	return imaging_failed(r, e);
}

static int
finish(struct sink *sink, struct filestore *fs, const struct imaging_result *out, struct err *e)
{
	struct picture p;
	int fd;

	if (!out->source && !out->of)
		return sink_finish(sink, out->stored, e);
	if (sink_take(sink, &p, &fd, e) < 0)
		return -1;
	if (out->of) {
		*out->stored = p;
		memcpy(out->stored->id, out->of->id, sizeof(p.id));
		return filestore_publish_thumbnail(fs, fd, &p, out->of, e);
	}
	*out->source = (struct source){ fd, p.type, p.width, p.height, p.bytes };
	return 0;
}

static int
run_in_turn(struct imaging_run *r, struct filestore *fs, const struct imaging_result *out,
	    const struct deadline *d, struct err *e)
{
	char *piece = malloc(READ_BYTES);
	struct sink sink;
	int rc;

	if (out->source)
		sink_init_unnamed(&sink, fs);
	else
		sink_init(&sink, fs);
	rc = piece ? run_start(r, e) : failed_internally(r, "malloc", e);
	if (rc == 0)
		rc = run_read(r, piece, &sink, d, e);
	if (rc == 0)
		rc = judge(r, run_reap(r), e);
	if (rc == 0 && finish(&sink, fs, out, e) < 0)
		rc = imaging_failed(r, e);
	/* Before the turn is left: at most two helpers are alive. */
	(void)run_reap(r);
	sink_done(&sink);
	free(piece);
	return rc;
}

int
imaging_run(struct imaging_run *r, struct filestore *fs, const struct imaging_result *out,
	    const struct deadline *d, struct err *e)
{
	int rc;

	if (deadline_over(d))
		rc = failed_late(r, e);
	else if (!r->order)
		rc = failed_internally(r, "order", e);
	else if ((rc = turn_take(r, d, e)) == 0) {
		rc = run_in_turn(r, fs, out, d, e);
		turn_leave();
	}
	run_done(r);
	return rc;
}
