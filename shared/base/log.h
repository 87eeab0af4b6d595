#ifndef EASEL_BASE_LOG_H
#define EASEL_BASE_LOG_H
/*
 * log - one line an event, on standard error
 *
 * Text: "2026-01-02T03:04:05.678Z info images-generations Image generation: … request=req_…"; JSON:
 * one object a line with ts, level, program, msg, request.  Each line is one write(2), so lines of
 * many processes do not mix; it never blocks longer than the pipe does and never fails the caller.
 * Control characters are made harmless (utf8_clip).  Only handlers, the frame, api/, job/ (the way of
 * a picture) and the command line log; libraries do not.  Thread-safe.
 */
#include <stddef.h>

#include "base/err.h"

void log_init(const char *program, int level, bool json); /* levels as enum log_level */

/* request: the id that the line ends with, or NULL. */
void log_error(const char *request, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_warn(const char *request, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *request, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_debug(const char *request, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Between log_hold() and log_release() this thread's lines are kept in *h and then leave in one write.
 */
#define LOG_LINE_BYTES 4096

struct log_hold {
	size_t len;
	char text[LOG_LINE_BYTES];
};
void log_hold(struct log_hold *h);
void log_release(struct log_hold *h);

#endif
