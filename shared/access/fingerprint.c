#include "access/fingerprint.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "access/key_file.h"

/* HMAC-SHA-256 with the key's block in it already: it stands in log lines of every request. */
static crypto_auth_hmacsha256_state keyed;
static bool ready;

int
fingerprint_init(const char *state_dir, struct err *e)
{
	unsigned char key[KEY_FILE_BYTES];

	if (key_file(state_dir, "fingerprint.key", key, e) < 0)
		return -1;
	(void)crypto_auth_hmacsha256_init(&keyed, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	ready = true;
	return 0;
}

void
fingerprint(const void *secret, size_t n, char out[FINGERPRINT_TEXT])
{
	unsigned char mac[crypto_auth_hmacsha256_BYTES] = { 0 };
	crypto_auth_hmacsha256_state state = keyed;

	if (ready) {
		(void)crypto_auth_hmacsha256_update(&state, secret, n);
		(void)crypto_auth_hmacsha256_final(&state, mac);
	}
	(void)snprintf(out, FINGERPRINT_TEXT, "%02x%02x%02x%02x", mac[0], mac[1], mac[2], mac[3]);
}
