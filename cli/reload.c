/*
 * reload - what SIGHUP means to `easel serve`
 *
 * The whole configuration is read and checked as at the start; a mistake in it is logged and nothing
 * changes.  What this process itself holds (the listening address, the state folder) cannot be
 * replaced while it runs: a change there is refused by name.  The environment is the one that
 * `easel serve` was started with: secrets that came from it were kept when it was wiped
 * (config/environment.c), a changed one needs a restart.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/log.h"
#include "serve.h"

#define PREFLIGHT_MS       5000
#define PROBLEMS_MAX_BYTES 65536

void
reloading_done(struct reloading *n)
{
	if (n->config_fd >= 0)
		(void)close(n->config_fd);
	buf_done(&n->front_text);
	config_free(n->conf);
	*n = (struct reloading){ .config_fd = -1 };
}

/* ---- reading ---- */

static void
say_problems(char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")))
		if (*line)
			log_error(NULL, "%s", line);
}

static int
load(const struct serve *s, struct config **out, struct err *e)
{
	AUTO(buf) problems = BUF_INIT(PROBLEMS_MAX_BYTES);

	if (config_load(s->file, out, &problems, e) == 0)
		return 0;
	if (problems.len)
		say_problems(problems.p);
	return -1;
}

/* What no reload can change. */
static int
check_fixed(const struct config *old, const struct config *new, struct err *e)
{
	const struct {
		const char *name, *old, *new;
	} fixed[] = { { "listen", old->server.listen, new->server.listen },
		      { "state_dir", old->state_dir, new->state_dir } };

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].old, fixed[i].new) != 0)
			return err_set(e, ERR_CONFIG,
				       "[server] %s was \"%.80s\" and would be \"%.80s\": that "
				       "needs "
				       "a restart.",
				       fixed[i].name, fixed[i].old, fixed[i].new);
	return 0;
}

/* ---- the web server ---- */

/* Would the web server start with it?  It says itself what is wrong, into our log. */
static int
preflight(const struct serve *s, const char *conf, struct err *e)
{
	char *argv[] = { (char *)s->lighttpd, (char *)"-tt", (char *)"-f", (char *)conf, NULL };
	char *envp[] = { s->front_envp[0], NULL };
	struct child c = { .name = "lighttpd -tt",
			   .argv = argv,
			   .envp = envp,
			   .stdin_fd = -1,
			   .stderr_fd = s->log_pipe[1],
			   .listen_fd = -1,
			   .keep_fd = -1 };
	struct deadline d = deadline_in_ms(PREFLIGHT_MS);
	int status = -1;

	if (child_start(&c, e) < 0)
		return -1;
	while (waitpid(c.pid, &status, WNOHANG) == 0 && !deadline_over(&d))
		(void)poll(NULL, 0, 1);
	if (status == -1) {
		(void)kill(c.pid, SIGKILL);
		(void)waitpid(c.pid, &status, 0);
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return err_set(e, ERR_CONFIG, "the web server refuses its new configuration.");
}

static int
prepare_web_server(struct serve *s, struct err *e)
{
	struct reloading *n = &s->next;
	char path[PATH_MAX];

	n->front_text.max = FRONT_TEXT_MAX_BYTES;
	if (serve_front_text(s, n->conf, &n->state, n->tls_seen, &n->front_text, e) < 0)
		return -1;
	n->front_differs = strcmp(buf_str(&n->front_text), buf_str(&s->front_text)) != 0;
	if (!n->front_differs)
		return 0;
	if (path_join(path, s->state.run, "lighttpd.conf.new", e) < 0 ||
	    front_write(path, &n->front_text, e) < 0)
		return -1;
	if (preflight(s, path, e) < 0) {
		(void)unlink(path);
		return -1;
	}
	return 0;
}

/* ---- the steps ---- */

/* The children are started with this configuration from now on. */
static void
hand_on(struct serve *s, int config_fd)
{
	programs_environment(&s->programs, config_fd);
	for (size_t i = 0; i < s->nchildren; i++)
		if (!s->children[i].front)
			s->children[i].keep_fd = config_fd;
}

/* Remembers how many workers each program has started so far. */
static int
count_starts(struct serve *s, struct err *e)
{
	for (size_t i = 0; i < NPROGRAMS; i++) {
		if (!s->programs.path[i][0])
			continue;
		if (!s->stats[i] &&
		    stats_open(&s->stats[i], s->conf->state_dir, program_names[i], e) < 0)
			return -1;
		s->next.starts[i] = __atomic_load_n(&s->stats[i]->worker_starts, __ATOMIC_RELAXED);
	}
	return 0;
}

static int
try_prepare(struct serve *s, struct err *e)
{
	struct reloading *n = &s->next;

	n->state = s->state;
	if (load(s, &n->conf, e) < 0 || check_fixed(s->conf, n->conf, e) < 0 ||
	    state_files(&n->state, n->conf, e) < 0 || serve_prepare_store(n->conf, e) < 0 ||
	    prepare_web_server(s, e) < 0 || count_starts(s, e) < 0)
		return -1;
	n->config_fd = config_snapshot(n->conf, e);
	if (n->config_fd < 0)
		return -1;
	(void)fcntl(n->config_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int
prepare(void *arg)
{
	struct serve *s = arg;
	struct err e;
	char text[512];

	if (try_prepare(s, &e) < 0) {
		err_message(&e, LANG_EN, text, sizeof(text));
		log_error(NULL, "not reloaded, the old configuration stays: %s%s%s", text,
			  e.detail[0] ? " " : "", e.detail);
		reloading_done(&s->next);
		return -1;
	}
	for (size_t i = 0; i < s->next.conf->warnings.n; i++)
		log_warn(NULL, "%s", s->next.conf->warnings.v[i]);
	hand_on(s, s->next.config_fd);
	return 0;
}

static bool
ready(void *arg)
{
	const struct serve *s = arg;

	for (size_t i = 0; i < NPROGRAMS; i++)
		if (s->stats[i] && __atomic_load_n(&s->stats[i]->worker_starts, __ATOMIC_RELAXED) ==
					   s->next.starts[i])
			return false;
	return true;
}

/* What runs now and then does so as the new configuration says, and soon: it may be about its limits. */
static void
set_pruner(struct serve *s)
{
	for (size_t i = 0; i < s->nchildren; i++) {
		struct child *c = &s->children[i];

		if (!c->now_and_then)
			continue;
		c->every_ms = s->conf->files.prune_every_ms;
		if (!c->pid)
			child_later(c, c->every_ms / 10);
	}
}

static bool
commit(void *arg)
{
	struct serve *s = arg;
	struct reloading *n = &s->next;
	bool front = n->front_differs;
	char path[PATH_MAX];
	struct err e;

	if (front && (path_join(path, s->state.run, "lighttpd.conf.new", &e) < 0 ||
		      rename(path, s->lighttpd_conf) < 0)) {
		log_error(NULL, "the web server keeps its old configuration: %s", strerror(errno));
		front = false;
	}
	if (front) {
		buf_done(&s->front_text);
		s->front_text = n->front_text;
		n->front_text = (struct buf){ .max = FRONT_TEXT_MAX_BYTES };
		(void)memcpy(s->tls_seen, n->tls_seen, sizeof(s->tls_seen));
		front_scheme(&s->front, n->conf->server.tls_certificate[0] != '\0');
	}
	(void)close(s->config_fd);
	s->config_fd = n->config_fd;
	n->config_fd = -1;
	config_free(s->conf);
	s->conf = n->conf;
	n->conf = NULL;
	(void)memcpy(s->state.files, n->state.files, sizeof(s->state.files));
	s->supervisor.drain_ms = serve_drain_ms(s->conf);
	set_pruner(s);
	log_init("easel", (int)s->conf->log.level, s->conf->log.format == LOG_JSON);
	reloading_done(n);
	return front;
}

static void
abandon(void *arg)
{
	struct serve *s = arg;
	char path[PATH_MAX];
	struct err e;

	hand_on(s, s->config_fd);
	if (path_join(path, s->state.run, "lighttpd.conf.new", &e) == 0)
		(void)unlink(path);
	reloading_done(&s->next);
}

struct reload
serve_reload(struct serve *s)
{
	return (struct reload){
		.arg = s, .prepare = prepare, .ready = ready, .commit = commit, .abandon = abandon
	};
}
