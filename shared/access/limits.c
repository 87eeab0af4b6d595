#include "access/limits.h"

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

#include "base/cleanup.h"

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
#define FILE_NAME     "run/limits"
#define FILE_MAGIC    0x7374696d696c4521U
#define FILE_VERSION  1
#define WAYS          16
#define BUCKETS       (LIMITS_KEYS / WAYS)
#define CACHE_LINE    64
#define BYTE_DOOR     0
#define BYTE_PROCESS  1 /* and LIMITS_PROCESSES - 1 more */
#define OPEN_TRIES    100
#define HELD_MAX      UINT16_MAX
#define LOCK_MS       1000 /* a holder needs a microsecond; one that was stopped keeps nobody longer */
#define REAP_PAUSE_US 100000 /* looking for the dead costs a system call for each process */
#define FULL_RETRY_MS 1000   /* nobody knows when a request in hand will be done */
#define MINUTE_NS     60000000000
#define DAY_MS        86400000

struct key {
	char id[32];
	int64_t used_us;    /* last asked for, CLOCK_MONOTONIC; 0: the place is free */
	int64_t full_at_ns; /* when its bucket of requests is full again, CLOCK_MONOTONIC */
	int64_t pictures;   /* asked for on `day` */
	uint32_t day;       /* since 1970, UTC */
	uint32_t unused;
} __attribute__((aligned(CACHE_LINE)));

struct bucket {
	pthread_mutex_t lock;
	struct key keys[WAYS];
} __attribute__((aligned(CACHE_LINE)));

struct table {
	uint64_t magic;
	uint32_t version, bytes;
	_Atomic uint32_t processes; /* the highest one there ever was, plus 1 */
	_Atomic uint8_t open[LIMITS_PROCESSES];
	struct bucket buckets[BUCKETS];
	_Atomic uint16_t held[LIMITS_KEYS][LIMITS_PROCESSES];
};

struct limits {
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
	for (unsigned k = 0; k < LIMITS_KEYS; k++)
		if (atomic_load_explicit(&t->held[k][process], memory_order_relaxed))
			atomic_store_explicit(&t->held[k][process], 0, memory_order_relaxed);
	atomic_store_explicit(&t->open[process], 0, memory_order_release);
}

/* With the door locked.  Was anybody dead? */
static bool
forget_the_dead(struct limits *l)
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

/* Now and then, when somebody was refused.  True: it is worth asking again. */
static bool
reap(struct limits *l)
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

static int
failed(struct err *e, const char *what)
{
	int saved = errno;

	if (saved == ENOSPC || saved == EDQUOT)
		(void)err_set(e, ERR_STORAGE_FULL, "state_dir/" FILE_NAME " cannot be made");
	else
		(void)err_set(e, ERR_CONFIG, "state_dir/" FILE_NAME " cannot be used.");
	err_detail(e, FILE_NAME ": %s: %s", what, strerror(saved));
	return -1;
}

static bool
is_current(const char *path, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
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
open_file(const char *path, struct err *e)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return failed(e, "open");
		if (byte_lock(fd, F_OFD_SETLKW, F_WRLCK, BYTE_DOOR) < 0) {
			(void)failed(e, "lock");
			(void)close(fd);
			return -1;
		}
		if (is_current(path, fd)) {
			if (is_ours(fd))
				return fd;
			(void)unlink(path);
		}
		(void)close(fd);
	}
	errno = EBUSY;
	return failed(e, "open");
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
	for (unsigned p = 0; p < LIMITS_PROCESSES; p++)
		if (atomic_load(&t->open[p]))
			forget(t, p);
	atomic_store(&t->processes, 0);
	t->version = FILE_VERSION;
	t->bytes = sizeof(*t);
	__atomic_store_n(&t->magic, FILE_MAGIC, __ATOMIC_RELEASE);
}

static int
map_file(struct limits *l, struct err *e)
{
	/* Its blocks too: a store to a hole on a full disk would be SIGBUS. */
	int code = posix_fallocate(l->fd, 0, sizeof(struct table));

	if (code) {
		errno = code;
		return failed(e, "allocate");
	}
	l->t = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	if (l->t == MAP_FAILED) {
		l->t = NULL;
		return failed(e, "map");
	}
	return 0;
}

static int
find_place(struct limits *l, struct err *e)
{
	for (unsigned p = 0; p < LIMITS_PROCESSES; p++) {
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
		       LIMITS_PROCESSES);
}

int
limits_open(struct limits **out, const char *state_dir, struct err *e)
{
	AUTO_PTR(limits) l = NULL;
	char path[512];

	if (snprintf(path, sizeof(path), "%s/run", state_dir) >= (int)sizeof(path) - 8)
		return err_set(e, ERR_CONFIG, "state_dir is too long");
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "%s/" FILE_NAME, state_dir);
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(e, ERR_INTERNAL, "out of memory");
	(void)pthread_mutex_init(&l->reaping, NULL);
	l->fd = -1;
	l->me = LIMITS_PROCESSES;
	l->fd = open_file(path, e);
	if (l->fd < 0 || map_file(l, e) < 0)
		return -1;
	if (!bytes_locked(l->fd, BYTE_PROCESS, LIMITS_PROCESSES))
		begin_anew(l->t);
	(void)forget_the_dead(l);
	if (find_place(l, e) < 0)
		return -1;
	(void)byte_lock(l->fd, F_OFD_SETLK, F_UNLCK, BYTE_DOOR);
	*out = TAKE_PTR(l);
	return 0;
}

void
limits_free(struct limits *l)
{
	if (!l)
		return;
	/* With the lock still there: nobody else may take the place before it is clean. */
	if (l->t && l->me < LIMITS_PROCESSES)
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
	struct deadline end = deadline_sooner(d, LOCK_MS);
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
	struct key *keys = t->buckets[bucket].keys;
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

/* ---- the three limits ---- */

static int
refuse(struct grant *g, int64_t retry_ms, struct err *e, const char *name, int64_t limit)
{
	g->retry_ms = retry_ms;
	(void)err_set(e, ERR_RATE_LIMITED, "%s = %lld for this key", name, (long long)limit);
	e->retry_after_s = (int)((retry_ms + 999) / 1000);
	e->stage = "limit";
	return -1;
}

/* The bucket of requests of the last minute; `take` one. */
static int
count_request(struct key *k, struct grant *g, bool take, struct err *e)
{
	int64_t limit = g->set.requests_per_minute, now_ns = clock_us() * 1000;
	int64_t each_ns, room_ns, used_ns;

	if (!limit)
		return 0;
	each_ns = MINUTE_NS / limit;
	room_ns = each_ns * limit;
	used_ns = k->full_at_ns - now_ns;
	if (used_ns < 0 || used_ns > MINUTE_NS) /* of another boot */
		used_ns = 0;
	if (used_ns > room_ns)
		used_ns = room_ns;
	g->requests = (struct limit_state){ limit, (room_ns - used_ns) / each_ns,
					    (used_ns + 999999) / 1000000 };
	if (!g->requests.remaining)
		return refuse(g, (used_ns + each_ns - room_ns + 999999) / 1000000, e,
			      "requests_per_minute", limit);
	if (!take)
		return 0;
	used_ns += each_ns;
	k->full_at_ns = now_ns + used_ns;
	g->requests.remaining--;
	g->requests.reset_ms = (used_ns + 999999) / 1000000;
	return 0;
}

static int
count_images(struct key *k, struct grant *g, int64_t pictures, struct err *e)
{
	int64_t limit = g->set.images_per_day, now_ms = clock_wall_ms();
	uint32_t day = (uint32_t)(now_ms / DAY_MS);

	if (!limit)
		return 0;
	if (k->day != day) {
		k->pictures = 0;
		k->day = day;
	}
	g->images = (struct limit_state){ limit, limit > k->pictures ? limit - k->pictures : 0,
					  DAY_MS - now_ms % DAY_MS };
	if (pictures > g->images.remaining)
		return refuse(g, g->images.reset_ms, e, "images_per_day", limit);
	k->pictures += pictures;
	g->images.remaining -= pictures;
	g->pictures += pictures;
	g->day = day;
	return 0;
}

/* With the bucket locked; -1 with *full: the places are taken, perhaps by the dead. */
static int
take_locked(struct limits *l, unsigned bucket, const char *id, struct grant *g, bool *full,
	    struct err *e)
{
	int64_t concurrent = g->set.concurrent;
	int way = find_key(l->t, bucket, id);
	struct key *k;
	unsigned n;

	if (way < 0)
		return err_set(e, ERR_OVERLOADED, "too many keys are in use at once");
	n = bucket * WAYS + (unsigned)way;
	k = &l->t->buckets[bucket].keys[way];
	__atomic_store_n(&k->used_us, clock_us(), __ATOMIC_RELEASE);
	(void)count_images(k, g, 0, e); /* none can always be had */
	*full = (concurrent && held_by_all(l->t, n) >= concurrent) ||
		atomic_load(&l->t->held[n][l->me]) == HELD_MAX;
	if (count_request(k, g, !*full, e) < 0) {
		*full = false;
		return -1;
	}
	if (*full)
		return refuse(g, FULL_RETRY_MS, e, "concurrent", concurrent);
	(void)atomic_fetch_add(&l->t->held[n][l->me], 1);
	g->key = n;
	g->held = true;
	return 0;
}

int
limits_take(struct limits *l, const char *key_id, const struct limit_set *set, struct grant *g,
	    const struct deadline *d, struct err *e)
{
	unsigned bucket = bucket_of(key_id);
	bool full = false;
	int rc;

	*g = (struct grant){ .set = *set };
	if (!set->requests_per_minute && !set->concurrent && !set->images_per_day)
		return 0;
	do {
		if (bucket_lock(&l->t->buckets[bucket], d, e) < 0)
			return -1;
		rc = take_locked(l, bucket, key_id, g, &full, e);
		(void)pthread_mutex_unlock(&l->t->buckets[bucket].lock);
	} while (rc < 0 && full && reap(l));
	if (rc == 0)
		g->retry_ms = 0;
	return rc;
}

int
limits_take_images(struct limits *l, struct grant *g, int64_t pictures, const struct deadline *d,
		   struct err *e)
{
	struct bucket *b = &l->t->buckets[g->key / WAYS];
	int rc;

	if (!g->held || !g->set.images_per_day)
		return 0;
	if (bucket_lock(b, d, e) < 0)
		return -1;
	rc = count_images(&b->keys[g->key % WAYS], g, pictures, e);
	(void)pthread_mutex_unlock(&b->lock);
	return rc;
}

void
limits_leave(struct limits *l, struct grant *g)
{
	if (!g->held || g->left)
		return;
	g->left = true;
	(void)atomic_fetch_sub(&l->t->held[g->key][l->me], 1);
}

void
limits_give(struct limits *l, struct grant *g, int64_t came)
{
	struct bucket *b = &l->t->buckets[g->key / WAYS];
	struct key *k = &b->keys[g->key % WAYS];
	struct deadline d = deadline_in_ms(LOCK_MS);
	struct err ignored;

	if (!g->held)
		return;
	if (g->pictures > came && bucket_lock(b, &d, &ignored) == 0) {
		/* A day that has ended is no longer counted. */
		if (k->day == g->day)
			k->pictures -= g->pictures - (came > 0 ? came : 0);
		(void)pthread_mutex_unlock(&b->lock);
	}
	g->pictures = 0;
	limits_leave(l, g);
	g->held = false;
}

void
limits_duration(int64_t ms, char out[LIMITS_DURATION_TEXT])
{
	int64_t s = (ms + 999) / 1000;

	if (ms < 1000)
		(void)snprintf(out, LIMITS_DURATION_TEXT, "%lldms", (long long)ms);
	else if (s < 60)
		(void)snprintf(out, LIMITS_DURATION_TEXT, "%llds", (long long)s);
	else if (s < 3600)
		(void)snprintf(out, LIMITS_DURATION_TEXT, "%lldm%llds", (long long)s / 60,
			       (long long)s % 60);
	else
		(void)snprintf(out, LIMITS_DURATION_TEXT, "%lldh%lldm%llds", (long long)s / 3600,
			       (long long)s / 60 % 60, (long long)s % 60);
}
