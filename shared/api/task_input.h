#ifndef EASEL_API_TASK_INPUT_H
#define EASEL_API_TASK_INPUT_H
/*
 * task_input - the pictures that a task starts from, while it waits
 *
 * Files state_dir/inputs/TASK-0 … and TASK-mask, mode 0600, written before the task is added and removed
 * when it has ended.  What a process left behind that died in between is found by task_input_sweep().
 * Does not log.
 */
#include "api/edit_read.h"
#include "store/store_task.h"

/*
 * Writes the pictures of *ed, durably, and says where in *text (the record's `input`; NULL when there are
 * none).  0 or -1: ERR_STORAGE_FULL, ERR_INTERNAL; then nothing is left of them.
 */
int task_input_save(const char *state_dir, const char *task_id, const struct edit *ed, char **text,
		    struct err *e);

/* Opens them again, into ed->sources, ed->mask and ed->rq.  0 or -1: ERR_NOT_FOUND, they are gone. */
int task_input_open(const char *state_dir, const struct task_record *t, struct edit *ed,
		    struct err *e);

/*
 * One more picture that is to be there while the task runs, not durably; the name begins with the task's id.
 * 0 or -1, as task_input_save().
 */
#define TASK_INPUT_NAME 64
int task_input_add(const char *state_dir, const char *name, const struct source *s, struct err *e);
/* Opens it; -1: it is not there, or that is no such name (NULL is none). */
int task_input_get(const char *state_dir, const char *name);
void task_input_drop(const char *state_dir, const char *name);

/* Removes them; none is no error. */
void task_input_remove(const char *state_dir, const struct task_record *t);

/* Removes files older than an hour whose task has ended or is unknown.  At most `limit` are looked at. */
int task_input_sweep(const char *state_dir, struct store *store, unsigned limit,
		     const struct deadline *d, struct err *e);

#endif
