#ifndef EASEL_JOB_PICTURE_RECORD_H
#define EASEL_JOB_PICTURE_RECORD_H
/*
 * picture_record - what is kept of each stored picture, and what it cost
 *
 * Whoever runs an image_job, for whomever, notes its pictures when it is over and writes the note when the
 * answer has left: nobody waits for a commit.
 *
 *	note = picture_note_make(g->records, &job, NULL);    (takes job.intent)
 *	request_after(r, picture_note_write, note);
 *
 * A thread of the process's own, made when first needed, writes what has come: the first at once, then all
 * that came within PICTURE_RECORD_EVERY_MS in one transaction, because small pictures come faster than a disk
 * commits; under load within PICTURE_RECORD_BUSY_MS, because a larger batch touches each page of the index once.
 * A job's intent stays until its pictures have their records (INTENT_KEPT_MAX of them, job/intent.h): when a process
 * is killed, whoever finds its intents writes them (job/lost_job.h).  Only beyond that many, and in a power cut, the last
 * half second's are lost; the pictures are on the disk all the same, and `easel files verify` names them.  While
 * the store cannot be reached, up to PICTURE_RECORDS_MAX wait in memory.
 *
 * [log] prompts has no part in this: the records are the owner's.  Thread-safe.  Logs.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "job/image_run.h"

#define PICTURE_RECORD_EVERY_MS 50
#define PICTURE_RECORD_BUSY_MS  500
#define PICTURE_RECORDS_MAX     10000 /* pictures that wait to be written; the oldest go beyond it */

struct picture_records;

/* In a worker, after fork.  The store is borrowed. */
int picture_records_open(struct picture_records **out, struct store *store, struct err *e);
/* Writes what waits, for PICTURE_RECORDS_END_MS at most.  Accepts NULL. */
#define PICTURE_RECORDS_END_MS 5000
void picture_records_free(struct picture_records *r);
DEFINE_FREEP(picture_records);

struct picture_note;

/*
 * What is to be kept of the job's pictures; copies all it needs, and takes the job's intent.  task_id: NULL when there
 * is none.  NULL when no picture came (or there is no memory, which is logged); the intent stays the job's then.
 */
struct picture_note *
picture_note_make(struct picture_records *r, struct image_job *job, const char *task_id);
/* Hands it over to be written; a struct picture_note, or NULL.  Waits for nothing. */
void picture_note_write(void *note);

/* The same at once, of pictures that were made then.  0 or -1: ERR_STORE, ERR_INTERNAL. */
int picture_note_store(struct store *s, const struct image_job *job, const char *task_id,
		       int64_t created_ms, const struct deadline *d, struct err *e);

/* Adds the parameters that the caller gave, {"size":"1024x1024","seed":7}.  0, or -1 as buf_add(). */
int image_params_text(const struct image_request *rq, struct buf *b);
/* They and the prompt, as image_params_read() takes them; a new reference.  NULL: out of memory. */
json_t *image_params_json(const struct image_request *rq);

#endif
