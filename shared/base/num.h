#ifndef EASEL_BASE_NUM_H
#define EASEL_BASE_NUM_H
/*
 * num - whole-string, range-checked parsing
 *
 * Each returns 0, or -1 with *out untouched, but for num_hex_digit().  No locale, no leading white space or
 * plus sign.
 */
#include <stdint.h>

int num_i64(const char *s, int64_t min, int64_t max, int64_t *out);
/* "1024x768", each side min..max. */
int num_size(const char *s, uint32_t min, uint32_t max, uint32_t *w, uint32_t *h);
/* "250ms", "20s", "2m", "24h", "30d" to milliseconds; "" is 0; a bare number is refused but for "0". */
int num_duration_ms(const char *s, int64_t *out);
/* "32MB", "10GB", "512kB", "100B", "0": powers of 1024. */
int num_bytes(const char *s, int64_t *out);
/* 0 to 15, in either case; -1: it is no hexadecimal digit. */
int num_hex_digit(char c);

#endif
