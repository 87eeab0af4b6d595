#ifndef EASEL_BASE_JSON_SPLICE_H
#define EASEL_BASE_JSON_SPLICE_H
/*
 * json_splice - changes one member of a JSON text and leaves every other byte as it is; where a value ends
 *
 * What is handed on for somebody else is not written anew: numbers would lose digits, and large bodies cost
 * time.  Thread-safe.
 */
#include <stddef.h>

/*
 * A copy of `text`, a valid JSON object without duplicate keys, in which the member `name` (ASCII, nothing to
 * escape) is the string `value`; added at the beginning where there is none.  The caller's, NUL-terminated,
 * *length its bytes.  NULL: out of memory.
 */
char *json_splice_string(const char *text, size_t n, const char *name, const char *value,
			 size_t *length);

/* Behind the value that begins at `at`, or n: by its brackets and quotes alone, so that it need not be valid. */
size_t json_value_end(const char *s, size_t n, size_t at);

#endif
