#include "config/nearest.h"

#include <ctype.h>
#include <string.h>

#define DISTANCE_MAX 3

struct nearest
nearest_to(const char *name)
{
	size_t third = strlen(name) / 3;

	return (struct nearest){ .name = name,
				 .distance = (third < DISTANCE_MAX ? third : DISTANCE_MAX) + 1 };
}

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance, row by row. */
static size_t
distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t row[NEAREST_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t above = row[j];
			size_t change = tolower((unsigned char)a[i - 1]) !=
					tolower((unsigned char)b[j - 1]);

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + change);
			diagonal = above;
		}
	}
	return row[nb];
}

void
nearest_try(struct nearest *n, const char *candidate)
{
	size_t na = strlen(n->name), nb = strlen(candidate), d;

	if (na > NEAREST_MAX || nb > NEAREST_MAX || na > nb + DISTANCE_MAX ||
	    nb > na + DISTANCE_MAX)
		return;
	d = distance(n->name, na, candidate, nb);
	if (d < n->distance) {
		n->distance = d;
		n->best = candidate;
	}
}
