#include "base/id.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

void
id_make(const char *prefix, char *out, size_t size)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	unsigned char random[16];
	size_t len = strlen(prefix);
	unsigned bits = 0, acc = 0;

	/* Without randomness there are no secrets and no names: nothing here can go on. */
	if (RAND_bytes(random, sizeof(random)) != 1 || len + 27 > size)
		abort();
	memcpy(out, prefix, len);
	for (size_t i = 0; i < sizeof(random); i++) {
		acc = acc << 8 | random[i];
		for (bits += 8; bits >= 5; bits -= 5)
			out[len++] = digits[acc >> (bits - 5) & 31];
	}
	out[len++] = digits[acc << (5 - bits) & 31];
	out[len] = '\0';
}
