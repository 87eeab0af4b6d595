#include "provider/novelai_key.h"

#include <ctype.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

#define DOMAIN       "novelai_data_access_key"
#define SALT_BYTES   16
#define RAW_BYTES    64
#define PASSES       2
#define MEMORY_BYTES 2000000 /* 1953 KiB */
#define TEXT_MAX     8192    /* e-mail address and password, generously */
#define HEAD_UNITS   6

/* The length of the UTF-8 character at p, at most n; a broken one counts as a byte. */
static size_t
character(const unsigned char *p, size_t n)
{
	size_t want = *p < 0xc0 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < want; i++)
		if (i >= n || (p[i] & 0xc0) != 0x80)
			return 1;
	return want;
}

/*
 * The first six characters of the password, counted as the site's JavaScript does, in UTF-16 units: half
 * of a character beyond U+FFFF becomes U+FFFD there.
 */
static int
add_head(struct buf *b, const char *password)
{
	const unsigned char *p = (const unsigned char *)password;
	size_t left = strlen(password), units = 0;

	while (left && units < HEAD_UNITS) {
		size_t n = character(p, left);

		units += n == 4 ? 2 : 1;
		if (units > HEAD_UNITS)
			return buf_adds(b, "\xef\xbf\xbd");
		if (buf_add(b, p, n) < 0)
			return -1;
		p += n;
		left -= n;
	}
	return 0;
}

static int
derive(const char *email, const char *password, struct buf *presalt, char key[NOVELAI_KEY])
{
	unsigned char salt[SALT_BYTES], raw[RAW_BYTES];
	char text[sodium_base64_ENCODED_LEN(RAW_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
	int rc;

	if (add_head(presalt, password) < 0 || buf_adds(presalt, email) < 0 ||
	    buf_adds(presalt, DOMAIN) < 0)
		return -1;
	(void)crypto_generichash(salt, sizeof(salt), (const unsigned char *)presalt->p,
				 presalt->len, NULL, 0);
	rc = crypto_pwhash(raw, sizeof(raw), password, strlen(password), salt, PASSES, MEMORY_BYTES,
			   crypto_pwhash_ALG_ARGON2ID13);
	if (rc == 0) {
		(void)sodium_bin2base64(text, sizeof(text), raw, sizeof(raw),
					sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		memcpy(key, text, NOVELAI_KEY - 1);
		key[NOVELAI_KEY - 1] = '\0';
	}
	sodium_memzero(raw, sizeof(raw));
	sodium_memzero(text, sizeof(text));
	return rc;
}

int
novelai_key(const char *email, const char *password, char key[NOVELAI_KEY], struct err *e)
{
	AUTO(buf) presalt = BUF_INIT(TEXT_MAX);
	int rc = -1;

	if (sodium_init() >= 0)
		rc = derive(email, password, &presalt, key);
	if (presalt.p)
		sodium_memzero(presalt.p, presalt.cap);
	return rc == 0 ? 0 : err_set(e, ERR_INTERNAL, "the access key could not be derived");
}

bool
novelai_email(const char *email, bool fold, char out[NOVELAI_EMAIL])
{
	size_t n;
	bool capitals = false;

	while (isspace((unsigned char)*email))
		email++;
	(void)snprintf(out, NOVELAI_EMAIL, "%s", email);
	for (n = strlen(out); n && isspace((unsigned char)out[n - 1]); n--)
		out[n - 1] = '\0';
	for (char *c = out; *c; c++)
		if (*c >= 'A' && *c <= 'Z') {
			capitals = true;
			if (fold)
				*c = (char)(*c - 'A' + 'a');
		}
	return capitals;
}
