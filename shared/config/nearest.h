#ifndef EASEL_CONFIG_NEAREST_H
#define EASEL_CONFIG_NEAREST_H
/*
 * nearest - the name that was probably meant
 *
 *	struct nearest n = nearest_to("lisen");
 *	nearest_try(&n, "listen"); …
 *	n.best is "listen", or NULL when nothing is near: an edit distance of at most 3 and at most a
 *	third of the name, upper and lower case alike.
 *
 * Thread-safe; nothing allocates.
 */
#include <stddef.h>

#define NEAREST_MAX 128 /* bytes of a name; nothing is near a longer one */

struct nearest {
	const char *name, *best;
	size_t distance; /* of best */
};

struct nearest nearest_to(const char *name);
/* `candidate` is kept as a pointer.  Of two as near, the first stays. */
void nearest_try(struct nearest *n, const char *candidate);

#endif
