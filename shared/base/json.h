#ifndef EASEL_BASE_JSON_H
#define EASEL_BASE_JSON_H
/*
 * json - jansson, strictly
 *
 * Thread-safe.
 */
#include <jansson.h>

#include "base/err.h"

#define JSON_DEPTH_MAX 32

/*
 * Parses one JSON value: valid UTF-8, no duplicate keys, nesting at most JSON_DEPTH_MAX (checked
 * before the parser recurses), no U+0000 in strings, nothing after it.  *out is the caller's.
 * -1: ERR_JSON with line, column and offset; ERR_DUPLICATE_KEY.
 */
int json_read(const char *text, size_t n, json_t **out, struct err *e);

/* Names a value's type for people: "a string", "an integer", "null". */
const char *json_type_name(const json_t *v);
/* Renders a value in quotes for an error's {found}, clipped. */
void json_quote(const json_t *v, char *out, size_t size);

#endif
