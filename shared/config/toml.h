#ifndef EASEL_CONFIG_TOML_H
#define EASEL_CONFIG_TOML_H
/*
 * toml - a TOML 1.0 document as a flat list, in the order of the file
 *
 * The parser is toml++ (config/toml.cc, the only C++ here); no exception leaves it.  Every table and
 * every value is one entry with its whole path: [models."a/b"] type = "image" gives the table
 * {"models", "a/b"} and the string {"models", "a/b", "type"}.  Thread-safe.
 */
#include <stddef.h>

enum toml_type {
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOL,
	TOML_STRINGS, /* an array that holds strings only, or nothing */
	TOML_TABLE,
	TOML_OTHER /* dates, arrays of anything else, strings with U+0000 */
};

struct toml_entry {
	const char *const *path;
	size_t npath;
	enum toml_type type;
	const char *kind;         /* static, for people: "a string", "an array of tables" */
	const char *text;         /* scalars, "" for the others; numbers in C's notation */
	const char *const *items; /* TOML_STRINGS */
	size_t nitems;
	unsigned line, column; /* of the key, from 1 */
};

struct toml_doc {
	struct toml_entry *v;
	size_t n;
};

struct toml_error {
	unsigned line, column; /* 0: unknown */
	char message[200];
};

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Parses n bytes.  All memory of *out comes from alloc(arg, bytes), which never returns NULL; it is
 * never freed here.  0, or -1 with *error.
 */
int toml_read(const char *text, size_t n, void *(*alloc)(void *arg, size_t bytes), void *arg,
	      struct toml_doc *out, struct toml_error *error);

#ifdef __cplusplus
}
#endif
#endif
