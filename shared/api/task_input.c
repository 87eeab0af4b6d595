#include "api/task_input.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/id.h"

#define FOLDER      "inputs"
#define PIECE_BYTES 65536
#define OLD_S       3600

static int
failed(struct err *e, const char *doing)
{
	int error = errno;

	(void)err_set(e, error == ENOSPC || error == EDQUOT ? ERR_STORAGE_FULL : ERR_INTERNAL,
		      "the task's input pictures");
	err_detail(e, "%s: %s", doing, strerror(error));
	return -1;
}

/* The folder's descriptor, or -1 with errno. */
static int
folder_open(const char *state_dir, bool make)
{
	AUTO_FD int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || (make && mkdirat(dir, FOLDER, 0700) < 0 && errno != EEXIST))
		return -1;
	return openat(dir, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- saving ---- */

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t did = write(fd, p, n);

		if (did < 0)
			return -1;
		p += did;
		n -= (size_t)did;
	}
	return 0;
}

static int
copy(const struct source *s, int fd, struct err *e)
{
	AUTO_FREE char *piece = malloc(PIECE_BYTES);
	uint64_t at = 0;
	size_t got;

	if (!piece)
		return err_set(e, ERR_OVERLOADED, "no memory for a picture");
	for (; at < s->bytes; at += got) {
		if (source_read(s, at, piece, PIECE_BYTES, &got, e) < 0)
			return -1;
		if (!got)
			return err_set(e, ERR_INTERNAL, "an input picture became shorter");
		if (write_all(fd, piece, got) < 0)
			return failed(e, "write");
	}
	return 0;
}

/* One picture into the file of that name; what is known of it, as a new reference. */
static json_t *
save_one(int dir, const char *name, const struct source *s, struct err *e)
{
	AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0) {
		(void)failed(e, "open");
		return NULL;
	}
	rc = copy(s, fd, e);
	if (rc == 0 && fsync(fd) < 0)
		rc = failed(e, "fsync");
	if (rc < 0) {
		(void)unlinkat(dir, name, 0);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:I, s:I, s:I}", "file", name, "type", picture_format(s->type),
			 "width", (json_int_t)s->width, "height", (json_int_t)s->height, "bytes",
			 (json_int_t)s->bytes);
}

static int
save_all(int dir, const char *task_id, const struct edit *ed, json_t *root, struct err *e)
{
	json_t *list = json_array(), *one;
	char name[TASK_INPUT_NAME];

	(void)json_object_set_new(root, "sources", list);
	for (unsigned i = 0; i < ed->nsources; i++) {
		(void)snprintf(name, sizeof(name), "%s-%u", task_id, i);
		one = save_one(dir, name, &ed->sources[i], e);
		if (!one)
			return -1;
		(void)json_array_append_new(list, one);
	}
	if (ed->mask.type == PICTURE_NONE)
		return 0;
	(void)snprintf(name, sizeof(name), "%s-mask", task_id);
	one = save_one(dir, name, &ed->mask, e);
	if (!one)
		return -1;
	(void)json_object_set_new(root, "mask", one);
	return 0;
}

int
task_input_save(const char *state_dir, const char *task_id, const struct edit *ed, char **text,
		struct err *e)
{
	struct task_record saved = { 0 };
	json_auto_t *root = json_object();
	AUTO_FD int dir = -1;
	int rc;

	*text = NULL;
	if (!ed->nsources)
		return 0;
	dir = folder_open(state_dir, true);
	if (dir < 0)
		return failed(e, FOLDER);
	rc = save_all(dir, task_id, ed, root, e);
	if (rc == 0 && fsync(dir) < 0)
		rc = failed(e, "fsync");
	*text = json_dumps(root, JSON_COMPACT);
	if (rc == 0 && *text)
		return 0;
	saved.input = *text;
	task_input_remove(state_dir, &saved);
	free(TAKE_PTR(*text));
	return rc < 0 ? -1 : err_set(e, ERR_INTERNAL, "out of memory");
}

/* ---- opening and removing ---- */

/* Was that name written here? */
static bool
is_name(const char *name)
{
	return name && !strncmp(name, "task_", 5) && !strchr(name, '/');
}

static const char *
name_of(const json_t *v)
{
	const char *name = json_string_value(json_object_get(v, "file"));

	return is_name(name) ? name : NULL;
}

static int
open_one(int dir, const json_t *v, struct source *s, struct err *e)
{
	const char *name = name_of(v), *type = json_string_value(json_object_get(v, "type"));

	s->fd = name && type ? openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (s->fd < 0) {
		*s = (struct source){ 0 };
		(void)err_set(e, ERR_NOT_FOUND, "input picture");
		err_detail(e, "%s: %s", name ? name : "?", strerror(errno));
		return -1;
	}
	s->type = picture_by_format(type);
	s->width = (uint32_t)json_integer_value(json_object_get(v, "width"));
	s->height = (uint32_t)json_integer_value(json_object_get(v, "height"));
	s->bytes = (uint64_t)json_integer_value(json_object_get(v, "bytes"));
	return 0;
}

int
task_input_open(const char *state_dir, const struct task_record *t, struct edit *ed, struct err *e)
{
	json_auto_t *root = t->input ? json_loads(t->input, 0, NULL) : NULL;
	const json_t *list = json_object_get(root, "sources"),
		     *mask = json_object_get(root, "mask");
	AUTO_FD int dir = -1;

	if (!root)
		return 0;
	dir = folder_open(state_dir, false);
	for (size_t i = 0; i < json_array_size(list) && i < SOURCES_MAX; i++) {
		if (open_one(dir, json_array_get(list, i), &ed->sources[i], e) < 0)
			return -1;
		ed->nsources++;
	}
	if (mask && open_one(dir, mask, &ed->mask, e) < 0)
		return -1;
	ed->rq.sources = ed->sources;
	ed->rq.nsources = ed->nsources;
	ed->rq.mask = mask ? &ed->mask : NULL;
	return 0;
}

static void
remove_one(int dir, const json_t *v)
{
	const char *name = name_of(v);

	if (name)
		(void)unlinkat(dir, name, 0);
}

void
task_input_remove(const char *state_dir, const struct task_record *t)
{
	json_auto_t *root = t->input ? json_loads(t->input, 0, NULL) : NULL;
	const json_t *list = json_object_get(root, "sources");
	AUTO_FD int dir = root ? folder_open(state_dir, false) : -1;

	if (dir < 0)
		return;
	for (size_t i = 0; i < json_array_size(list); i++)
		remove_one(dir, json_array_get(list, i));
	remove_one(dir, json_object_get(root, "mask"));
}

/* ---- pictures on the way ---- */

int
task_input_add(const char *state_dir, const char *name, const struct source *s, struct err *e)
{
	AUTO_FD int dir = folder_open(state_dir, true);
	/* Of the same name can only be what a worker left that was killed before it said so. */
	AUTO_FD int fd =
		dir < 0 ? -1 : openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return failed(e, "open");
	if (copy(s, fd, e) == 0)
		return 0;
	(void)unlinkat(dir, name, 0);
	return -1;
}

int
task_input_get(const char *state_dir, const char *name)
{
	AUTO_FD int dir = is_name(name) ? folder_open(state_dir, false) : -1;

	return dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

void
task_input_drop(const char *state_dir, const char *name)
{
	AUTO_FD int dir = is_name(name) ? folder_open(state_dir, false) : -1;

	if (dir >= 0)
		(void)unlinkat(dir, name, 0);
}

/* ---- what was left behind ---- */

/* Is the task that a file is named after still to come or at work? */
static int
is_needed(struct store *store, const char *name, const struct deadline *d, bool *needed,
	  struct err *e)
{
	struct task_record t = { 0 };
	char id[ID_TEXT];
	bool found;
	int rc;

	(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(name, "-"), name);
	rc = store_task_get(store, id, &t, &found, d, e);
	*needed = rc == 0 && found && !t.expired && !task_has_ended(t.status);
	task_record_done(&t);
	return rc;
}

int
task_input_sweep(const char *state_dir, struct store *store, unsigned limit,
		 const struct deadline *d, struct err *e)
{
	int fd = folder_open(state_dir, false), rc = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	while (rc == 0 && limit && (entry = readdir(dir))) {
		struct stat st;
		bool needed = true;

		if (strncmp(entry->d_name, "task_", 5) != 0 ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_mtime + OLD_S > time(NULL))
			continue;
		limit--;
		rc = is_needed(store, entry->d_name, d, &needed, e);
		if (!needed && rc == 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	(void)closedir(dir);
	return rc;
}
