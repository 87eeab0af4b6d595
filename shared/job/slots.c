#include "job/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "access/fingerprint.h"
#include "base/cleanup.h"
#include "base/stack.h"
#include "job/run_folder.h"

/*
 * How it survives kill -9 at any instruction:
 *
 * - Nothing in the file is a link or a count.  Every entry says for itself who stands there, since when,
 *   and whether it holds; all else is found by looking at all of them.
 * - Between processes the file is guarded by a lock of the kernel's (fcntl, by open file description),
 *   which a dead process cannot keep.  A mutex in the file could be left locked by a power cut.
 * - A process shows that it lives by a lock on one byte of the file ALIVE, at a random number that
 *   stands in its entries.  Unlike a process number it is never used again.
 *
 * The owner of an entry may leave it without the lock: from HOLDING by a store, from WAITING by an
 * exchange that a grant may win.  So giving back never waits.
 */
#define FOLDER       "slots"
#define ALIVE        "alive"
#define FILE_MAGIC   0x73746f6c536c6531U
#define FILE_VERSION 1 /* in the file's name: two layouts never meet */
#define ENTRIES      4096
#define LOCK_TRY_MS  20  /* the lock is held for microseconds, unless its holder was stopped */
#define LOOK_MS      100 /* how often the first in the line looks for the dead */
#define LOOK_MAX_MS  500 /* and those far behind */
#define ALIVE_KNOWN  32  /* processes that one look asks the kernel about only once */

enum { ENTRY_FREE, ENTRY_WAITING, ENTRY_HOLDING };

struct entry {
	uint64_t owner, ticket;
	uint64_t wanted;        /* bits: places in the header's list of keys */
	_Atomic uint32_t state; /* others sleep on it */
	uint32_t key;
};

struct header {
	uint64_t magic;
	uint32_t entries, entry_bytes;
	uint32_t used; /* entries from here on were never taken */
	uint32_t unused;
	uint64_t tickets;             /* given out so far */
	uint64_t keys[SLOT_KEYS_MAX]; /* fingerprints; 0: no key yet */
};

#define FILE_BYTES (sizeof(struct header) + ENTRIES * sizeof(struct entry))

struct slot_line {
	struct slot_line *next;
	char *provider;
	pthread_mutex_t mutex; /* the file's lock does not tell threads apart */
	struct header *h;
	struct entry *entries;
	int fd;
};

/* This process. */
static struct {
	pthread_mutex_t mutex; /* guards lines */
	struct slot_line *lines;
	uint64_t token; /* the byte of ALIVE that it locks */
	int dir, alive_fd;
} own = { .mutex = PTHREAD_MUTEX_INITIALIZER, .dir = -1, .alive_fd = -1 };

static int
byte_lock(int fd, int cmd, short type, uint64_t at)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1 };
	int rc;

	do
		rc = fcntl(fd, cmd, &l);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -1 : l.l_type;
}

static bool
is_alive(uint64_t token)
{
	return token == own.token ||
	       byte_lock(own.alive_fd, F_OFD_GETLK, F_WRLCK, token) != F_UNLCK;
}

int
slots_open(const char *state_dir, struct err *e)
{
	if (own.dir >= 0)
		return err_set(e, ERR_INTERNAL, "slots_open: twice");
	own.dir = run_folder_open(state_dir, FOLDER, e);
	if (own.dir < 0)
		return -1;
	own.alive_fd = openat(own.dir, ALIVE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (own.alive_fd < 0 || getrandom(&own.token, sizeof(own.token), 0) != sizeof(own.token)) {
		(void)run_folder_failed(e, FOLDER, "open");
		slots_close();
		return -1;
	}
	own.token = own.token >> 2 | 1; /* an off_t, and not 0 */
	if (byte_lock(own.alive_fd, F_OFD_SETLK, F_WRLCK, own.token) < 0) {
		(void)run_folder_failed(e, FOLDER, "lock");
		slots_close();
		return -1;
	}
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
slots_close(void)
{
	struct slot_line *next;

	for (struct slot_line *l = own.lines; l; l = next) {
		next = l->next;
		line_free(l);
	}
	if (own.alive_fd >= 0)
		(void)close(own.alive_fd);
	if (own.dir >= 0)
		(void)close(own.dir);
	own.lines = NULL;
	own.dir = own.alive_fd = -1;
}

/* ---- the file ---- */

/* False: its holder was stopped.  The caller tries again as long as it has time. */
static bool
line_lock(struct slot_line *l)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	struct deadline d = { 0 };

	(void)pthread_mutex_lock(&l->mutex);
	while (byte_lock(l->fd, F_OFD_SETLK, F_WRLCK, 0) < 0) {
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

static void
line_unlock(struct slot_line *l)
{
	(void)byte_lock(l->fd, F_OFD_SETLK, F_UNLCK, 0);
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
	l->entries = (struct entry *)(l->h + 1);
	if (!l->h->magic) {
		l->h->entries = ENTRIES;
		l->h->entry_bytes = sizeof(struct entry);
		l->h->magic = FILE_MAGIC;
	}
	errno = EINVAL;
	return l->h->magic == FILE_MAGIC && l->h->entries == ENTRIES &&
			       l->h->entry_bytes == sizeof(struct entry) && l->h->used <= ENTRIES
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
	errno = EBUSY;
	if (!line_lock(l))
		return -1;
	rc = file_prepare(l);
	saved = errno;
	line_unlock(l);
	errno = saved;
	return rc;
}

/* The provider's line, opened when it is first asked for.  NULL with *e. */
static struct slot_line *
line_of(const char *provider, struct err *e)
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

/* ---- the line; all of these with the lock held ---- */

static uint32_t
state_of(const struct entry *n)
{
	return atomic_load_explicit(&n->state, memory_order_acquire);
}

static void
wake(struct entry *n)
{
	(void)syscall(SYS_futex, &n->state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Takes back what the dead have left. */
static void
bury(struct slot_line *l)
{
	uint64_t alive[ALIVE_KNOWN]; /* asked already: many entries have one owner */
	unsigned n_alive = 0;

	for (uint32_t i = 0; i < l->h->used; i++) {
		struct entry *n = &l->entries[i];
		unsigned k = 0;

		if (state_of(n) == ENTRY_FREE)
			continue;
		while (k < n_alive && alive[k] != n->owner)
			k++;
		if (k < n_alive)
			continue;
		if (!is_alive(n->owner))
			atomic_store_explicit(&n->state, ENTRY_FREE, memory_order_release);
		else if (n_alive < ALIVE_KNOWN)
			alive[n_alive++] = n->owner;
	}
}

/* The keys of which fewer than `concurrency` are in use, as bits. */
static uint64_t
free_keys(const struct slot_line *l, int64_t concurrency)
{
	int64_t held[SLOT_KEYS_MAX] = { 0 };
	uint64_t bits = 0;

	for (uint32_t i = 0; i < l->h->used; i++)
		if (state_of(&l->entries[i]) == ENTRY_HOLDING)
			held[l->entries[i].key % SLOT_KEYS_MAX]++;
	for (unsigned k = 0; k < SLOT_KEYS_MAX; k++)
		if (held[k] < concurrency)
			bits |= 1ULL << k;
	return bits;
}

/* Who has waited longest for one of these keys, or NULL. */
static struct entry *
first_waiting(const struct slot_line *l, uint64_t keys)
{
	struct entry *first = NULL;

	for (uint32_t i = 0; i < l->h->used; i++) {
		struct entry *n = &l->entries[i];

		if (state_of(n) == ENTRY_WAITING && (n->wanted & keys) &&
		    (!first || n->ticket < first->ticket))
			first = n;
	}
	return first;
}

/* Gives every free slot to whoever is first in the line for it. */
static void
grant(struct slot_line *l, int64_t concurrency)
{
	struct entry *n;

	for (;;) {
		uint64_t keys = free_keys(l, concurrency);
		uint32_t waiting = ENTRY_WAITING;

		n = first_waiting(l, keys);
		if (!n)
			return;
		n->key = (uint32_t)__builtin_ctzll(n->wanted & keys);
		/* Fails when its owner has just given up: the next one, then. */
		if (atomic_compare_exchange_strong(&n->state, &waiting, ENTRY_HOLDING))
			wake(n);
	}
}

/*
 * The place of a key in the header's list, where it is put when it is new; -1: no place is left.
 * spoken_for: places that the caller has found already, as bits.
 */
static int
key_place(struct slot_line *l, uint64_t id, uint64_t spoken_for)
{
	int place = -1;

	for (int k = 0; k < SLOT_KEYS_MAX; k++)
		if (l->h->keys[k] == id)
			return k;
	/* A key that nobody stands for any more was probably replaced in the configuration. */
	for (uint32_t i = 0; i < l->h->used; i++)
		if (state_of(&l->entries[i]) != ENTRY_FREE)
			spoken_for |= l->entries[i].wanted;
	for (int k = SLOT_KEYS_MAX - 1; k >= 0; k--)
		if (!(spoken_for & 1ULL << k) && (place < 0 || !l->h->keys[k] || l->h->keys[place]))
			place = k;
	if (place >= 0)
		l->h->keys[place] = id;
	return place;
}

static uint64_t
key_id(const char *credential)
{
	char print[FINGERPRINT_TEXT];
	uint64_t id;

	fingerprint(credential, strlen(credential), print);
	memcpy(&id, print, sizeof(id)); /* eight digits */
	return id;
}

/* The place of a waiter: 1 is the first. */
static unsigned
place_of(const struct slot_line *l, const struct entry *self)
{
	unsigned place = 1;

	for (uint32_t i = 0; i < l->h->used; i++) {
		const struct entry *n = &l->entries[i];

		place += state_of(n) == ENTRY_WAITING && n->ticket < self->ticket;
	}
	return place;
}

/* A new last one in the line, or NULL when it is full. */
static struct entry *
join(struct slot_line *l, uint64_t wanted)
{
	struct entry *n = NULL;

	for (uint32_t i = 0; i < l->h->used && !n; i++)
		if (state_of(&l->entries[i]) == ENTRY_FREE)
			n = &l->entries[i];
	if (!n && l->h->used < ENTRIES)
		n = &l->entries[l->h->used++];
	if (!n)
		return NULL;
	n->owner = own.token;
	n->ticket = l->h->tickets++;
	n->wanted = wanted;
	n->key = 0;
	atomic_store_explicit(&n->state, ENTRY_WAITING, memory_order_release);
	return n;
}

/* ---- one caller ---- */

struct waiter {
	struct slot_line *line;
	struct entry *entry;
	int64_t concurrency;
	unsigned place;
	int places[SLOT_KEYS_MAX]; /* of its credentials in the header's list */
};

/* Joins the line, and has the slot already when one is free.  -1: the line is full. */
static int
enter(struct waiter *w, const struct slot_wish *wish)
{
	uint64_t ids[SLOT_KEYS_MAX], wanted = 0;

	for (unsigned k = 0; k < wish->n; k++)
		ids[k] = key_id(wish->credentials[k]);
	if (!line_lock(w->line))
		return 0;
	for (unsigned k = 0; k < wish->n; k++) {
		w->places[k] = key_place(w->line, ids[k], wanted);
		wanted |= w->places[k] >= 0 ? 1ULL << w->places[k] : 0;
	}
	w->entry = wanted ? join(w->line, wanted) : NULL;
	if (w->entry) {
		grant(w->line, w->concurrency);
		if (state_of(w->entry) == ENTRY_WAITING) {
			bury(w->line);
			grant(w->line, w->concurrency);
			w->place = place_of(w->line, w->entry);
		}
	}
	line_unlock(w->line);
	return w->entry ? 0 : -1;
}

/* Whoever sleeps looks now and then whether somebody before it has died. */
static void
look(struct waiter *w)
{
	if (!line_lock(w->line))
		return;
	bury(w->line);
	grant(w->line, w->concurrency);
	w->place = place_of(w->line, w->entry);
	line_unlock(w->line);
}

/* Sleeps until it is granted something, at most until it is time to look. */
static void
sleep_in_line(const struct waiter *w, int64_t left_ms)
{
	int64_t ms = (int64_t)LOOK_MS * w->place;
	struct timespec t;

	if (ms > LOOK_MAX_MS)
		ms = LOOK_MAX_MS;
	if (ms > left_ms)
		ms = left_ms;
	t = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	(void)syscall(SYS_futex, &w->entry->state, FUTEX_WAIT, ENTRY_WAITING, &t, NULL, 0);
}

static bool
is_granted(const struct waiter *w)
{
	return state_of(w->entry) == ENTRY_HOLDING;
}

/* Leaves the line; false: it was granted a slot at the last moment. */
static bool
leave(struct waiter *w)
{
	uint32_t waiting = ENTRY_WAITING;

	return atomic_compare_exchange_strong(&w->entry->state, &waiting, ENTRY_FREE);
}

static int
too_late(const struct waiter *w, const char *provider, struct err *e)
{
	if (w->place)
		(void)err_set(e, ERR_DEADLINE,
			      "waiting for a free slot at %s (place %u in the line)", provider,
			      w->place);
	else
		(void)err_set(e, ERR_DEADLINE, "waiting for a free slot at %s", provider);
	e->stage = "queue";
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", provider);
	return -1;
}

static void
keep(struct slot *s, const struct waiter *w, const struct slot_wish *wish)
{
	*s = (struct slot){ .line = w->line,
			    .entry = (uint32_t)(w->entry - w->line->entries),
			    .concurrency = wish->concurrency };
	while (s->key + 1 < wish->n && w->places[s->key] != (int)w->entry->key)
		s->key++;
}

int
slot_take(struct slot *s, const struct slot_wish *wish, const struct deadline *d, struct err *e)
{
	struct waiter w = { .concurrency = wish->concurrency };
	bool trimmed = false;

	*s = (struct slot){ 0 };
	if (!wish->n || wish->n > SLOT_KEYS_MAX || wish->concurrency < 1)
		return err_set(e, ERR_INTERNAL, "slot_take: %u keys", wish->n);
	w.line = line_of(wish->provider, e);
	if (!w.line)
		return -1;
	do {
		if (enter(&w, wish) < 0) {
			(void)err_set(e, ERR_OVERLOADED, "%d requests wait for %s", ENTRIES,
				      wish->provider);
			e->retry_after_s = 1;
			e->stage = "queue";
			return -1;
		}
	} while (!w.entry && !deadline_over(d));
	if (!w.entry)
		return too_late(&w, wish->provider, e);
	while (!is_granted(&w)) {
		int64_t left_ms = deadline_left_ms(d);

		if (!left_ms && leave(&w))
			return too_late(&w, wish->provider, e);
		if (!left_ms)
			break;
		if (!trimmed)
			stack_trim();
		trimmed = true;
		sleep_in_line(&w, left_ms);
		if (!is_granted(&w))
			look(&w);
	}
	keep(s, &w, wish);
	return 0;
}

void
slot_done(struct slot *s)
{
	if (!s->line)
		return;
	atomic_store_explicit(&s->line->entries[s->entry].state, ENTRY_FREE, memory_order_release);
	/* Should the lock not be had, the first in the line finds out within LOOK_MS. */
	if (line_lock(s->line)) {
		grant(s->line, s->concurrency);
		line_unlock(s->line);
	}
	*s = (struct slot){ 0 };
}
