#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "store/sqlite_store.h"

#define KINDS 2 /* of enum task_wait */

struct wake {
	_Atomic uint32_t count[KINDS];
};

struct wake *
wake_open(const char *path)
{
	AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size < (off_t)sizeof(struct wake) && ftruncate(fd, sizeof(struct wake)) < 0)
		return NULL;
	p = mmap(NULL, sizeof(struct wake), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

void
wake_free(struct wake *w)
{
	if (w)
		(void)munmap(w, sizeof(*w));
}

void
wake_all(struct wake *w, unsigned what)
{
	if (!w)
		return;
	(void)atomic_fetch_add(&w->count[what], 1);
	(void)syscall(SYS_futex, &w->count[what], FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void
wake_wait(struct wake *w, unsigned what, uint32_t *seen, const struct deadline *d)
{
	static const struct timespec pause = { .tv_nsec = 50000000 };
	int64_t left_us;

	if (!w) {
		if (!deadline_over(d))
			(void)nanosleep(&pause, NULL);
		return;
	}
	while (atomic_load(&w->count[what]) == *seen && (left_us = d->at_us - clock_us()) > 0) {
		struct timespec t = { .tv_sec = left_us / 1000000,
				      .tv_nsec = left_us % 1000000 * 1000 };

		if (syscall(SYS_futex, &w->count[what], FUTEX_WAIT, *seen, &t, NULL, 0) < 0 &&
		    errno == ETIMEDOUT)
			break;
	}
	*seen = atomic_load(&w->count[what]);
}
