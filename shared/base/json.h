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
/* A value takes up to 300 bytes of memory, a hundred times its text: so many are 75 MB at the worst.  A list
   of thousands of models is far below. */
#define JSON_VALUES_MAX 250000

/*
 * Parses one JSON value: valid UTF-8, no duplicate keys, nesting at most JSON_DEPTH_MAX and about
 * JSON_VALUES_MAX values in it (brackets that open, and commas; both checked before the parser begins),
 * no U+0000 in strings, nothing after it.  *out is the caller's.
 * -1: ERR_JSON with line, column and offset; ERR_DUPLICATE_KEY.
 */
int json_read(const char *text, size_t n, json_t **out, struct err *e);
/* The same with another limit of values, for what may rightly hold more. */
int json_read_up_to(const char *text, size_t n, size_t values, json_t **out, struct err *e);

/* Names a value's type for people: "a string", "an integer", "null". */
const char *json_type_name(const json_t *v);
/* Renders a value in quotes for an error's {found}, clipped. */
void json_quote(const json_t *v, char *out, size_t size);

#endif
