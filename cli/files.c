/*
 * easel files: prune, verify
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "files/prune.h"
#include "state.h"

#define VERIFY_MS 600000

/* What both commands open. */
struct opened {
	struct config *conf;
	struct store *store;
	struct filestore *files;
};

static void
opened_done(struct opened *o)
{
	filestore_free(o->files);
	store_free(o->store);
	config_free(o->conf);
}

static int
open_all(struct opened *o, const char *file, bool json)
{
	const struct config *c;
	struct err e;
	int status = load_config(file, json, &o->conf);

	if (status)
		return status;
	c = o->conf;
	if (store_open(&o->store, c->store.url, c->state_dir, true, &e) < 0 ||
	    filestore_open(&o->files, c->files.url, c->state_dir, (uint64_t)c->limits.image_bytes,
			   (uint64_t)c->limits.image_pixels, (uint64_t)c->files.max_bytes, &e) < 0)
		return report(&e, json);
	return CLI_OK;
}

/* ---- prune ---- */

/* The longest that a picture may lie there without its record while somebody still works on it. */
static int64_t
stray_ms(const struct config *c)
{
	const int64_t all[] = { c->deadline.images_generations_ms, c->deadline.images_edits_ms,
				c->deadline.chat_completions_ms, c->deadline.task_run_ms };
	int64_t most = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		most = all[i] > most ? all[i] : most;
	return most + c->deadline.grace_ms + FILE_LEFTOVER_MS;
}

/* A descriptor that is held while it is pruned; -1 with errno, EWOULDBLOCK: somebody else prunes. */
static int
take_lock(const struct config *c)
{
	char path[PATH_MAX];
	struct err e;
	int fd;

	if (path_join(path, c->state_dir, "prune.lock", &e) < 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int errnum = errno;

		(void)close(fd);
		errno = errnum;
		return -1;
	}
	return fd;
}

static uint64_t
sum(const struct prune_report *r)
{
	return r->by_age + r->by_size + r->strays + r->thumbnails + r->temporary + r->records;
}

static int
print_report(const struct prune_report *r, bool dry, bool json)
{
	const char *what = dry ? "would be removed" : "removed";

	if (json)
		return print_json(
			json_pack("{s:b, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:I}", "dry_run", dry,
				  "removed", "by_age", (json_int_t)r->by_age, "by_size",
				  (json_int_t)r->by_size, "without_record", (json_int_t)r->strays,
				  "thumbnails", (json_int_t)r->thumbnails, "temporary",
				  (json_int_t)r->temporary, "records", (json_int_t)r->records,
				  "bytes", (json_int_t)r->bytes));
	(void)printf("pictures too old           %10llu\n"
		     "pictures beyond max_bytes  %10llu\n"
		     "pictures without a record  %10llu\n"
		     "thumbnails of no picture   %10llu\n"
		     "temporary files            %10llu\n"
		     "records of tasks, sessions %10llu\n"
		     "%.1f MB %s\n",
		     (unsigned long long)r->by_age, (unsigned long long)r->by_size,
		     (unsigned long long)r->strays, (unsigned long long)r->thumbnails,
		     (unsigned long long)r->temporary, (unsigned long long)r->records,
		     (double)r->bytes / 1048576, what);
	return CLI_OK;
}

static void
log_report(const struct prune_report *r)
{
	if (sum(r))
		log_info(NULL,
			 "removed %llu pictures that were too old, %llu beyond max_bytes, %llu "
			 "without a record, %llu leftovers, %llu records; %.1f MB",
			 (unsigned long long)r->by_age, (unsigned long long)r->by_size,
			 (unsigned long long)r->strays,
			 (unsigned long long)r->thumbnails + r->temporary,
			 (unsigned long long)r->records, (double)r->bytes / 1048576);
}

static int
locked(const struct config *c, bool to_log)
{
	struct err e;

	if (errno == EWOULDBLOCK) {
		if (!to_log)
			say("pruning is under way already");
		return to_log ? CLI_OK : CLI_FAILED;
	}
	(void)err_set(&e, ERR_INTERNAL, "%s/prune.lock: %s", c->state_dir, strerror(errno));
	return report(&e, false);
}

int
cmd_files_prune(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	bool json = false, dry = false, to_log = false;
	const struct opt opts[] = {
		{ "--dry-run", NULL, "say what would be removed and remove nothing", NULL, &dry },
		{ "--log", NULL, "speak as a line in the log, as `easel serve` runs it", NULL,
		  &to_log },
		OPT_CONFIG(file),
		OPT_JSON(json),
		{ NULL }
	};
	AUTO(opened) o = { NULL, NULL, NULL };
	AUTO_FD int lock = -1;
	struct prune_rules rules = { .now_ms = clock_wall_ms() };
	struct prune_report done;
	struct err e;
	int n = options_read(c, opts, argc, argv, NULL, 0), status;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = open_all(&o, file, json);
	if (status)
		return status;
	log_init("files-prune", (int)o.conf->log.level, o.conf->log.format == LOG_JSON);
	lock = dry ? -1 : take_lock(o.conf);
	if (lock < 0 && !dry)
		return locked(o.conf, to_log);
	rules.keep_ms = o.conf->files.keep_ms;
	rules.max_bytes = o.conf->files.max_bytes;
	rules.stray_ms = stray_ms(o.conf);
	rules.dry_run = dry;
	if (prune(o.files, o.store, &rules, &done, &e) < 0) {
		if (to_log)
			log_error(NULL, "pruning did not come to its end: %s %s", e.about,
				  e.detail);
		return to_log ? CLI_FAILED : report(&e, json);
	}
	if (to_log)
		log_report(&done);
	return to_log ? CLI_OK : print_report(&done, dry, json);
}

/* ---- verify ---- */

struct verify {
	json_t *problems;
	bool json;
};

static void
problem(const struct verify *v, const char *kind, const char *name, const char *text, int64_t bytes)
{
	(void)json_array_append_new(v->problems, json_pack("{s:s, s:s, s:I}", "kind", kind, "name",
							   name, "bytes", (json_int_t)bytes));
	if (!v->json)
		(void)printf("%s: %s\n", name, text);
}

static int
verify_records(const struct verify *v, const struct opened *o, const struct inventory *seen,
	       struct err *e)
{
	for (size_t i = 0; i < seen->nrecords; i++) {
		const struct inventory_record *r = &seen->records[i];
		AUTO(picture_record) now = { .bytes = 0 };
		struct deadline d = deadline_in_ms(PRUNE_STEP_MS);
		int64_t bytes = r->file_bytes;
		bool found = true;
		char path[PICTURE_PATH];

		if (bytes == (int64_t)r->picture.bytes)
			continue;
		/* It may have been removed since the records were read. */
		if (bytes < 0 &&
		    store_picture_get(o->store, r->picture.id, &now, &found, &d, e) < 0)
			return -1;
		picture_path(&r->picture, path);
		if (bytes < 0 && found)
			problem(v, "no_file", strrchr(path, '/') + 1, "its file is missing", -1);
		else if (bytes >= 0)
			problem(v, "wrong_size", strrchr(path, '/') + 1,
				"its file has another size than its record says", bytes);
	}
	return 0;
}

static void
verify_strays(const struct verify *v, const struct inventory *seen)
{
	static const struct {
		const char *kind, *text;
	} said[] = {
		[FILE_PICTURE] = { "no_record", "a picture without a record" },
		[FILE_THUMBNAIL] = { "thumbnail", "a thumbnail of no picture" },
		[FILE_TEMPORARY] = { "temporary",
				     "a picture in the making, or what is left of it" },
		[FILE_OTHER] = { "other", "it is none of Easel's" },
	};

	for (size_t i = 0; i < seen->nstrays; i++) {
		const struct file_found *f = &seen->strays[i];

		problem(v, said[f->kind].kind, f->name, said[f->kind].text, f->bytes);
	}
}

int
cmd_files_verify(const struct command *c, int argc, char **argv)
{
	const char *file = NULL;
	struct verify v = { NULL, false };
	const struct opt opts[] = { OPT_CONFIG(file), OPT_JSON(v.json), { NULL } };
	AUTO(opened) o = { NULL, NULL, NULL };
	AUTO(inventory) seen = { .records = NULL };
	struct deadline d = deadline_in_ms(VERIFY_MS);
	struct err e;
	int n = options_read(c, opts, argc, argv, NULL, 0), status;
	size_t problems;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = open_all(&o, file, v.json);
	if (status)
		return status;
	if (inventory_read(&seen, o.files, o.store, &d, &e) < 0)
		return report(&e, v.json);
	v.problems = json_array();
	if (verify_records(&v, &o, &seen, &e) < 0) {
		json_decref(v.problems);
		return report(&e, v.json);
	}
	verify_strays(&v, &seen);
	problems = json_array_size(v.problems);
	if (v.json)
		(void)print_json(json_pack("{s:I, s:I, s:o}", "pictures", (json_int_t)seen.nrecords,
					   "bytes", (json_int_t)seen.picture_bytes, "problems",
					   v.problems));
	else
		json_decref(v.problems);
	say("%zu pictures, %.1f MB, %zu problems", seen.nrecords,
	    (double)seen.picture_bytes / 1048576, problems);
	return problems ? CLI_FAILED : CLI_OK;
}
