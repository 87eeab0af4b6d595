#ifndef EASEL_ACCESS_FINGERPRINT_H
#define EASEL_ACCESS_FINGERPRINT_H
/*
 * fingerprint - eight hexadecimal digits that stand for a secret in logs
 *
 * HMAC-SHA-256 with a key of this installation (state_dir/fingerprint.key, 32 random bytes, mode
 * 0600, made on first use): two log lines can be seen to speak of the same token, and nothing else.
 * Thread-safe after fingerprint_init().
 */
#include <stddef.h>

#include "base/err.h"

#define FINGERPRINT_TEXT 9 /* eight digits and the NUL */

int fingerprint_init(const char *state_dir, struct err *e);
void fingerprint(const void *secret, size_t n, char out[FINGERPRINT_TEXT]);

#endif
