#include "base/id.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * The kernel's generator: a tenth of the price of OpenSSL's for so few bytes; some ids' worth at a time,
 * because asking costs more than the bytes.  A forked process must not have its parent's.
 */
#define STOCK_BYTES 128

static _Atomic unsigned forks;

static void
in_child(void)
{
	forks++;
}

__attribute__((constructor)) static void
watch_forks(void)
{
	if (pthread_atfork(NULL, NULL, in_child) != 0)
		abort();
}

static void
random_bytes(unsigned char *out, size_t n)
{
	static __thread struct {
		unsigned char bytes[STOCK_BYTES];
		size_t left;
		unsigned forks;
	} stock;

	if (stock.left < n || stock.forks != forks) {
		/* Without randomness there are no names: nothing here can go on. */
		if (getrandom(stock.bytes, sizeof(stock.bytes), 0) != sizeof(stock.bytes))
			abort();
		stock.left = sizeof(stock.bytes);
		stock.forks = forks;
	}
	stock.left -= n;
	memcpy(out, stock.bytes + stock.left, n);
	explicit_bzero(stock.bytes + stock.left, n); /* nobody finds out what was handed out */
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

void
id_alike(const char *prefix, const char *id, char *out, size_t size)
{
	const char *random = strchr(id, '_');

	(void)snprintf(out, size, "%s%s", prefix, random ? random + 1 : id);
}
