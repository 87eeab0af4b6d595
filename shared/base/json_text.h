#ifndef EASEL_BASE_JSON_TEXT_H
#define EASEL_BASE_JSON_TEXT_H
/*
 * json_text - trees of our own making as compact JSON, the way jansson writes it
 *
 * For what every request writes: json_dumps() looks for loops in the tree, which costs five times as much as
 * the writing.  So: only for trees that this program has built, or read.  Thread-safe.
 */
#include <jansson.h>

#include "base/buf.h"

#define JSON_TEXT_DIGITS 12 /* of a decimal number; 17 would show how it is stored */
#define JSON_TEXT_WORST  6  /* bytes that one byte of a string becomes at most: \u001F */

/* The text, the caller's; NULL: there is no tree, or no memory. */
char *json_text(const json_t *v);
/* The same, but as JSON_SORT_KEYS makes it and with all digits: equal trees are equal texts. */
char *json_text_sorted(const json_t *v);
/* As json_text() of a new reference, which ends. */
char *json_text_take(json_t *v);
/* Adds it to b.  0, or -1 as buf_add(). */
int json_text_add(struct buf *b, const json_t *v);
/* Adds n bytes of valid UTF-8 as a string, with its quotes. */
int json_text_string(struct buf *b, const char *s, size_t n);
int json_text_real(struct buf *b, double value);

#endif
