#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>

/* The source itself, for the tests to reach the ways that this machine's processor would not take. */
#include "base/base64.c"

typedef size_t encoder(char *out, const unsigned char *in, size_t n);
typedef size_t decoder(unsigned char *out, const unsigned char *in, size_t n);

static size_t
encode_dispatched(char *out, const unsigned char *in, size_t n)
{
	return base64_encode(out, in, n);
}

static size_t
decode_dispatched(unsigned char *out, const unsigned char *in, size_t n)
{
	return base64_decode(out, (const char *)in, n);
}

static struct way {
	encoder *encode;
	decoder *decode;
} ways[3] = { { encode_dispatched, decode_dispatched }, { encode_table, decode_table } };
static size_t nways = 2;

#define EACH_WAY(w) for (const struct way *w = ways; w < ways + nways; w++)

/* Exactly n bytes, so that the address sanitizer sees the first one that is read past them. */
static unsigned char *
random_bytes(size_t n)
{
	unsigned char *p = malloc(n ? n : 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(rand() >> 5);
	return p;
}

static void
encoding_is_openssls_for_every_length(void **state)
{
	unsigned char expected[BASE64_ENCODED(300) + 1];

	(void)state;
	EACH_WAY(w)
	for (size_t n = 0; n <= 300; n++) {
		unsigned char *in = random_bytes(n);
		char *out = malloc(BASE64_ENCODED(n) + 1);
		int len = EVP_EncodeBlock(expected, in, (int)n);

		assert_non_null(out);
		out[BASE64_ENCODED(n)] = '!';
		assert_int_equal(BASE64_ENCODED(n), len);
		assert_int_equal(w->encode(out, in, n), len);
		assert_memory_equal(out, expected, (size_t)len);
		assert_int_equal(out[len], '!');
		free(out);
		free(in);
	}
}

static void
decoding_gives_back_what_was_encoded(void **state)
{
	(void)state;
	EACH_WAY(w)
	for (size_t n = 0; n <= 300; n += 3) {
		unsigned char *in = random_bytes(n);
		size_t len = BASE64_ENCODED(n);
		unsigned char *text = random_bytes(len + 1), *exact = random_bytes(len);
		unsigned char *out = malloc(n + 32);

		assert_non_null(out);
		(void)EVP_EncodeBlock(text, in, (int)n);
		memcpy(exact, text, len);
		assert_int_equal(w->decode(out, exact, len), len);
		assert_memory_equal(out, in, n);
		free(out);
		free(exact);
		free(text);
		free(in);
	}
}

static void
every_stranger_is_found_at_every_place(void **state)
{
	static const size_t lengths[] = { 64, 32, 132 };

	(void)state;
	EACH_WAY(w)
	for (size_t l = 0; l < sizeof(lengths) / sizeof(*lengths); l++) {
		size_t n = lengths[l];
		unsigned char *bytes = random_bytes(n / 4 * 3), text[132 + 1], out[132 + 32];

		(void)EVP_EncodeBlock(text, bytes, (int)(n / 4 * 3));
		for (size_t at = 0; at < n; at++)
			for (unsigned c = 0; c < 256; c++) {
				bool known = c && strchr(alphabet, (int)c);
				size_t good = known ? n : at & ~(size_t)3;
				unsigned char before = text[at], expected[132];

				text[at] = (unsigned char)c;
				assert_int_equal(w->decode(out, text, n), good);
				if (good) {
					(void)EVP_DecodeBlock(expected, text, (int)good);
					assert_memory_equal(out, expected, good / 4 * 3);
				}
				text[at] = before;
			}
		free(bytes);
	}
}

static void
megabytes_survive_the_way_there_and_back(void **state)
{
	const size_t n = 3 * 350000;
	unsigned char *in = random_bytes(n), *out = malloc(n + 32);
	unsigned char *text = malloc(BASE64_ENCODED(n)), *theirs = malloc(BASE64_ENCODED(n) + 1);

	(void)state;
	assert_true(out && text && theirs);
	(void)EVP_EncodeBlock(theirs, in, (int)n);
	EACH_WAY(w)
	{
		assert_int_equal(w->encode((char *)text, in, n), BASE64_ENCODED(n));
		assert_memory_equal(text, theirs, BASE64_ENCODED(n));
		assert_int_equal(w->decode(out, text, BASE64_ENCODED(n)), BASE64_ENCODED(n));
		assert_memory_equal(out, in, n);
		memset(out, 0, n);
	}
	free(theirs);
	free(text);
	free(out);
	free(in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encoding_is_openssls_for_every_length),
		cmocka_unit_test(decoding_gives_back_what_was_encoded),
		cmocka_unit_test(every_stranger_is_found_at_every_place),
		cmocka_unit_test(megabytes_survive_the_way_there_and_back),
	};

	srand(1);
#if defined(__x86_64__)
	if (have_avx2())
		ways[nways++] = (struct way){ encode_avx2, decode_avx2 };
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
