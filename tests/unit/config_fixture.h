#ifndef EASEL_TESTS_CONFIG_FIXTURE_H
#define EASEL_TESTS_CONFIG_FIXTURE_H
/* A folder of its own with an easel.toml, and what came of loading it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "config/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct {
	char dir[64], file[96];
	struct config *c;
	struct buf problems;
	struct err e;
	int rc;
} box;

static inline void
write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", box.dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static inline void
forget(void)
{
	config_free(box.c);
	box.c = NULL;
	buf_done(&box.problems);
}

/* Loads --config `file` (NULL: as found). */
static inline int
load_file(const char *file)
{
	forget();
	box.problems.max = 65536;
	box.e = (struct err){ 0 };
	box.rc = config_load(file, &box.c, &box.problems, &box.e);
	return box.rc;
}

static inline int
load_text(const char *text)
{
	write_file("easel.toml", text);
	return load_file(box.file);
}

static inline const char *
problems(void)
{
	return buf_str(&box.problems);
}

/* Fails, showing what was wrong with a configuration that should have been fine. */
static inline void
assert_loaded(void)
{
	if (box.rc < 0)
		print_error("%s", problems());
	assert_int_equal(box.rc, 0);
	assert_string_equal(problems(), "");
	assert_non_null(box.c);
}

/* The problem "easel.toml…TEXT" is among those reported. */
static inline void
assert_problem(const char *text)
{
	assert_int_equal(box.rc, -1);
	assert_null(box.c);
	assert_int_equal(box.e.kind, ERR_CONFIG);
	if (!strstr(problems(), text))
		print_error("no \"%s\" in:\n%s", text, problems());
	assert_non_null(strstr(problems(), text));
}

/* `config show` as text; the caller frees it.  (Inlined, gcc 12 takes the text for a local's.) */
static __attribute__((noinline, unused)) char *
shown(const struct config *c, bool origin, bool json)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	config_show(c, origin, json, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static inline void
assert_shown(const char *line)
{
	char *text = shown(box.c, true, false);

	if (!strstr(text, line))
		print_error("no \"%s\" in:\n%s", line, text);
	assert_non_null(strstr(text, line));
	free(text);
}

static inline bool
warned(const char *text)
{
	for (size_t i = 0; i < box.c->warnings.n; i++)
		if (strstr(box.c->warnings.v[i], text))
			return true;
	return false;
}

static inline int
box_setup(void **state)
{
	(void)state;
	(void)clearenv();
	(void)snprintf(box.dir, sizeof(box.dir), "/tmp/easel-config-XXXXXX");
	if (!mkdtemp(box.dir) || chdir(box.dir) < 0)
		return -1;
	(void)snprintf(box.file, sizeof(box.file), "%s/easel.toml", box.dir);
	return 0;
}

static inline int
box_teardown(void **state)
{
	static const char *const names[] = { "easel.toml", "secret", "other.toml", "empty",
					     "two-lines",  "zero",   "cert.pem" };
	char path[160];

	(void)state;
	forget();
	(void)clearenv();
	for (size_t i = 0; i < COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", box.dir, names[i]);
		(void)unlink(path);
	}
	if (chdir("/") < 0)
		return -1;
	return rmdir(box.dir);
}

#endif
