#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/store.h"
#include "store/store_task.h"

#define PROCESSES 6
#define THREADS   12
#define EACH      20

static char dir[64], file[96];
static struct err e;

static int
setup(void **state)
{
	(void)state;
	e = (struct err){ 0 };
	(void)snprintf(dir, sizeof(dir), "/tmp/easel-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/t.db", dir);
	return 0;
}

static int
teardown(void **state)
{
	char name[128];

	(void)state;
	(void)unlink(file);
	(void)snprintf(name, sizeof(name), "%s-wal", file);
	(void)unlink(name);
	(void)snprintf(name, sizeof(name), "%s-shm", file);
	(void)unlink(name);
	(void)snprintf(name, sizeof(name), "%s-wake", file);
	(void)unlink(name);
	return rmdir(dir);
}

static struct deadline
soon(void)
{
	return deadline_in_ms(10000);
}

static struct store *
open_store(bool migrate)
{
	struct store *s = NULL;

	if (store_open(&s, "sqlite:t.db", dir, migrate, &e) < 0)
		fail_msg("store_open: %s, %s", err_code(&e), e.detail);
	return s;
}

/* SQL by a connection of its own, as an operator would with the sqlite3 shell. */
static void
run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static struct key_record
a_key(int i)
{
	struct key_record k = { .scopes = 5, .created_ms = 1000 + i, .expires_ms = 77 };

	(void)snprintf(k.id, sizeof(k.id), "key_%d", i);
	(void)snprintf(k.name, sizeof(k.name), "name %d", i);
	(void)snprintf(k.hint, sizeof(k.hint), "sk-easel-F%d", i);
	memset(k.hash, 0xff, sizeof(k.hash));
	memcpy(k.hash, &i, sizeof(i));
	return k;
}

static void
add_key(struct store *s, int i)
{
	struct deadline d = soon();
	struct key_record k = a_key(i);

	if (store_key_add(s, &k, &d, &e) < 0)
		fail_msg("store_key_add: %s, %s", err_code(&e), e.detail);
}

static void
keeps_every_field_of_a_key(void **state)
{
	struct deadline d = soon();
	struct key_record k = a_key(7), got;
	bool found = false;
	AUTO_PTR(store) s = NULL;

	(void)state;
	/* Closed and opened again: it is on the disk. */
	s = open_store(true);
	add_key(s, 7);
	store_free(s);
	s = open_store(false);
	assert_int_equal(store_key_by_hash(s, k.hash, &got, &found, &d, &e), 0);
	assert_true(found);
	assert_string_equal(got.id, k.id);
	assert_string_equal(got.name, k.name);
	assert_memory_equal(got.hash, k.hash, sizeof(k.hash));
	assert_int_equal(got.scopes, 5);
	assert_int_equal(got.created_ms, 1007);
	assert_int_equal(got.expires_ms, 77);
	assert_int_equal(got.revoked_ms, 0);
	assert_string_equal(got.hint, k.hint);

	k.hash[31] ^= 1;
	assert_int_equal(store_key_by_hash(s, k.hash, &got, &found, &d, &e), 0);
	assert_false(found);
}

static void
revokes_once_by_id_or_name(void **state)
{
	static const struct {
		const char *what;
		bool found;
	} rows[] = { { "key_1", true },  { "key_1", false },      { "name 1", false },
		     { "name 2", true }, { "key_2", false },      { "key_9", false },
		     { "", false },      { "' OR 1=1 --", false } };
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();
	struct key_record k = a_key(2), got;
	bool found;

	(void)state;
	s = open_store(true);
	for (int i = 1; i <= 3; i++)
		add_key(s, i);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		found = !rows[i].found;
		assert_int_equal(store_key_revoke(s, rows[i].what, 500 + (int)i, &found, &d, &e),
				 0);
		assert_int_equal(found, rows[i].found);
	}
	assert_int_equal(store_key_by_hash(s, k.hash, &got, &found, &d, &e), 0);
	assert_int_equal(got.revoked_ms, 503);
	k = a_key(3);
	assert_int_equal(store_key_by_hash(s, k.hash, &got, &found, &d, &e), 0);
	assert_int_equal(got.revoked_ms, 0);
}

static void
collect_key(const struct key_record *k, void *arg)
{
	char *to = arg;

	(void)snprintf(to + strlen(to), 100 - strlen(to), "%s ", k->id);
}

static void
collect_job(const struct job_record *j, void *arg)
{
	char *to = arg;

	(void)snprintf(to + strlen(to), 100 - strlen(to), "%s ", j->id);
}

static void
lists_keys_oldest_first(void **state)
{
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();
	char list[100] = "";

	(void)state;
	s = open_store(true);
	add_key(s, 3);
	add_key(s, 1);
	add_key(s, 2);
	assert_int_equal(store_key_each(s, collect_key, list, &d, &e), 0);
	assert_string_equal(list, "key_1 key_2 key_3 ");
}

static void
refuses_the_same_key_twice(void **state)
{
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();
	struct key_record k = a_key(1);
	char list[100] = "";

	(void)state;
	s = open_store(true);
	add_key(s, 1);
	assert_int_equal(store_key_add(s, &k, &d, &e), -1);
	assert_int_equal(e.kind, ERR_STORE);
	/* The connection is as good as before: the transaction was rolled back. */
	add_key(s, 2);
	assert_int_equal(store_key_each(s, collect_key, list, &d, &e), 0);
	assert_string_equal(list, "key_1 key_2 ");
}

static void
read_job(const struct job_record *j, void *arg)
{
	*(struct job_record *)arg = *j;
}

static void
keeps_every_field_of_a_job_and_adds_it_once(void **state)
{
	struct job_record j = { .id = "job_1",
				.request_id = "req_1",
				.key_id = "key_1",
				.program = "images-generations",
				.model = "图像/Model",
				.provider = "relay",
				.stage = "provider.wait",
				.outcome = "outcome_unknown",
				.upstream_id = "up-1",
				.created_ms = 123456789012345,
				.ended_ms = 9 };
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();
	struct job_record got;
	char list[100] = "";

	(void)state;
	s = open_store(true);
	assert_int_equal(store_job_add(s, &j, &d, &e), 0);
	assert_int_equal(store_job_add(s, &j, &d, &e), 0);
	assert_int_equal(store_job_each(s, 10, read_job, &got, &d, &e), 0);
	assert_memory_equal(&got, &j, sizeof(j));

	(void)snprintf(j.id, sizeof(j.id), "job_2");
	j.created_ms++;
	assert_int_equal(store_job_add(s, &j, &d, &e), 0);
	(void)snprintf(j.id, sizeof(j.id), "job_0");
	j.created_ms = 1;
	assert_int_equal(store_job_add(s, &j, &d, &e), 0);
	assert_int_equal(store_job_each(s, 2, collect_job, list, &d, &e), 0);
	assert_string_equal(list, "job_2 job_1 ");
}

static void
names_the_kind_of_store_it_lacks_and_no_password(void **state)
{
	static const struct {
		const char *url, *about;
	} rows[] = { { "valkey://u:hunter2@h/0", "'valkey:'" },
		     { "rediss://u:hunter2@h/0", "no TLS" },
		     { "redis://hunter2@h/0", "user and password" },
		     { "redis://u:hunter2@/0", "host or port" },
		     { "redis://u:hunter2@h:99999/0", "host or port" },
		     { "redis://u:hunter2@h/zero", "database" },
		     { "redis:u:hunter2@h", "'//'" },
		     { "redis+unix://u:hunter2@relative", "path" },
		     { "easel.db", "':'" },
		     { "", "':'" },
		     { "sqlite:", "file's name" },
		     { "sqlite::memory:", "file's name" },
		     { "SQLite:x", "'SQLite:'" } };
	struct store *s = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(store_open(&s, rows[i].url, dir, true, &e), -1);
		assert_int_equal(e.kind, ERR_CONFIG);
		assert_non_null(strstr(e.about, rows[i].about));
		assert_null(strstr(e.about, "hunter2"));
		assert_null(s);
	}
}

static void
tells_that_a_table_is_missing(void **state)
{
	static const struct {
		const char *sql, *table;
	} rows[] = {
		{ NULL, "keys" }, /* no file at all */
		{ "", "keys" },   /* an empty one */
		{ "CREATE TABLE keys (id)", "keys.name" },
	};
	struct store *s = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].sql) {
			int fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

			(void)close(fd);
			run_sql(rows[i].sql);
		}
		assert_int_equal(store_open(&s, "sqlite:t.db", dir, false, &e), -1);
		assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
		assert_string_equal(e.about, rows[i].table);
		if (!rows[i].sql)
			assert_int_equal(access(file, F_OK), -1);
	}
}

static void
tells_that_a_table_went_missing_and_mends_it(void **state)
{
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();
	struct key_record k = a_key(1);
	bool found = false;

	(void)state;
	s = open_store(true);
	add_key(s, 1);
	assert_int_equal(store_ping(s, &d, &e), 0);
	assert_int_equal(store_key_by_hash(s, k.hash, &k, &found, &d, &e), 0);
	run_sql("DROP TABLE keys");
	assert_int_equal(store_key_by_hash(s, k.hash, &k, &found, &d, &e), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
	assert_string_equal(e.about, "keys");
	assert_int_equal(store_key_add(s, &k, &d, &e), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
	assert_int_equal(store_ping(s, &d, &e), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
	assert_string_equal(e.about, "keys");

	store_free(open_store(true));
	assert_int_equal(store_ping(s, &d, &e), 0);
	add_key(s, 1);
}

/* A row a table: what somebody did to it, and how it is named. */
static void
puts_a_damaged_table_aside_and_makes_it_anew(void **state)
{
	static const struct {
		const char *sql, *about;
	} rows[] = {
		{ "ALTER TABLE tasks DROP COLUMN progress", "tasks.progress" },
		{ "ALTER TABLE users DROP COLUMN role", "users.role" },
		{ "DROP TABLE idem; CREATE TABLE idem (owner)", "idem.n" },
		{ "DROP TABLE jobs; CREATE TABLE jobs (id)", "jobs.request_id" },
		{ "DROP TABLE task_counts", "task_counts" },
	};
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();

	(void)state;
	s = open_store(true);
	add_key(s, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		run_sql(rows[i].sql);
		assert_int_equal(store_ping(s, &d, &e), -1);
		assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
		assert_string_equal(e.about, rows[i].about);
		store_free(open_store(true));
		assert_int_equal(store_ping(s, &d, &e), 0);
	}
	/* Nothing that was there is gone. */
	run_sql("SELECT progress IS NULL FROM tasks; SELECT id FROM damaged_tasks_1;"
		"SELECT email FROM damaged_users_1");
	add_key(s, 2);
}

static void
upgrades_what_the_first_version_made(void **state)
{
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();
	struct task_record t = { .id = "task_1", .created_ms = 1 };
	struct key_record k = a_key(1);
	bool is = false;

	(void)state;
	s = open_store(true);
	add_key(s, 1);
	store_free(TAKE_PTR(s));
	run_sql("DROP TABLE tasks; DROP TABLE task_counts; DROP TABLE gone; DROP TABLE idem;"
		"DROP TABLE users; DROP TABLE sessions; DROP TABLE lockouts; DROP TABLE usage;"
		"DROP TABLE pictures; PRAGMA user_version=1");
	assert_int_equal(store_open(&s, "sqlite:t.db", dir, false, &e), -1);
	assert_int_equal(e.kind, ERR_SCHEMA_MISSING);
	assert_string_equal(e.about, "tasks");
	s = open_store(true);
	assert_int_equal(store_key_by_hash(s, k.hash, &k, &is, &d, &e), 0);
	assert_true(is);
	assert_int_equal(store_task_add(s, &t, NULL, NULL, &is, &d, &e), 0);
}

static void
refuses_a_newer_schema(void **state)
{
	struct store *s = NULL;

	(void)state;
	store_free(open_store(true));
	run_sql("PRAGMA user_version=99");
	for (int migrate = 0; migrate < 2; migrate++) {
		assert_int_equal(store_open(&s, "sqlite:t.db", dir, migrate, &e), -1);
		assert_int_equal(e.kind, ERR_SCHEMA_TOO_NEW);
		assert_string_equal(e.found, "99");
		assert_string_equal(e.expected, "2");
	}
}

static void
refuses_a_file_that_is_no_database(void **state)
{
	char garbage[4096];
	struct store *s = NULL;
	int fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	memset(garbage, 'x', sizeof(garbage));
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	(void)close(fd);
	for (int migrate = 0; migrate < 2; migrate++) {
		assert_int_equal(store_open(&s, "sqlite:t.db", dir, migrate, &e), -1);
		assert_int_equal(e.kind, ERR_STORE);
		assert_non_null(strstr(e.detail, "not a database"));
	}
}

static void
refuses_a_folder_it_cannot_write(void **state)
{
	struct store *s = NULL;

	(void)state;
	assert_int_equal(store_open(&s, "sqlite:t.db", "/proc/nowhere", true, &e), -1);
	assert_int_equal(e.kind, ERR_STORE);
	assert_string_not_equal(e.detail, "");
}

static void
is_private_whatever_the_umask(void **state)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	static const mode_t masks[] = { 0, 0377 };

	(void)state;
	for (size_t m = 0; m < sizeof(masks) / sizeof(*masks); m++) {
		mode_t old = umask(masks[m]);
		AUTO_PTR(store) s = NULL;

		s = open_store(true);
		add_key(s, 1);
		(void)umask(old);
		for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
			char name[128];
			struct stat st;

			(void)snprintf(name, sizeof(name), "%s%s", file, suffixes[i]);
			assert_int_equal(stat(name, &st), 0);
			assert_int_equal(st.st_mode & 07777, 0600);
		}
		store_free(TAKE_PTR(s));
		assert_int_equal(unlink(file), 0);
	}
}

static void
is_in_wal_mode(void **state)
{
	AUTO_PTR(store) s = NULL;
	unsigned char header[20];
	int fd;

	(void)state;
	s = open_store(true);
	store_free(TAKE_PTR(s));
	fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, header, sizeof(header)), sizeof(header));
	(void)close(fd);
	/* The format's bytes 18 and 19, https://sqlite.org/fileformat.html: 2 is WAL. */
	assert_int_equal(header[18], 2);
	assert_int_equal(header[19], 2);
}

static void
waits_for_another_writer_no_longer_than_the_deadline(void **state)
{
	AUTO_PTR(store) s = NULL;
	struct key_record k = a_key(1);
	struct deadline d;
	int64_t start;
	sqlite3 *db;

	(void)state;
	s = open_store(true);
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	start = clock_us();
	d = deadline_in_ms(150);
	assert_int_equal(store_key_add(s, &k, &d, &e), -1);
	assert_int_equal(e.kind, ERR_STORE);
	assert_in_range(clock_us() - start, 100000, 5000000);
	/* Readers wait for nobody. */
	d = deadline_in_ms(0);
	assert_int_equal(store_ping(s, &d, &e), 0);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	add_key(s, 1);
	(void)sqlite3_close(db);
}

static void *
thread_adds(void *arg)
{
	struct store *s = ((void **)arg)[0];
	int first = (int)(intptr_t)((void **)arg)[1];

	for (int i = 0; i < EACH; i++) {
		struct deadline d = deadline_in_ms(60000);
		struct key_record k = a_key(first + i), got;
		struct err te;
		bool found = false;

		if (store_key_add(s, &k, &d, &te) < 0 ||
		    store_key_by_hash(s, k.hash, &got, &found, &d, &te) < 0 || !found)
			return arg;
	}
	return NULL;
}

static void
count_key(const struct key_record *k, void *arg)
{
	(void)k;
	++*(int *)arg;
}

static void
serves_more_threads_than_connections(void **state)
{
	AUTO_PTR(store) s = NULL;
	pthread_t thread[THREADS];
	void *arg[THREADS][2];
	struct deadline d = soon();
	int n = 0;

	(void)state;
	s = open_store(true);
	for (int i = 0; i < THREADS; i++) {
		arg[i][0] = s;
		arg[i][1] = (void *)(intptr_t)(i * EACH);
		assert_int_equal(pthread_create(&thread[i], NULL, thread_adds, arg[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *failed;

		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(store_key_each(s, count_key, &n, &d, &e), 0);
	assert_int_equal(n, THREADS * EACH);
}

static void
migrates_once_when_processes_start_together(void **state)
{
	AUTO_PTR(store) s = NULL;
	struct deadline d = soon();
	int go[2], status, n = 0;

	(void)state;
	assert_int_equal(pipe(go), 0);
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct key_record k = a_key(i);
			char c;

			(void)close(go[1]);
			if (read(go[0], &c, 1) != 0 ||
			    store_open(&s, "sqlite:t.db", dir, true, &e) < 0 ||
			    store_key_add(s, &k, &d, &e) < 0) {
				(void)fprintf(stderr, "%s\n", e.detail);
				_exit(1);
			}
			_exit(0);
		}
	}
	(void)close(go[0]);
	(void)close(go[1]);
	for (int i = 0; i < PROCESSES; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	s = open_store(false);
	assert_int_equal(store_key_each(s, count_key, &n, &d, &e), 0);
	assert_int_equal(n, PROCESSES);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(keeps_every_field_of_a_key),
		TEST(revokes_once_by_id_or_name),
		TEST(lists_keys_oldest_first),
		TEST(refuses_the_same_key_twice),
		TEST(keeps_every_field_of_a_job_and_adds_it_once),
		TEST(names_the_kind_of_store_it_lacks_and_no_password),
		TEST(tells_that_a_table_is_missing),
		TEST(tells_that_a_table_went_missing_and_mends_it),
		TEST(puts_a_damaged_table_aside_and_makes_it_anew),
		TEST(upgrades_what_the_first_version_made),
		TEST(refuses_a_newer_schema),
		TEST(refuses_a_file_that_is_no_database),
		TEST(refuses_a_folder_it_cannot_write),
		TEST(is_private_whatever_the_umask),
		TEST(is_in_wal_mode),
		TEST(waits_for_another_writer_no_longer_than_the_deadline),
		TEST(serves_more_threads_than_connections),
		TEST(migrates_once_when_processes_start_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
