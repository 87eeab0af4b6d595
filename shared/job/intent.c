#include "job/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/run_folder.h"
#include "job/intent_file.h"

#define NAMES_MAX 64 /* files of dead processes that had this program's name and number */

/* This process's file. */
static struct {
	pthread_mutex_t mutex; /* guards free_slots, nkept */
	struct intent_header *map;
	struct intent *slots;
	struct intent_rest *rest;
	unsigned char *has_rest; /* of each slot: the blocks are there */
	uint32_t nkept;          /* slots that wait for their pictures' records */
	size_t map_bytes;
	uint32_t *free_slots; /* a stack: the slot given back last has warm cache lines */
	uint32_t nfree;
	int fd, dir; /* fd holds the lock */
	char name[96];
} own = { .mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .dir = -1 };

bool
intent_is_current(int dir, const char *name, int fd)
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
		if (fd >= 0 && flock(fd, LOCK_EX) == 0 && intent_is_current(dir, name, fd))
			return fd;
		if (fd >= 0)
			(void)close(fd);
	}
	errno = EEXIST;
	return -1;
}

/* Reserves the slots' blocks too: a store to a hole on a full disk would be SIGBUS.  The rest's are for rest_of(). */
static int
map_file(int fd, unsigned slots, const char *program)
{
	size_t bytes = sizeof(struct intent_header) +
		       slots * (sizeof(struct intent) + sizeof(struct intent_rest));
	size_t now = sizeof(struct intent_header) + slots * sizeof(struct intent);
	struct intent_header *h;
	int code = fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0
			   ? errno
			   : posix_fallocate(fd, 0, (off_t)now);

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
	own.rest = (struct intent_rest *)(own.slots + slots);
	h->version = INTENT_FILE_VERSION;
	h->slot_bytes = sizeof(struct intent);
	h->slots = slots;
	h->pid = (uint32_t)getpid();
	(void)snprintf(h->program, sizeof(h->program), "%s", program);
	h->magic = INTENT_FILE_MAGIC;
	return 0;
}

int
intent_open(const char *state_dir, const char *program, unsigned slots, struct err *e)
{
	if (own.map || !slots || slots > INTENT_SLOTS_MAX - INTENT_KEPT_MAX)
		return err_set(e, ERR_INTERNAL, "intent_open: %u slots", slots);
	slots += INTENT_KEPT_MAX;
	own.dir = run_folder_open(state_dir, INTENT_FOLDER, e);
	if (own.dir < 0)
		return -1;
	own.free_slots = calloc(slots, sizeof(*own.free_slots));
	own.has_rest = calloc(slots, 1);
	own.fd = make_locked(own.dir, program, own.name, sizeof(own.name));
	if (!own.free_slots || !own.has_rest || own.fd < 0 ||
	    map_file(own.fd, slots, program) < 0) {
		(void)run_folder_failed(e, INTENT_FOLDER, "make");
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
	free(own.has_rest);
	own.has_rest = NULL;
	own.map = NULL;
	own.slots = NULL;
	own.rest = NULL;
	own.free_slots = NULL;
	own.nfree = own.nkept = 0;
	own.fd = own.dir = -1;
}

bool
intent_is_unsent(const struct intent *i, uint32_t stage)
{
	return i->sent == INTENT_UNSENT && (stage == INTENT_SUBMITTING || stage == INTENT_TASK);
}

void
intent_put(char *to, size_t size, const char *text)
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
	if (own.nfree &&
	    own.map->slots - own.nfree - own.nkept < own.map->slots - INTENT_KEPT_MAX) {
		i = &own.slots[own.free_slots[--own.nfree]];
		if (atomic_load(&own.map->used) <= i - own.slots)
			atomic_store(&own.map->used, (uint32_t)(i - own.slots) + 1);
	}
	(void)pthread_mutex_unlock(&own.mutex);
	if (!i)
		return NULL;
	i->created_ms = clock_wall_ms();
	intent_put(i->request_id, sizeof(i->request_id), request_id);
	intent_put(i->key_id, sizeof(i->key_id), key_id);
	intent_put(i->model, sizeof(i->model), model);
	intent_put(i->provider, sizeof(i->provider), provider);
	i->upstream_id[0] = i->credential[0] = '\0';
	i->task_id[0] = '\0';
	i->hashed = i->ncame = i->nrest = i->is_asked = i->is_remnant = 0;
	atomic_store_explicit(&i->nmade, 0, memory_order_relaxed);
	atomic_store_explicit(&i->sent, INTENT_SENT, memory_order_relaxed);
	atomic_store_explicit(&i->stage, INTENT_ACCEPTED, memory_order_release);
	return i;
}

void
intent_task(struct intent *i, const char *task_id, int64_t fence)
{
	i->fence = fence;
	intent_put(i->task_id, sizeof(i->task_id), task_id);
}

void
intent_sent(struct intent *i, enum intent_sent sent)
{
	atomic_store_explicit(&i->sent, sent, memory_order_release);
}

void
intent_about(struct intent *i, const char *model, const char *provider)
{
	intent_put(i->model, sizeof(i->model), model);
	intent_put(i->provider, sizeof(i->provider), provider);
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

/* What else the slot can say; NULL: the disk has no room for it. */
static struct intent_rest *
rest_of(const struct intent *i)
{
	size_t at = (size_t)(i - own.slots);
	struct intent_rest *rest = &own.rest[at];

	if (!own.has_rest[at])
		own.has_rest[at] = !posix_fallocate(own.fd, (off_t)((char *)rest - (char *)own.map),
						    sizeof(*rest));
	return own.has_rest[at] ? rest : NULL;
}

/* Nobody reads it as long as there is no upstream id, which is written with release. */
void
intent_request(struct intent *i, const char *request, bool remnant, const char *credential,
	       const struct picture *came, unsigned ncame)
{
	struct intent_rest *rest = rest_of(i);
	bool fits = rest && strlen(request) < sizeof(rest->asked) && ncame <= INTENT_CAME_MAX;

	intent_put(i->credential, sizeof(i->credential), credential);
	if (fits)
		intent_put(rest->asked, sizeof(rest->asked), request);
	i->is_asked = fits;
	i->is_remnant = remnant;
	i->ncame = fits ? ncame : 0;
	if (i->ncame)
		memcpy(rest->came, came, ncame * sizeof(*came));
}

/* Those of before are among them, in their places: who reads still by the name reads the same. */
void
intent_rest_unsent(struct intent *i, const struct picture *came, unsigned ncame)
{
	struct intent_rest *rest = ncame <= INTENT_CAME_MAX ? rest_of(i) : NULL;

	i->nrest = rest ? ncame : 0;
	if (rest)
		memcpy(rest->came, came, ncame * sizeof(*came));
	else
		i->is_asked = 0;
	intent_sent(i, INTENT_REST_UNSENT);
}

bool
intent_has_made(const struct intent *i)
{
	return atomic_load_explicit(&i->nmade, memory_order_relaxed) > 0;
}

void
intent_made(struct intent *i, const struct picture *p, const char *request)
{
	uint32_t n = atomic_load_explicit(&i->nmade, memory_order_relaxed);
	struct intent_rest *rest = n < INTENT_MADE_MAX ? rest_of(i) : NULL;

	if (!rest)
		return;
	if (!n)
		intent_put(rest->made_request, sizeof(rest->made_request),
			   strlen(request) < sizeof(rest->made_request) ? request : "");
	rest->made[n] = *p;
	atomic_store_explicit(&i->nmade, n + 1, memory_order_release);
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
