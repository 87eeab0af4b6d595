/*
 * fallback - every path that no program owns, and the web server's own errors
 *
 * The frame judges paths; what arrives here with REDIRECT_STATUS is the web server's error handler,
 * which wants its status as JSON with a request id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/app.h"
#include "http/route.h"

struct fallback {
	const struct config *config;
};

static const struct {
	const char *status;
	enum err_kind kind;
	const char *about;
} errors[] = {
	{ "400", ERR_BAD_REQUEST, "the web server refused it" },
	{ "404", ERR_NOT_FOUND, "file" },
	{ "403", ERR_NOT_FOUND, "file" },
	{ "405", ERR_METHOD, "" },
	{ "408", ERR_BODY_INCOMPLETE, "" },
	{ "411", ERR_BAD_REQUEST, "it has no Content-Length" },
	{ "413", ERR_BODY_TOO_LARGE, "" },
	{ "414", ERR_HEADERS_TOO_LARGE, "" },
	{ "417", ERR_BAD_REQUEST, "the web server refused its Expect header" },
	{ "431", ERR_HEADERS_TOO_LARGE, "" },
	{ "500", ERR_HANDLER_CRASHED, "" },
	{ "501", ERR_BAD_REQUEST, "the web server does not know its method or transfer encoding" },
	{ "505", ERR_BAD_REQUEST, "the web server does not speak its HTTP version" },
	{ "502", ERR_HANDLER_CRASHED, "" },
	{ "503", ERR_HANDLER_DOWN, "" },
	{ "504", ERR_HANDLER_TIMEOUT, "" },
};

/* The limit that the web server enforces on that path: the same settings as the programs'. */
static void
name_limit(const struct request *r, const struct config *c, struct err *e)
{
	const char *uri = request_header(r, "REQUEST_URI");
	bool upload = uri && strstr(uri, "/images/edits");

	(void)snprintf(e->expected, sizeof(e->expected), "at most %lld bytes",
		       (long long)config_ceiling_bytes(c, upload ? c->limits.upload_bytes
								 : c->limits.json_bytes));
	(void)snprintf(e->found, sizeof(e->found), "more"); /* how much it was is not handed on */
}

static int
web_server_error(struct request *r, void *state, struct err *e)
{
	const char *status = request_header(r, "REDIRECT_STATUS");
	const char *target = request_header(r, "REQUEST_URI");
	/* Apache makes it a GET on the way here. */
	const char *method = request_header(r, "REDIRECT_REQUEST_METHOD");
	char path[PATH_BYTES];

	/* A web server that refuses a path does not say why; the same rules as everywhere do. */
	if (status && !strcmp(status, "400") && target && path_normalise(target, path, e) < 0) {
		e->stage = "recv";
		return -1;
	}
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		if (strcmp(errors[i].status, status ? status : "404") != 0)
			continue;
		(void)err_set(e, errors[i].kind, "%s", errors[i].about);
		if (e->kind == ERR_BODY_TOO_LARGE)
			name_limit(r, ((struct fallback *)state)->config, e);
		if (e->kind == ERR_METHOD) {
			(void)snprintf(e->expected, sizeof(e->expected), "GET, HEAD");
			(void)snprintf(e->found, sizeof(e->found), "%.16s",
				       method ? method : request_method(r));
			reply_header(r, "allow", "GET, HEAD");
		}
		if (e->kind == ERR_HANDLER_CRASHED) /* its request may have been on its way */
			e->may_have_been_billed = true;
		if (e->kind == ERR_HANDLER_DOWN)
			e->retry_after_s = 1;
		e->stage = "recv";
		return -1;
	}
	return err_set(e, ERR_INTERNAL, "the web server answered %.3s", status ? status : "");
}

static int
init(void *state, const struct app_env *env, struct err *e)
{
	(void)e;
	((struct fallback *)state)->config = env->config;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/easel-error", web_server_error, .flags = ROUTE_OPEN | ROUTE_ERRORS }, { 0 }
};

int
main(int argc, char **argv)
{
	static const char *const sections[] = { "server", "auth", "store", "process", NULL };

	return app_main(&(const struct app){ .name = "fallback",
					     .summary = "answers where no other program does",
					     .routes = routes,
					     .sections = sections,
					     .state_size = sizeof(struct fallback),
					     .init = init },
			argc, argv);
}
