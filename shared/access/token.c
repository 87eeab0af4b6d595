#include "access/token.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#define RANDOM_BYTES 32

/* RFC 4648 section 5, without padding: what fits a header and a URL as it stands. */
static void
base64url(char *out, const unsigned char *in, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned acc = 0, bits = 0;

	for (size_t i = 0; i < n; i++) {
		acc = acc << 8 | in[i];
		for (bits += 8; bits >= 6; bits -= 6)
			*out++ = digits[acc >> (bits - 6) & 63];
	}
	if (bits)
		*out++ = digits[acc << (6 - bits) & 63];
	*out = '\0';
}

int
token_make(const char *prefix, char *out, struct err *e)
{
	unsigned char random[RANDOM_BYTES];
	size_t n = strlen(prefix);

	if (RAND_bytes(random, sizeof(random)) != 1)
		return err_set(e, ERR_INTERNAL, "no random numbers");
	memcpy(out, prefix, n);
	base64url(out + n, random, sizeof(random));
	OPENSSL_cleanse(random, sizeof(random));
	return 0;
}
