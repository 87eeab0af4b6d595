#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* The length of the character at s, 0 when it is malformed; *cp gets the code point. */
static size_t
decode(const char *s, size_t n, uint32_t *cp)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len;
	uint32_t c, min;

	if (u[0] < 0x80) {
		*cp = u[0];
		return 1;
	}
	if ((u[0] & 0xe0) == 0xc0) {
		len = 2;
		c = u[0] & 0x1f;
		min = 0x80;
	} else if ((u[0] & 0xf0) == 0xe0) {
		len = 3;
		c = u[0] & 0x0f;
		min = 0x800;
	} else if ((u[0] & 0xf8) == 0xf0) {
		len = 4;
		c = u[0] & 0x07;
		min = 0x10000;
	} else {
		return 0;
	}
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return len;
}

bool
utf8_valid(const char *s, size_t n)
{
	uint32_t cp;

	for (size_t i = 0, len; i < n; i += len) {
		len = decode(s + i, n - i, &cp);
		if (!len)
			return false;
	}
	return true;
}

size_t
utf8_count(const char *s, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += ((unsigned char)s[i] & 0xc0) != 0x80;
	return count;
}

size_t
utf8_cut(const char *s, size_t n)
{
	size_t start = n;
	uint32_t cp;

	/* Step back to the start of the last character, then see whether it is whole. */
	while (start > 0 && n - start < 3 && ((unsigned char)s[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (unsigned char)s[start - 1] >= 0xc0 &&
	    !decode(s + start - 1, n - start + 1, &cp))
		return start - 1;
	return n;
}

void
utf8_mend(char *s)
{
	size_t n = strlen(s);
	uint32_t cp;

	for (size_t i = 0, len; i < n; i += len) {
		len = decode(s + i, n - i, &cp);
		if (len)
			continue;
		s[i] = '?';
		len = 1;
	}
}

static bool
harmless(uint32_t cp)
{
	return cp >= 0x20 && (cp < 0x7f || cp >= 0xa0) && cp != 0x2028 && cp != 0x2029 &&
	       !(cp >= 0x200e && cp <= 0x200f) && !(cp >= 0x202a && cp <= 0x202e) &&
	       !(cp >= 0x2066 && cp <= 0x2069) && cp != 0x061c && cp != 0xfeff;
}

void
utf8_clip(char *out, size_t size, const char *s, size_t n, size_t max_chars)
{
	static const char more[] = "…";
	size_t len = 0, i = 0, room = 0; /* room: the longest so far that "…" fits behind */
	uint32_t cp;

	while (i < n && max_chars-- > 0) {
		bool plain = s[i] >= 0x20 && s[i] < 0x7f; /* as nearly all are */
		size_t c = plain ? 1 : decode(s + i, n - i, &cp);
		bool keep = plain || (c && harmless(cp));
		size_t put = keep ? c : 1;

		if (len + put >= size)
			break;
		if (plain)
			out[len] = s[i];
		else if (keep)
			memcpy(out + len, s + i, c);
		else
			out[len] = '?';
		len += put;
		i += c ? c : 1;
		if (len + sizeof(more) <= size)
			room = len;
	}
	if (i < n) {
		len = room;
		if (len + sizeof(more) <= size) {
			memcpy(out + len, more, sizeof(more) - 1);
			len += sizeof(more) - 1;
		}
	}
	out[len] = '\0';
}
