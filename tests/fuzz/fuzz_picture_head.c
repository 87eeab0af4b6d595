#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "files/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a beginning decides, no longer one may change, and a size is never 0. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum picture_type type = PICTURE_NONE, before_type = PICTURE_NONE;
	uint32_t width = 0, height = 0;
	enum picture_head before = HEAD_MORE, now;
	const char *why = NULL, *before_why = NULL;
	unsigned char first[12] = { 0 };

	for (size_t n = 0; n <= size; n = n < 64 ? n + 1 : n + 97) {
		uint8_t *exact = malloc(n ? n : 1);

		if (!exact)
			abort();
		memcpy(exact, data, n);
		now = picture_head(exact, n, &type, &width, &height, &why);
		free(exact);
		if (before != HEAD_MORE &&
		    (now != before || type != before_type || why != before_why))
			__builtin_trap();
		if (now == HEAD_OK && (type == PICTURE_NONE || !width || !height || n < 12))
			__builtin_trap();
		if (now == HEAD_BAD && (!why || !*why))
			__builtin_trap();
		before = now;
		before_type = type;
		before_why = why;
	}
	memcpy(first, data, size < 12 ? size : 12);
	for (int t = PICTURE_NONE; t <= PICTURE_WEBP; t++)
		(void)picture_ends((enum picture_type)t, first, data, size, size);
	return 0;
}
