/* What is known of a job in the intents of all processes, whether they live or not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/run_folder.h"
#include "job/intent_file.h"

/* Of each slot its beginning is read first: most are free. */
#define BEGINNING_BYTES offsetof(struct intent, model)

/* A slot in use, of which only the beginning has been read.  True: it is the one that was looked for. */
typedef bool
slot_fn(int fd, const struct intent_header *h, off_t at, const struct intent *beginning, void *arg);

static bool
search_file(int fd, slot_fn *fn, void *arg)
{
	struct intent_header h;
	struct intent i;

	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != INTENT_FILE_MAGIC ||
	    h.version != INTENT_FILE_VERSION || h.slot_bytes != sizeof(struct intent))
		return false;
	for (uint32_t n = 0; n < h.used && n < INTENT_SLOTS_MAX; n++) {
		off_t at = (off_t)(sizeof(h) + n * sizeof(struct intent));

		if (pread(fd, &i, BEGINNING_BYTES, at) < 0)
			return false;
		if (i.stage >= INTENT_SUBMITTING && i.stage <= INTENT_TASK &&
		    fn(fd, &h, at, &i, arg))
			return true;
	}
	return false;
}

static bool
search(const char *state_dir, slot_fn *fn, void *arg)
{
	struct err ignored;
	int dir = run_folder_open(state_dir, INTENT_FOLDER, &ignored);
	DIR *list = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *entry;
	bool found = false;

	if (!list) {
		if (dir >= 0)
			(void)close(dir);
		return false;
	}
	while (!found && (entry = readdir(list))) {
		AUTO_FD int fd = entry->d_name[0] == '.'
					 ? -1
					 : openat(dir, entry->d_name,
						  O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		found = fd >= 0 && search_file(fd, fn, arg);
	}
	(void)closedir(list);
	return found;
}

struct same {
	const char *key_id, *but;
	const unsigned char *hash;
	char *request_id;
};

static bool
asks_the_same(int fd, const struct intent_header *h, off_t at, const struct intent *beginning,
	      void *arg)
{
	const struct same *s = arg;
	struct intent i;

	(void)h;
	if (strncmp(beginning->key_id, s->key_id, sizeof(i.key_id) - 1) != 0 ||
	    pread(fd, &i, sizeof(i), at) != (ssize_t)sizeof(i) || i.hashed != 1 ||
	    memcmp(i.hash, s->hash, sizeof(i.hash)) != 0 ||
	    !strncmp(i.request_id, s->but, sizeof(i.request_id) - 1))
		return false;
	(void)snprintf(s->request_id, 40, "%.39s", i.request_id);
	return true;
}

bool
intent_asks(const char *state_dir, const char *key_id, const unsigned char hash[INTENT_HASH_BYTES],
	    const char *but, char request_id[40])
{
	struct same s = { key_id, but, hash, request_id };

	return search(state_dir, asks_the_same, &s);
}

/* Somebody who sees to its jobs may hold the lock, too. */
static bool
owner_is_dead(int fd, const struct intent_header *h)
{
	return flock(fd, LOCK_SH | LOCK_NB) == 0 || (kill((pid_t)h->pid, 0) < 0 && errno == ESRCH);
}

struct run_of {
	const char *task_id;
	int64_t fence;
	struct intent_run *run;
};

static bool
is_run(int fd, const struct intent_header *h, off_t at, const struct intent *beginning, void *arg)
{
	const struct run_of *of = arg;
	struct intent i, once_more;

	(void)beginning;
	if (pread(fd, &i, sizeof(i), at) != (ssize_t)sizeof(i) || i.fence != of->fence ||
	    strncmp(i.task_id, of->task_id, sizeof(i.task_id) - 1) != 0)
		return false;
	of->run->unsent = (intent_is_unsent(&i, i.stage) || i.sent == INTENT_REST_UNSENT) &&
			  owner_is_dead(fd, h);
	/* Whoever lives may be writing it. */
	if (i.sent != INTENT_REST_UNSENT &&
	    pread(fd, &once_more, sizeof(i), at) == (ssize_t)sizeof(i) &&
	    !memcmp(i.upstream_id, once_more.upstream_id, sizeof(i.upstream_id)))
		intent_put(of->run->upstream_id, sizeof(of->run->upstream_id), i.upstream_id);
	return true;
}

void
intent_run_read(const char *state_dir, const char *task_id, int64_t fence, struct intent_run *run)
{
	struct run_of of = { task_id, fence, run };

	*run = (struct intent_run){ 0 };
	(void)search(state_dir, is_run, &of);
}
