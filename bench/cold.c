/*
 * cold - from exec of a program to the first byte of its answer
 *
 *	cold [--runs N] [--method M] [--uri U] [--body-file FILE] [--bearer-file FILE] [--cgi]
 *	     -- PROGRAM [ARGUMENT…]
 *
 * FastCGI: the program gets a listening socket as descriptor 0, as lighttpd and spawn-fcgi hand it
 * over, and the request waits in it already.  --cgi: the request is in its environment and standard
 * input.  Prints one JSON object: the times in ms and the status of the last answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX  1000
#define FILE_MAX  32768
#define ANSWER_MS 10000
#define END_MS    5000
#define VARS_MAX  24

static struct {
	long runs;
	const char *method, *uri;
	char *body, *bearer;
	size_t body_len;
	bool cgi;
	char **program;
} what = { .runs = 20, .method = "GET", .uri = "/" };

static char vars[VARS_MAX][2][512];
static int nvars;

static void __attribute__((noreturn)) die(const char *text)
{
	perror(text);
	exit(1);
}

static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
add_var(const char *name, const char *value)
{
	if (nvars == VARS_MAX)
		abort();
	(void)snprintf(vars[nvars][0], sizeof(vars[0][0]), "%s", name);
	(void)snprintf(vars[nvars++][1], sizeof(vars[0][1]), "%s", value);
}

static void
make_vars(void)
{
	char text[512];

	add_var("GATEWAY_INTERFACE", "CGI/1.1");
	add_var("SERVER_PROTOCOL", "HTTP/1.1");
	add_var("SERVER_NAME", "127.0.0.1");
	add_var("SERVER_PORT", "80");
	add_var("REMOTE_ADDR", "127.0.0.1");
	add_var("HTTP_HOST", "127.0.0.1");
	add_var("REQUEST_METHOD", what.method);
	add_var("REQUEST_URI", what.uri);
	add_var("SCRIPT_NAME", what.uri);
	add_var("QUERY_STRING", "");
	if (what.bearer) {
		(void)snprintf(text, sizeof(text), "Bearer %.200s", what.bearer);
		add_var("HTTP_AUTHORIZATION", text);
	}
	if (what.body) {
		(void)snprintf(text, sizeof(text), "%zu", what.body_len);
		add_var("CONTENT_TYPE", "application/json");
		add_var("CONTENT_LENGTH", text);
	}
}

/* A FastCGI record (the FastCGI specification, section 3.3) for request 1. */
static size_t
record(unsigned char *out, int type, const void *data, size_t n)
{
	const unsigned char head[8] = {
		1, (unsigned char)type, 0, 1, (unsigned char)(n >> 8), (unsigned char)n, 0, 0
	};

	memcpy(out, head, sizeof(head));
	if (n)
		memcpy(out + sizeof(head), data, n);
	return sizeof(head) + n;
}

static size_t
put_length(unsigned char *out, size_t n)
{
	if (n < 128) {
		out[0] = (unsigned char)n;
		return 1;
	}
	out[0] = (unsigned char)(n >> 24 | 0x80);
	out[1] = (unsigned char)(n >> 16);
	out[2] = (unsigned char)(n >> 8);
	out[3] = (unsigned char)n;
	return 4;
}

static size_t
fcgi_request(unsigned char *out)
{
	static const unsigned char begin[8] = { 0, 1 }; /* responder, close afterwards */
	static unsigned char params[VARS_MAX * 1032];
	size_t n = 0, len = record(out, 1, begin, sizeof(begin));

	for (int i = 0; i < nvars; i++) {
		size_t a = strlen(vars[i][0]), b = strlen(vars[i][1]);

		n += put_length(params + n, a);
		n += put_length(params + n, b);
		memcpy(params + n, vars[i][0], a);
		memcpy(params + n + a, vars[i][1], b);
		n += a + b;
	}
	len += record(out + len, 4, params, n);
	len += record(out + len, 4, NULL, 0);
	if (what.body_len)
		len += record(out + len, 5, what.body, what.body_len);
	len += record(out + len, 5, NULL, 0);
	return len;
}

static int
status_of(const unsigned char *answer, size_t n)
{
	const char *at = memmem(answer, n, "Status: ", 8);

	return at ? (int)strtol(at + 8, NULL, 10) : n ? 200 : 0;
}

/* Waits for the first byte; returns when it came, 0 when it did not.  Then reads on for the status. */
static int64_t
first_byte(int fd, int *status)
{
	unsigned char answer[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t at = 0;
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < sizeof(answer) && poll(&p, 1, ANSWER_MS) > 0) {
		n = read(fd, answer + len, sizeof(answer) - len);
		if (n > 0 && !at)
			at = now_us();
		if (n > 0)
			len += (size_t)n;
	}
	*status = status_of(answer, len);
	return at;
}

static void
end(pid_t pid)
{
	int64_t until = now_us() + END_MS * 1000;

	if (!what.cgi)
		(void)kill(pid, SIGTERM);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (now_us() > until) {
			(void)kill(-pid, SIGKILL);
			(void)waitpid(pid, NULL, 0);
			return;
		}
		(void)usleep(200);
	}
}

static void __attribute__((noreturn)) become(int in, int out)
{
	if (dup2(in, 0) < 0 || (out >= 0 && dup2(out, 1) < 0))
		_exit(127);
	(void)setpgid(0, 0);
	(void)execv(what.program[0], what.program);
	_exit(127);
}

static double
run_fcgi(int *status)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned char *request = malloc(2 * FILE_MAX + VARS_MAX * 1032);
	int64_t start, got;
	size_t n;
	pid_t pid;

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/easel-cold-%d.sock", (int)getpid());
	(void)unlink(at.sun_path);
	if (!request || l < 0 || c < 0 || bind(l, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(l, 16) < 0 || connect(c, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("socket");
	n = fcgi_request(request);
	if (write(c, request, n) != (ssize_t)n)
		die("write");
	free(request);
	start = now_us();
	pid = fork();
	if (pid == 0)
		become(l, -1);
	got = first_byte(c, status);
	(void)close(c);
	end(pid); /* it finds its way out of accept() by calling itself: the name must still be there */
	(void)unlink(at.sun_path);
	(void)close(l);
	return got ? (double)(got - start) / 1000 : -1;
}

static double
run_cgi(int *status)
{
	int in[2], out[2];
	int64_t start, got;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe");
	if (what.body_len && write(in[1], what.body, what.body_len) != (ssize_t)what.body_len)
		die("write");
	(void)close(in[1]);
	start = now_us();
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < nvars; i++)
			(void)setenv(vars[i][0], vars[i][1], 1);
		become(in[0], out[1]);
	}
	(void)close(out[1]);
	got = first_byte(out[0], status);
	(void)close(in[0]);
	(void)close(out[0]);
	end(pid);
	return got ? (double)(got - start) / 1000 : -1;
}

static char *
read_file(const char *name, size_t *n)
{
	char *text = malloc(FILE_MAX);
	FILE *f = fopen(name, "re");

	if (!f || !text)
		die(name);
	*n = fread(text, 1, FILE_MAX - 1, f);
	text[*n] = '\0';
	(void)fclose(f);
	return text;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "runs", 1, NULL, 'r' },
						 { "method", 1, NULL, 'm' },
						 { "uri", 1, NULL, 'u' },
						 { "body-file", 1, NULL, 'b' },
						 { "bearer-file", 1, NULL, 'k' },
						 { "cgi", 0, NULL, 'c' },
						 { NULL, 0, NULL, 0 } };
	size_t n;
	int status = 0;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (o) {
		case 'r': what.runs = strtol(optarg, NULL, 10); break;
		case 'm': what.method = optarg; break;
		case 'u': what.uri = optarg; break;
		case 'b': what.body = read_file(optarg, &what.body_len); break;
		case 'k':
			what.bearer = read_file(optarg, &n);
			what.bearer[strcspn(what.bearer, "\r\n")] = '\0';
			break;
		case 'c': what.cgi = true; break;
		default: return 2;
		}
	what.program = argv + optind;
	if (!*what.program || what.runs < 1 || what.runs > RUNS_MAX) {
		(void)fprintf(stderr, "cold: no program, or --runs not 1 to %d\n", RUNS_MAX);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	make_vars();
	(void)printf("{\"ms\": [");
	for (long i = 0; i < what.runs; i++)
		(void)printf("%s%.3f", i ? ", " : "",
			     what.cgi ? run_cgi(&status) : run_fcgi(&status));
	(void)printf("], \"status\": %d}\n", status);
	return 0;
}
