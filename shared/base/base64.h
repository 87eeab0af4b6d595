#ifndef EASEL_BASE_BASE64_H
#define EASEL_BASE_BASE64_H
/*
 * base64 - RFC 4648 section 4, in bulk
 *
 * Whole groups only; the caller keeps remainders.  Thread-safe; nothing allocates.
 *
 * The code for AVX2 (chosen at run time, with a table-driven fallback) is here because base64 is the
 * largest single cost of a picture: for one of 2 MB, OpenSSL's EVP_DecodeBlock takes 1,000 us and
 * AVX2 some 150, while everything else on its way takes 400, and the aim is to cost at most 1.3 times
 * what a proxy costs that does not look at the bytes at all.
 */
#include <stddef.h>

#define BASE64_ENCODED(n) (((n) + 2) / 3 * 4) /* characters for n bytes, padding included */

/*
 * Encodes n bytes into out (BASE64_ENCODED(n) characters, no NUL), padding the end where n is not a
 * multiple of 3.  Returns the number of characters.
 */
size_t base64_encode(char *out, const void *in, size_t n);

/*
 * Decodes n characters, n a multiple of 4, none of them padding or white space, into 3 * n / 4 bytes
 * at out (which may have up to 32 bytes written past them: give it that room).  Returns the number of
 * characters decoded before the first group with a character outside the alphabet: n when all are.
 */
size_t base64_decode(void *out, const char *in, size_t n);

#endif
