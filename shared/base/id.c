#include "base/id.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The kernel's generator: a tenth of the price of OpenSSL's for so few bytes, and safe across fork. */
static void
random_bytes(unsigned char *out, size_t n)
{
	/* Without randomness there are no names: nothing here can go on. */
	if (getrandom(out, n, 0) != (ssize_t)n)
		abort();
}

void
id_make(const char *prefix, char *out, size_t size)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	unsigned char random[16];
	size_t len = strlen(prefix);
	unsigned bits = 0, acc = 0;

	if (len + 27 > size)
		abort();
	random_bytes(random, sizeof(random));
	memcpy(out, prefix, len);
	for (size_t i = 0; i < sizeof(random); i++) {
		acc = acc << 8 | random[i];
		for (bits += 8; bits >= 5; bits -= 5)
			out[len++] = digits[acc >> (bits - 5) & 31];
	}
	out[len++] = digits[acc << (5 - bits) & 31];
	out[len] = '\0';
}
