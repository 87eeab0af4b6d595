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

#define TEMPLATE_MAX_BYTES FRONT_TEXT_MAX_BYTES
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
	struct place places[2 * NPROGRAMS + 28];
	char names[2 * NPROGRAMS][PROGRAM_NAME_MAX + 16];
	char numbers[16][24];
	char dirs[3][PATH_MAX];
	char server_name[256], file[PATH_MAX];
	struct address address;
	size_t n, nnames, nnumbers;
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

/* "SOCKET_IMAGES_EDITS" for "images-edits" */
static void
add_of_program(struct filling *f, const char *what, const char *program, const char *value)
{
	char *name = f->names[f->nnames++];

	(void)snprintf(name, sizeof(f->names[0]), "%s_%s", what, program);
	for (char *c = name; *c; c++)
		*c = *c == '-' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
	add(f, name, value);
}

/* Where each program is reached; one that is not there has the fallback in its place. */
static void
add_programs(struct filling *f, const struct programs *p)
{
	const char *fallback = "";

	for (size_t i = 0; i < NPROGRAMS; i++)
		if (!strcmp(program_names[i], "fallback"))
			fallback = p->path[i];
	for (size_t i = 0; i < NPROGRAMS; i++) {
		if (!program_listens(i))
			continue;
		add_of_program(f, "SOCKET", program_names[i], p->socket[i]);
		add_of_program(f, "PROGRAM", program_names[i],
			       p->path[i][0] ? p->path[i] : fallback);
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

/* The host of public_url, for a web server that serves several. */
static void
add_server_name(struct filling *f, const struct config *c)
{
	const char *host = strstr(c->server.public_url, "://");

	(void)snprintf(f->server_name, sizeof(f->server_name), "%.*s",
		       host ? (int)strcspn(host + 3, "/:?#[") : 0, host ? host + 3 : "");
	add(f, "SERVER_NAME", f->server_name[0] ? f->server_name : "easel.invalid");
}

static void
add_limits(struct filling *f, const struct config *c)
{
	int64_t json = c->limits.json_bytes, most = c->limits.upload_bytes;

	/* A path that takes uploads takes JSON too. */
	most = json && most ? (most > json ? most : json) : 0;
	add_number(f, "JSON_KB", kilobytes(json));
	add_number(f, "UPLOAD_KB", kilobytes(most));
}

static int
add_all(struct filling *f, const struct front_facts *k, struct err *e)
{
	const struct config *c = k->conf;
	const struct state *s = k->state;
	int64_t silence_s = longest_silence_s(c), drain_s = (k->drain_ms + 999) / 1000;
	int64_t idle_s = silence_s > WRITE_IDLE_LEAST_S ? silence_s : WRITE_IDLE_LEAST_S;

	if (path_join(f->dirs[0], s->run, "empty", e) < 0 ||
	    path_join(f->dirs[1], s->run, "upload", e) < 0 ||
	    path_join(f->dirs[2], s->run, "errors", e) < 0 ||
	    address_parse(c->server.listen, &f->address, e) < 0)
		return -1;
	add(f, "LISTEN", k->url ? k->url : c->server.listen);
	add(f, "HOST", f->address.host[0] ? f->address.host : "0.0.0.0");
	add(f, "PORT", f->address.port);
	add_server_name(f, c);
	if (c->file[0] && !realpath(c->file, f->file))
		return failed(e, c->file);
	add(f, "CONFIG_FILE", f->file);
	add(f, "EMPTY_DIR", f->dirs[0]);
	add(f, "UPLOAD_DIR", f->dirs[1]);
	add(f, "ERROR_DIR", f->dirs[2]);
	add(f, "FILES_DIR", s->files);
	add(f, "TLS_CERTIFICATE", c->server.tls_certificate);
	add(f, "TLS_KEY", c->server.tls_key);
	add(f, "TLS_SEEN", k->tls_seen ? k->tls_seen : "");
	add_number(f, "BACKLOG", LISTEN_BACKLOG);
	add_number(f, "MAX_FDS", k->max_fds);
	add_number(f, "MAX_CONNECTIONS", k->max_fds / FDS_PER_CONNECTION);
	add_number(f, "WRITE_IDLE_S", silence_s ? idle_s : SECONDS_MAX);
	add_limits(f, c);
	/* Never shorter than a request may last: a web server that is replaced finishes what it has. */
	add_number(f, "GRACEFUL_S",
		   !silence_s                               ? SECONDS_MAX
		   : drain_s + GRACEFUL_SPARE_S > silence_s ? drain_s + GRACEFUL_SPARE_S
							    : silence_s);
	add_number(f, "READ_TIMEOUT_S", silence_s);
	add_programs(f, k->programs);
	return 0;
}

static int
add_template(const char *name, const struct filling *f, struct buf *out, struct err *e)
{
	static const char *const places[] = { "../lighttpd", "../share/easel", NULL };
	AUTO(buf) template = BUF_INIT(TEMPLATE_MAX_BYTES);
	char path[PATH_MAX];

	if (find_installed("EASEL_SHARE", places, name, path) < 0)
		return err_set(e, ERR_CONFIG,
			       "%s was not found in ../lighttpd or ../share/easel "
			       "beside this executable, or in $EASEL_SHARE.",
			       name);
	if (read_file(path, &template, e) < 0)
		return -1;
	return template_fill(buf_str(&template), f->places, out, e);
}

int
front_text(const char *template, const struct front_facts *k, struct buf *out, struct err *e)
{
	AUTO_FREE struct filling *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (add_all(f, k, e) < 0 || add_template(template, f, out, e) < 0)
		return -1;
	if (k->conf->server.tls_certificate[0] && k->tls_seen)
		return add_template("lighttpd-tls.conf.in", f, out, e);
	return 0;
}

int
front_errors(const struct state *s, struct err *e)
{
	for (size_t i = 0; i < NWEB_ERRORS; i++)
		if (write_web_error(s->run, &web_errors[i], e) < 0)
			return -1;
	return 0;
}

int
front_write(const char *path, const struct buf *text, struct err *e)
{
	return write_file(path, text->p, text->len, e);
}
