#ifndef EASEL_BASE_CLEANUP_H
#define EASEL_BASE_CLEANUP_H
/*
 * cleanup - release what a scope owns when the scope is left
 *
 * AUTO(buf) b = BUF_INIT(n);     buf_done(&b) runs at the end of the scope
 * AUTO_PTR(config) c = NULL;     config_free(c) runs at the end of the scope
 * AUTO_FD int fd = -1;           close(fd) unless it is negative
 * AUTO_FREE char *s = NULL;      free(s)
 *
 * Every x_done() and x_free() accepts a zeroed object or NULL.  Ownership that is handed out leaves
 * a zeroed object or NULL behind: return TAKE_PTR(p).
 */
#include <stdlib.h>
#include <unistd.h>

#define AUTO(type)     __attribute__((cleanup(type##_done))) struct type
#define AUTO_PTR(type) __attribute__((cleanup(type##_freep))) struct type *
#define AUTO_FD        __attribute__((cleanup(cleanup_fd)))
#define AUTO_FREE      __attribute__((cleanup(cleanup_free)))

/* Defines type##_freep for AUTO_PTR; stands after the prototype of type##_free. */
#define DEFINE_FREEP(type)                               \
	static inline void type##_freep(struct type **p) \
	{                                                \
		type##_free(*p);                         \
	}                                                \
	struct type

#define TAKE_PTR(p)                         \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

static inline void
cleanup_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void
cleanup_free(void *p)
{
	free(*(void **)p);
}

#endif
