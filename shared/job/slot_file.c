#include "job/slot_file.h"

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
#define FILE_BYTES   (sizeof(struct slot_header) + SLOT_ENTRIES * sizeof(struct slot_entry))

/* This process. */
static struct {
	pthread_mutex_t mutex; /* guards lines */
	struct slot_line *lines;
	int dir;
} own = { .mutex = PTHREAD_MUTEX_INITIALIZER, .dir = -1 };

int
slots_open(const char *state_dir, struct err *e)
{
	if (own.dir >= 0)
		return err_set(e, ERR_INTERNAL, "slots_open: twice");
	if (alive_open(state_dir, e) < 0)
		return -1;
	own.dir = run_folder_open(state_dir, FOLDER, e);
	if (own.dir >= 0)
		return 0;
	alive_close();
	return -1;
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
slots_close(void)
{
	struct slot_line *next;

	for (struct slot_line *l = own.lines; l; l = next) {
		next = l->next;
		line_free(l);
	}
	if (own.dir >= 0) {
		(void)close(own.dir);
		alive_close();
	}
	own.lines = NULL;
	own.dir = -1;
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
		l->h->entries = SLOT_ENTRIES;
		l->h->entry_bytes = sizeof(struct slot_entry);
		l->h->magic = FILE_MAGIC;
	}
	errno = EINVAL;
	return l->h->magic == FILE_MAGIC && l->h->entries == SLOT_ENTRIES &&
			       l->h->entry_bytes == sizeof(struct slot_entry) &&
			       l->h->used <= SLOT_ENTRIES
		       ? 0
		       : -1;
}

/* Opens the file and lays it out if need be.  -1 with errno. */
static int
file_open(struct slot_line *l)
{
	char name[80];
	int rc, saved;

	file_name(l->provider, name, sizeof(name));
	l->fd = openat(own.dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
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

struct slot_line *
slot_file_of(const char *provider, struct err *e)
{
	struct slot_line *l;

	(void)pthread_mutex_lock(&own.mutex);
	for (l = own.lines; l && strcmp(l->provider, provider) != 0; l = l->next)
		;
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (l) {
			l->fd = -1;
			(void)pthread_mutex_init(&l->mutex, NULL);
			l->provider = strdup(provider);
		}
		if (l && l->provider && file_open(l) == 0) {
			l->next = own.lines;
			own.lines = l;
		} else {
			(void)run_folder_failed(e, FOLDER, "a line");
			if (l)
				line_free(l);
			l = NULL;
		}
	}
	(void)pthread_mutex_unlock(&own.mutex);
	return l;
}
