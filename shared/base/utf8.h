#ifndef EASEL_BASE_UTF8_H
#define EASEL_BASE_UTF8_H
/*
 * utf8 - text that comes from outside
 *
 * RFC 3629.  Thread-safe; nothing allocates.
 */
#include <stdbool.h>
#include <stddef.h>

/* Is all of it well-formed UTF-8 (no overlong forms, no surrogates)? */
bool utf8_valid(const char *s, size_t n);
/* Characters (code points) in well-formed s. */
size_t utf8_count(const char *s, size_t n);
/* The largest length <= n at which s can be cut without splitting a character. */
size_t utf8_cut(const char *s, size_t n);
/* Makes of each malformed byte a '?', in place. */
void utf8_mend(char *s);
/*
 * Copies s for a person or a log into out: at most max_chars characters and size - 1 bytes; control
 * characters, line breaks, U+2028/9 and bidirectional controls become '?', malformed bytes too; "…"
 * follows when something was cut off.
 */
void utf8_clip(char *out, size_t size, const char *s, size_t n, size_t max_chars);

#endif
