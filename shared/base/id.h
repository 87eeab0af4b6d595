#ifndef EASEL_BASE_ID_H
#define EASEL_BASE_ID_H
/*
 * id - names that cannot be guessed or clash
 *
 * 128 random bits in 26 characters of Crockford's base32, lower case, with a prefix: "req_01jd…".
 * Thread-safe; the kernel's generator.
 */
#include <stddef.h>

#define ID_TEXT 40 /* bytes for any id with its NUL */

void id_make(const char *prefix, char *out, size_t size);

/* The same random part under another prefix: "req_01jd…" gives "task_01jd…". */
void id_alike(const char *prefix, const char *id, char *out, size_t size);

#endif
