#ifndef EASEL_CLI_FRONT_LOG_H
#define EASEL_CLI_FRONT_LOG_H
/*
 * front_log - what the web server says, in our own log
 *
 * So that the log has one format, and no query string (where people put keys) reaches it.
 */
#include <stddef.h>

#define FRONT_LINE_BYTES 2048

struct front_log {
	char line[FRONT_LINE_BYTES];
	size_t n;
};

/* Reads what there is from fd (non-blocking) and logs each whole line. */
void front_log_read(struct front_log *l, int fd);

/* Rewrites a line of lighttpd's: without its date, and with "?…" for every query string. */
void front_log_clean(char *line);

#endif
