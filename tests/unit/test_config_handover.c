/* How a configuration is handed to other programs, and what stays of its secrets where. */
#include "config_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- the sealed snapshot ---- */

static const char full_text[] =
	"[server]\nlisten = \"127.0.0.1:0\"\ncors_origins = [\"*\"]\nstate_dir = \"data\"\n"
	"[limits]\nimage_pixels = 0\njson_bytes = 0\n"
	"[process]\nmax_age = \"\"\n[process.health]\nworkers = 7\n"
	"[log]\nlevel = \"debug\"\n"
	"[providers.z]\ndialect = \"openai\"\napi_keys = [\"sk-fake-1\", \"${FAKE_KEY}\"]\n"
	"[providers.a]\ndialect = \"novelai\"\nemail = \"a@b.c\"\npassword = \"$${x} file:y\"\n"
	"[providers.g]\ndialect = \"grok\"\ntoken = \"file:secret\"\nconcurrency = 0\n"
	"[models.\"z/m\"]\nprovider = \"z\"\nprice = 0.1\naliases = [\"zm\", \"a,b\"]\n"
	"[models.a]\nprovider = \"a\"\nfallback = [\"z/m\"]\n";

static void
load_full(void)
{
	write_file("secret", "file:fake-token\n");
	(void)setenv("FAKE_KEY", "sk-fake-2,comma", 1);
	(void)setenv("OPENAI_MODEL", "x", 1);
	(void)setenv("MODELSCOPE_API_KEY", "ms-fake-3", 1);
	load_text(full_text);
	assert_loaded();
}

static void
same_strings(const struct strings *a, const struct strings *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		assert_string_equal(a->v[i], b->v[i]);
}

/* Every field, the secret ones included. */
static void
same_config(const struct config *a, const struct config *b)
{
	assert_string_equal(a->file, b->file);
	assert_string_equal(a->state_dir, b->state_dir);
	assert_string_equal(a->server.listen, b->server.listen);
	same_strings(&a->server.cors_origins, &b->server.cors_origins);
	assert_memory_equal(&a->limits, &b->limits, sizeof(a->limits));
	assert_memory_equal(&a->process, &b->process, sizeof(a->process));
	assert_int_equal(config_process(a, "health").workers, config_process(b, "health").workers);
	assert_int_equal(config_process(b, "health").max_age_ms, 0);
	assert_int_equal(a->log.level, b->log.level);
	assert_string_equal(a->defaults.image_model, b->defaults.image_model);
	same_strings(&a->warnings, &b->warnings);
	assert_int_equal(a->nproviders, b->nproviders);
	for (size_t i = 0; i < a->nproviders; i++) {
		const struct provider_conf *p = &a->providers[i], *q = &b->providers[i];

		assert_string_equal(p->name, q->name);
		assert_int_equal(p->dialect, q->dialect);
		assert_string_equal(p->base_url, q->base_url);
		assert_string_equal(p->ws_url, q->ws_url);
		assert_string_equal(p->assets_url, q->assets_url);
		same_strings(&p->api_keys, &q->api_keys);
		same_strings(&p->tokens, &q->tokens);
		assert_string_equal(p->email, q->email);
		assert_string_equal(p->password, q->password);
		assert_string_equal(p->proxy, q->proxy);
		assert_int_equal(p->concurrency, q->concurrency);
		assert_int_equal(p->connect_timeout_ms, q->connect_timeout_ms);
	}
	assert_int_equal(a->nmodels, b->nmodels);
	for (size_t i = 0; i < a->nmodels; i++) {
		const struct model_conf *m = &a->models[i], *n = &b->models[i];

		assert_string_equal(m->id, n->id);
		assert_string_equal(m->provider, n->provider);
		assert_string_equal(m->provider_conf->name, n->provider_conf->name);
		assert_int_equal(m->type, n->type);
		assert_string_equal(m->upstream_model, n->upstream_model);
		same_strings(&m->fallback, &n->fallback);
		same_strings(&m->aliases, &n->aliases);
		assert_true(m->price == n->price);
	}
}

static void
a_snapshot_is_read_back_as_the_same(void **state)
{
	struct config *first;
	char number[16], *one, *other;
	int fd;

	(void)state;
	load_full();
	assert_string_equal(config_provider(box.c, "g")->tokens.v[0], "file:fake-token");
	fd = config_snapshot(box.c, &box.e);
	assert_true(fd >= 0);
	first = box.c;
	box.c = NULL;
	(void)clearenv();
	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)setenv("EASEL_CONFIG_FD", number, 1);
	/* The environment has had its say: it is not read again, nor the file. */
	(void)setenv("EASEL_SERVER_LISTEN", "nonsense", 1);
	(void)setenv("OPENAI_API_KEY", "sk-fake-9", 1);
	write_file("easel.toml", "nonsense");
	for (int mode = 0; mode < 4; mode++) {
		load_file(NULL); /* again and again: nobody moves the descriptor's offset */
		assert_loaded();
		same_config(first, box.c);
		one = shown(first, mode & 1, mode & 2);
		other = shown(box.c, mode & 1, mode & 2);
		assert_string_equal(one, other);
		free(one);
		free(other);
	}
	/* A snapshot of what came from one is the same once more. */
	(void)close(fd);
	fd = config_snapshot(box.c, &box.e);
	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)setenv("EASEL_CONFIG_FD", number, 1);
	load_file(NULL);
	assert_loaded();
	same_config(first, box.c);
	/* --config is the stronger word. */
	load_file(box.file);
	assert_problem(":1: ");
	(void)close(fd);
	config_free(first);
}

static void
a_snapshot_is_sealed_and_inherited(void **state)
{
	int fd, seals;

	(void)state;
	load_full();
	fd = config_snapshot(box.c, &box.e);
	assert_true(fd >= 0);
	seals = fcntl(fd, F_GET_SEALS);
	assert_int_equal(seals, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	(void)close(fd);
}

static void
a_snapshot_that_is_none_is_refused(void **state)
{
	static const char *const contents[] = {
		"",
		"{}",
		"[1]",
		"not json",
		"{\"file\":\"\",\"tables\":[{\"section\":\"nope\",\"kind\":0,\"name\":null,"
		"\"origin\":\"x\",\"values\":{}}]}",
		"{\"file\":\"\",\"tables\":[{\"section\":\"log\",\"kind\":0,\"name\":null,"
		"\"origin\":\"x\",\"values\":{\"nope\":[\"a\",\"b\"]}}]}",
		"{\"file\":\"\",\"tables\":[{\"section\":\"log\",\"kind\":0,\"name\":null,"
		"\"origin\":\"x\",\"values\":{\"level\":[\"loud\",\"b\"]}}]}",
		"{\"file\":\"\",\"tables\":[{\"section\":\"models\",\"kind\":9,\"name\":\"m\","
		"\"origin\":\"x\",\"values\":{}}]}",
		"{\"file\":\"\",\"tables\":[5]}",
	};
	char number[16];

	(void)state;
	for (size_t i = 0; i < COUNT(contents); i++) {
		int fd = memfd_create("x", MFD_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, contents[i], strlen(contents[i])), strlen(contents[i]));
		(void)snprintf(number, sizeof(number), "%d", fd);
		(void)setenv("EASEL_CONFIG_FD", number, 1);
		assert_int_equal(load_file(NULL), -1);
		assert_true(*problems());
		(void)close(fd);
	}
	load_file(NULL);
	assert_problem("EASEL_CONFIG_FD: the descriptor cannot be read: Bad file descriptor\n");
	(void)setenv("EASEL_CONFIG_FD", "three", 1);
	load_file(NULL);
	assert_problem("EASEL_CONFIG_FD: expected the number of a descriptor\n");
	(void)setenv("EASEL_CONFIG_FD", "-1", 1);
	load_file(NULL);
	assert_problem("EASEL_CONFIG_FD: expected the number of a descriptor\n");
	(void)setenv("EASEL_CONFIG_FD", "", 1);
	load_file(NULL);
	assert_loaded();
}

/* ---- a process of its own: only exec() gives /proc/self/environ known contents ---- */

static const char *const secret_values[] = {
	"fake-openai", "fake-ms",  "fake-xai",   "fake-nai",
	"fake-own",    "fake-cli", "fake-named", "fake-proxy"
};

static bool
in_environ(const char *word)
{
	static char text[65536];
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	bool found = n > 0 && memmem(text, (size_t)n, word, strlen(word));

	(void)close(fd);
	return found;
}

/* The exit code says which step failed. */
static int
wipe_child(const char *file)
{
	struct config *c = NULL, *again = NULL;
	struct buf lines = { .max = 65536 };
	struct err e;
	int rc = 0;

	for (size_t i = 0; i < COUNT(secret_values); i++)
		if (!in_environ(secret_values[i]))
			return 10 + (int)i; /* the test would prove nothing */
	if (config_load(file, &c, &lines, &e) < 0) {
		(void)fputs(buf_str(&lines), stderr);
		return 1;
	}
	config_wipe_environment(c);
	for (size_t i = 0; i < COUNT(secret_values); i++)
		if (in_environ(secret_values[i]))
			rc = 30 + (int)i;
	if (!in_environ("PLAIN=stays") || getenv("OPENAI_API_KEY") || getenv("MY_OWN_KEY") ||
	    getenv("EASEL_PROVIDERS_P_TOKEN") || getenv("EASEL_API_KEY") || !getenv("PLAIN"))
		rc = 2;
	/* A reload still knows them: the file says ${MY_OWN_KEY} as before. */
	if (!rc && config_load(file, &again, &lines, &e) < 0) {
		(void)fputs(buf_str(&lines), stderr);
		rc = 3;
	}
	if (!rc && (strcmp(config_provider(again, "p")->api_keys.v[0], "fake-own") != 0 ||
		    strcmp(config_provider(again, "p")->tokens.v[0], "fake-named") != 0 ||
		    strcmp(config_provider(again, "openai")->api_keys.v[0], "fake-openai") != 0))
		rc = 4;
	/* And a new value, set since, is the one that counts. */
	config_free(again);
	again = NULL;
	(void)setenv("MY_OWN_KEY", "fake-new", 1);
	if (!rc && (config_load(file, &again, &lines, &e) < 0 ||
		    strcmp(config_provider(again, "p")->api_keys.v[0], "fake-new") != 0))
		rc = 5;
	config_free(again);
	config_free(c);
	buf_done(&lines);
	return rc;
}

/* This program once more; its exit code. */
static int
run(char **argv, char **envp)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)execve("/proc/self/exe", argv, envp);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
no_secret_stays_in_the_environment(void **state)
{
	char *argv[] = { (char *)"test", (char *)"wipe", box.file, NULL };
	char *envp[] = { (char *)"OPENAI_API_KEY=fake-openai",
			 (char *)"MODELSCOPE_API_KEY=fake-ms",
			 (char *)"PLAIN=stays",
			 (char *)"XAI_API_KEY=fake-xai",
			 (char *)"NOVELAI_TOKEN=fake-nai",
			 (char *)"MY_OWN_KEY=fake-own",
			 (char *)"EASEL_API_KEY=fake-cli",
			 (char *)"EASEL_PROVIDERS_P_TOKEN=fake-named",
			 (char *)"EASEL_PROVIDERS_P_PROXY=http://u:fake-proxy@127.0.0.1:1",
			 (char *)"ASAN_OPTIONS=detect_leaks=0",
			 NULL };

	(void)state;
	write_file("easel.toml",
		   "[providers.p]\ndialect = \"grok\"\napi_key = \"${MY_OWN_KEY}\"\n");
	assert_int_equal(run(argv, envp), 0);
}

/* ---- memory ---- */

/* The needle, one letter on: its plain form must be nowhere but in the configuration. */
static const char shifted[] = "tl.gblf.offemf.pg.uif.nfnpsz.ufTu!";

static bool
is_needle(const char *p)
{
	for (size_t i = 0; shifted[i]; i++)
		if (p[i] != shifted[i] - 1)
			return false;
	return true;
}

/* How often the needle is in this process's memory. */
static size_t
needles(void)
{
	static char page[1 << 16];
	FILE *maps = fopen("/proc/self/maps", "re");
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	char line[512], *end;
	size_t n = 0;

	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long at = strtoul(line, &end, 16), to = strtoul(end + 1, &end, 16);

		for (; end[2] == 'w' && at < to; at += sizeof(page) / 2) {
			/* Pieces that overlap by half, counted in their first halves. */
			size_t want = to - at < sizeof(page) ? to - at : sizeof(page);
			ssize_t got = pread(fd, page, want, (off_t)at);
			size_t half = want < sizeof(page) ? want : sizeof(page) / 2;
			bool own = at < (unsigned long)page + sizeof(page) &&
				   at + want > (unsigned long)page;

			for (size_t i = 0;
			     !own && i < half && (ssize_t)(i + sizeof(shifted)) <= got; i++)
				n += is_needle(page + i);
		}
	}
	memset(page, 0, sizeof(page));
	(void)close(fd);
	if (maps)
		(void)fclose(maps);
	return n;
}

static int
memory_child(const char *file)
{
	struct config *c = NULL;
	struct buf lines = { .max = 65536 };
	char number[16];
	struct err e;
	int fd;

	if (needles() != 0)
		return 10;
	if (config_load(file, &c, &lines, &e) < 0)
		return 11;
	if (needles() == 0)
		return 12; /* the search finds nothing: it would prove nothing */
	fd = config_snapshot(c, &e);
	config_free(c);
	if (needles() != 0)
		return 13;
	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)setenv("EASEL_CONFIG_FD", number, 1);
	if (config_load(NULL, &c, &lines, &e) < 0 || needles() == 0)
		return 14;
	config_free(c);
	(void)close(fd);
	return needles() != 0 ? 15 : 0;
}

#ifndef EASEL_SANITIZED /* their allocators keep what the libraries freed */
static void
a_freed_configuration_leaves_no_secret_in_memory(void **state)
{
	char *argv[] = { (char *)"test", (char *)"memory", box.file, NULL };
	char *envp[] = { NULL };
	char needle[sizeof(shifted)], text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(shifted); i++)
		needle[i] = shifted[i] ? (char)(shifted[i] - 1) : '\0';
	write_file("secret", needle);
	write_file("easel.toml",
		   "[providers.p]\ndialect = \"openai\"\napi_key = \"file:secret\"\n");
	assert_int_equal(run(argv, envp), 0);
	(void)snprintf(text, sizeof(text),
		       "[providers.p]\ndialect = \"openai\"\napi_keys = [\"x\", \"%s\"]\n", needle);
	write_file("easel.toml", text);
	assert_int_equal(run(argv, envp), 0);
}
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)
int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_snapshot_is_read_back_as_the_same),
		TEST(a_snapshot_is_sealed_and_inherited),
		TEST(a_snapshot_that_is_none_is_refused),
		TEST(no_secret_stays_in_the_environment),
#ifndef EASEL_SANITIZED
		TEST(a_freed_configuration_leaves_no_secret_in_memory),
#endif
	};

	if (argc == 3 && !strcmp(argv[1], "wipe"))
		return wipe_child(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "memory"))
		return memory_child(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
