#include "store/slot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alive.h"
#include "base/run_folder.h"

#define FOLDER       "slots"
#define FILE_MAGIC   0x73746f6c536c6531U
#define FILE_VERSION 1 /* in the file's name: two layouts never meet */
#define OPEN_TRIES   100
#define LOCK_TRY_MS  20 /* the lock is held for microseconds, unless its holder was stopped */
#define FILE_BYTES   (sizeof(struct slot_header) + SLOT_LINE_MAX * sizeof(struct slot_entry))

struct slot_files {
	pthread_mutex_t mutex; /* guards what follows */
	struct slot_line *lines;
	char *state_dir;
	int dir;
};

int
slot_files_new(struct slot_files **out, const char *state_dir, struct err *e)
{
	struct slot_files *f = calloc(1, sizeof(*f));

	if (!f || !(f->state_dir = strdup(state_dir))) {
		free(f);
		return err_set(e, ERR_INTERNAL, "out of memory");
	}
	(void)pthread_mutex_init(&f->mutex, NULL);
	f->dir = -1;
	*out = f;
	return 0;
}

static void
line_free(struct slot_line *l)
{
	if (l->h)
		(void)munmap(l->h, FILE_BYTES);
	if (l->fd >= 0)
		(void)close(l->fd);
	(void)pthread_mutex_destroy(&l->mutex);
	free(l->provider);
	free(l);
}

void
slot_files_free(struct slot_files *f)
{
	struct slot_line *next;

	if (!f)
		return;
	for (struct slot_line *l = f->lines; l; l = next) {
		next = l->next;
		line_free(l);
	}
	if (f->dir >= 0) {
		(void)close(f->dir);
		alive_close();
	}
	(void)pthread_mutex_destroy(&f->mutex);
	free(f->state_dir);
	free(f);
}

/* ---- the file ---- */

/* Of the whole file, for what is shorter than a wait. */
static int
file_lock(int fd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };
	int rc;

	do
		rc = fcntl(fd, F_OFD_SETLK, &l);
	while (rc < 0 && errno == EINTR);
	return rc;
}

bool
slot_file_lock(struct slot_line *l)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	struct deadline d = { 0 };

	(void)pthread_mutex_lock(&l->mutex);
	while (file_lock(l->fd, F_WRLCK) < 0) {
		if (!d.at_us)
			d = deadline_in_ms(LOCK_TRY_MS);
		if (deadline_over(&d)) {
			(void)pthread_mutex_unlock(&l->mutex);
			return false;
		}
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

void
slot_file_unlock(struct slot_line *l)
{
	(void)file_lock(l->fd, F_UNLCK);
	(void)pthread_mutex_unlock(&l->mutex);
}

/* The provider's name as a file's: what a path could not hold is '_', and a number tells twins apart. */
static void
file_name(const char *provider, char *out, size_t size)
{
	char plain[41];
	uint32_t hash = 0x811c9dc5;
	size_t n = 0;

	for (const char *p = provider; *p; p++) {
		bool fine = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			    (*p >= '0' && *p <= '9') || *p == '-';

		hash = (hash ^ (unsigned char)*p) * 0x01000193;
		if (n < sizeof(plain) - 1)
			plain[n++] = fine ? *p : '_';
	}
	plain[n] = '\0';
	(void)snprintf(out, size, "%s.%08x.v%d", plain, hash, FILE_VERSION);
}

/* Under the lock: whoever comes first lays the file out. */
static int
file_prepare(struct slot_line *l)
{
	struct stat st;
	int code;

	if (fstat(l->fd, &st) < 0)
		return -1;
	if (st.st_size < (off_t)FILE_BYTES) {
		/* Blocks, not a hole: a store to a hole on a full disk would be SIGBUS. */
		code = posix_fallocate(l->fd, 0, (off_t)FILE_BYTES);
		if (code) {
			errno = code;
			return -1;
		}
	}
	l->h = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	if (l->h == MAP_FAILED) {
		l->h = NULL;
		return -1;
	}
	l->entries = (struct slot_entry *)(l->h + 1);
	if (!l->h->magic) {
		l->h->entries = SLOT_LINE_MAX;
		l->h->entry_bytes = sizeof(struct slot_entry);
		l->h->magic = FILE_MAGIC;
	}
	errno = EINVAL;
	return l->h->magic == FILE_MAGIC && l->h->entries == SLOT_LINE_MAX &&
			       l->h->entry_bytes == sizeof(struct slot_entry) &&
			       l->h->used <= SLOT_LINE_MAX
		       ? 0
		       : -1;
}

/* Opens the file and lays it out if need be.  -1 with errno. */
static int
file_open(struct slot_line *l, int dir)
{
	char name[80];
	int rc, saved;

	file_name(l->provider, name, sizeof(name));
	l->fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->fd < 0)
		return -1;
	/* Whoever lays it out may wait for the disk. */
	for (int tries = 0; !slot_file_lock(l); tries++)
		if (tries == OPEN_TRIES) {
			errno = EBUSY;
			return -1;
		}
	rc = file_prepare(l);
	saved = errno;
	slot_file_unlock(l);
	errno = saved;
	return rc;
}

/* The folder, and this process among those that live.  With the lock held. */
static int
folder_open(struct slot_files *f, struct err *e)
{
	if (f->dir >= 0)
		return 0;
	if (alive_open(f->state_dir, e) < 0)
		return -1;
	f->dir = run_folder_open(f->state_dir, FOLDER, e);
	if (f->dir >= 0)
		return 0;
	alive_close();
	return -1;
}

static struct slot_line *
line_new(struct slot_files *f, const char *provider, struct err *e)
{
	struct slot_line *l = calloc(1, sizeof(*l));

	if (l) {
		l->fd = -1;
		(void)pthread_mutex_init(&l->mutex, NULL);
		l->provider = strdup(provider);
	}
	if (l && l->provider && file_open(l, f->dir) == 0)
		return l;
	(void)run_folder_failed(e, FOLDER, "a line");
	if (l)
		line_free(l);
	return NULL;
}

struct slot_line *
slot_file_of(struct slot_files *f, const char *provider, struct err *e)
{
	struct slot_line *l;

	(void)pthread_mutex_lock(&f->mutex);
	for (l = f->lines; l && strcmp(l->provider, provider) != 0; l = l->next)
		;
	if (!l && folder_open(f, e) == 0) {
		l = line_new(f, provider, e);
		if (l) {
			l->next = f->lines;
			f->lines = l;
		}
	}
	(void)pthread_mutex_unlock(&f->mutex);
	return l;
}
