#ifndef EASEL_BASE_ALIVE_H
#define EASEL_BASE_ALIVE_H
/*
 * alive - by which the processes of one machine see which of them live
 *
 * What a process holds for a while - a slot, a place in a line - says by a number whose it is.  Each
 * process keeps a lock on one byte of state_dir/run/alive, at a random number: the kernel drops it
 * however the process ends, and unlike a process number it is never used again (open file description
 * locks, fcntl(2)).
 *
 * Several machines may share a store, but never this file; alive_machine() tells them apart.
 * Thread-safe.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * After fork, by each module that uses it, when it first does; alive_close() as often.  A process belongs to
 * one state_dir.  0 or -1: ERR_CONFIG, ERR_STORAGE_FULL.
 */
int alive_open(const char *state_dir, struct err *e);
void alive_close(void);

/* This process; never 0 after alive_open(). */
uint64_t alive_self(void);
/* Does this process of this machine live?  True where that cannot be found out. */
bool alive_is(uint64_t process);
/* A random number that this machine's state_dir keeps; the same for all of its processes. */
uint64_t alive_machine(void);

#endif
