#ifndef EASEL_PROVIDER_SCRUB_H
#define EASEL_PROVIDER_SCRUB_H
/*
 * scrub - takes secrets out of a text that somebody else wrote
 *
 * Providers quote keys in their errors, and URLs with signatures.  Replaced by *** are: the secret
 * itself when it is known; words that begin like a key (sk-, xai-, pst-, ms-, eyJ, …); what follows
 * "Bearer"; user and password of a URL and the values of its query; the value after "api_key=" and
 * the like; any run of 40 letters and digits.  Thread-safe; nothing allocates.
 */

/* In place: the text only becomes shorter.  secret: NULL or "" when none is known. */
void scrub(char *text, const char *secret);

#endif
