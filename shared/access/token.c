#include "access/token.h"

#include <sodium.h>
#include <string.h>

#define RANDOM_BYTES 32
/* What fits a header and a URL as it stands. */
#define BASE64     sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define TEXT_BYTES sodium_base64_ENCODED_LEN(RANDOM_BYTES, BASE64)

int
token_make(const char *prefix, char *out, struct err *e)
{
	unsigned char random[RANDOM_BYTES];
	size_t n = strlen(prefix);

	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "no random numbers");
	randombytes_buf(random, sizeof(random));
	memcpy(out, prefix, n);
	(void)sodium_bin2base64(out + n, TEXT_BYTES, random, sizeof(random), BASE64);
	explicit_bzero(random, sizeof(random));
	return 0;
}
