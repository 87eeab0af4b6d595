#include "base/base64.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- any machine ---- */

static const char alphabet[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* For each character its six bits and a mark, so that one AND over a group tells whether all are. */
#define MARK     0x40
#define V(c, n)  [c] = MARK | (n)
#define V4(c, n) V(c, n), V((c) + 1, (n) + 1), V((c) + 2, (n) + 2), V((c) + 3, (n) + 3)
/* clang-format off */
static const uint8_t value[256] = {
	V4('A', 0), V4('E', 4), V4('I', 8), V4('M', 12), V4('Q', 16), V4('U', 20), V('Y', 24), V('Z', 25),
	V4('a', 26), V4('e', 30), V4('i', 34), V4('m', 38), V4('q', 42), V4('u', 46), V('y', 50), V('z', 51),
	V4('0', 52), V4('4', 56), V('8', 60), V('9', 61), V('+', 62), V('/', 63),
};
/* clang-format on */

static size_t
encode_table(char *out, const unsigned char *in, size_t n)
{
	char *o = out;
	uint32_t v;

	for (; n >= 3; n -= 3, in += 3, o += 4) {
		v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		o[0] = alphabet[v >> 18];
		o[1] = alphabet[v >> 12 & 63];
		o[2] = alphabet[v >> 6 & 63];
		o[3] = alphabet[v & 63];
	}
	if (n) {
		v = (uint32_t)in[0] << 16 | (n == 2 ? (uint32_t)in[1] << 8 : 0);
		o[0] = alphabet[v >> 18];
		o[1] = alphabet[v >> 12 & 63];
		o[2] = n == 2 ? alphabet[v >> 6 & 63] : '=';
		o[3] = '=';
		o += 4;
	}
	return (size_t)(o - out);
}

static size_t
decode_table(unsigned char *out, const unsigned char *in, size_t n)
{
	size_t i;

	for (i = 0; i + 4 <= n; i += 4, out += 3) {
		uint8_t a = value[in[i]], b = value[in[i + 1]], c = value[in[i + 2]],
			d = value[in[i + 3]];

		if (!(a & b & c & d & MARK))
			break;
		out[0] = (unsigned char)(a << 2 | (b & 63) >> 4);
		out[1] = (unsigned char)(b << 4 | (c & 63) >> 2);
		out[2] = (unsigned char)(c << 6 | (d & 63));
	}
	return i;
}

/* ---- AVX2: after W. Mula and D. Lemire, "Faster Base64 Encoding and Decoding Using AVX2
   Instructions" (ACM Transactions on the Web 12:3, 2018), written anew ---- */

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))

static inline int
have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

/* A table of sixteen bytes for both halves of a register, for VPSHUFB. */
#define TWICE(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

/* 24 bytes, twelve in the low end of each half, to 32 characters. */
AVX2 static inline __m256i
encode_24(__m256i in)
{
	/* A group b0 b1 b2 becomes the two 16-bit words b0:b1 and b1:b2 (big end first), which hold
	   two of its four numbers each; multiplying moves each number to a byte of its own. */
	const __m256i spread = TWICE(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
	/* What to add to a number, by its class: A-Z 13, a-z 0, 0-9 1..10, + 11, / 12. */
	const __m256i shift =
		TWICE('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
		      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
	__m256i high, low, numbers, class;

	in = _mm256_shuffle_epi8(in, spread);
	high = _mm256_mulhi_epu16(_mm256_and_si256(in, _mm256_set1_epi32(0x0fc0fc00)),
				  _mm256_set1_epi32(0x04000040));
	low = _mm256_mullo_epi16(_mm256_and_si256(in, _mm256_set1_epi32(0x003f03f0)),
				 _mm256_set1_epi32(0x01000010));
	numbers = _mm256_or_si256(high, low);
	class = _mm256_subs_epu8(numbers, _mm256_set1_epi8(51));
	class = _mm256_or_si256(class,
				_mm256_and_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(26), numbers),
						 _mm256_set1_epi8(13)));
	return _mm256_add_epi8(numbers, _mm256_shuffle_epi8(shift, class));
}

AVX2 static size_t
encode_avx2(char *out, const unsigned char *in, size_t n)
{
	char *o = out;

	for (; n >= 28; n -= 24, in += 24, o += 32) { /* reads 28 bytes, uses 24 */
		__m128i a = _mm_loadu_si128((const __m128i *)in);
		__m128i b = _mm_loadu_si128((const __m128i *)(in + 12));

		_mm256_storeu_si256((__m256i *)o, encode_24(_mm256_set_m128i(b, a)));
	}
	return (size_t)(o - out) + encode_table(o, in, n);
}

/* The bits of a character that make it a stranger to the alphabet; 0 when it is none. */
AVX2 static inline __m256i
strangers(__m256i in, __m256i high_nibbles)
{
	/* Each class of first digits has a bit; a second digit has the bits of the classes where it
	   is no letter: 1 of 2x, 2 of 3x, 4 of 4x and 6x, 8 of 5x and 7x, 16 of all others. */
	const __m256i by_low = TWICE(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
				     0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
	const __m256i by_high = TWICE(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10,
				      0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
	__m256i low_nibbles = _mm256_and_si256(in, _mm256_set1_epi8(0x0f));

	return _mm256_and_si256(_mm256_shuffle_epi8(by_low, low_nibbles),
				_mm256_shuffle_epi8(by_high, high_nibbles));
}

/* 32 characters of the alphabet to 24 bytes in the low end. */
AVX2 static inline __m256i
decode_32(__m256i in, __m256i high_nibbles)
{
	/* What to add to a character, by its first digit; '/' (2f) borrows the place of 1x. */
	const __m256i by_high = TWICE(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m256i close = TWICE(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
	__m256i slash = _mm256_cmpeq_epi8(in, _mm256_set1_epi8('/'));
	__m256i numbers =
		_mm256_add_epi8(in,
				_mm256_shuffle_epi8(by_high, _mm256_add_epi8(slash, high_nibbles)));
	/* four numbers of six bits → two of twelve → one of 24 in each 32-bit word */
	__m256i pairs = _mm256_maddubs_epi16(numbers, _mm256_set1_epi32(0x01400140));
	__m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));

	return _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(groups, close),
					   _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7));
}

AVX2 static size_t
decode_avx2(unsigned char *out, const unsigned char *in, size_t n)
{
	const __m256i nibble = _mm256_set1_epi8(0x0f);
	size_t i = 0;

	/* Two registers a round, one test for both. */
	for (; i + 64 <= n; i += 64, out += 48) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(in + i));
		__m256i b = _mm256_loadu_si256((const __m256i *)(in + i + 32));
		__m256i high_a = _mm256_and_si256(_mm256_srli_epi32(a, 4), nibble);
		__m256i high_b = _mm256_and_si256(_mm256_srli_epi32(b, 4), nibble);
		__m256i bad = _mm256_or_si256(strangers(a, high_a), strangers(b, high_b));

		if (!_mm256_testz_si256(bad, bad))
			break;
		_mm256_storeu_si256((__m256i *)out, decode_32(a, high_a));
		_mm256_storeu_si256((__m256i *)(out + 24), decode_32(b, high_b));
	}
	for (; i + 32 <= n; i += 32, out += 24) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(in + i));
		__m256i high_a = _mm256_and_si256(_mm256_srli_epi32(a, 4), nibble);
		__m256i bad = strangers(a, high_a);

		if (!_mm256_testz_si256(bad, bad))
			break;
		_mm256_storeu_si256((__m256i *)out, decode_32(a, high_a));
	}
	return i + decode_table(out, in + i, n - i);
}

#endif

size_t
base64_encode(char *out, const void *in, size_t n)
{
#if defined(__x86_64__)
	if (have_avx2())
		return encode_avx2(out, in, n);
#endif
	return encode_table(out, in, n);
}

size_t
base64_decode(void *out, const char *in, size_t n)
{
#if defined(__x86_64__)
	if (have_avx2())
		return decode_avx2(out, (const unsigned char *)in, n);
#endif
	return decode_table(out, (const unsigned char *)in, n);
}
