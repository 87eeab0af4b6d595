#include "base/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

/* A line's ceiling: one write(2) of at most PIPE_BUF bytes is never mixed with another. */
#define LINE_BYTES 4096
#define TEXT_BYTES (LINE_BYTES - 256)

enum level { ERROR, WARN, INFO, DEBUG };

static struct {
	char program[32];
	int level;
	bool json;
} conf = { "easel", INFO, false };

static const char *const names[] = { "error", "warn", "info", "debug" };

void
log_init(const char *program, int level, bool json)
{
	(void)snprintf(conf.program, sizeof(conf.program), "%s", program);
	conf.level = level;
	conf.json = json;
}

static size_t
stamp(char *out, size_t size)
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(out + n, size - n, ".%03ldZ", ts.tv_nsec / 1000000);
}

static __thread struct {
	bool on;
	size_t len;
	char text[LINE_BYTES];
} held;

static void
write_out(const char *text, size_t n)
{
	/* A log that cannot be written must not stop a request. */
	if (n && write(STDERR_FILENO, text, n) < 0)
		return;
}

static void
put(const char *text, size_t n)
{
	if (!held.on) {
		write_out(text, n);
		return;
	}
	if (held.len + n > sizeof(held.text)) {
		write_out(held.text, held.len);
		held.len = 0;
	}
	memcpy(held.text + held.len, text, n);
	held.len += n;
}

void
log_hold(void)
{
	held.on = true;
}

void
log_release(void)
{
	held.on = false;
	write_out(held.text, held.len);
	held.len = 0;
}

static void __attribute__((format(printf, 3, 0)))
line(enum level level, const char *request, const char *fmt, va_list ap)
{
	char raw[TEXT_BYTES], text[TEXT_BYTES], when[40], out[LINE_BYTES];
	int n;

	if ((int)level > conf.level)
		return;
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	if (n < 0)
		return;
	/* JSON doubles quotes and backslashes; a line that was cut would be no JSON any more. */
	utf8_clip(text, conf.json ? sizeof(text) / 2 : sizeof(text), raw, strlen(raw),
		  sizeof(text));
	(void)stamp(when, sizeof(when));
	if (conf.json) {
		json_t *o =
			json_pack("{s:s, s:s, s:s, s:s, s:s*}", "ts", when, "level", names[level],
				  "program", conf.program, "msg", text, "request", request);
		char *s = json_dumps(o, JSON_COMPACT);

		n = snprintf(out, sizeof(out), "%s\n", s ? s : "{}");
		free(s);
		json_decref(o);
	} else {
		n = snprintf(out, sizeof(out), "%s %s %s %s%s%s\n", when, names[level],
			     conf.program, text, request ? " request=" : "",
			     request ? request : "");
	}
	if (n >= (int)sizeof(out)) {
		n = sizeof(out) - 1;
		out[n - 1] = '\n';
	}
	put(out, (size_t)n);
}

#define LOG_AT(name, level)                                        \
	void log_##name(const char *request, const char *fmt, ...) \
	{                                                          \
		va_list ap;                                        \
		va_start(ap, fmt);                                 \
		line(level, request, fmt, ap);                     \
		va_end(ap);                                        \
	}
LOG_AT(error, ERROR)
LOG_AT(warn, WARN)
LOG_AT(info, INFO)
LOG_AT(debug, DEBUG)
