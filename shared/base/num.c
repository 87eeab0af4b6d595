#include "base/num.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
num_i64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	char *end;
	long long v;

	if (!isdigit((unsigned char)s[*s == '-']))
		return -1;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno || *end || v < min || v > max)
		return -1;
	*out = v;
	return 0;
}

int
num_size(const char *s, uint32_t min, uint32_t max, uint32_t *w, uint32_t *h)
{
	const char *x = strchr(s, 'x');
	char left[12];
	int64_t a, b;

	if (!x || (size_t)(x - s) >= sizeof(left))
		return -1;
	memcpy(left, s, (size_t)(x - s));
	left[x - s] = '\0';
	if (num_i64(left, min, max, &a) < 0 || num_i64(x + 1, min, max, &b) < 0)
		return -1;
	*w = (uint32_t)a;
	*h = (uint32_t)b;
	return 0;
}

struct unit {
	const char *name;
	int64_t factor;
};

static int
with_unit(const char *s, const struct unit *units, int64_t *out)
{
	size_t digits = strspn(s, "0123456789");
	char number[20];
	int64_t v;

	if (digits >= sizeof(number))
		return -1;
	memcpy(number, s, digits);
	number[digits] = '\0';
	if (num_i64(number, 0, INT64_MAX, &v) < 0)
		return -1;
	if (!s[digits] && v == 0) {
		*out = 0;
		return 0;
	}
	for (; units->name; units++)
		if (!strcmp(s + digits, units->name) && v <= INT64_MAX / units->factor) {
			*out = v * units->factor;
			return 0;
		}
	return -1;
}

int
num_duration_ms(const char *s, int64_t *out)
{
	static const struct unit units[] = { { "ms", 1 },      { "s", 1000 },     { "m", 60000 },
					     { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };

	if (!*s) {
		*out = 0;
		return 0;
	}
	return with_unit(s, units, out);
}

int
num_bytes(const char *s, int64_t *out)
{
	static const struct unit units[] = { { "B", 1 },        { "kB", 1 << 10 },
					     { "KB", 1 << 10 }, { "MB", 1 << 20 },
					     { "GB", 1 << 30 }, { "TB", (int64_t)1 << 40 },
					     { NULL, 0 } };

	return with_unit(s, units, out);
}

int
num_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
