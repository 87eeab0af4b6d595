#include "api/prefer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

/* One preference: is it the name, and what is its value?  Quotes around that are taken off. */
static bool
is_preference(const char *p, size_t n, const char *name, char *value, size_t size)
{
	size_t len = strlen(name), i;

	value[0] = '\0';
	if (n < len || strncasecmp(p, name, len) != 0)
		return false;
	for (i = len; i < n && (p[i] == ' ' || p[i] == '\t'); i++)
		;
	if (i == n || p[i] == ';')
		return true;
	if (p[i++] != '=')
		return false;
	while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '"'))
		i++;
	len = i;
	while (len < n && !strchr(" \t\";", p[len]))
		len++;
	(void)snprintf(value, size, "%.*s", (int)(len - i), p + i);
	return true;
}

/* Seconds, however many; -1: it is no number. */
static int64_t
read_wait(const char *value)
{
	int64_t s = -1;

	if (num_i64(value, 0, PREFER_WAIT_S_MAX, &s) == 0)
		return s;
	return *value && !value[strspn(value, "0123456789")] ? PREFER_WAIT_S_MAX : -1;
}

bool
prefer_read(const char *p, int64_t *wait_s)
{
	bool async = false;
	char value[24];

	*wait_s = -1;
	while (p && *p) {
		size_t n;

		p += strspn(p, ", \t");
		n = strcspn(p, ",");
		if (is_preference(p, n, "respond-async", value, sizeof(value)))
			async = true;
		else if (is_preference(p, n, "wait", value, sizeof(value)) && *wait_s < 0)
			*wait_s = read_wait(value);
		p += n;
	}
	return async;
}
