#ifndef EASEL_PROVIDER_NOVELAI_KEY_H
#define EASEL_PROVIDER_NOVELAI_KEY_H
/*
 * novelai_key - the access key that stands for an account's e-mail address and password
 *
 *	salt = BLAKE2b-128(the password's first six characters || e-mail || "novelai_data_access_key")
 *	key  = the first 64 characters of base64url(Argon2id(password, salt, t=2, m=1953 KiB, 64 bytes))
 *
 * It is the password as far as NovelAI is concerned: never logged, never stored.  Private to provider/.
 * Thread-safe.
 */
#include <stdbool.h>

#include "base/err.h"

#define NOVELAI_KEY 65 /* bytes, with the NUL */

/*
 * Takes some milliseconds and 2 MB.  The e-mail address is used as it is: see novelai_email().
 * 0 or -1: ERR_INTERNAL (no memory).
 */
int
novelai_key(const char *email, const char *password, char key[NOVELAI_KEY], struct err *e);

#define NOVELAI_EMAIL 321 /* bytes of the longest address, with the NUL */

/*
 * *out is the address without white space around it, in small letters as the service's own site writes it
 * when `fold`.  Did it have capitals?
 */
bool novelai_email(const char *email, bool fold, char out[NOVELAI_EMAIL]);

#endif
