#include "store/limit_table.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/run_folder.h"

/*
 * The file: who has it open, the keys in buckets of WAYS (a key's id says which bucket), and for each
 * key how many requests each process has in hand.  There is no sum that a dying process could leave
 * wrong: it is made whenever it is needed, over those processes that live.
 *
 * A bucket's mutex is robust: it survives the death of its holder.  Whether a process lives is told by
 * the lock that it keeps on one byte of the file, which the kernel drops with it (open file description
 * locks, fcntl(2): a number can be used again, a lock cannot).  Byte 0 is locked while somebody comes,
 * or clears up after the dead.
 */
#define FILE_NAME     "limits"
#define FILE_MAGIC    0x7374696d696c4521U
#define FILE_VERSION  1
#define WAYS          16
#define BUCKETS       (LIMIT_TABLE_KEYS / WAYS)
#define BYTE_DOOR     0
#define BYTE_PROCESS  1 /* and LIMIT_TABLE_PROCESSES - 1 more */
#define OPEN_TRIES    100
#define HELD_MAX      UINT16_MAX
#define REAP_PAUSE_US 100000 /* looking for the dead costs a system call for each process */

struct bucket {
	pthread_mutex_t lock;
	struct limit_key keys[WAYS];
} __attribute__((aligned(LIMIT_CACHE_LINE)));

struct table {
	uint64_t magic;
	uint32_t version, bytes;
	_Atomic uint32_t processes; /* the highest one there ever was, plus 1 */
	_Atomic uint8_t open[LIMIT_TABLE_PROCESSES];
	struct bucket buckets[BUCKETS];
	_Atomic uint16_t held[LIMIT_TABLE_KEYS][LIMIT_TABLE_PROCESSES];
};

struct limit_table {
	struct table *t;
	int fd;
	unsigned me;
	_Atomic int64_t reaped_us; /* when somebody here looked for the dead last */
	pthread_mutex_t reaping;   /* the door's lock does not part the threads of one process */
};

/* ---- who lives ---- */

static int
byte_lock(int fd, int command, short type, off_t byte)
{
	struct flock f = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	int rc;

	do
		rc = fcntl(fd, command, &f);
	while (rc < 0 && errno == EINTR);
	return rc;
}

/* Does another process (open file description) hold a lock in these bytes? */
static bool
bytes_locked(int fd, off_t first, off_t n)
{
	struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first, .l_len = n };

	return fcntl(fd, F_OFD_GETLK, &f) < 0 || f.l_type != F_UNLCK;
}

/* A dead process gives back what it held.  With the door locked. */
static void
forget(struct table *t, unsigned process)
{
	for (unsigned k = 0; k < LIMIT_TABLE_KEYS; k++)
		if (atomic_load_explicit(&t->held[k][process], memory_order_relaxed))
			atomic_store_explicit(&t->held[k][process], 0, memory_order_relaxed);
	atomic_store_explicit(&t->open[process], 0, memory_order_release);
}

/* With the door locked.  Was anybody dead? */
static bool
forget_the_dead(struct limit_table *l)
{
	unsigned n = atomic_load(&l->t->processes);
	bool any = false;

	for (unsigned p = 0; p < n; p++)
		if (atomic_load_explicit(&l->t->open[p], memory_order_acquire) && p != l->me &&
		    !bytes_locked(l->fd, BYTE_PROCESS + p, 1)) {
			forget(l->t, p);
			any = true;
		}
	return any;
}

bool
limit_table_reap(struct limit_table *l)
{
	int64_t now_us = clock_us();
	bool any = false;

	if (now_us - atomic_load(&l->reaped_us) < REAP_PAUSE_US ||
	    pthread_mutex_trylock(&l->reaping) != 0)
		return false;
	atomic_store(&l->reaped_us, now_us);
	if (byte_lock(l->fd, F_OFD_SETLK, F_WRLCK, BYTE_DOOR) == 0) {
		any = forget_the_dead(l);
		(void)byte_lock(l->fd, F_OFD_SETLK, F_UNLCK, BYTE_DOOR);
	}
	(void)pthread_mutex_unlock(&l->reaping);
	return any;
}

/* ---- opening ---- */

static bool
is_current(int dir, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dir, FILE_NAME, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Is it new, or written by this version?  Another version's is left to those who have it open. */
static bool
is_ours(int fd)
{
	struct table head;
	ssize_t n = pread(fd, &head, offsetof(struct table, processes), 0);

	return n == 0 ||
	       (n == (ssize_t)offsetof(struct table, processes) &&
		(!head.magic || (head.magic == FILE_MAGIC && head.version == FILE_VERSION &&
				 head.bytes == sizeof(struct table))));
}

/* The file, with the door locked. */
static int
open_file(int dir, struct err *e)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		int fd = openat(dir, FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return run_folder_failed(e, FILE_NAME, "open");
		if (byte_lock(fd, F_OFD_SETLKW, F_WRLCK, BYTE_DOOR) < 0) {
			(void)run_folder_failed(e, FILE_NAME, "lock");
			(void)close(fd);
			return -1;
		}
		if (is_current(dir, fd)) {
			if (is_ours(fd))
				return fd;
			(void)unlinkat(dir, FILE_NAME, 0);
		}
		(void)close(fd);
	}
	errno = EBUSY;
	return run_folder_failed(e, FILE_NAME, "open");
}

/* Nobody else has it open: whatever it says of processes and locks is of another life. */
static void
begin_anew(struct table *t)
{
	pthread_mutexattr_t a;

	(void)pthread_mutexattr_init(&a);
	(void)pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	for (unsigned b = 0; b < BUCKETS; b++) {
		memset(&t->buckets[b].lock, 0, sizeof(t->buckets[b].lock));
		(void)pthread_mutex_init(&t->buckets[b].lock, &a);
	}
	(void)pthread_mutexattr_destroy(&a);
	for (unsigned p = 0; p < LIMIT_TABLE_PROCESSES; p++)
		if (atomic_load(&t->open[p]))
			forget(t, p);
	atomic_store(&t->processes, 0);
	t->version = FILE_VERSION;
	t->bytes = sizeof(*t);
	__atomic_store_n(&t->magic, FILE_MAGIC, __ATOMIC_RELEASE);
}

static int
map_file(struct limit_table *l, struct err *e)
{
	/* Its blocks too: a store to a hole on a full disk would be SIGBUS. */
	int code = posix_fallocate(l->fd, 0, sizeof(struct table));

	if (code) {
		errno = code;
		return run_folder_failed(e, FILE_NAME, "allocate");
	}
	l->t = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	if (l->t == MAP_FAILED) {
		l->t = NULL;
		return run_folder_failed(e, FILE_NAME, "map");
	}
	return 0;
}

static int
find_place(struct limit_table *l, struct err *e)
{
	for (unsigned p = 0; p < LIMIT_TABLE_PROCESSES; p++) {
		if (atomic_load(&l->t->open[p]) ||
		    byte_lock(l->fd, F_OFD_SETLK, F_WRLCK, BYTE_PROCESS + p) < 0)
			continue;
		l->me = p;
		atomic_store(&l->t->open[p], 1);
		if (atomic_load(&l->t->processes) <= p)
			atomic_store(&l->t->processes, p + 1);
		return 0;
	}
	return err_set(e, ERR_OVERLOADED, "more than %d processes count requests",
		       LIMIT_TABLE_PROCESSES);
}

int
limit_table_open(struct limit_table **out, const char *state_dir, struct err *e)
{
	AUTO_PTR(limit_table) l = NULL;
	AUTO_FD int dir = run_folder_open(state_dir, "", e);

	if (dir < 0)
		return -1;
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(e, ERR_INTERNAL, "out of memory");
	(void)pthread_mutex_init(&l->reaping, NULL);
	l->fd = -1;
	l->me = LIMIT_TABLE_PROCESSES;
	l->fd = open_file(dir, e);
	if (l->fd < 0 || map_file(l, e) < 0)
		return -1;
	if (!bytes_locked(l->fd, BYTE_PROCESS, LIMIT_TABLE_PROCESSES))
		begin_anew(l->t);
	(void)forget_the_dead(l);
	if (find_place(l, e) < 0)
		return -1;
	(void)byte_lock(l->fd, F_OFD_SETLK, F_UNLCK, BYTE_DOOR);
	*out = TAKE_PTR(l);
	return 0;
}

void
limit_table_free(struct limit_table *l)
{
	if (!l)
		return;
	/* With the lock still there: nobody else may take the place before it is clean. */
	if (l->t && l->me < LIMIT_TABLE_PROCESSES)
		forget(l->t, l->me);
	if (l->t)
		(void)munmap(l->t, sizeof(*l->t));
	if (l->fd >= 0)
		(void)close(l->fd);
	(void)pthread_mutex_destroy(&l->reaping);
	free(l);
}

/* ---- a key's place ---- */

/* FNV-1a. */
static unsigned
bucket_of(const char *id)
{
	uint32_t h = 0x811c9dc5;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 0x01000193;
	return (h ^ h >> 16) % BUCKETS;
}

/* GCC 12's thread sanitizer does not know pthread_mutex_clocklock(). */
static int
lock_until(pthread_mutex_t *m, const struct deadline *end)
{
#ifdef EASEL_SANITIZED
	int64_t at_us = (clock_wall_ms() + deadline_left_ms(end)) * 1000;
	struct timespec at = { .tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000 };

	return pthread_mutex_timedlock(m, &at);
#else
	struct timespec at = { .tv_sec = end->at_us / 1000000,
			       .tv_nsec = end->at_us % 1000000 * 1000 };

	return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &at);
#endif
}

static int
bucket_lock(struct bucket *b, const struct deadline *d, struct err *e)
{
	struct deadline end = deadline_sooner(d, LIMIT_LOCK_MS);
	int rc = pthread_mutex_trylock(&b->lock);

	if (rc == EBUSY)
		rc = lock_until(&b->lock, &end);
	/* Its holder died.  Whatever it was doing, each field is whole and good for itself. */
	if (rc == EOWNERDEAD)
		rc = pthread_mutex_consistent(&b->lock);
	if (rc == 0)
		return 0;
	(void)err_set(e, ERR_OVERLOADED, "the limits' table is busy");
	err_detail(e, FILE_NAME ": lock: %s", strerror(rc));
	return -1;
}

/* Requests of the key that are in hand, in all processes that live. */
static int64_t
held_by_all(const struct table *t, unsigned key)
{
	unsigned n = atomic_load_explicit(&t->processes, memory_order_relaxed);
	int64_t sum = 0;

	for (unsigned p = 0; p < n; p++)
		sum += atomic_load_explicit(&t->held[key][p], memory_order_relaxed);
	return sum;
}

/* The key's place in its bucket, which is locked; -1: all are taken by requests in hand. */
static int
find_key(struct table *t, unsigned bucket, const char *id)
{
	struct limit_key *keys = t->buckets[bucket].keys;
	int oldest = -1;

	for (int i = 0; i < WAYS; i++) {
		if (keys[i].used_us && !strncmp(keys[i].id, id, sizeof(keys[i].id)))
			return i;
		if (oldest >= 0 && keys[i].used_us >= keys[oldest].used_us)
			continue;
		if (!keys[i].used_us || !held_by_all(t, bucket * WAYS + (unsigned)i))
			oldest = i;
	}
	if (oldest < 0)
		return -1;
	/* Marked as free until it is whole. */
	__atomic_store_n(&keys[oldest].used_us, 0, __ATOMIC_RELEASE);
	(void)snprintf(keys[oldest].id, sizeof(keys[oldest].id), "%s", id);
	keys[oldest].full_at_ns = 0;
	keys[oldest].pictures = 0;
	keys[oldest].day = 0;
	return oldest;
}

int
limit_table_find(struct limit_table *l, const char *id, unsigned *place, const struct deadline *d,
		 struct err *e)
{
	unsigned bucket = bucket_of(id);
	int way;

	if (bucket_lock(&l->t->buckets[bucket], d, e) < 0)
		return -1;
	way = find_key(l->t, bucket, id);
	if (way < 0) {
		(void)pthread_mutex_unlock(&l->t->buckets[bucket].lock);
		return err_set(e, ERR_OVERLOADED, "too many keys are in use at once");
	}
	__atomic_store_n(&l->t->buckets[bucket].keys[way].used_us, clock_us(), __ATOMIC_RELEASE);
	*place = bucket * WAYS + (unsigned)way;
	return 0;
}

int
limit_table_lock(struct limit_table *l, unsigned place, const struct deadline *d, struct err *e)
{
	return bucket_lock(&l->t->buckets[place / WAYS], d, e);
}

void
limit_table_unlock(struct limit_table *l, unsigned place)
{
	(void)pthread_mutex_unlock(&l->t->buckets[place / WAYS].lock);
}

struct limit_key *
limit_table_key(struct limit_table *l, unsigned place)
{
	return &l->t->buckets[place / WAYS].keys[place % WAYS];
}

bool
limit_table_has_room(const struct limit_table *l, unsigned place, int64_t concurrent)
{
	return (!concurrent || held_by_all(l->t, place) < concurrent) &&
	       atomic_load(&l->t->held[place][l->me]) < HELD_MAX;
}

void
limit_table_hold(struct limit_table *l, unsigned place)
{
	(void)atomic_fetch_add(&l->t->held[place][l->me], 1);
}

void
limit_table_let_go(struct limit_table *l, unsigned place)
{
	(void)atomic_fetch_sub(&l->t->held[place][l->me], 1);
}
