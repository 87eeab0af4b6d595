#include "front_log.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"

void
front_log_clean(char *line)
{
	char *from = line, *to = line, *start = strstr(line, ": (");

	/* "2026-01-02 03:04:05: (server.c.1939) server started" */
	if (start && start - line == (ptrdiff_t)strlen("2026-01-02 03:04:05"))
		from = start + 2;
	while (*from) {
		*to++ = *from;
		if (*from++ == '?')
			from += strcspn(from, " ,\"'");
	}
	*to = '\0';
}

static void
say_line(char *line)
{
	front_log_clean(line);
	if (!*line)
		return;
	if (strstr(line, "server started") || strstr(line, "server stopped") ||
	    strstr(line, "graceful shutdown") || strstr(line, "[note]"))
		log_debug(NULL, "lighttpd: %s", line);
	else
		log_warn(NULL, "lighttpd: %s", line);
}

void
front_log_read(struct front_log *l, int fd)
{
	ssize_t got;

	while ((got = read(fd, l->line + l->n, sizeof(l->line) - 1 - l->n)) > 0) {
		char *line = l->line, *end;

		for (size_t i = l->n; i < l->n + (size_t)got; i++)
			if (!l->line[i])
				l->line[i] = '?';
		l->n += (size_t)got;
		l->line[l->n] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			say_line(line);
			line = end + 1;
		}
		l->n -= (size_t)(line - l->line);
		memmove(l->line, line, l->n + 1);
		if (l->n == sizeof(l->line) - 1) { /* a line without an end */
			say_line(l->line);
			l->n = 0;
		}
	}
}
