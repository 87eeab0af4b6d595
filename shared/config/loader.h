#ifndef EASEL_CONFIG_LOADER_H
#define EASEL_CONFIG_LOADER_H
/*
 * loader - how a configuration comes together; internal to config/
 *
 * Collect: tables and their raw values, from the file and then, replacing them, from the environment
 * (file.c, environment.c), or from a sealed snapshot (snapshot.c).  Resolve: each value that is left
 * is expanded, parsed by its row and put into its field (values.c).  Derive: what nobody said
 * (derive.c); the providers of conventional variables are collected and resolved there, once it is
 * known which the others are.  Verify: what belongs together (verify.c).  Problems are gathered all
 * along.
 *
 * All memory is the arena's, which overwrites it when it is freed: secrets need no care of their own.
 */
#include "config/rows.h"
#include "config/toml.h"

struct arena {
	struct chunk *head;
};

/* Zeroed; never NULL: without memory at its start a program cannot go on, it aborts. */
void *arena_alloc(void *arena, size_t bytes);
char *arena_text(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_done(struct arena *a);

/* Adds a copy of s. */
void strings_add(struct arena *a, struct strings *list, const char *s);

enum source {
	FROM_DEFAULT, /* nobody said anything */
	FROM_FILE,    /* typed; ${NAME} and file: mean something */
	FROM_ENV,     /* text; file: means something */
	FROM_PLAIN    /* text that is the value: conventional variables, snapshots, derived */
};

struct value {
	enum source source;
	bool failed;                  /* a problem was reported, or will be; ask no more of it */
	const char *origin;           /* "easel.toml:12", "environment NAME", "default" */
	const struct toml_entry *raw; /* NULL: FROM_DEFAULT */
	const char *text;             /* scalars, once resolved: what is in the field */
};

struct table {
	struct table *next;
	const struct section *section;
	const char *name;     /* NULL: a fixed section */
	const char *env_name; /* providers: MY_RELAY for my-relay */
	const char *origin;
	bool broken;   /* holds what nobody understands: what is missing may be there */
	bool resolved; /* its values are in its fields */
	char *base;    /* the fields */
	struct value values[];
};

/* struct config's `rest`, and what that is a part of. */
struct rest {
	struct config config;
	struct arena arena;
	struct table *tables, **last;
	struct strings secret_vars; /* environment variables that a secret came from */
};

struct loader {
	struct config *c;
	struct rest *rest;
	const char *folder; /* absolute; what relative paths are relative to */
	struct problem *problems;
	size_t nproblems;
};

/* Adds the line "where: …". */
void problem(struct loader *l, const char *where, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The table, or NULL; name NULL: the first of that kind. */
struct table *table_find(const struct rest *r, enum section_kind kind, const char *name);
struct table *table_fixed(const struct rest *r, const char *section);
/* A new one, at the end. */
struct table *
table_new(struct loader *l, const struct section *s, const char *name, const char *origin);
const struct section *section_of_kind(enum section_kind kind);
struct value *table_value(const struct table *t, const char *key);
/* "[providers.x] base_url", for problems. */
#define LABEL_BYTES 256
void table_label(const struct table *t, const char *key, char out[LABEL_BYTES]);

/* The next of the same kind, or NULL. */
struct table *table_next(const struct table *t);
/* for (EACH_OF(rest, SECTION_MODEL, t)) */
#define EACH_OF(rest, kind, t)                          \
	struct table *t = table_find(rest, kind, NULL); \
	t;                                              \
	t = table_next(t)

/* Gives a row its raw value; `from` outranks what it had. */
void
value_give(struct value *v, enum source from, const struct toml_entry *raw, const char *origin);
/* A text, for all sources but the file. */
void value_give_text(struct loader *l, struct value *v, enum source from, const char *text,
		     const char *origin);
/* Fills the fields. */
void table_resolve(struct loader *l, struct table *t);

/* One value on its way into its field. */
struct where {
	struct loader *l;
	struct table *t;
	const struct row *row;
	struct value *v;
};

void complain(const struct where *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool row_is_secret(const struct row *row);
/* expand.c: what a written text stands for, or NULL. */
const char *text_meant(const struct where *w, const char *written);

/* file.c.  No file at all is fine: c->file is then "". */
int file_find(struct loader *l, const char *arg);
void file_collect(struct loader *l);
/* All of a descriptor, up to `max` bytes, NUL-terminated, from offset 0 where it can.  NULL: errno. */
char *file_text(int fd, size_t max, size_t *n);
void file_text_free(char *text, size_t n);

/* environment.c: the variables of this process, wiped ones included. */
const char *env_get(const char *name);
/* The same, and an empty one is NULL. */
const char *env_given(const char *name);
void env_collect(struct loader *l);
/* What is left of them: those of the conventional providers, which have their tables by now. */
void env_collect_providers(struct loader *l);

/* derive.c */
void derive_providers(struct loader *l);
void derive_models(struct loader *l);
/* Puts the tables' fields into the arrays of struct config. */
void gather(struct loader *l);

/* verify.c */
void verify(struct loader *l);

/* snapshot.c: the tables from the memory file.  Problems as above. */
void snapshot_collect(struct loader *l, const char *fd_text);

#endif
