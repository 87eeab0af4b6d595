#ifndef EASEL_ACCESS_TOKEN_H
#define EASEL_ACCESS_TOKEN_H
/*
 * token - a prefix and 256 random bits: what an API key and a session's token are made of
 *
 * Thread-safe.
 */
#include "base/err.h"

#define TOKEN_RANDOM_TEXT 43 /* characters of base64url that stand for the random bits */

/* out has room for the prefix, TOKEN_RANDOM_TEXT and the NUL.  0, or -1: ERR_INTERNAL. */
int token_make(const char *prefix, char *out, struct err *e);

#endif
