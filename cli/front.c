#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "http/reply.h"
#include "listen.h"
#include "template.h"

#define TEMPLATE_MAX_BYTES ((size_t)256 * 1024)
#define READ_SPARE_S       30 /* above the longest deadline */
#define GRACEFUL_SPARE_S   10 /* above the programs' drain time */
#define WRITE_IDLE_LEAST_S 360
#define SECONDS_MAX        32767
#define FDS_PER_CONNECTION 3 /* the client's, the program's, a body's file */

/* The web server's own errors while the program `fallback` is down. */
static const struct web_error {
	int status;
	enum err_kind kind;
	const char *about;
	bool billed; /* the request may have reached a provider */
} web_errors[] = {
	{ 400, ERR_BAD_REQUEST, "the web server cannot read it", false },
	{ 403, ERR_NOT_FOUND, "file", false },
	{ 404, ERR_NOT_FOUND, "file", false },
	{ 405, ERR_BAD_REQUEST, "the method is not allowed here", false },
	{ 408, ERR_BAD_REQUEST, "it did not arrive in time", false },
	{ 411, ERR_BAD_REQUEST, "the Content-Length header is missing", false },
	{ 413, ERR_BODY_TOO_LARGE, "", false },
	{ 414, ERR_BAD_REQUEST, "the URL is too long", false },
	{ 415, ERR_BAD_REQUEST, "the media type is not supported", false },
	{ 416, ERR_BAD_REQUEST, "the range lies outside the file", false },
	{ 417, ERR_BAD_REQUEST, "the Expect header cannot be met", false },
	{ 421, ERR_BAD_REQUEST, "the host is not served here", false },
	{ 431, ERR_HEADERS_TOO_LARGE, "", false },
	{ 500, ERR_HANDLER_CRASHED, "", true },
	{ 501, ERR_BAD_REQUEST, "the method is not known", false },
	{ 502, ERR_HANDLER_DOWN, "", false },
	{ 503, ERR_HANDLER_DOWN, "", false },
	{ 504, ERR_HANDLER_TIMEOUT, "", true },
	{ 505, ERR_BAD_REQUEST, "the HTTP version is not known", false },
};
#define NWEB_ERRORS (sizeof(web_errors) / sizeof(web_errors[0]))

static int
failed(struct err *e, const char *path)
{
	int error = errno;

	(void)err_set(e, ERR_INTERNAL, "the web server's configuration cannot be written");
	err_detail(e, "%s: %s", path, strerror(error));
	return -1;
}

static int
write_file(const char *path, const char *text, size_t n, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		return failed(e, path);
	return 0;
}

static int
read_file(const char *path, struct buf *out, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return failed(e, path);
	do {
		if (buf_room(out, 8192) < 0)
			return err_set(e, ERR_INTERNAL, "the template is too large");
		n = read(fd, out->p + out->len, 8192);
		if (n < 0)
			return failed(e, path);
		out->len += (size_t)n;
		out->p[out->len] = '\0';
	} while (n > 0);
	return 0;
}

static int
write_web_error(const char *run, const struct web_error *w, struct err *e)
{
	struct err what;
	char path[PATH_MAX], name[32];
	AUTO_FREE char *text = NULL;
	json_t *o;

	if (w->kind == ERR_BODY_TOO_LARGE)
		(void)err_field(&what, w->kind, "", "at most what this path takes", "more");
	else
		(void)err_set(&what, w->kind, "%s", w->about);
	what.may_have_been_billed = w->billed;
	o = error_json(&what, LANG_EN, "");
	(void)json_object_set_new(o, "request_id", json_null());
	o = json_pack("{s:o}", "error", o);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	(void)snprintf(name, sizeof(name), "errors/%d.html", w->status);
	if (!text || path_join(path, run, name, e) < 0)
		return -1;
	return write_file(path, text, strlen(text), e);
}

/* Places and the text of their values. */
struct filling {
	struct place places[NPROGRAMS + 20];
	char names[NPROGRAMS][PROGRAM_NAME_MAX + 16];
	char numbers[16][24];
	char dirs[3][PATH_MAX];
	size_t n, nnumbers;
};

static void
add(struct filling *f, const char *name, const char *value)
{
	f->places[f->n++] = (struct place){ name, value };
}

static void
add_number(struct filling *f, const char *name, int64_t value)
{
	char *text = f->numbers[f->nnumbers++];

	(void)snprintf(text, sizeof(f->numbers[0]), "%lld", (long long)value);
	add(f, name, text);
}

static void
add_sockets(struct filling *f, const struct programs *p)
{
	for (size_t i = 0; i < NPROGRAMS; i++) {
		char *name = f->names[i];

		(void)snprintf(name, sizeof(f->names[0]), "SOCKET_%s", program_names[i]);
		for (char *c = name; *c; c++)
			*c = *c == '-' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
		add(f, name, p->socket[i]);
	}
}

/* The web server counts a body in KB and lets through exactly what the programs take.  0: no limit. */
static int64_t
kilobytes(int64_t bytes)
{
	return bytes > 0 ? bytes / 1024 + 1 : 0;
}

/* Seconds that a program may be silent: the longest deadline and some; 0 when one has no end. */
static int64_t
longest_silence_s(const struct config *c)
{
	const int64_t ms[] = { c->deadline.images_generations_ms, c->deadline.images_edits_ms,
			       c->deadline.chat_completions_ms,   c->deadline.login_ms,
			       c->deadline.task_create_ms,        c->deadline.task_status_ms };
	int64_t most = 0;

	for (size_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
		if (ms[i] <= 0)
			return 0;
		if (ms[i] > most)
			most = ms[i];
	}
	most = (most + 999) / 1000 + READ_SPARE_S;
	return most < SECONDS_MAX ? most : 0;
}

static int
add_all(struct filling *f, const struct config *c, const struct state *s, const struct programs *p,
	const char *url, int64_t max_fds, int64_t drain_ms, struct err *e)
{
	int64_t silence_s = longest_silence_s(c), drain_s = (drain_ms + 999) / 1000;
	int64_t idle_s = silence_s > WRITE_IDLE_LEAST_S ? silence_s : WRITE_IDLE_LEAST_S;

	if (path_join(f->dirs[0], s->run, "empty", e) < 0 ||
	    path_join(f->dirs[1], s->run, "upload", e) < 0 ||
	    path_join(f->dirs[2], s->run, "errors", e) < 0)
		return -1;
	add(f, "LISTEN", url);
	add(f, "EMPTY_DIR", f->dirs[0]);
	add(f, "UPLOAD_DIR", f->dirs[1]);
	add(f, "ERROR_DIR", f->dirs[2]);
	add(f, "FILES_DIR", s->files);
	add_number(f, "BACKLOG", LISTEN_BACKLOG);
	add_number(f, "MAX_FDS", max_fds);
	add_number(f, "MAX_CONNECTIONS", max_fds / FDS_PER_CONNECTION);
	add_number(f, "WRITE_IDLE_S", silence_s ? idle_s : SECONDS_MAX);
	add_number(f, "JSON_KB", kilobytes(c->limits.json_bytes));
	add_number(f, "UPLOAD_KB",
		   c->limits.json_bytes && c->limits.upload_bytes
			   ? kilobytes(c->limits.upload_bytes > c->limits.json_bytes
					       ? c->limits.upload_bytes
					       : c->limits.json_bytes)
			   : 0);
	add_number(f, "GRACEFUL_S", drain_s + GRACEFUL_SPARE_S);
	add_number(f, "READ_TIMEOUT_S", silence_s);
	add_sockets(f, p);
	return 0;
}

static int
write_config(struct filling *f, const struct state *s, struct err *e)
{
	static const char *const places[] = { "../lighttpd", "../share/easel", NULL };
	AUTO(buf) template = BUF_INIT(TEMPLATE_MAX_BYTES);
	AUTO(buf) text = BUF_INIT(TEMPLATE_MAX_BYTES);
	char path[PATH_MAX];

	if (find_installed("EASEL_SHARE", places, "lighttpd.conf.in", path) < 0)
		return err_set(e, ERR_CONFIG,
			       "lighttpd.conf.in was not found in ../lighttpd or ../share/easel "
			       "beside this executable, or in $EASEL_SHARE.");
	if (read_file(path, &template, e) < 0 ||
	    template_fill(buf_str(&template), f->places, &text, e) < 0 ||
	    path_join(path, s->run, "lighttpd.conf", e) < 0)
		return -1;
	return write_file(path, text.p, text.len, e);
}

int
front_configure(const struct config *c, const struct state *s, const struct programs *p,
		const char *url, int64_t max_fds, int64_t drain_ms, struct err *e)
{
	struct filling *f = calloc(1, sizeof(*f));
	int rc = 0;

	if (!f)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < NWEB_ERRORS && rc == 0; i++)
		rc = write_web_error(s->run, &web_errors[i], e);
	if (rc == 0)
		rc = add_all(f, c, s, p, url, max_fds, drain_ms, e);
	if (rc == 0)
		rc = write_config(f, s, e);
	free(f);
	return rc;
}
