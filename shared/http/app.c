#include "http/app.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "base/num.h"
#include "http/frame.h"
#include "http/watchdog.h"

#define EXIT_USAGE  2
#define EXIT_CONFIG 78 /* EX_CONFIG of sysexits.h: what --check promises */

static void
help(const struct app *app)
{
	printf("%s - %s\n\n"
	       "%s"
	       "  --config FILE   the configuration (else $EASEL_CONFIG, ./easel.toml,\n"
	       "                  /etc/easel/easel.toml)\n"
	       "  --check         is the configuration usable?  Exit status 0 or 78\n"
	       "  --help          this text\n",
	       app->name, app->summary,
	       app->work
		       ? "A long-running program of Easel: started by `easel serve`, systemd or by "
			 "hand;\nit listens nowhere.\n\n"
		       : "A FastCGI program of Easel: started by lighttpd, `easel serve`, "
			 "spawn-fcgi or "
			 "systemd\n"
			 "with its listening socket as descriptor 0 (or by LISTEN_FDS).  Without "
			 "one it "
			 "answers\n"
			 "the one CGI request in its environment.\n\n");
	if (!app->work)
		printf("\nRoutes:\n");
	for (const struct route *r = app->routes; r->method; r++)
		printf("  %-6s %s%s\n", r->method, r->path,
		       r->flags & ROUTE_OPEN ? "  (open)" : "");
	printf("\nSettings:\n");
	config_help(stdout, app->sections);
}

static bool
is_listening(int fd)
{
	int yes = 0;
	socklen_t n = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) == 0 && yes;
}

/* Descriptor 0, or 3 when systemd hands it over (sd_listen_fds(3)); -1: none. */
static int
find_listening(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int64_t n;

	if (is_listening(STDIN_FILENO))
		return STDIN_FILENO;
	if (pid && fds && num_i64(pid, 1, INT32_MAX, &n) == 0 && n == getpid() && is_listening(3)) {
		(void)fcntl(3, F_SETFD, FD_CLOEXEC);
		return 3;
	}
	return -1;
}

/* Was this process started by lighttpd itself (bin-path)?  Then it must not outlive it: the next
 * lighttpd would find the old socket answering and never start the new program. */
static bool
parent_is_lighttpd(void)
{
	char path[64], name[16] = "";
	AUTO_FD int fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)getppid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && !strncmp(name, "lighttpd", 8);
}

static void
harden(void)
{
	const struct rlimit none = { 0, 0 };
	struct sigaction ignore = { .sa_handler = SIG_IGN, .sa_flags = SA_RESTART };

	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef EASEL_SANITIZED
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

/*
 * One heap for all threads instead of one for each few: connections go to waiting threads in turn, and
 * would find each time a heap that no cache holds any more.  What is small comes from the thread's own
 * cache all the same.
 */
static void
share_heap(void)
{
	(void)mallopt(M_ARENA_MAX, 1);
}

/* The CGI answer of a program that cannot even start; details are for the log alone. */
static void
answer_cannot_start(const struct err *e)
{
	AUTO_FREE char *text = NULL;
	char id[40], message[512];
	json_t *o;

	id_make("req_", id, sizeof(id));
	err_message(e, LANG_EN, message, sizeof(message));
	log_error(id, "cannot start: %s%s%s", message, e->detail[0] ? " " : "", e->detail);
	o = json_pack("{s:o}", "error", error_json(e, LANG_EN, id));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	printf("Status: %d\r\ncontent-type: application/json\r\nx-request-id: %s\r\n%s\r\n%s",
	       err_status(e), id, err_retry(e) ? "" : "x-should-retry: false\r\n",
	       text ? text : "{\"error\":" ERROR_PLAIN "}");
	(void)fflush(stdout);
}

static int
serve_cgi(const struct app *app, const struct config *c)
{
	struct frame f = { 0 };
	struct conn *conn = conn_new();
	struct err e;

	if (!conn || conn_open_cgi(conn) < 0) {
		(void)err_set(&e, ERR_OVERLOADED, "no memory for the request");
		answer_cannot_start(&e);
	} else if (frame_open(&f, app, c, &e) < 0) {
		answer_cannot_start(&e);
	} else {
		watchdog_use_alarm();
		frame_serve(&f, conn, clock_us(), 0);
	}
	frame_close(&f);
	conn_free(conn);
	return 0;
}

static int
serve_fastcgi(const struct app *app, const struct config *c, int listen_fd)
{
	struct frame f = { .app = app, .config = c, .process = config_process(c, app->name) };
	struct err e;

	prefork_hold_signals();
	if (app->work)
		f.process.idle_exit_ms = 0; /* it would wait for a connection then */
	if (parent_is_lighttpd())
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (stats_open(&f.stats, c->state_dir, app->name, &e) < 0) {
		log_error(NULL, "cannot start: %s", e.about);
		return 1;
	}
	if (!app->work && conn_library_init() < 0)
		return 1;
	if (app->prepare && app->prepare(&e) < 0) {
		log_error(NULL, "cannot start: %s", e.about);
		return 1;
	}
	(void)malloc_trim(
		0); /* what is free now would be copied by the workers, or kept for ever */
	return prefork_run(&f, listen_fd);
}

int
app_main(const struct app *app, int argc, char **argv)
{
	AUTO_PTR(config) c = NULL;
	AUTO(buf) problems = BUF_INIT(65536);
	const char *file = NULL;
	bool check = false;
	struct err e;
	int fd;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			help(app);
			return 0;
		} else if (!strcmp(argv[i], "--check")) {
			check = true;
		} else if (!strcmp(argv[i], "--config") && i + 1 < argc) {
			file = argv[++i];
		} else {
			fprintf(stderr, "%s: unknown argument '%s'; --help tells more\n", app->name,
				argv[i]);
			return EXIT_USAGE;
		}
	}
	harden();
	share_heap();
	log_init(app->name, LEVEL_INFO, false);
	if (config_load(file, &c, &problems, &e) < 0) {
		fprintf(stderr, "%s", buf_str(&problems));
		/* A CGI request has somebody who waits for an answer. */
		if (!check && getenv("REQUEST_METHOD") && find_listening() < 0) {
			e.detail[0] = '\0'; /* said above */
			answer_cannot_start(&e);
			return 0;
		}
		return EXIT_CONFIG;
	}
	if (check)
		return 0;
	log_init(app->name, (int)c->log.level, c->log.format == LOG_JSON);
	fd = app->work ? -1 : find_listening();
	if (fd >= 0 || app->work)
		return serve_fastcgi(app, c, fd);
	if (!getenv("REQUEST_METHOD")) {
		fprintf(stderr,
			"%s: neither a listening socket on descriptor 0 nor a CGI request; --help "
			"tells more\n",
			app->name);
		return EXIT_USAGE;
	}
	return serve_cgi(app, c);
}
