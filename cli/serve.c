/*
 * easel serve - the whole installation in the foreground
 *
 * This process holds every listening socket and nothing else: it serves no request, so that whatever
 * dies below it is started again without losing what waits in a backlog.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "access/fingerprint.h"
#include "base/log.h"
#include "cli.h"
#include "serve.h"

#define FRONT_FDS_LEAST 3072 /* below it, a thousand waiting requests do not fit */
#define PORT_WAIT_MS    2000 /* for the web server of a killed run to end */
#define REMARKS_MS      5000

static void
serve_done(struct serve *s)
{
	reloading_done(&s->next);
	programs_close(&s->programs);
	if (s->front.fd >= 0)
		(void)close(s->front.fd);
	if (s->config_fd >= 0)
		(void)close(s->config_fd);
	if (s->signal_fd >= 0)
		(void)close(s->signal_fd);
	for (int i = 0; i < 2; i++)
		if (s->log_pipe[i] >= 0)
			(void)close(s->log_pipe[i]);
	buf_done(&s->front_text);
	state_close(&s->state);
	config_free(s->conf);
}

/* As many descriptors as there may be, no orphan that gets away. */
static void
set_limits(struct serve *s)
{
	struct rlimit files;

	/* Whatever we were started with stays ours: a child that kept a pipe would keep its reader. */
	(void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
		s->max_fds = files.rlim_max < FRONT_FDS ? (int64_t)files.rlim_max : FRONT_FDS;
	}
	if (s->max_fds < FRONT_FDS_LEAST)
		log_warn(NULL,
			 "only %lld open files are allowed (ulimit -Hn): fewer than a "
			 "thousand requests at once",
			 (long long)s->max_fds);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void
warn_of_store(const char *sentence, void *arg)
{
	(void)arg;
	log_warn(NULL, "[store] url: %s", sentence);
}

int
serve_prepare_store(const struct config *c, struct err *e)
{
	AUTO_PTR(store) store = NULL;
	struct deadline d;

	if (store_open(&store, c->store.url, c->state_dir, true, e) < 0)
		return -1;
	d = deadline_in_ms(REMARKS_MS);
	if (store_remarks(store, warn_of_store, NULL, &d, e) < 0)
		return -1;
	return fingerprint_init(c->state_dir, e);
}

/* Hands the configuration on, and forgets the environment that secrets came from. */
static int
hand_on_config(struct serve *s, struct err *e)
{
	s->config_fd = config_snapshot(s->conf, e);
	if (s->config_fd < 0)
		return -1;
	/* The web server has no business with it: only a program's start clears this again. */
	(void)fcntl(s->config_fd, F_SETFD, FD_CLOEXEC);
	config_wipe_environment(s->conf);
	programs_environment(&s->programs, s->config_fd);
	return 0;
}

static int
prepare_front(struct serve *s, struct err *e)
{
	size_t n = 0;

	if (find_command("lighttpd", s->lighttpd) < 0)
		return err_set(e, ERR_CONFIG, "lighttpd is not installed (apt install lighttpd).");
	/* A web server that talks too much for us to follow shall lose lines, not wait. */
	if (pipe2(s->log_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(e, ERR_INTERNAL, "pipe: %s", strerror(errno));
	s->front_argv[n++] = s->lighttpd;
	s->front_argv[n++] = (char *)"-D";
	s->front_argv[n++] = (char *)"-f";
	s->front_argv[n++] = s->lighttpd_conf;
	n = 0;
	for (char **v = s->programs.envp; *v; v++)
		if (!strncmp(*v, "PATH=", 5) || !strncmp(*v, "TZ=", 3))
			s->front_envp[n++] = *v;
	s->front_envp[n++] = (char *)"LISTEN_FDS=1";
	s->front_envp[n] = s->listen_pid;
	return 0;
}

/* `easel files prune`, now and then: a process of its own, whatever it may take. */
static struct child
pruner(struct serve *s)
{
	ssize_t n = readlink("/proc/self/exe", s->self, sizeof(s->self) - 1);

	s->self[n > 0 ? n : 0] = '\0';
	s->prune_argv[0] = s->self;
	s->prune_argv[1] = (char *)"files";
	s->prune_argv[2] = (char *)"prune";
	s->prune_argv[3] = (char *)"--log";
	return (struct child){ .name = "files prune",
			       .argv = s->prune_argv,
			       .envp = s->programs.envp,
			       .stdin_fd = -1,
			       .stderr_fd = -1,
			       .listen_fd = -1,
			       .keep_fd = s->config_fd,
			       .now_and_then = true,
			       .every_ms = s->conf->files.prune_every_ms };
}

/* The web server first: it is ready by the time the programs are. */
static size_t
list_children(struct serve *s)
{
	size_t n = 0;

	s->children[n++] = (struct child){ .name = "lighttpd",
					   .argv = s->front_argv,
					   .envp = s->front_envp,
					   .stdin_fd = -1,
					   .stderr_fd = s->log_pipe[1],
					   .listen_fd = s->front.fd,
					   .keep_fd = -1,
					   .listen_pid = s->listen_pid,
					   .front = true };
	for (size_t i = 0; i < NPROGRAMS; i++) {
		if (!s->programs.path[i][0])
			continue;
		s->children[n++] = (struct child){ .name = program_names[i],
						   .argv = s->programs.argv[i],
						   .envp = s->programs.envp,
						   .stdin_fd = s->programs.fd[i],
						   .stderr_fd = -1,
						   .listen_fd = -1,
						   .keep_fd = s->config_fd };
		s->programs.fd[i] = -1; /* the supervisor closes it */
	}
	s->children[n++] = pruner(s);
	return n;
}

int64_t
serve_drain_ms(const struct config *c)
{
	int64_t most = 0;

	for (size_t i = 0; i < NPROGRAMS; i++) {
		int64_t ms = config_process(c, program_names[i]).drain_ms;

		most = ms > most ? ms : most;
	}
	return most;
}

int
serve_front_text(const struct serve *s, const struct config *c, const struct state *state,
		 char tls_seen[TLS_SEEN_BYTES], struct buf *text, struct err *e)
{
	struct front front = s->front;
	struct front_facts k = { .conf = c,
				 .state = state,
				 .programs = &s->programs,
				 .url = front.url,
				 .max_fds = s->max_fds,
				 .drain_ms = serve_drain_ms(c) };

	front_scheme(&front, c->server.tls_certificate[0] != '\0');
	tls_seen[0] = '\0';
	if (c->server.tls_certificate[0]) {
		if (tls_check(c->server.tls_certificate, c->server.tls_key, tls_seen, e) < 0)
			return -1;
		k.tls_seen = tls_seen;
	}
	return front_text("lighttpd.conf.in", &k, text, e);
}

static int
prepare(struct serve *s, struct err *e)
{
	if (state_open(&s->state, s->conf, e) < 0 || serve_prepare_store(s->conf, e) < 0 ||
	    programs_open(&s->programs, &s->state, e) < 0 ||
	    front_listen(s->conf->server.listen, s->state.was_killed ? PORT_WAIT_MS : 0, &s->front,
			 e) < 0)
		return -1;
	front_scheme(&s->front, s->conf->server.tls_certificate[0] != '\0');
	if (serve_front_text(s, s->conf, &s->state, s->tls_seen, &s->front_text, e) < 0 ||
	    path_join(s->lighttpd_conf, s->state.run, "lighttpd.conf", e) < 0 ||
	    front_errors(&s->state, e) < 0 ||
	    front_write(s->lighttpd_conf, &s->front_text, e) < 0 || hand_on_config(s, e) < 0 ||
	    prepare_front(s, e) < 0)
		return -1;
	return 0;
}

static int
serve(struct serve *s, int64_t exec_us)
{
	struct supervisor *sup = &s->supervisor;
	struct err e;
	int status;

	log_init("easel", (int)s->conf->log.level, s->conf->log.format == LOG_JSON);
	for (size_t i = 0; i < s->conf->warnings.n; i++)
		log_warn(NULL, "%s", s->conf->warnings.v[i]);
	set_limits(s);
	if (prepare(s, &e) < 0)
		return report(&e, false);
	s->nchildren = list_children(s);
	*sup = (struct supervisor){ .children = s->children,
				    .n = s->nchildren,
				    .front = &s->front,
				    .state = &s->state,
				    .log_fd = s->log_pipe[0],
				    .drain_ms = serve_drain_ms(s->conf),
				    .exec_us = exec_us,
				    .reload = serve_reload(s) };
	status = supervise(sup, s->signal_fd);
	for (size_t i = 0; i < s->nchildren; i++)
		if (s->children[i].stdin_fd >= 0)
			(void)close(s->children[i].stdin_fd);
	return status;
}

int
cmd_serve(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	const struct opt opts[] = { OPT_CONFIG(file), { NULL } };
	int n = options_read(c, opts, argc, argv, NULL, 0), status;
	int64_t exec_us = clock_us();
	struct serve *s;
	struct err e;

	if (n < 0)
		return OPTIONS_EXIT(n);
	s = calloc(1, sizeof(*s));
	if (!s)
		return CLI_FAILED;
	s->front.fd = s->config_fd = s->log_pipe[0] = s->log_pipe[1] = s->state.lock_fd = -1;
	s->next.config_fd = -1;
	s->front_text.max = FRONT_TEXT_MAX_BYTES;
	for (size_t i = 0; i < NPROGRAMS; i++)
		s->programs.fd[i] = -1;
	/* First: being told to end while all this is set up is heard as well. */
	s->signal_fd = supervise_signals(&e);
	s->file = file;
	status = s->signal_fd < 0 ? report(&e, false) : load_config(file, false, &s->conf);
	if (status == CLI_OK)
		status = serve(s, exec_us);
	serve_done(s);
	free(s);
	return status;
}
