#ifndef EASEL_BASE_SCRUB_H
#define EASEL_BASE_SCRUB_H
/*
 * scrub - takes secrets out of a text that somebody else wrote
 *
 * Providers quote keys in their errors, and URLs with signatures.  Replaced by *** are: the secret
 * itself when it is known, and pieces of it; words that begin like a key (sk-, xai-, pst-, ms-, eyJ, …); what follows
 * "Bearer"; user and password of a URL and the values of its query; the value after "api_key=" and
 * the like; any run of 40 letters and digits.  Thread-safe; nothing allocates.
 */

#include "base/err.h"

/* In place: the text only becomes shorter.  secret: NULL or "" when none is known. */
void scrub(char *text, const char *secret);
/* The known secret and pieces of it alone, also in place: for texts that are no prose, as request ids. */
void scrub_secret(char *text, const char *secret);
/* What begins like a key alone, also in place: for texts that are no prose, and whose secret is not known. */
void scrub_shapes(char *text);
/* Each byte of the whole secret becomes a star: for what is passed on in pieces. */
void scrub_bytes(char *bytes, size_t n, const char *secret);
/* The known secret in all that an error quotes. */
void scrub_err(struct err *e, const char *secret);

#endif
