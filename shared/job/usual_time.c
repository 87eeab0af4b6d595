#include "job/usual_time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/run_folder.h"

#define FILE_NAME "usual-times.v1" /* two layouts never meet */
#define SUCCESSES 20
#define ROWS      1024 /* models and their degrade steps */

struct row {
	_Atomic uint64_t id; /* 0: free.  Once set it stays */
	_Atomic uint32_t count;
	_Atomic uint32_t ms[SUCCESSES];
};

static struct row *rows;

int
usual_time_open(const char *state_dir, struct err *e)
{
	AUTO_FD int dir = run_folder_open(state_dir, "", e);
	AUTO_FD int fd = -1;
	void *map;
	int code;

	if (dir < 0)
		return -1;
	fd = openat(dir, FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return run_folder_failed(e, FILE_NAME, "open");
	/* Leaves what is there.  Blocks, not a hole: on a full disk that would be SIGBUS later. */
	code = posix_fallocate(fd, 0, ROWS * sizeof(struct row));
	if (code) {
		errno = code;
		return run_folder_failed(e, FILE_NAME, "fallocate");
	}
	map = mmap(NULL, ROWS * sizeof(struct row), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return run_folder_failed(e, FILE_NAME, "mmap");
	rows = map;
	return 0;
}

void
usual_time_close(void)
{
	if (rows)
		(void)munmap(rows, ROWS * sizeof(struct row));
	rows = NULL;
}

/* FNV-1a of both; never 0. */
static uint64_t
id_of(const char *model, unsigned level)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *model; model++)
		h = (h ^ (unsigned char)*model) * 0x100000001b3;
	h = (h ^ 0x100 ^ level) * 0x100000001b3;
	return h ? h : 1;
}

/* NULL: not there, or with `make` no room for it. */
static struct row *
find(uint64_t id, bool make)
{
	for (size_t i = 0; rows && i < ROWS; i++) {
		struct row *r = &rows[(id + i) % ROWS];
		uint64_t there = atomic_load(&r->id);

		if (!there && make && atomic_compare_exchange_strong(&r->id, &there, id))
			return r;
		if (there == id)
			return r;
		if (!there)
			return NULL;
	}
	return NULL;
}

void
usual_time_add(const char *model, unsigned level, int64_t ms)
{
	struct row *r = find(id_of(model, level), true);

	if (!r || ms < 0)
		return;
	atomic_store(&r->ms[atomic_fetch_add(&r->count, 1) % SUCCESSES],
		     (uint32_t)(ms < 1            ? 1
				: ms > UINT32_MAX ? UINT32_MAX
						  : ms));
}

/* Into its place among n that are sorted; of so few, and for each request, quicker than qsort(). */
static void
insert(uint32_t *sorted, size_t n, uint32_t ms)
{
	for (; n && sorted[n - 1] > ms; n--)
		sorted[n] = sorted[n - 1];
	sorted[n] = ms;
}

int64_t
usual_time_ms(const char *model, unsigned level)
{
	struct row *r = find(id_of(model, level), false);
	uint32_t ms[SUCCESSES];
	size_t n = 0;

	for (size_t i = 0; r && i < SUCCESSES; i++) {
		uint32_t one = atomic_load(&r->ms[i]);

		if (one)
			insert(ms, n++, one);
	}
	if (!n)
		return 0;
	return n % 2 ? ms[n / 2] : ((int64_t)ms[n / 2 - 1] + ms[n / 2]) / 2;
}
