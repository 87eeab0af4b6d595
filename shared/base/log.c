#include "base/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

/* A line's ceiling: one write(2) of at most PIPE_BUF bytes is never mixed with another. */
#define LINE_BYTES  LOG_LINE_BYTES
#define TEXT_BYTES  (LINE_BYTES - 256)
#define STAMP_BYTES 25 /* with its NUL */

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

/* "2026-01-02T03:04:05.678Z"; the seconds' text is made once a second. */
static void
stamp(char out[STAMP_BYTES])
{
	static __thread struct {
		time_t second;
		char text[24];
	} last;
	struct timespec ts;
	unsigned ms;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != last.second) {
		struct tm tm;

		(void)gmtime_r(&ts.tv_sec, &tm);
		(void)strftime(last.text, sizeof(last.text), "%Y-%m-%dT%H:%M:%S.", &tm);
		last.second = ts.tv_sec;
	}
	memcpy(out, last.text, 20);
	ms = (unsigned)(ts.tv_nsec / 1000000);
	out[20] = (char)('0' + ms / 100);
	out[21] = (char)('0' + ms / 10 % 10);
	out[22] = (char)('0' + ms % 10);
	out[23] = 'Z';
	out[24] = '\0';
}

static __thread struct log_hold *held;

static void
put(const char *text, size_t n)
{
	struct log_hold *h = held;

	if (h && h->len + n <= sizeof(h->text)) {
		memcpy(h->text + h->len, text, n);
		h->len += n;
		return;
	}
	/* A log that cannot be written must not stop a request. */
	if (n && write(STDERR_FILENO, text, n) < 0)
		return;
}

void
log_hold(struct log_hold *h)
{
	h->len = 0;
	held = h;
}

void
log_release(struct log_hold *h)
{
	held = NULL;
	put(h->text, h->len);
}

static bool
plain(const char *s, size_t n)
{
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++)
		bad |= (unsigned)((unsigned char)(s[i] - 0x20) >= 0x7f - 0x20);
	return !bad;
}

static size_t
add(char *out, size_t len, const char *s)
{
	size_t n = strlen(s);

	if (n > LINE_BYTES - 1 - len)
		n = LINE_BYTES - 1 - len;
	memcpy(out + len, s, n);
	return len + n;
}

/* Makes what stands at text harmless, in place; size is its room. */
static size_t
cleanse(char *text, size_t n, size_t size)
{
	char *raw = malloc(n ? n : 1);

	if (!raw)
		return 0;
	memcpy(raw, text, n);
	utf8_clip(text, size, raw, n, size);
	free(raw);
	return strlen(text);
}

/* One object with what stands in text, which is valid UTF-8 by now. */
static size_t
compose_json(char *out, enum level level, const char *when, const char *text, const char *request)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "ts", when, "level", names[level],
			      "program", conf.program, "msg", text, "request", request);
	char *s = json_dumps(o, JSON_COMPACT);
	size_t n = add(out, 0, s ? s : "{}");

	free(s);
	json_decref(o);
	return n;
}

static void __attribute__((format(printf, 3, 0)))
line(enum level level, const char *request, const char *fmt, va_list ap)
{
	char out[LINE_BYTES], when[STAMP_BYTES];
	/* JSON doubles quotes and backslashes; a line that was cut would be no JSON any more. */
	size_t room = conf.json ? TEXT_BYTES / 2 : TEXT_BYTES;
	size_t len, n;
	int said;

	if ((int)level > conf.level)
		return;
	stamp(when);
	len = add(out, 0, when);
	out[len++] = ' ';
	len = add(out, len, names[level]);
	out[len++] = ' ';
	len = add(out, len, conf.program);
	out[len++] = ' ';
	said = vsnprintf(out + len, room, fmt, ap);
	if (said < 0)
		return;
	n = (size_t)said < room ? (size_t)said : room - 1;
	if (!plain(out + len, n))
		n = cleanse(out + len, n, room);
	if (conf.json) {
		out[len + n] = '\0';
		len = compose_json(out, level, when, out + len, request);
	} else {
		len += n;
		if (request) {
			len = add(out, len, " request=");
			len = add(out, len, request);
		}
	}
	out[len++] = '\n';
	put(out, len);
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
