#include "http/route.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/utf8.h"
#include "config/nearest.h"

/* Every endpoint that is served, by whichever program: to tell people what they meant. */
static const struct endpoint {
	const char *path, *methods, *what;
} menu[] = {
	{ "/v1/images/generations", "POST", "makes pictures from text" },
	{ "/v1/images/edits", "POST", "edits pictures" },
	{ "/v1/images", "GET", "lists your pictures" },
	{ "/v1/images/*", "GET, DELETE", "one of your pictures" },
	{ "/v1/chat/completions", "POST", "chat" },
	{ "/v1/models", "GET", "lists the models" },
	{ "/v1/models/*", "GET", "one model" },
	{ "/v1/tasks", "GET, POST", "tasks" },
	{ "/v1/tasks/*/events", "GET", "a task's way" },
	{ "/v1/tasks/*", "GET, DELETE", "one task" },
	{ "/login", "GET, POST, DELETE", "login" },
	{ "/generate", "POST", "creates a task" },
	{ "/task_status/*", "GET", "a task's state" },
	{ "/queue_status", "GET", "the queue" },
	{ "/cancel_task/*", "POST", "cancels a task" },
	{ "/healthz", "GET", "is it alive" },
	{ "/readyz", "GET", "is it ready" },
	{ "/metrics", "GET", "metrics" },
};
#define MENU (sizeof(menu) / sizeof(*menu))

static bool
has_dot_segment(const char *path)
{
	for (const char *s = path; s; s = strchr(s, '/')) {
		size_t n;

		s += *s == '/';
		n = strcspn(s, "/");
		if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return true;
		/* An encoded slash may hide one: "..%2Fx". */
		for (size_t i = 0; i + 2 <= n; i++) {
			bool starts = i == 0 || (i >= 3 && !strncmp(s + i - 3, "%2F", 3));
			bool ends = i + 2 == n || (n - i >= 5 && !strncmp(s + i + 2, "%2F", 3));

			if (starts && ends && s[i] == '.' && s[i + 1] == '.')
				return true;
		}
	}
	return false;
}

int
path_normalise(const char *target, char out[PATH_BYTES], struct err *e)
{
	size_t len = 0;

	/* The absolute form of a request target (RFC 9112 section 3.2.2). */
	if (!strncasecmp(target, "http://", 7) || !strncasecmp(target, "https://", 8)) {
		target = strstr(target, "//") + 2;
		target += strcspn(target, "/?");
	}
	for (const char *s = target; *s && *s != '?' && *s != '#'; s++) {
		unsigned char c = (unsigned char)*s;
		const char *put = (const char *)&c;
		size_t n = 1;

		if (c == '%') {
			int hi = num_hex_digit(s[1]), lo = hi < 0 ? -1 : num_hex_digit(s[2]);

			if (lo < 0)
				return err_set(e, ERR_PATH, "a percent sign without two digits");
			c = (unsigned char)(hi << 4 | lo);
			s += 2;
			if (c == '/') {
				put = "%2F";
				n = 3;
			}
		} else if (c == '/' && len && out[len - 1] == '/') {
			continue;
		}
		if (c < 0x20 || c == 0x7f)
			return err_set(e, ERR_PATH, "a control character");
		if (len + n >= PATH_BYTES)
			return err_set(e, ERR_PATH, "longer than %d bytes", PATH_BYTES - 1);
		memcpy(out + len, put, n);
		len += n;
	}
	out[len] = '\0';
	if (!len) {
		out[0] = '/';
		out[1] = '\0';
	}
	if (!utf8_valid(out, len))
		return err_set(e, ERR_PATH, "it is not UTF-8");
	if (has_dot_segment(out))
		return err_set(e, ERR_PATH, "a dot segment");
	return 0;
}

/* The path without any "/v1" in front. */
static const char *
core(const char *path)
{
	while (!strncmp(path, "/v1/", 4) || !strcmp(path, "/v1"))
		path += 3;
	return path;
}

static void
unescape_slashes(const char *s, char out[PATH_BYTES])
{
	size_t len = 0;

	while (*s && len < PATH_BYTES - 1) {
		if (!strncmp(s, "%2F", 3)) {
			out[len++] = '/';
			s += 3;
		} else {
			out[len++] = *s++;
		}
	}
	out[len] = '\0';
}

/* A route with its "*" in the middle: one segment stands there. */
static bool
matches_inside(const char *path, const char *route, char rest[PATH_BYTES])
{
	size_t before = strcspn(route, "*"), n;

	if (strncmp(path, route, before) != 0)
		return false;
	n = strcspn(path + before, "/");
	if (!n || strcmp(path + before + n, route + before + 1) != 0 ||
	    memmem(path + before, n, "%2F", 3))
		return false;
	if (rest) {
		memcpy(rest, path + before, n);
		rest[n] = '\0';
	}
	return true;
}

bool
path_matches(const char *path, const char *route, char rest[PATH_BYTES])
{
	size_t n = strlen(route);

	if (!strncmp(route, "/v1/", 4)) {
		path = core(path);
		route += 3;
		n -= 3;
	}
	if (route[n - 1] != '*' && strchr(route, '*'))
		return matches_inside(path, route, rest);
	if (route[n - 1] != '*') {
		if (rest)
			rest[0] = '\0';
		return !strcmp(path, route);
	}
	n--;
	if (strncmp(path, route, n) != 0 || !path[n])
		return false;
	if (rest)
		unescape_slashes(path + n, rest);
	return true;
}

static bool
is_exact(const struct endpoint *m)
{
	return m->path[strlen(m->path) - 1] != '*';
}

/* The endpoint that is at most two letters away. */
static const struct endpoint *
nearest_endpoint(const char *path)
{
	struct nearest n = { .distance = 3 };
	const struct endpoint *best = NULL;

	for (size_t i = 0; i < MENU; i++) {
		bool v1 = !strncmp(menu[i].path, "/v1/", 4);
		const char *before = n.best;

		if (!is_exact(&menu[i]))
			continue;
		n.name = v1 ? core(path) : path;
		nearest_try(&n, menu[i].path + (v1 ? 3 : 0));
		if (n.best != before)
			best = &menu[i];
	}
	return best;
}

/* An endpoint that the path holds at its end, whatever is in front: a doubled one, say. */
static const struct endpoint *
held_at_end(const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < MENU; i++) {
		const char *tail = menu[i].path + (strncmp(menu[i].path, "/v1/", 4) ? 0 : 3);
		size_t m = strlen(tail);

		if (n > m && tail[m - 1] != '*' && !strcmp(path + n - m, tail))
			return &menu[i];
	}
	return NULL;
}

static bool
takes(const char *methods, const char *method)
{
	size_t n = strlen(method);

	for (const char *m = methods; *m; m += strspn(m, ", ")) {
		size_t len = strcspn(m, ",");

		if (len == n && !strncmp(m, method, n))
			return true;
		m += len;
	}
	return false;
}

static int
not_found(struct err *e, const char *method, const char *path, const char *why, const char *hint)
{
	char shown[120];

	utf8_clip(shown, sizeof(shown), path, strlen(path), 80);
	(void)err_set(e, ERR_ENDPOINT, "%s%s", *why ? " " : "", why);
	(void)snprintf(e->found, sizeof(e->found), "%.16s %s", method, shown);
	(void)snprintf(e->expected, sizeof(e->expected), "%s", hint);
	return -1;
}

/* The path is an endpoint's: then it is the method that does not fit, or the program is not there. */
static int
wrong_method(const struct endpoint *m, const char *method, const char *path, char *allow,
	     size_t allow_size, struct err *e)
{
	if (takes(m->methods, method))
		return not_found(e, method, path, "", "This endpoint is not served here.");
	(void)snprintf(allow, allow_size, "%s", m->methods);
	return err_field(e, ERR_METHOD, "", m->methods, "%.16s", method);
}

/* Near misses come before the routes that take any last segment: /v1/images/generation is no picture's
 * id. */
int
path_explain(const char *method, const char *path, char *allow, size_t allow_size, struct err *e)
{
	char trimmed[PATH_BYTES], rest[PATH_BYTES], hint[200];
	const struct endpoint *meant;
	size_t n = strlen(path);

	allow[0] = '\0';
	for (size_t i = 0; i < MENU; i++)
		if (is_exact(&menu[i]) && path_matches(path, menu[i].path, NULL))
			return wrong_method(&menu[i], method, path, allow, allow_size, e);
	memcpy(trimmed, path, n + 1);
	while (n > 1 && trimmed[n - 1] == '/')
		trimmed[--n] = '\0';
	for (size_t i = 0; i < MENU; i++)
		if (strcmp(trimmed, path) != 0 && path_matches(trimmed, menu[i].path, NULL)) {
			(void)snprintf(hint, sizeof(hint), "Drop the trailing slash: %s %.120s.",
				       menu[i].methods, trimmed);
			return not_found(e, method, path, "The trailing slash is too much.", hint);
		}
	meant = held_at_end(trimmed);
	if (meant) {
		(void)snprintf(hint, sizeof(hint),
			       "Use %s %s. With an SDK, base_url ends in /v1 and nothing more.",
			       meant->methods, meant->path);
		return not_found(e, method, path,
				 "It looks as if the base URL already held an endpoint.", hint);
	}
	meant = nearest_endpoint(trimmed);
	if (meant) {
		(void)snprintf(hint, sizeof(hint), "Did you mean %s %s (%s)?", meant->methods,
			       meant->path, meant->what);
		return not_found(e, method, path, "", hint);
	}
	for (size_t i = 0; i < MENU; i++)
		if (path_matches(path, menu[i].path, rest) &&
		    (!strchr(rest, '/') || strstr(menu[i].path, "models")))
			return wrong_method(&menu[i], method, path, allow, allow_size, e);
	return not_found(e, method, path, "",
			 "POST /v1/images/generations makes pictures, GET /v1/models lists the "
			 "models.");
}
