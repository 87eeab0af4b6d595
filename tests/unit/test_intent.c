#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "job/intent_file.h"

#define SLOTS    8
#define THREADS  4
#define ROUNDS   50000
#define RACERS   4
#define JOBS_MAX 1024

static char dir[64], folder[96];
static struct err e;

/* What intent_recover() handed out. */
static struct job_record jobs[JOBS_MAX];
static int njobs;

static int
collect(const struct intent_lost *l, void *arg)
{
	(void)arg;
	assert_true(njobs < JOBS_MAX);
	jobs[njobs++] = l->job;
	return 0;
}

static int
recover(void)
{
	njobs = 0;
	e = (struct err){ 0 };
	return intent_recover(dir, collect, NULL, &e);
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(folder, sizeof(folder), "%s/run/intent", dir);
	return 0;
}

/* The files in the folder; with `drop`, removes them. */
static int
files(bool drop)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	int n = 0;

	while (list && (entry = readdir(list))) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		if (drop)
			(void)unlinkat(dirfd(list), entry->d_name, 0);
	}
	if (list)
		(void)closedir(list);
	return n;
}

static int
teardown(void **state)
{
	char run[96];

	(void)state;
	intent_close();
	(void)files(true);
	(void)snprintf(run, sizeof(run), "%s/run", dir);
	(void)rmdir(folder);
	(void)rmdir(run);
	return rmdir(dir);
}

/* Runs fn in a child that says when it is done, and kills it. */
static void
killed(void (*fn)(void))
{
	int said[2], status;
	pid_t pid;
	char c;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(said[0]);
		fn();
		if (write(said[1], "x", 1) == 1)
			for (;;)
				(void)pause();
		_exit(1);
	}
	(void)close(said[1]);
	assert_int_equal(read(said[0], &c, 1), 1);
	(void)close(said[0]);
	/* While it lives its file is nobody else's. */
	assert_int_equal(recover(), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void
child_with_jobs(void)
{
	struct intent *i[5];
	char request[16];

	if (intent_open(dir, "images-generations", SLOTS, &e) < 0)
		_exit(1);
	for (int n = 0; n < 5; n++) {
		(void)snprintf(request, sizeof(request), "req_%d", n);
		i[n] = intent_take(request, "key_1", "图像/Model", "relay");
		if (!i[n])
			_exit(1);
	}
	intent_stage(i[1], INTENT_SUBMITTING);
	intent_stage(i[2], INTENT_WAITING);
	intent_upstream_id(i[2], "a-first-id-that-is-longer");
	intent_upstream_id(i[2], "up-77");
	intent_stage(i[3], INTENT_STORING);
	intent_release(i[4]);
}

static void
hands_out_what_a_killed_process_had_in_hand(void **state)
{
	static const struct {
		const char *request, *stage, *outcome, *upstream;
	} rows[] = { { "req_0", "accepted", "handler_crashed", "" },
		     { "req_1", "provider.submit", "outcome_unknown", "" },
		     { "req_2", "provider.wait", "outcome_unknown", "up-77" },
		     { "req_3", "store", "outcome_unknown", "" } };
	int64_t before = clock_wall_ms();

	(void)state;
	killed(child_with_jobs);
	assert_int_equal(recover(), 4);
	for (int i = 0; i < 4; i++) {
		assert_string_equal(jobs[i].id, rows[i].request);
		assert_string_equal(jobs[i].request_id, rows[i].request);
		assert_string_equal(jobs[i].key_id, "key_1");
		assert_string_equal(jobs[i].program, "images-generations");
		assert_string_equal(jobs[i].model, "图像/Model");
		assert_string_equal(jobs[i].provider, "relay");
		assert_string_equal(jobs[i].stage, rows[i].stage);
		assert_string_equal(jobs[i].outcome, rows[i].outcome);
		assert_string_equal(jobs[i].upstream_id, rows[i].upstream);
		assert_in_range(jobs[i].created_ms, before, jobs[i].ended_ms);
	}
	assert_int_equal(files(false), 0);
	assert_int_equal(recover(), 0);
}

static void
keeps_its_file_private_and_removes_it_when_idle(void **state)
{
	char name[160];
	struct stat st;
	mode_t old = umask(0);
	struct intent *taken[SLOTS];
	long slots, before;

	(void)state;
	assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
	(void)umask(old);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	(void)snprintf(name, sizeof(name), "%s/models.%d", folder, (int)getpid());
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* No holes: a full disk must be an error at start, not SIGBUS later.  What few slots need is reserved for each. */
	slots = (long)(sizeof(struct intent_header) +
		       (SLOTS + INTENT_KEPT_MAX) * sizeof(struct intent));
	assert_true(st.st_blocks * 512 >= slots && st.st_blocks * 512 < st.st_size);
	assert_int_equal(recover(), 0);
	assert_int_equal(files(false), 1);

	before = st.st_blocks;
	for (int n = 0; n < SLOTS; n++) {
		taken[n] = intent_take("req_1", "", "m", "p");
		assert_non_null(taken[n]);
		intent_made(taken[n], &(struct picture){ .type = PICTURE_PNG }, "{}");
	}
	assert_int_equal(stat(name, &st), 0);
	assert_true(st.st_blocks > before);
	for (int n = 0; n < SLOTS; n++)
		intent_release(taken[n]);
	intent_release(NULL);
	intent_close();
	assert_int_equal(files(false), 0);

	/* With a job in hand it stays, for somebody to find. */
	assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
	assert_non_null(intent_take("req_2", "", "m", "p"));
	intent_close();
	assert_int_equal(files(false), 1);
	assert_int_equal(recover(), 1);
	assert_string_equal(jobs[0].request_id, "req_2");
}

static void
leaves_the_file_of_a_dead_process_with_the_same_number(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
		assert_non_null(intent_take(i ? "req_b" : "req_a", "", "m", "p"));
		intent_close();
	}
	assert_int_equal(files(false), 3);
	assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
	assert_int_equal(recover(), 3);
	assert_int_equal(files(false), 1);
}

static void
gives_out_as_many_slots_as_there_are(void **state)
{
	struct intent *i[SLOTS];

	(void)state;
	assert_null(intent_take("req", "", "", ""));
	assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
	for (int n = 0; n < SLOTS; n++) {
		i[n] = intent_take("req", "", "", "");
		assert_non_null(i[n]);
		for (int k = 0; k < n; k++)
			assert_ptr_not_equal(i[n], i[k]);
	}
	assert_null(intent_take("req", "", "", ""));
	intent_release(i[3]);
	assert_ptr_equal(intent_take("req", "", "", ""), i[3]);
	for (int n = 0; n < SLOTS; n++)
		intent_release(i[n]);
}

static void
child_with_long_names(void)
{
	char text[300];

	memset(text, 'x', sizeof(text));
	text[299] = '\0';
	if (intent_open(dir, "models", 2, &e) < 0)
		_exit(1);
	intent_upstream_id(intent_take(text, text, text, text), text);
}

static void
cuts_what_is_too_long(void **state)
{
	(void)state;
	killed(child_with_long_names);
	assert_int_equal(recover(), 1);
	assert_int_equal(strlen(jobs[0].request_id), 39);
	assert_int_equal(strlen(jobs[0].key_id), 31);
	assert_int_equal(strlen(jobs[0].model), 127);
	assert_int_equal(strlen(jobs[0].provider), 63);
	assert_int_equal(strlen(jobs[0].upstream_id), 95);
}

static void
drop_in(const char *name, const void *bytes, size_t n)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, n), n);
	(void)close(fd);
}

static void
survives_files_that_are_none_of_its_own(void **state)
{
	unsigned char other[256] = { 0 };
	const uint32_t version = INTENT_FILE_VERSION;
	uint32_t slot_bytes;
	char path[160];
	int fd;

	(void)state;
	killed(child_with_jobs);
	drop_in("empty.1", "", 0);
	drop_in("short.2", "abc", 3);
	memset(other, 0xff, sizeof(other));
	drop_in("garbage.3", other, sizeof(other));
	(void)snprintf(path, sizeof(path), "%s/dir.4", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/fifo.5", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)snprintf(path, sizeof(path), "%s/link.6", folder);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(recover(), 4);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/dir.4", folder);
	assert_int_equal(rmdir(path), 0);

	/* One of another version, whose jobs we cannot read, waits for a program that can. */
	killed(child_with_jobs);
	{
		struct dirent *entry;
		DIR *list = opendir(folder);

		path[0] = '\0';
		while ((entry = readdir(list)))
			if (!strncmp(entry->d_name, "images-", 7))
				(void)snprintf(path, sizeof(path), "%s/%.40s", folder,
					       entry->d_name);
		(void)closedir(list);
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "\x63", 1, 8), 1);
	assert_int_equal(recover(), 0);
	assert_int_equal(access(path, F_OK), 0);
	/* Cut in the middle of a slot: what is whole is handed out. */
	assert_int_equal(pwrite(fd, &version, sizeof(version), 8), sizeof(version));
	assert_int_equal(pread(fd, &slot_bytes, sizeof(slot_bytes), 12), sizeof(slot_bytes));
	assert_int_equal(ftruncate(fd, 128 + slot_bytes + 100), 0);
	(void)close(fd);
	assert_int_equal(recover(), 1);
	assert_string_equal(jobs[0].request_id, "req_0");
	assert_int_equal(access(path, F_OK), -1);
}

static void
child_that_can_be_gone_on_with(void)
{
	unsigned char hash[INTENT_HASH_BYTES];
	const struct picture came = { .id = "0123456789abcdefghjkmnpqrs", .type = PICTURE_PNG };
	char longer[INTENT_REQUEST_TEXT + 1];
	struct intent *i;

	memset(hash, 7, sizeof(hash));
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	if (intent_open(dir, "images-generations", SLOTS, &e) < 0)
		_exit(1);
	/* What was in a slot before is nobody else's. */
	i = intent_take("req_before", "key_1", "m", "p");
	intent_hash(i, hash);
	intent_request(i, "{}", true, "01234567", &came, 1);
	intent_release(i);
	for (int n = 0; n < 3; n++) {
		i = intent_take(n == 2 ? "req_unsent" : "req", "key_1", "m", "p");
		intent_sent(i, n > 0 ? INTENT_UNSENT : INTENT_SENT);
		intent_stage(i, n == 1 ? INTENT_WAITING : INTENT_SUBMITTING);
		if (n == 2)
			intent_task(i, "task_1", 7);
	}
	i = intent_take("req_last", "key_1", "m", "p");
	intent_hash(i, hash);
	intent_request(i, longer + 1, false, "89abcdef", &came, 1);
	i = intent_take("req_long", "key_1", "m", "p");
	intent_request(i, longer, true, "89abcdef", &came, 1);
}

static int
look_at_what_is_known(const struct intent_lost *l, void *arg)
{
	bool last = !strcmp(l->job.request_id, "req_last");
	bool unsent = !strcmp(l->job.request_id, "req_unsent");
	int *calls = arg;

	assert_int_equal(l->hashed, last);
	assert_string_equal(l->task_id, unsent ? "task_1" : "");
	if (unsent)
		assert_int_equal(l->fence, 7);
	if (!strcmp(l->job.stage, "accepted") || unsent)
		assert_string_equal(l->job.outcome, "handler_crashed");
	else
		assert_string_equal(l->job.outcome, "outcome_unknown");
	assert_int_equal(l->hash[INTENT_HASH_BYTES - 1], last ? 7 : l->hash[INTENT_HASH_BYTES - 1]);
	assert_int_equal(strlen(l->request), last ? INTENT_REQUEST_TEXT - 1 : 0);
	assert_int_equal(l->ncame, last);
	if (last) {
		assert_false(l->remnant);
		assert_string_equal(l->credential, "89abcdef");
		assert_string_equal(l->came[0].id, "0123456789abcdefghjkmnpqrs");
	}
	/* The store is away: it is told again. */
	return ++*calls < 3 ? -1 : 0;
}

static void
tells_how_to_go_on_until_that_is_done(void **state)
{
	int calls = 0;

	(void)state;
	killed(child_that_can_be_gone_on_with);
	assert_int_equal(intent_recover(dir, look_at_what_is_known, &calls, &e), 3);
	assert_int_equal(calls, 5);
	assert_int_equal(files(false), 1);
	assert_int_equal(intent_recover(dir, look_at_what_is_known, &calls, &e), 2);
	assert_int_equal(files(false), 0);
}

/* ---- of several pictures some ---- */

static void
child_with_a_rest(void)
{
	const struct picture came[] = { { .id = "first", .type = (enum picture_type)77 },
					{ .id = "second", .type = (enum picture_type) - 1 } };
	struct intent *i;

	if (intent_open(dir, "images-edits", SLOTS, &e) < 0)
		_exit(1);
	for (int n = 0; n < 2; n++) {
		i = intent_take(n ? "req_1" : "req_0", "key_1", "m", "p");
		intent_task(i, "task_1", 3 + n);
		intent_stage(i, INTENT_WAITING);
		intent_request(i, "{}", true, "01234567", came, 1);
		intent_upstream_id(i, "up-1");
		if (n)
			intent_rest_unsent(i, came, 2);
	}
	/* Dead between the two steps: the name is not gone yet. */
	i = intent_take("req_2", "key_1", "m", "p");
	intent_task(i, "task_1", 5);
	intent_sent(i, INTENT_UNSENT);
	intent_stage(i, INTENT_SUBMITTING);
}

static int
look_at_the_rest(const struct intent_lost *l, void *arg)
{
	bool rest = l->fence == 4;

	(void)arg;
	if (l->fence == 5)
		return 0;
	assert_true(l->remnant);
	assert_int_equal(l->rest_unsent, rest);
	assert_string_equal(l->job.upstream_id, rest ? "" : "up-1");
	assert_int_equal(l->ncame, rest ? 2 : 1);
	assert_string_equal(l->came[l->ncame - 1].id, rest ? "second" : "first");
	/* The file is not to be trusted: nothing has such a type. */
	assert_int_equal(l->came[l->ncame - 1].type, PICTURE_NONE);
	return 0;
}

static void
knows_what_came_and_that_the_rest_had_not_left(void **state)
{
	(void)state;
	killed(child_with_a_rest);
	assert_int_equal(intent_recover(dir, look_at_the_rest, NULL, &e), 3);
}

static void
run_is(int64_t fence, const char *upstream_id, bool unsent)
{
	struct intent_run run;

	intent_run_read(dir, "task_1", fence, &run);
	assert_string_equal(run.upstream_id, upstream_id);
	assert_int_equal(run.unsent, unsent);
}

static void
tells_what_the_row_of_a_task_lacks(void **state)
{
	struct intent_run run;
	struct intent *i;

	(void)state;
	killed(child_with_a_rest);
	run_is(2, "", false);
	run_is(3, "up-1", false);
	run_is(4, "", true);
	run_is(5, "", true);
	run_is(6, "", false);
	intent_run_read(dir, "task_2", 3, &run);
	assert_string_equal(run.upstream_id, "");
	assert_int_equal(recover(), 3);
	run_is(3, "", false);

	/* Whoever lives may send it yet, but a name is one. */
	assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
	i = intent_take("req_3", "key_1", "m", "p");
	intent_task(i, "task_1", 7);
	intent_sent(i, INTENT_UNSENT);
	intent_stage(i, INTENT_SUBMITTING);
	run_is(7, "", false);
	intent_upstream_id(i, "up-2");
	run_is(7, "up-2", false);
	intent_release(i);
	run_is(7, "", false);
}

static int seen;

static int
die_at_the_third(const struct intent_lost *l, void *arg)
{
	(void)l;
	(void)arg;
	if (++seen == 3)
		(void)raise(SIGKILL);
	return 0;
}

static void
loses_nothing_when_a_recovering_process_dies(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	killed(child_with_jobs);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)intent_recover(dir, die_at_the_third, NULL, &e);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	/* It had finished two; the third was in its hands. */
	assert_int_equal(recover(), 2);
	assert_string_equal(jobs[0].request_id, "req_2");
	assert_string_equal(jobs[1].request_id, "req_3");
}

static int report;

static int
tell(const struct intent_lost *l, void *arg)
{
	(void)arg;
	if (write(report, l->job.request_id, 5) != 5)
		_exit(1);
	return 0;
}

static void
hands_each_job_to_one_process(void **state)
{
	int go[2], said[2], status, n = 0, seen_bits = 0;
	char got[5];

	(void)state;
	killed(child_with_jobs);
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(said), 0);
	for (int i = 0; i < RACERS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			char c;

			(void)close(go[1]);
			report = said[1];
			if (read(go[0], &c, 1) != 0)
				_exit(1);
			_exit(intent_recover(dir, tell, NULL, &e) < 0);
		}
	}
	(void)close(go[0]);
	(void)close(go[1]);
	(void)close(said[1]);
	while (read(said[0], got, sizeof(got)) == sizeof(got)) {
		n++;
		seen_bits |= 1 << (got[4] - '0');
	}
	(void)close(said[0]);
	for (int i = 0; i < RACERS; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(n, 4);
	assert_int_equal(seen_bits, 15);
}

/* Takes and gives back as fast as it can until it is killed. */
static void *
churn(void *arg)
{
	for (;;) {
		struct intent *i =
			intent_take("req_aaaaaaaaaaaaaaaaaaaa", "key_bbbb", "cccc", "dd");

		intent_stage(i, INTENT_SUBMITTING);
		intent_upstream_id(i, "eeeeeeeeeeeeeeee");
		intent_stage(i, INTENT_WAITING);
		intent_release(i);
	}
	return arg;
}

static void
child_that_churns(void)
{
	pthread_t thread;

	if (intent_open(dir, "models", SLOTS, &e) < 0)
		_exit(1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, churn, NULL))
			_exit(1);
}

static void
shows_whole_fields_wherever_the_kill_hits(void **state)
{
	(void)state;
	for (int round = 0; round < 25; round++) {
		killed(child_that_churns);
		assert_in_range(recover(), 0, THREADS);
		for (int i = 0; i < njobs; i++) {
			assert_string_equal(jobs[i].request_id, "req_aaaaaaaaaaaaaaaaaaaa");
			assert_string_equal(jobs[i].key_id, "key_bbbb");
			assert_string_equal(jobs[i].model, "cccc");
			assert_string_equal(jobs[i].provider, "dd");
			if (jobs[i].upstream_id[0] || !strcmp(jobs[i].stage, "provider.wait"))
				assert_string_equal(jobs[i].upstream_id, "eeeeeeeeeeeeeeee");
		}
		assert_int_equal(files(false), 0);
	}
}

static void *
take_and_give(void *arg)
{
	for (int n = 0; n < ROUNDS; n++) {
		struct intent *i = intent_take("req_aaaaaaaaaaaaaaaaaaaa", "key_bbbb",
					       "a model's name", "a provider");

		if (!i)
			return &seen;
		intent_stage(i, INTENT_SUBMITTING);
		intent_stage(i, INTENT_WAITING);
		intent_release(i);
	}
	return arg;
}

static void
serves_many_threads_quickly(void **state)
{
	pthread_t thread[THREADS];
	struct timespec a, b;
	double ns;
	void *failed;

	(void)state;
	assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
	     (THREADS * ROUNDS);
	print_message("           %.0f ns of CPU each\n", ns);
#ifndef EASEL_SANITIZED
	assert_true(ns < 10000); /* 150 on a quiet machine */
#endif
	/* All are free again. */
	intent_close();
	assert_int_equal(files(false), 0);
}

/* ---- pictures ---- */

static struct picture
picture(const char *letter)
{
	struct picture p = { .type = PICTURE_PNG, .width = 8, .height = 8, .bytes = 99 };

	memset(p.id, letter[0], sizeof(p.id) - 1);
	return p;
}

static struct {
	bool answered;
	unsigned n;
	char first[PICTURE_ID], request[INTENT_REQUEST_TEXT];
} made[4];

static int
collect_made(const struct intent_lost *l, void *arg)
{
	int n = l->job.request_id[4] - '0';

	(void)arg;
	made[n].answered = l->answered;
	made[n].n = l->nmade;
	if (l->nmade)
		memcpy(made[n].first, l->made[0].id, sizeof(made[n].first));
	for (unsigned k = 0; k < l->nmade; k++)
		assert_int_equal(l->made[k].type, PICTURE_NONE);
	(void)snprintf(made[n].request, sizeof(made[n].request), "%s", l->made_request);
	return 0;
}

static void
child_with_pictures(void)
{
	static char lengthy[INTENT_REQUEST_TEXT + 1];
	struct picture a = picture("a"), b = picture("b");
	struct intent *i[4];
	char request[16];

	a.type = b.type = (enum picture_type)77; /* which the file cannot know better */
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	if (intent_open(dir, "images-generations", SLOTS, &e) < 0)
		_exit(1);
	for (int n = 0; n < 4; n++) {
		(void)snprintf(request, sizeof(request), "req_%d", n);
		i[n] = intent_take(request, "key_1", "m", "p");
		intent_stage(i[n], INTENT_WAITING);
	}
	intent_made(i[0], &a, "{\"prompt\":\"one\"}");
	intent_made(i[0], &b, "{\"prompt\":\"another\"}");
	if (!intent_has_made(i[0]) || intent_has_made(i[3]))
		_exit(1);
	intent_made(i[1], &b, "{}");
	intent_task(i[1], "task_1", 1);
	intent_stage(i[1], INTENT_TASK);
	if (!intent_answered(i[1]))
		_exit(1);
	for (int n = 0; n < INTENT_MADE_MAX + 5; n++)
		intent_made(i[2], &a, lengthy);
}

static void
hands_out_the_pictures_that_were_about_to_be_there(void **state)
{
	(void)state;
	killed(child_with_pictures);
	assert_int_equal(intent_recover(dir, collect_made, NULL, &e), 4);
	assert_int_equal(made[0].n, 2);
	assert_false(made[0].answered);
	assert_string_equal(made[0].first, picture("a").id);
	assert_string_equal(made[0].request, "{\"prompt\":\"one\"}");
	assert_int_equal(made[1].n, 1);
	assert_true(made[1].answered);
	assert_int_equal(made[2].n, INTENT_MADE_MAX);
	assert_string_equal(made[2].request, "");
	assert_int_equal(made[3].n, 0);
	assert_int_equal(files(false), 0);
}

static void
keeps_so_many_for_their_pictures_and_has_slots_all_the_same(void **state)
{
	static struct intent *kept[INTENT_KEPT_MAX];
	struct intent *i;

	(void)state;
	assert_int_equal(intent_open(dir, "models", 2, &e), 0);
	for (int n = 0; n < INTENT_KEPT_MAX; n++) {
		kept[n] = intent_take("req_0", "", "", "");
		assert_non_null(kept[n]);
		assert_true(intent_answered(kept[n]));
	}
	i = intent_take("req_1", "", "", "");
	assert_non_null(intent_take("req_2", "", "", ""));
	assert_null(intent_take("req_3", "", "", ""));
	assert_false(intent_answered(i)); /* one more is released at once */
	assert_ptr_equal(intent_take("req_4", "", "", ""), i);
	intent_release(kept[7]);
	assert_true(intent_answered(i));
	for (int n = 0; n < INTENT_KEPT_MAX; n++)
		if (n != 7)
			intent_release(kept[n]);
	intent_close();
	assert_int_equal(files(true), 1); /* two are in hand */
}

/* ---- who asks for the same ---- */

static void
child_that_asks(void)
{
	static const unsigned char hash[INTENT_HASH_BYTES] = { 7 };
	struct intent *i;

	if (intent_open(dir, "images-generations", SLOTS, &e) < 0)
		_exit(1);
	(void)intent_take("req_free", "key_1", "m", "p");
	i = intent_take("req_same", "key_1", "m", "p");
	intent_hash(i, hash);
	intent_stage(i, INTENT_SUBMITTING);
}

static void
knows_who_asks_for_the_same(void **state)
{
	unsigned char hash[INTENT_HASH_BYTES] = { 7 };
	char id[40];
	struct intent *i;

	(void)state;
	killed(child_that_asks);
	assert_true(
		intent_asks(dir, "key_1", hash, "req_mine", id)); /* dead, and not seen to yet */
	assert_string_equal(id, "req_same");
	assert_false(intent_asks(dir, "key_2", hash, "req_mine", id));
	assert_false(intent_asks(dir, "key_1", hash, "req_same", id));
	hash[31] = 1;
	assert_false(intent_asks(dir, "key_1", hash, "req_mine", id));
	assert_int_equal(recover(), 2);
	hash[31] = 0;
	assert_false(intent_asks(dir, "key_1", hash, "req_mine", id));

	assert_int_equal(intent_open(dir, "models", SLOTS, &e), 0);
	i = intent_take("req_here", "key_1", "m", "p");
	intent_hash(i, hash);
	assert_false(intent_asks(dir, "key_1", hash, "req_mine", id)); /* nothing was sent */
	intent_stage(i, INTENT_SUBMITTING);
	assert_true(intent_asks(dir, "key_1", hash, "req_mine", id));
	assert_string_equal(id, "req_here");
	assert_true(intent_answered(i));
	assert_false(intent_asks(dir, "key_1", hash, "req_mine", id));
	intent_release(i);
	assert_false(intent_asks("/proc/nowhere", "key_1", hash, "req_mine", id));
}

static void
refuses_a_folder_it_cannot_use(void **state)
{
	(void)state;
	e = (struct err){ 0 };
	assert_int_equal(intent_open("/proc/nowhere", "models", SLOTS, &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_string_not_equal(e.detail, "");
	assert_int_equal(intent_recover("/proc/nowhere", collect, NULL, &e), -1);
	assert_int_equal(intent_open(dir, "models", 0, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(hands_out_what_a_killed_process_had_in_hand),
		TEST(keeps_its_file_private_and_removes_it_when_idle),
		TEST(leaves_the_file_of_a_dead_process_with_the_same_number),
		TEST(gives_out_as_many_slots_as_there_are),
		TEST(cuts_what_is_too_long),
		TEST(survives_files_that_are_none_of_its_own),
		TEST(tells_how_to_go_on_until_that_is_done),
		TEST(knows_what_came_and_that_the_rest_had_not_left),
		TEST(tells_what_the_row_of_a_task_lacks),
		TEST(loses_nothing_when_a_recovering_process_dies),
		TEST(hands_each_job_to_one_process),
		TEST(shows_whole_fields_wherever_the_kill_hits),
		TEST(serves_many_threads_quickly),
		TEST(hands_out_the_pictures_that_were_about_to_be_there),
		TEST(keeps_so_many_for_their_pictures_and_has_slots_all_the_same),
		TEST(knows_who_asks_for_the_same),
		TEST(refuses_a_folder_it_cannot_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
