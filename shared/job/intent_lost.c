/* What processes that died have left. */
#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/run_folder.h"
#include "job/intent_file.h"

static const char *const stage_names[] = {
	[INTENT_ACCEPTED] = "accepted",
	[INTENT_SUBMITTING] = "provider.submit",
	[INTENT_WAITING] = "provider.wait",
	[INTENT_STORING] = "store",
	[INTENT_TASK] = "task",
	[INTENT_ANSWERED] = "answered",
};
#define STAGES (sizeof(stage_names) / sizeof(*stage_names))

/* Where the pictures of slot s are. */
static off_t
rest_at(const struct intent_header *h, uint32_t s)
{
	return (off_t)(sizeof(*h) + h->slots * sizeof(struct intent) +
		       s * sizeof(struct intent_rest));
}

/* The file is not to be trusted. */
static void
check_pictures(struct picture *p, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		p[k].id[sizeof(p[k].id) - 1] = '\0';
		if ((unsigned)p[k].type > PICTURE_WEBP)
			p[k].type = PICTURE_NONE;
	}
}

static void
add_rest(const struct intent *i, struct intent_rest *rest, struct intent_lost *l)
{
	rest->asked[i->is_asked == 1 ? sizeof(rest->asked) - 1 : 0] = '\0';
	rest->made_request[sizeof(rest->made_request) - 1] = '\0';
	check_pictures(rest->came, INTENT_CAME_MAX);
	check_pictures(rest->made, INTENT_MADE_MAX);
	l->request = rest->asked;
	l->remnant = i->is_remnant == 1;
	l->came = rest->came;
	l->ncame = l->rest_unsent ? i->nrest : i->ncame;
	if (l->ncame > INTENT_CAME_MAX)
		l->ncame = INTENT_CAME_MAX;
	l->made = rest->made;
	l->nmade = i->nmade < INTENT_MADE_MAX ? i->nmade : INTENT_MADE_MAX;
	l->made_request = rest->made_request;
}

static void
make_record(const struct intent_header *h, struct intent *i, uint32_t stage, struct intent_lost *l)
{
	struct job_record *j = &l->job;
	bool unsent = intent_is_unsent(i, stage);

	/* The file is not to be trusted to end its texts. */
	i->request_id[sizeof(i->request_id) - 1] = '\0';
	i->key_id[sizeof(i->key_id) - 1] = '\0';
	i->model[sizeof(i->model) - 1] = '\0';
	i->provider[sizeof(i->provider) - 1] = '\0';
	i->upstream_id[sizeof(i->upstream_id) - 1] = '\0';
	i->credential[sizeof(i->credential) - 1] = '\0';
	i->task_id[sizeof(i->task_id) - 1] = '\0';

	*l = (struct intent_lost){ .hashed = i->hashed == 1,
				   .credential = i->credential,
				   .task_id = i->task_id,
				   .rest_unsent = i->sent == INTENT_REST_UNSENT,
				   .answered = stage == INTENT_ANSWERED,
				   .fence = i->fence };
	memcpy(l->hash, i->hash, sizeof(l->hash));
	*j = (struct job_record){ .created_ms = i->created_ms, .ended_ms = clock_wall_ms() };
	/* The same id whoever recovers it, so that doing so twice makes one record. */
	intent_put(j->id, sizeof(j->id), i->request_id);
	intent_put(j->request_id, sizeof(j->request_id), i->request_id);
	intent_put(j->key_id, sizeof(j->key_id), i->key_id);
	(void)snprintf(j->program, sizeof(j->program), "%.*s", (int)sizeof(h->program), h->program);
	intent_put(j->model, sizeof(j->model), i->model);
	intent_put(j->provider, sizeof(j->provider), i->provider);
	if (!l->rest_unsent)
		intent_put(j->upstream_id, sizeof(j->upstream_id), i->upstream_id);
	intent_put(j->stage, sizeof(j->stage), stage_names[stage]);
	intent_put(j->outcome, sizeof(j->outcome),
		   stage >= INTENT_SUBMITTING && !unsent ? "outcome_unknown" : "handler_crashed");
}

/*
 * Hands out what is in a dead process's file, which is locked.  Read and written by call, not mapped:
 * a file that somebody cuts short is then an error and not SIGBUS.  Each slot is freed after fn had
 * it: if this process dies in the middle, or cannot say what became of it, the next one goes on there.
 * The number of jobs; *keep: the file is not ours to remove.
 */
static int
recover_slots(int fd, bool *keep, int (*fn)(const struct intent_lost *l, void *arg), void *arg)
{
	struct intent_header h;
	int n = 0;

	/* Its owner died before it took a job, or it is no file of ours. */
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != INTENT_FILE_MAGIC)
		return 0;
	*keep = h.version != INTENT_FILE_VERSION || h.slot_bytes != sizeof(struct intent);
	if (*keep)
		return 0;
	for (uint32_t s = 0; s < h.slots && s < INTENT_SLOTS_MAX; s++) {
		off_t at = (off_t)(sizeof(h) + s * sizeof(struct intent));
		uint32_t stage, none = INTENT_FREE;
		struct intent_lost l;
		struct intent i;
		struct intent_rest rest;

		if (pread(fd, &i, sizeof(i), at) != (ssize_t)sizeof(i))
			break;
		stage = atomic_load_explicit(&i.stage, memory_order_relaxed);
		if (stage == INTENT_FREE || stage >= STAGES)
			continue;
		make_record(&h, &i, stage, &l);
		if (pread(fd, &rest, sizeof(rest), rest_at(&h, s)) != (ssize_t)sizeof(rest))
			i.nmade = i.ncame = i.nrest = i.is_asked = 0; /* it was cut short */
		add_rest(&i, &rest, &l);
		if (stage == INTENT_TASK && !i.task_id[0])
			continue;
		if (fn(&l, arg) < 0) {
			*keep = true;
			continue;
		}
		n++;
		(void)!pwrite(fd, &none, sizeof(none), at + (off_t)offsetof(struct intent, stage));
	}
	return n;
}

int
intent_recover(const char *state_dir, int (*fn)(const struct intent_lost *l, void *arg), void *arg,
	       struct err *e)
{
	int dir = run_folder_open(state_dir, INTENT_FOLDER, e), n = 0;
	struct dirent *entry;
	DIR *list;

	if (dir < 0)
		return -1;
	list = fdopendir(dir);
	if (!list) {
		(void)run_folder_failed(e, INTENT_FOLDER, "list");
		(void)close(dir);
		return -1;
	}
	while ((entry = readdir(list))) {
		bool keep = false;
		AUTO_FD int fd = entry->d_name[0] == '.'
					 ? -1
					 : openat(dir, entry->d_name,
						  O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		/* A living owner, this process too, holds the lock by a descriptor of its own. */
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
		    !intent_is_current(dir, entry->d_name, fd))
			continue;
		n += recover_slots(fd, &keep, fn, arg);
		if (!keep)
			(void)unlinkat(dir, entry->d_name, 0);
	}
	(void)closedir(list);
	return n;
}
