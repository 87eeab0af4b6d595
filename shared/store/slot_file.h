#ifndef EASEL_STORE_SLOT_FILE_H
#define EASEL_STORE_SLOT_FILE_H
/*
 * slot_file - the mapped file that a provider's line lies in, and its lock
 *
 * Private to store/slot_local.c, which opens and closes it.
 *
 * How it survives kill -9 at any instruction:
 *
 * - The file holds no link, and no count of what is held.  Every entry says for itself who stands there,
 *   since when, and whether it holds; all else is found by looking at all of them.
 * - Between processes the file is guarded by a lock of the kernel's (fcntl, by open file description),
 *   which a dead process cannot keep.  A mutex in the file could be left locked by a power cut.
 * - An entry's owner is base/alive.h's number of its process.
 *
 * The owner of an entry may leave it without the lock: from HOLDING by a store, from WAITING by an
 * exchange that a grant may win.  So giving back never waits.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store_slot.h"

enum { ENTRY_FREE, ENTRY_WAITING, ENTRY_HOLDING }; /* a new file is all zero */

struct slot_entry {
	uint64_t owner, ticket;
	uint64_t wanted;        /* bits: places in the header's list of keys */
	_Atomic uint32_t state; /* others sleep on it */
	uint32_t key;
};

struct slot_header {
	uint64_t magic;
	uint32_t entries, entry_bytes;
	uint32_t used; /* entries from here on were never taken */
	uint32_t unused;
	uint64_t tickets;             /* given out so far */
	uint64_t keys[SLOT_KEYS_MAX]; /* numbers; 0: no key yet */
};

struct slot_line {
	struct slot_line *next;
	char *provider;
	pthread_mutex_t mutex; /* the file's lock does not tell threads apart */
	struct slot_header *h;
	struct slot_entry *entries;
	int fd;
};

/* A process's lines. */
struct slot_files;

/* Opens nothing yet.  0 or -1: out of memory. */
int slot_files_new(struct slot_files **out, const char *state_dir, struct err *e);
void slot_files_free(struct slot_files *f); /* accepts NULL */

/* The provider's line, opened when it is first asked for.  NULL with *e. */
struct slot_line *slot_file_of(struct slot_files *f, const char *provider, struct err *e);

/* False: its holder was stopped.  The caller tries again as long as it has time. */
bool slot_file_lock(struct slot_line *l);
void slot_file_unlock(struct slot_line *l);

#endif
