#include "job/owed_task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "base/run_folder.h"

#define FOLDER      "owed"
#define PREFIX      "task_"
#define TEMP_PREFIX ".new_"
#define TEMP_OLD_S  60      /* nobody writes it any more */
#define FILE_MAX    4000000 /* bytes; a prompt and what became of it */
#define GIVE_MS     5000    /* for one whose process died */
#define FOUND_MS \
	2000 /* its lease then: what its intent knows of it is told before somebody takes it */

/* ---- as text ---- */

#define FIELD(name)                                                                                \
	{                                                                                          \
#name, offsetof(struct task_record, name), sizeof(((struct task_record *)0)->name) \
	}
static const struct {
	const char *name;
	size_t at, size;
} names[] = { FIELD(id),       FIELD(request_id), FIELD(owner),       FIELD(model),
	      FIELD(provider), FIELD(stage),      FIELD(upstream_id), FIELD(worker) };
static const struct {
	const char *name;
	size_t at;
} texts[] = { { "request", offsetof(struct task_record, request) },
	      { "history", offsetof(struct task_record, history) },
	      { "progress", offsetof(struct task_record, progress) },
	      { "result", offsetof(struct task_record, result) },
	      { "error", offsetof(struct task_record, error) } };
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static char **
text_at(const struct task_record *t, size_t at)
{
	return (char **)((char *)t + at);
}

static char *
to_text(const struct owed_task *o)
{
	const struct task_record *t = &o->task;
	char hex[2 * IDEM_HASH_BYTES + 1];
	json_auto_t *v =
		json_pack("{s:s, s:b, s:I}", "status", task_status_name(t->status), "dispatched",
			  t->dispatched, "created_ms", (json_int_t)t->created_ms);

	for (size_t i = 0; i < COUNT(names); i++)
		(void)json_object_set_new(v, names[i].name,
					  json_string((const char *)t + names[i].at));
	for (size_t i = 0; i < COUNT(texts); i++)
		if (*text_at(t, texts[i].at))
			(void)json_object_set_new(v, texts[i].name,
						  json_string(*text_at(t, texts[i].at)));
	for (size_t i = 0; i < IDEM_HASH_BYTES; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", o->idem.hash[i]);
	if (o->idem.request_id[0])
		(void)json_object_set_new(v, "repeated",
					  json_pack("{s:s, s:s, s:I, s:I}", "key", o->idem.key,
						    "hash", hex, "created_ms",
						    (json_int_t)o->idem.created_ms, "expires_ms",
						    (json_int_t)o->idem.expires_ms));
	return json_dumps(v, JSON_COMPACT);
}

static void
put(char *to, size_t size, const json_t *v)
{
	const char *text = json_string_value(v);

	(void)snprintf(to, size, "%s", text ? text : "");
}

static void
read_idem(const json_t *v, const struct task_record *t, struct idem_record *out)
{
	const char *hex = json_string_value(json_object_get(v, "hash"));

	if (!hex || strlen(hex) != 2 * IDEM_HASH_BYTES)
		return;
	for (size_t i = 0; i < IDEM_HASH_BYTES; i++)
		out->hash[i] = (unsigned char)(num_hex_digit(hex[2 * i]) << 4 |
					       num_hex_digit(hex[2 * i + 1]));
	put(out->key, sizeof(out->key), json_object_get(v, "key"));
	out->created_ms = json_integer_value(json_object_get(v, "created_ms"));
	out->expires_ms = json_integer_value(json_object_get(v, "expires_ms"));
	(void)snprintf(out->owner, sizeof(out->owner), "%s", t->owner);
	(void)snprintf(out->request_id, sizeof(out->request_id), "%s", t->request_id);
	(void)snprintf(out->task_id, sizeof(out->task_id), "%s", t->id);
}

/* False: it is none. */
static bool
from_text(const char *text, size_t n, struct owed_task *o)
{
	json_auto_t *v = NULL;
	struct err ignored;
	const char *status;
	int known;

	*o = (struct owed_task){ .hold = -1 };
	if (json_read(text, n, &v, &ignored) < 0)
		return false;
	status = json_string_value(json_object_get(v, "status"));
	known = status ? task_status_by_name(status) : -1;
	if (known < 0)
		return false;
	o->task.status = (enum task_status)known;
	o->task.dispatched = json_is_true(json_object_get(v, "dispatched"));
	o->task.created_ms = json_integer_value(json_object_get(v, "created_ms"));
	for (size_t i = 0; i < COUNT(names); i++)
		put((char *)&o->task + names[i].at, names[i].size,
		    json_object_get(v, names[i].name));
	for (size_t i = 0; i < COUNT(texts); i++) {
		const char *s = json_string_value(json_object_get(v, texts[i].name));

		*text_at(&o->task, texts[i].at) = s ? strdup(s) : NULL;
	}
	read_idem(json_object_get(v, "repeated"), &o->task, &o->idem);
	return o->task.id[0] && o->task.owner[0];
}

/* ---- its file ---- */

static bool
is_name(const char *id)
{
	size_t n = strlen(PREFIX);

	return !strncmp(id, PREFIX, n) && strlen(id) < ID_TEXT &&
	       strspn(id + n, "0123456789abcdefghijklmnopqrstuvwxyz") == strlen(id + n) && id[n];
}

void
owed_task_done(struct owed_task *o)
{
	if (o->hold > 0)
		(void)close(o->hold);
	o->hold = -1;
	task_record_done(&o->task);
	idem_record_done(&o->idem);
}

static int
write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t put_bytes = write(fd, p, n);

		if (put_bytes < 0)
			return -1;
		p += put_bytes;
		n -= (size_t)put_bytes;
	}
	return 0;
}

int
owed_task_write(const char *state_dir, struct owed_task *o, struct err *e)
{
	AUTO_FREE char *text = to_text(o);
	AUTO_FD int dir = run_folder_open(state_dir, FOLDER, e);
	AUTO_FD int fd = -1;
	char temp[ID_TEXT];

	if (dir < 0)
		return -1;
	if (!text)
		return err_set(e, ERR_INTERNAL, "out of memory");
	id_make(TEMP_PREFIX, temp, sizeof(temp));
	fd = openat(dir, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Locked before it has its name: nobody ever finds it without its owner. */
	if (fd < 0 || flock(fd, LOCK_EX) < 0 || write_all(fd, text, strlen(text)) < 0 ||
	    renameat(dir, temp, dir, o->task.id) < 0) {
		(void)run_folder_failed(e, FOLDER, "write");
		(void)unlinkat(dir, temp, 0);
		return -1;
	}
	if (o->hold > 0)
		(void)close(o->hold);
	o->hold = fd;
	fd = -1;
	return 0;
}

void
owed_task_drop(const char *state_dir, struct owed_task *o)
{
	struct err ignored;
	AUTO_FD int dir = run_folder_open(state_dir, FOLDER, &ignored);

	if (dir >= 0)
		(void)unlinkat(dir, o->task.id, 0);
	if (o->hold > 0)
		(void)close(o->hold);
	o->hold = -1;
}

static bool
read_file(int fd, struct owed_task *o)
{
	AUTO_FREE char *text = NULL;
	struct stat st;
	ssize_t n;

	*o = (struct owed_task){ .hold = -1 };
	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > FILE_MAX)
		return false;
	text = malloc((size_t)st.st_size);
	n = text ? pread(fd, text, (size_t)st.st_size, 0) : -1;
	return n == st.st_size && from_text(text, (size_t)n, o);
}

static int
open_one(const char *state_dir, const char *id)
{
	struct err ignored;
	AUTO_FD int dir = is_name(id) ? run_folder_open(state_dir, FOLDER, &ignored) : -1;

	return dir < 0 ? -1 : openat(dir, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

bool
owed_task_waits(const char *state_dir, const char *id)
{
	AUTO_FD int fd = open_one(state_dir, id);

	return fd >= 0;
}

int
owed_task_find(const char *state_dir, struct store *s, const char *id, struct task_record *out,
	       bool *found, const struct deadline *d, struct err *e)
{
	AUTO(owed_task) o = { .hold = -1 };
	AUTO_FD int fd = -1;

	if (store_task_get(s, id, out, found, d, e) < 0)
		return -1;
	if (*found || !is_name(id))
		return 0;
	fd = open_one(state_dir, id);
	/* The store may have taken it in between. */
	if (fd < 0 || !read_file(fd, &o))
		return store_task_get(s, id, out, found, d, e);
	*found = true;
	*out = o.task;
	o.task = (struct task_record){ 0 };
	/* Its end is one when the store has it: somebody may have cancelled it. */
	out->status = TASK_STARTED;
	free(TAKE_PTR(out->result));
	free(TAKE_PTR(out->error));
	return 0;
}

/* ---- into the store ---- */

static int
tell_repetitions(struct store *s, const struct owed_task *o, const struct deadline *d,
		 struct err *e)
{
	struct idem_record other = { 0 };
	bool found = false, begun;

	if (!o->idem.request_id[0])
		return 0;
	if (store_idem_task(s, o->task.request_id, o->task.id, &found, d, e) < 0)
		return -1;
	if (found)
		return 0;
	if (store_idem_begin(s, &o->idem, &other, &begun, d, e) < 0)
		return -1;
	idem_record_done(&other);
	return 0;
}

int
owed_task_give(struct store *s, const struct owed_task *o, int64_t lease_ms, int64_t keep_ms,
	       bool *held, const struct deadline *d, struct err *e)
{
	const struct task_add how = { .lease_ms = lease_ms };
	struct task_record t = o->task; /* lent */
	const struct task_step step = { .dispatched = t.dispatched,
					.stage = t.stage,
					.upstream_id = t.upstream_id,
					.model = t.model,
					.provider = t.provider,
					.history = t.history,
					.progress = t.progress };
	const struct task_end end = { .status = t.status,
				      .result = t.result,
				      .error = t.error,
				      .history = t.history,
				      .keep_ms = keep_ms };
	enum task_status ended = t.status;
	bool added;

	t.status = TASK_STARTED;
	t.result = t.error = NULL;
	/* One that was taken although the answer did not come may be of an earlier state. */
	if (store_task_add(s, &t, &how, NULL, &added, d, e) < 0 ||
	    tell_repetitions(s, o, d, e) < 0 ||
	    store_task_advance(s, t.id, 1, &step, held, d, e) < 0)
		return -1;
	if (!*held || !task_has_ended(ended))
		return 0;
	return store_task_finish(s, t.id, 1, &end, held, &ended, d, e);
}

/* One whose process is dead; *fd is its file in dir, locked.  False: the store does not take it now. */
static bool
end_one(int dir, const char *state_dir, struct store *s, int64_t keep_ms, int *fd, const char *name)
{
	AUTO(owed_task) o = { .hold = -1 };
	struct deadline d = deadline_in_ms(GIVE_MS);
	struct err e;
	bool held;

	if (!read_file(*fd, &o) || strcmp(o.task.id, name) != 0) {
		/* A power cut can leave such a one. */
		log_error(NULL, "state_dir/run/" FOLDER "/%s was no task, and is removed", name);
		(void)unlinkat(dir, name, 0);
		return true;
	}
	if (owed_task_give(s, &o, FOUND_MS, keep_ms, &held, &d, &e) < 0) {
		log_warn(o.task.request_id, "task %s waits for the store: %s %s", o.task.id,
			 e.about, e.detail);
		return false;
	}
	log_info(o.task.request_id, "task %s: its process died before the store had taken it",
		 o.task.id);
	o.hold = *fd;
	*fd = -1;
	owed_task_drop(state_dir, &o);
	return true;
}

static void
remove_old(int dir, const char *name)
{
	struct stat st;

	if (!strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) &&
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_mtime < time(NULL) - TEMP_OLD_S)
		(void)unlinkat(dir, name, 0);
}

static bool
is_current(int dir, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int
owed_tasks_end(const char *state_dir, struct store *s, int64_t keep_ms, struct err *e)
{
	int dir = run_folder_open(state_dir, FOLDER, e);
	bool answers = true; /* the next one would wait for it as long */
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
	while (answers && (entry = readdir(list))) {
		AUTO_FD int fd = -1;

		if (!is_name(entry->d_name)) {
			remove_old(dir, entry->d_name);
			continue;
		}
		fd = openat(dir, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
		    is_current(dir, entry->d_name, fd))
			answers = end_one(dir, state_dir, s, keep_ms, &fd, entry->d_name);
	}
	(void)closedir(list);
	return 0;
}
