#ifndef EASEL_STORE_LIMIT_TABLE_H
#define EASEL_STORE_LIMIT_TABLE_H
/*
 * limit_table - what each API key has asked for, and has in hand, in one mapped file: state_dir/run/limits
 *
 * SQLite's own table of limits: it is on the way of every request, where a transaction would be a thousand
 * times slower.  It is exact over all processes and programs of an installation, and survives a restart.  A
 * process that dies, however it dies, gives back its requests: the next one that asks in vain, or opens the
 * table, notices.  One key more than LIMIT_TABLE_KEYS takes the place of the one that was used longest ago,
 * which then begins anew.
 *
 * For shared/store only.  Thread-safe.  Does not log.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"

#define LIMIT_TABLE_KEYS      2048
#define LIMIT_TABLE_PROCESSES 512 /* that have the file open at once */
#define LIMIT_CACHE_LINE      64
#define LIMIT_LOCK_MS         1000 /* a holder needs a microsecond; one that was stopped keeps nobody longer */

struct limit_table;

struct limit_key {
	char id[32];
	int64_t used_us;    /* last asked for, CLOCK_MONOTONIC; 0: the place is free */
	int64_t full_at_ns; /* when its bucket of requests is full again, CLOCK_MONOTONIC */
	int64_t pictures;   /* asked for on `day` */
	uint32_t day;       /* since 1970, UTC */
	uint32_t unused;
} __attribute__((aligned(LIMIT_CACHE_LINE)));

/* Makes the file where there is none.  Once a process, after fork.  0 or -1: ERR_CONFIG, ERR_STORAGE_FULL,
 * ERR_OVERLOADED (more than LIMIT_TABLE_PROCESSES). */
int limit_table_open(struct limit_table **out, const char *state_dir, struct err *e);
/* What was not given back by then is given back. */
void limit_table_free(struct limit_table *l);
DEFINE_FREEP(limit_table);

/*
 * The key's place; what the table says of it may be read and changed until limit_table_unlock().
 * 0, or -1 and nothing is locked: ERR_OVERLOADED.
 */
int limit_table_find(struct limit_table *l, const char *id, unsigned *place,
		     const struct deadline *d, struct err *e);
int limit_table_lock(struct limit_table *l, unsigned place, const struct deadline *d,
		     struct err *e);
void limit_table_unlock(struct limit_table *l, unsigned place);
struct limit_key *limit_table_key(struct limit_table *l, unsigned place);

/* Locked: may one more of the key's requests be in hand?  concurrent 0: as many as can be counted. */
bool limit_table_has_room(const struct limit_table *l, unsigned place, int64_t concurrent);
void limit_table_hold(struct limit_table *l, unsigned place);   /* locked */
void limit_table_let_go(struct limit_table *l, unsigned place); /* locked or not */

/* Looks for the dead now and then, when somebody was refused.  True: it is worth asking again. */
bool limit_table_reap(struct limit_table *l);

#endif
