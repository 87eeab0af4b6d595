#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/loader.h"

#define CHUNK_BYTES 8192

struct chunk {
	struct chunk *next;
	size_t size, used;
	_Alignas(16) char mem[];
};

void *
arena_alloc(void *arena, size_t bytes)
{
	struct arena *a = arena;
	size_t need = (bytes + 15) & ~(size_t)15;
	struct chunk *k = a->head;
	void *p;

	if (!k || k->size - k->used < need) {
		size_t size = need > CHUNK_BYTES ? need : CHUNK_BYTES;

		k = calloc(1, sizeof(*k) + size);
		if (!k)
			abort();
		k->size = size;
		k->next = a->head;
		a->head = k;
	}
	p = k->mem + k->used;
	k->used += need;
	return p;
}

char *
arena_text(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	memcpy(p, s, n);
	return p;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
	va_start(ap, fmt);
	if (n > 0)
		(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

void
arena_done(struct arena *a)
{
	struct chunk *k, *next;

	for (k = a->head; k; k = next) {
		next = k->next;
		explicit_bzero(k->mem, k->size);
		free(k);
	}
	a->head = NULL;
}

void
strings_add(struct arena *a, struct strings *list, const char *s)
{
	/* Lists are short and made once: a new array each time is simplest. */
	char **v = arena_alloc(a, (list->n + 1) * sizeof(*v));

	if (list->n)
		memcpy(v, list->v, list->n * sizeof(*v));
	v[list->n++] = arena_text(a, s, strlen(s));
	list->v = v;
}
