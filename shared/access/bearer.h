#ifndef EASEL_ACCESS_BEARER_H
#define EASEL_ACCESS_BEARER_H
/*
 * bearer - what an Authorization header says, and what is wrong with it
 *
 * RFC 6750 section 2.1, read kindly: white space and line breaks around the token are dropped, the
 * scheme is taken in any case.  Everything else that is not a token is told apart, because each mistake
 * has a remedy of its own.  No part of a token is ever put into the error.  Thread-safe; nothing
 * allocates.
 */
#include <stddef.h>

#include "base/err.h"

/*
 * Finds the token in `authorization` (NULL: no such header arrived); `query` is the raw query string.
 * 0: *token (n bytes, not NUL-terminated, visible ASCII, borrowed from authorization).
 * -1: ERR_BEARER (header_absent, in_query_only, wrong_scheme, empty_token, multiple_values) or ERR_KEY
 * (double_bearer, unexpanded_variable, malformed_token), stage "auth".
 */
int bearer_token(const char *authorization, const char *query, const char **token, size_t *n,
		 struct err *e);

/* A 401: cause and the fact of this occurrence, stage "auth".  -1. */
int bearer_refuse(struct err *e, enum err_cause cause, const char *about_fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
