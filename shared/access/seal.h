#ifndef EASEL_ACCESS_SEAL_H
#define EASEL_ACCESS_SEAL_H
/*
 * seal - a caller's credential while its task waits
 *
 * XChaCha20-Poly1305 (libsodium) with a key of this installation, state_dir/task-seal.key: whoever reads
 * the store or its backup alone learns nothing.  A box opens only under the task's id that it was made
 * for, so that it cannot be moved to another task.  Thread-safe after seal_init().  Does not log.
 */
#include "store/store_task.h"

int seal_init(const char *state_dir, struct err *e); /* as key_file() */

/* *out is the caller's, to be wiped and freed as the record's secret is.  0 or -1: ERR_INTERNAL. */
int seal(const char *task_id, const char *text, size_t n, struct store_bytes *out, struct err *e);

/*
 * *text is NUL-terminated, malloc()ed, to be ended with seal_wipe().  -1: ERR_CONFIG, it was made with
 * another key or for another task.
 */
int seal_open(const char *task_id, const struct store_bytes *box, char **text, struct err *e);
void seal_wipe(char **text);

#endif
