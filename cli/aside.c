#include "aside.h"

#include <signal.h>
#include <stdlib.h>

int
asides_add(struct asides *a, const struct child *c, size_t index, struct err *e)
{
	struct aside *more = realloc(a->v, (a->n + 1) * sizeof(*more));

	if (!more)
		return err_set(e, ERR_INTERNAL, "out of memory");
	a->v = more;
	a->v[a->n++] = (struct aside){ .child = *c, .index = index };
	return 0;
}

struct aside *
asides_find(struct asides *a, pid_t pid)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].child.pid == pid)
			return &a->v[i];
	return NULL;
}

void
asides_finish(struct asides *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct aside *x = &a->v[i];

		if (!x->told && x->child.pid)
			(void)kill(x->child.pid, x->child.front ? SIGINT : SIGQUIT);
		x->told = true;
	}
}

void
asides_tell_programs(const struct asides *a, int sig)
{
	for (size_t i = 0; i < a->n; i++)
		if (!a->v[i].child.front && a->v[i].child.pid)
			(void)kill(a->v[i].child.pid, sig);
}

void
asides_sweep(struct asides *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].child.pid || !a->v[i].told)
			a->v[kept++] = a->v[i];
	a->n = kept;
}

void
asides_done(struct asides *a)
{
	free(a->v);
	*a = (struct asides){ 0 };
}
