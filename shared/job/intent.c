#include "job/intent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/run_folder.h"

/*
 * The file: a header, then the slots, each some whole cache lines so that two threads never write the
 * same one, then the slots' pictures, apart from what a request touches while it waits.  Another version of Easel may find it after an upgrade: the header says what it is, and the
 * fields of a slot keep their places as long as FILE_VERSION stays.
 */
#define FOLDER       "intent"
#define FILE_MAGIC   0x746e65746e49736cU
#define FILE_VERSION 4
#define CACHE_LINE   64
#define SLOTS_MAX    65536
#define NAMES_MAX    64 /* files of dead processes that had this program's name and number */

struct header {
	uint64_t magic;
	uint32_t version, slot_bytes, slots, pid;
	char program[32];
} __attribute__((aligned(2 * CACHE_LINE)));

struct intent {
	/* Written last and with release: whoever reads a stage reads whole fields. */
	_Atomic uint32_t stage;
	_Atomic uint32_t unsent;
	int64_t created_ms;
	char request_id[40];
	char key_id[32];
	char model[128];
	char provider[64];
	char upstream_id[96];
	int64_t fence;
	char task_id[40];
	uint32_t hashed;
	unsigned char hash[INTENT_HASH_BYTES];
	char credential[12];
	char request[INTENT_REQUEST_TEXT];
	uint32_t ncame;
	struct picture came[INTENT_CAME_MAX];
} __attribute__((aligned(CACHE_LINE)));

/* The pictures of the slot with the same number. */
struct made {
	_Atomic uint32_t n;
	struct picture v[INTENT_MADE_MAX];
	char request[INTENT_REQUEST_TEXT];
} __attribute__((aligned(CACHE_LINE)));

/* This process's file. */
static struct {
	pthread_mutex_t mutex; /* guards free_slots, nkept */
	struct header *map;
	struct intent *slots;
	struct made *made;
	uint32_t nkept; /* slots that wait for their pictures' records */
	size_t map_bytes;
	uint32_t *free_slots; /* a stack: the slot given back last has warm cache lines */
	uint32_t nfree;
	int fd, dir; /* fd holds the lock */
	char name[96];
} own = { .mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .dir = -1 };

static const char *const stage_names[] = {
	[INTENT_ACCEPTED] = "accepted",
	[INTENT_SUBMITTING] = "provider.submit",
	[INTENT_WAITING] = "provider.wait",
	[INTENT_STORING] = "store",
	[INTENT_TASK] = "task",
	[INTENT_ANSWERED] = "answered",
};
#define STAGES (sizeof(stage_names) / sizeof(*stage_names))

/* Is the file that `fd` is still the one under this name? */
static bool
is_current(int dir, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * A new file, locked.  A name that is taken belongs to a dead process that had our number, with jobs in
 * it that nobody has recovered yet: it is left alone.  Between open and flock a recovering process may
 * take the empty file for a dead one's and remove it: then it is made again.
 */
static int
make_locked(int dir, const char *program, char *name, size_t size)
{
	for (int i = 0; i < NAMES_MAX; i++) {
		int fd;

		if (snprintf(name, size, i ? "%s.%d.%d" : "%s.%d", program, (int)getpid(), i) >=
		    (int)size) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno != EEXIST)
			return -1;
		if (fd >= 0 && flock(fd, LOCK_EX) == 0 && is_current(dir, name, fd))
			return fd;
		if (fd >= 0)
			(void)close(fd);
	}
	errno = EEXIST;
	return -1;
}

/* Reserves the blocks too: a store to a hole on a full disk would be SIGBUS. */
static int
map_file(int fd, unsigned slots, const char *program)
{
	size_t bytes =
		sizeof(struct header) + slots * (sizeof(struct intent) + sizeof(struct made));
	struct header *h;
	int code = fchmod(fd, 0600) < 0 ? errno : posix_fallocate(fd, 0, (off_t)bytes);

	if (code) {
		errno = code;
		return -1;
	}
	h = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED)
		return -1;
	own.map = h;
	own.map_bytes = bytes;
	own.slots = (struct intent *)(h + 1);
	own.made = (struct made *)(own.slots + slots);
	h->version = FILE_VERSION;
	h->slot_bytes = sizeof(struct intent);
	h->slots = slots;
	h->pid = (uint32_t)getpid();
	(void)snprintf(h->program, sizeof(h->program), "%s", program);
	h->magic = FILE_MAGIC;
	return 0;
}

int
intent_open(const char *state_dir, const char *program, unsigned slots, struct err *e)
{
	if (own.map || !slots || slots > SLOTS_MAX - INTENT_KEPT_MAX)
		return err_set(e, ERR_INTERNAL, "intent_open: %u slots", slots);
	slots += INTENT_KEPT_MAX;
	own.dir = run_folder_open(state_dir, FOLDER, e);
	if (own.dir < 0)
		return -1;
	own.free_slots = calloc(slots, sizeof(*own.free_slots));
	own.fd = make_locked(own.dir, program, own.name, sizeof(own.name));
	if (!own.free_slots || own.fd < 0 || map_file(own.fd, slots, program) < 0) {
		(void)run_folder_failed(e, FOLDER, "make");
		if (own.fd >= 0)
			(void)unlinkat(own.dir, own.name, 0);
		intent_close();
		return -1;
	}
	for (own.nfree = 0; own.nfree < slots; own.nfree++)
		own.free_slots[own.nfree] = slots - 1 - own.nfree;
	return 0;
}

void
intent_close(void)
{
	if (own.map) {
		if (own.nfree == own.map->slots)
			(void)unlinkat(own.dir, own.name, 0);
		(void)munmap(own.map, own.map_bytes);
	}
	if (own.fd >= 0)
		(void)close(own.fd);
	if (own.dir >= 0)
		(void)close(own.dir);
	free(own.free_slots);
	own.map = NULL;
	own.slots = NULL;
	own.made = NULL;
	own.free_slots = NULL;
	own.nfree = own.nkept = 0;
	own.fd = own.dir = -1;
}

static void
put(char *to, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	memcpy(to, text, n);
	to[n] = '\0';
}

struct intent *
intent_take(const char *request_id, const char *key_id, const char *model, const char *provider)
{
	struct intent *i = NULL;

	(void)pthread_mutex_lock(&own.mutex);
	if (own.nfree && own.map->slots - own.nfree - own.nkept < own.map->slots - INTENT_KEPT_MAX)
		i = &own.slots[own.free_slots[--own.nfree]];
	(void)pthread_mutex_unlock(&own.mutex);
	if (!i)
		return NULL;
	i->created_ms = clock_wall_ms();
	put(i->request_id, sizeof(i->request_id), request_id);
	put(i->key_id, sizeof(i->key_id), key_id);
	put(i->model, sizeof(i->model), model);
	put(i->provider, sizeof(i->provider), provider);
	i->upstream_id[0] = i->request[0] = i->credential[0] = '\0';
	i->task_id[0] = '\0';
	i->hashed = i->ncame = 0;
	atomic_store_explicit(&own.made[i - own.slots].n, 0, memory_order_relaxed);
	atomic_store_explicit(&i->unsent, 0, memory_order_relaxed);
	atomic_store_explicit(&i->stage, INTENT_ACCEPTED, memory_order_release);
	return i;
}

void
intent_task(struct intent *i, const char *task_id, int64_t fence)
{
	i->fence = fence;
	put(i->task_id, sizeof(i->task_id), task_id);
}

void
intent_unsent(struct intent *i, bool unsent)
{
	atomic_store_explicit(&i->unsent, unsent, memory_order_release);
}

void
intent_about(struct intent *i, const char *model, const char *provider)
{
	put(i->model, sizeof(i->model), model);
	put(i->provider, sizeof(i->provider), provider);
}

void
intent_stage(struct intent *i, enum intent_stage stage)
{
	if (intent_stage_of(i) != INTENT_TASK)
		atomic_store_explicit(&i->stage, stage, memory_order_release);
}

enum intent_stage
intent_stage_of(const struct intent *i)
{
	return (enum intent_stage)atomic_load_explicit(&i->stage, memory_order_relaxed);
}

const char *
intent_upstream_id_of(const struct intent *i)
{
	return i->upstream_id;
}

void
intent_upstream_id(struct intent *i, const char *id)
{
	size_t n = strnlen(id, sizeof(i->upstream_id) - 1);

	/*
	 * The first byte goes out first and in last: between, the field reads as empty, never as half an
	 * id.  The exchange is for its acquire: nothing that follows is stored before it.
	 */
	(void)__atomic_exchange_n(&i->upstream_id[0], '\0', __ATOMIC_ACQ_REL);
	if (!n)
		return;
	memcpy(i->upstream_id + 1, id + 1, n - 1);
	i->upstream_id[n] = '\0';
	__atomic_store_n(&i->upstream_id[0], id[0], __ATOMIC_RELEASE);
}

void
intent_hash(struct intent *i, const unsigned char hash[INTENT_HASH_BYTES])
{
	memcpy(i->hash, hash, sizeof(i->hash));
	__atomic_store_n(&i->hashed, 1, __ATOMIC_RELEASE);
}

/* Nobody reads it as long as there is no upstream id, which is written with release. */
void
intent_request(struct intent *i, const char *request, const char *credential,
	       const struct picture *came, unsigned ncame)
{
	bool fits = strlen(request) < sizeof(i->request) && ncame <= INTENT_CAME_MAX;

	put(i->credential, sizeof(i->credential), credential);
	put(i->request, sizeof(i->request), fits ? request : "");
	i->ncame = fits ? ncame : 0;
	if (i->ncame)
		memcpy(i->came, came, ncame * sizeof(*came));
}

bool
intent_has_made(const struct intent *i)
{
	return atomic_load_explicit(&own.made[i - own.slots].n, memory_order_relaxed) > 0;
}

void
intent_made(struct intent *i, const struct picture *p, const char *request)
{
	struct made *m = &own.made[i - own.slots];
	uint32_t n = atomic_load_explicit(&m->n, memory_order_relaxed);

	if (n == INTENT_MADE_MAX)
		return;
	if (!n)
		put(m->request, sizeof(m->request),
		    strlen(request) < sizeof(m->request) ? request : "");
	m->v[n] = *p;
	atomic_store_explicit(&m->n, n + 1, memory_order_release);
}

bool
intent_answered(struct intent *i)
{
	bool keep;

	(void)pthread_mutex_lock(&own.mutex);
	keep = own.nkept < INTENT_KEPT_MAX;
	own.nkept += keep;
	(void)pthread_mutex_unlock(&own.mutex);
	if (keep)
		atomic_store_explicit(&i->stage, INTENT_ANSWERED, memory_order_release);
	else
		intent_release(i);
	return keep;
}

void
intent_release(struct intent *i)
{
	bool kept;

	if (!i)
		return;
	kept = intent_stage_of(i) == INTENT_ANSWERED;
	atomic_store_explicit(&i->stage, INTENT_FREE, memory_order_release);
	(void)pthread_mutex_lock(&own.mutex);
	own.nkept -= kept;
	own.free_slots[own.nfree++] = (uint32_t)(i - own.slots);
	(void)pthread_mutex_unlock(&own.mutex);
}

/* Where the pictures of slot s are. */
static off_t
made_at(const struct header *h, uint32_t s)
{
	return (off_t)(sizeof(*h) + h->slots * sizeof(struct intent) + s * sizeof(struct made));
}

static void
add_made(struct made *m, struct intent_lost *l)
{
	m->request[sizeof(m->request) - 1] = '\0';
	l->nmade = m->n < INTENT_MADE_MAX ? m->n : INTENT_MADE_MAX;
	for (unsigned k = 0; k < l->nmade; k++)
		m->v[k].id[sizeof(m->v[k].id) - 1] = '\0';
	l->made = m->v;
	l->made_request = m->request;
}

static void
make_record(const struct header *h, struct intent *i, uint32_t stage, struct intent_lost *l)
{
	struct job_record *j = &l->job;
	bool unsent = i->unsent == 1 && (stage == INTENT_SUBMITTING || stage == INTENT_TASK);

	/* The file is not to be trusted to end its texts. */
	i->request_id[sizeof(i->request_id) - 1] = '\0';
	i->key_id[sizeof(i->key_id) - 1] = '\0';
	i->model[sizeof(i->model) - 1] = '\0';
	i->provider[sizeof(i->provider) - 1] = '\0';
	i->upstream_id[sizeof(i->upstream_id) - 1] = '\0';
	i->credential[sizeof(i->credential) - 1] = '\0';
	i->request[sizeof(i->request) - 1] = '\0';
	i->task_id[sizeof(i->task_id) - 1] = '\0';
	for (unsigned k = 0; k < INTENT_CAME_MAX; k++)
		i->came[k].id[sizeof(i->came[k].id) - 1] = '\0';

	*l = (struct intent_lost){ .hashed = i->hashed == 1,
				   .request = i->request,
				   .credential = i->credential,
				   .task_id = i->task_id,
				   .came = i->came,
				   .ncame = i->ncame < INTENT_CAME_MAX ? i->ncame : INTENT_CAME_MAX,
				   .answered = stage == INTENT_ANSWERED,
				   .fence = i->fence };
	memcpy(l->hash, i->hash, sizeof(l->hash));
	*j = (struct job_record){ .created_ms = i->created_ms, .ended_ms = clock_wall_ms() };
	/* The same id whoever recovers it, so that doing so twice makes one record. */
	put(j->id, sizeof(j->id), i->request_id);
	put(j->request_id, sizeof(j->request_id), i->request_id);
	put(j->key_id, sizeof(j->key_id), i->key_id);
	(void)snprintf(j->program, sizeof(j->program), "%.*s", (int)sizeof(h->program), h->program);
	put(j->model, sizeof(j->model), i->model);
	put(j->provider, sizeof(j->provider), i->provider);
	put(j->upstream_id, sizeof(j->upstream_id), i->upstream_id);
	put(j->stage, sizeof(j->stage), stage_names[stage]);
	put(j->outcome, sizeof(j->outcome),
	    stage >= INTENT_SUBMITTING && !unsent ? "outcome_unknown" : "handler_crashed");
}

/*
 * Hands out what is in a dead process's file, which is locked.  Read and written by call, not mapped:
 * a file that somebody cuts short is then an error and not SIGBUS.  Each slot is freed after fn had
 * it: if this process dies in the middle, or cannot say what became of it, the next one goes on there.
 * The number of jobs; *keep: the file is not ours to remove.
 */
static int
recover_slots(int fd, bool *keep, int (*fn)(const struct intent_lost *l, void *arg), void *arg)
{
	struct header h;
	int n = 0;

	/* Its owner died before it took a job, or it is no file of ours. */
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != FILE_MAGIC)
		return 0;
	*keep = h.version != FILE_VERSION || h.slot_bytes != sizeof(struct intent);
	if (*keep)
		return 0;
	for (uint32_t s = 0; s < h.slots && s < SLOTS_MAX; s++) {
		off_t at = (off_t)(sizeof(h) + s * sizeof(struct intent));
		uint32_t stage, none = INTENT_FREE;
		struct intent_lost l;
		struct intent i;
		struct made made;

		if (pread(fd, &i, sizeof(i), at) != (ssize_t)sizeof(i))
			break;
		stage = atomic_load_explicit(&i.stage, memory_order_relaxed);
		if (stage == INTENT_FREE || stage >= STAGES)
			continue;
		make_record(&h, &i, stage, &l);
		if (pread(fd, &made, sizeof(made), made_at(&h, s)) != (ssize_t)sizeof(made))
			break;
		add_made(&made, &l);
		if (stage == INTENT_TASK && !i.task_id[0])
			continue;
		if (fn(&l, arg) < 0) {
			*keep = true;
			continue;
		}
		n++;
		(void)!pwrite(fd, &none, sizeof(none), at + (off_t)offsetof(struct intent, stage));
	}
	return n;
}

int
intent_recover(const char *state_dir, int (*fn)(const struct intent_lost *l, void *arg), void *arg,
	       struct err *e)
{
	int dir = run_folder_open(state_dir, FOLDER, e), n = 0;
	struct dirent *entry;
	DIR *list;

	if (dir < 0)
		return -1;
	list = fdopendir(dir);
	if (!list) {
		(void)run_folder_failed(e, FOLDER, "list");
		(void)close(dir);
		return -1;
	}
	while ((entry = readdir(list))) {
		bool keep = false;
		AUTO_FD int fd = entry->d_name[0] == '.'
					 ? -1
					 : openat(dir, entry->d_name,
						  O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		/* A living owner, this process too, holds the lock by a descriptor of its own. */
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
		    !is_current(dir, entry->d_name, fd))
			continue;
		n += recover_slots(fd, &keep, fn, arg);
		if (!keep)
			(void)unlinkat(dir, entry->d_name, 0);
	}
	(void)closedir(list);
	return n;
}

/* In this file?  Of each slot its beginning is read first: most are free. */
static bool
asks_in(int fd, const char *key_id, const unsigned char hash[INTENT_HASH_BYTES], const char *but,
	char request_id[40])
{
	struct header h;
	struct intent i;

	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != FILE_MAGIC ||
	    h.version != FILE_VERSION || h.slot_bytes != sizeof(struct intent))
		return false;
	for (uint32_t s = 0; s < h.slots && s < SLOTS_MAX; s++) {
		off_t at = (off_t)(sizeof(h) + s * sizeof(struct intent));
		uint32_t stage;

		if (pread(fd, &i, offsetof(struct intent, model), at) < 0)
			return false;
		stage = atomic_load_explicit(&i.stage, memory_order_relaxed);
		if (stage < INTENT_SUBMITTING || stage > INTENT_TASK ||
		    strncmp(i.key_id, key_id, sizeof(i.key_id) - 1) != 0 ||
		    pread(fd, &i, sizeof(i), at) != (ssize_t)sizeof(i) || i.hashed != 1 ||
		    memcmp(i.hash, hash, sizeof(i.hash)) != 0 ||
		    !strncmp(i.request_id, but, sizeof(i.request_id) - 1))
			continue;
		(void)snprintf(request_id, 40, "%.39s", i.request_id);
		return true;
	}
	return false;
}

bool
intent_asks(const char *state_dir, const char *key_id, const unsigned char hash[INTENT_HASH_BYTES],
	    const char *but, char request_id[40])
{
	struct err ignored;
	int dir = run_folder_open(state_dir, FOLDER, &ignored);
	DIR *list = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *entry;
	bool asks = false;

	if (!list) {
		if (dir >= 0)
			(void)close(dir);
		return false;
	}
	while (!asks && (entry = readdir(list))) {
		AUTO_FD int fd = entry->d_name[0] == '.'
					 ? -1
					 : openat(dir, entry->d_name,
						  O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		asks = fd >= 0 && asks_in(fd, key_id, hash, but, request_id);
	}
	(void)closedir(list);
	return asks;
}
