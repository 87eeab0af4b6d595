#include "files/answer_scan.h"

#include "base/num.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define DATA_SCHEME "data:"

/*
 * Outside of strings only one thing matters: is the next string the value of a key, and of which?
 * A string is a key when a colon follows it, so every string that is not itself a value may be one.
 */
enum state {
	S_OTHER,       /* between tokens: the last one was neither a string that may be a key … */
	S_AFTER_NAME,  /* … which s->key holds, */
	S_AFTER_COLON, /* … nor the colon behind it */
	S_NAME,        /* in a string that may be a key */
	S_STRING,      /* in a value that is no picture */
	S_SCHEME,      /* in a value that may turn out to begin with "data:" */
	S_B64_FIRST,   /* at the first character of a picture: an empty string is no picture */
	S_PICTURE,     /* in a picture */
	/* the same, behind a backslash */
	S_NAME_ESC,
	S_STRING_ESC,
	S_SCHEME_ESC,
	S_PICTURE_ESC,
	/* behind "\u", with s->escape_len of its four digits */
	S_NAME_HEX,
	S_SCHEME_HEX,
	S_PICTURE_HEX,
	S_FAILED,
};

/* ---- the end of a run ---- */

/* A byte that ends a run of plain characters in a string. */
static bool
is_stop(char c)
{
	return c == '"' || c == '\\';
}

#if defined(__x86_64__)
/* How many of n bytes stand before the first stop, in rounds of 64; the caller does what is left. */
__attribute__((target("avx2"))) static size_t
span_avx2(const char *p, size_t n)
{
	const __m256i quote = _mm256_set1_epi8('"'), backslash = _mm256_set1_epi8('\\');
	size_t i = 0;

	for (; i + 64 <= n; i += 64) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(p + i));
		__m256i b = _mm256_loadu_si256((const __m256i *)(p + i + 32));
		__m256i stop_a = _mm256_or_si256(_mm256_cmpeq_epi8(a, quote),
						 _mm256_cmpeq_epi8(a, backslash));
		__m256i stop_b = _mm256_or_si256(_mm256_cmpeq_epi8(b, quote),
						 _mm256_cmpeq_epi8(b, backslash));
		__m256i stop = _mm256_or_si256(stop_a, stop_b);

		if (!_mm256_testz_si256(stop, stop))
			return i + (size_t)__builtin_ctzll(
					   (uint32_t)_mm256_movemask_epi8(stop_a) |
					   (uint64_t)(uint32_t)_mm256_movemask_epi8(stop_b) << 32);
	}
	return i;
}
#endif

#define EACH(c)        (0x0101010101010101ull * (unsigned char)(c))
#define HAS_ZERO(word) (((word)-EACH(1)) & ~(word)&EACH(0x80))

/* The length of the run of plain characters at p, up to n. */
static size_t
span(const char *p, size_t n)
{
	size_t i = 0;
	uint64_t word;

#if defined(__x86_64__)
	if (n >= 64 && __builtin_cpu_supports("avx2"))
		i = span_avx2(p, n);
#endif
	for (; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		if (HAS_ZERO(word ^ EACH('"')) | HAS_ZERO(word ^ EACH('\\')))
			break;
	}
	while (i < n && !is_stop(p[i]))
		i++;
	return i;
}

/* ---- the rest ---- */

static int
rest_add(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	if (buf_add(&s->rest, p, n) == 0)
		return 0;
	if (s->rest.len + n <= s->rest.max)
		return err_set(e, ERR_INTERNAL, "out of memory");
	return err_set(e, ERR_UP_TOO_LARGE, "more than %zu bytes around its pictures", s->rest.max);
}

/* ---- keys and the beginnings of values ---- */

static void
key_add(struct answer_scan *s, const char *p, size_t n)
{
	for (size_t i = 0; i < n && s->key_len < sizeof(s->key); i++)
		s->key[s->key_len++] = p[i]; /* a full key is longer than any that is looked for */
}

static bool
key_is(const struct answer_scan *s, const char *name)
{
	return s->key_len == strlen(name) && !memcmp(s->key, name, s->key_len);
}

/* A string opens behind a colon; its quote is in the rest already. */
static enum state
value_state(struct answer_scan *s)
{
	s->value_len = 0;
	s->value_at = s->rest.len;
	if (key_is(s, "b64_json") || (s->also && key_is(s, s->also)))
		return S_B64_FIRST;
	return key_is(s, "url") || key_is(s, "image_url") ? S_SCHEME : S_STRING;
}

/* The value is a picture: its quote, and what else of it is in the rest, gives way to a number. */
static int
picture_start(struct answer_scan *s, struct err *e)
{
	char number[16];
	int n = snprintf(number, sizeof(number), "%u", s->pictures);

	s->rest.len = s->value_at - 1;
	if (rest_add(s, number, (size_t)n, e) < 0)
		return -1;
	s->state = S_PICTURE;
	return s->picture_begin(s->self, s->pictures++, e);
}

/* One more character of a value that may begin with "data:". */
static int
scheme_add(struct answer_scan *s, char c, struct err *e)
{
	s->state = S_SCHEME;
	if (c != DATA_SCHEME[s->value_len]) {
		s->state = S_STRING;
		return 0;
	}
	if (++s->value_len < sizeof(DATA_SCHEME) - 1)
		return 0;
	if (picture_start(s, e) < 0)
		return -1;
	return s->picture_text(s->self, DATA_SCHEME, sizeof(DATA_SCHEME) - 1, e);
}

/* ---- escapes ---- */

/* A character that an escape stood for, in the string that `state` says. */
static int
escaped(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	switch ((enum state)s->state) {
	case S_NAME_ESC:
	case S_NAME_HEX:
		s->state = S_NAME;
		key_add(s, p, n);
		return 0;
	case S_SCHEME_ESC:
	case S_SCHEME_HEX: return scheme_add(s, n == 1 ? *p : '\0', e);
	default: s->state = S_PICTURE; return s->picture_text(s->self, p, n, e);
	}
}

/* No escape: in a picture that is an error, elsewhere the parser will say so. */
static int
bad_escape(struct answer_scan *s, struct err *e)
{
	switch ((enum state)s->state) {
	case S_NAME_ESC:
	case S_NAME_HEX:
		s->state = S_NAME;
		s->key_len = sizeof(s->key); /* no key that is looked for */
		return 0;
	case S_SCHEME_ESC:
	case S_SCHEME_HEX: s->state = S_STRING; return 0;
	default: return err_set(e, ERR_UP_GARBAGE, "a bad escape in a picture's text");
	}
}

/* The character behind a backslash. */
static int
escape(struct answer_scan *s, char c, struct err *e)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	const char *name = c ? strchr(names, c) : NULL;

	if (c == 'u') {
		s->state = s->state == S_NAME_ESC     ? S_NAME_HEX
			   : s->state == S_SCHEME_ESC ? S_SCHEME_HEX
						      : S_PICTURE_HEX;
		s->escape_len = s->escape_value = 0;
		return 0;
	}
	return name ? escaped(s, &means[name - names], 1, e) : bad_escape(s, e);
}

/* One of the four digits behind "\u". */
static int
escape_digit(struct answer_scan *s, char c, struct err *e)
{
	int digit = num_hex_digit(c);
	char ascii;

	if (digit < 0)
		return bad_escape(s, e);
	s->escape_value = s->escape_value << 4 | (unsigned)digit;
	if (++s->escape_len < 4)
		return 0;
	if (s->escape_value >= 0x80)
		return escaped(s, "\xef\xbf\xbd", 3, e); /* U+FFFD */
	ascii = (char)s->escape_value;
	return escaped(s, &ascii, 1, e);
}

/* ---- the machine: each takes at least one byte and returns how many, or -1 ---- */

/* Between strings. */
static ptrdiff_t
scan_tokens(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	size_t i;

	for (i = 0; i < n && p[i] != '"'; i++) {
		if (p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n')
			continue;
		s->state = p[i] == ':' && s->state == S_AFTER_NAME ? S_AFTER_COLON : S_OTHER;
	}
	if (rest_add(s, p, i < n ? i + 1 : i, e) < 0)
		return -1;
	if (i == n)
		return (ptrdiff_t)i;
	if (s->state == S_AFTER_COLON) {
		s->state = value_state(s);
	} else {
		s->state = S_NAME;
		s->key_len = 0;
	}
	return (ptrdiff_t)i + 1;
}

/* In a string that goes to the rest as it is. */
static ptrdiff_t
scan_string(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	size_t i = span(p, n);

	if (s->state == S_NAME)
		key_add(s, p, i);
	if (i < n) {
		if (p[i] == '"')
			s->state = s->state == S_NAME ? S_AFTER_NAME : S_OTHER;
		else
			s->state = s->state == S_NAME ? S_NAME_ESC : S_STRING_ESC;
		i++;
	}
	return rest_add(s, p, i, e) < 0 ? -1 : (ptrdiff_t)i;
}

/* At the beginning of a value that may be a picture: one character. */
static int
scan_scheme(struct answer_scan *s, char c, struct err *e)
{
	if (rest_add(s, &c, 1, e) < 0)
		return -1;
	if (c == '"')
		s->state = S_OTHER;
	else if (c == '\\')
		s->state = S_SCHEME_ESC;
	else
		return scheme_add(s, c, e);
	return 0;
}

/* In a picture: the run goes on from where it lies. */
static ptrdiff_t
scan_picture(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	/* An escape that only shields a character, as in "\/" of PHP, costs no run of its own: the
	   run begins with that character. */
	size_t shielded = s->state == S_PICTURE_ESC && (*p == '/' || is_stop(*p));
	size_t i = shielded + span(p + shielded, n - shielded);

	s->state = S_PICTURE;
	if (i && s->picture_text(s->self, p, i, e) < 0)
		return -1;
	if (i == n)
		return (ptrdiff_t)i;
	if (p[i] == '\\') {
		s->state = S_PICTURE_ESC;
	} else {
		s->state = S_OTHER;
		if (s->picture_end(s->self, e) < 0)
			return -1;
	}
	return (ptrdiff_t)i + 1;
}

/* The states that look at one character; it goes to the rest unless it is a picture's.  1: look at it
   once more. */
static int
scan_one(struct answer_scan *s, char c, struct err *e)
{
	bool hex = s->state == S_NAME_HEX || s->state == S_SCHEME_HEX || s->state == S_PICTURE_HEX;

	/* A quote where a digit should be still ends the string. */
	if (hex && is_stop(c) && s->state != S_PICTURE_HEX) {
		(void)bad_escape(s, e);
		return 1;
	}
	if (s->state != S_PICTURE_ESC && s->state != S_PICTURE_HEX && rest_add(s, &c, 1, e) < 0)
		return -1;
	if (s->state == S_STRING_ESC) {
		s->state = S_STRING;
		return 0;
	}
	return hex ? escape_digit(s, c, e) : escape(s, c, e);
}

static ptrdiff_t
scan(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	int rc;

	switch ((enum state)s->state) {
	case S_OTHER:
	case S_AFTER_NAME:
	case S_AFTER_COLON: return scan_tokens(s, p, n, e);
	case S_NAME:
	case S_STRING: return scan_string(s, p, n, e);
	case S_SCHEME: return scan_scheme(s, *p, e) < 0 ? -1 : 1;
	case S_B64_FIRST:
		if (*p == '"')
			s->state = S_STRING;
		else if (picture_start(s, e) < 0)
			return -1;
		return 0; /* the same character again */
	case S_PICTURE: return scan_picture(s, p, n, e);
	case S_PICTURE_ESC:
		if (*p == '/' || is_stop(*p))
			return scan_picture(s, p, n, e);
		break;
	case S_FAILED: return err_set(e, ERR_INTERNAL, "an answer went on after it was refused");
	default: break;
	}
	rc = scan_one(s, *p, e);
	return rc < 0 ? -1 : rc ? 0 : 1;
}

void
answer_scan_init(struct answer_scan *s, size_t rest_max_bytes)
{
	*s = (struct answer_scan){ .rest = BUF_INIT(rest_max_bytes), .state = S_OTHER };
}

int
answer_scan_feed(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	while (n) {
		ptrdiff_t k = scan(s, p, n, e);

		if (k < 0) {
			s->state = S_FAILED;
			return -1;
		}
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

void
answer_scan_again(struct answer_scan *s)
{
	buf_clear(&s->rest);
	s->state = S_OTHER;
	s->pictures = 0;
}

bool
answer_scan_complete(const struct answer_scan *s)
{
	return s->state == S_OTHER || s->state == S_AFTER_NAME || s->state == S_AFTER_COLON;
}

void
answer_scan_done(struct answer_scan *s)
{
	buf_done(&s->rest);
}
