#ifndef EASEL_CONFIG_ROWS_H
#define EASEL_CONFIG_ROWS_H
/*
 * rows - the table that parser, defaults, `config show`, --help and the reference page come from
 *
 * A setting is one row of a section.  A fixed section is one table of the file; of the others there
 * are any number: [process.PROGRAM], [providers.NAME], [models."ID"].  A new setting is a field in
 * config.h and a row here.  Internal to config/.
 */
#include "config/config.h"

enum kind {
	K_STRING,
	K_PATH,     /* made absolute, from the configuration file's folder; "" stays */
	K_BOOL,     /* bool */
	K_INT,      /* int64_t */
	K_NUMBER,   /* double */
	K_DURATION, /* int64_t, milliseconds */
	K_BYTES,    /* int64_t */
	K_ENUM,     /* an enum that counts the words from 0 */
	K_LIST,     /* struct strings */
	K_SECRET,   /* char *; "file:PATH" reads it from a file */
	K_SECRETS,  /* struct strings of such */
};

#define ROW_REQUIRED    (1u << 0) /* there is no default */
#define ROW_URL         (1u << 1) /* trailing slashes are dropped */
#define ROW_HIDE        (1u << 2) /* may hold user:password@, which is shown to nobody */
#define ROW_ONE         (1u << 3) /* a K_SECRET that is kept as the only one of a struct strings */
#define ROW_FILE        (1u << 5) /* with ROW_HIDE: "file:PATH" reads it from a file, as a K_SECRET */
#define ROW_ZERO_IS_MAX (1u << 4) /* 0 = none is kept as the largest, so that nobody has to ask */

struct row {
	const char *key;
	enum kind kind;
	size_t offset;        /* of the field, from the section's base */
	const char *fallback; /* the default as text; NULL: "" */
	int64_t min, max;     /* K_INT, K_DURATION, K_BYTES */
	unsigned flags;
	unsigned dialects; /* providers: the dialects that read it, as 1 << enum dialect; 0: all */
	const char *const
		*words; /* K_ENUM, and a K_STRING that takes only these or ""; NULL at the end */
	/* What is wrong with this text (of a list: with each item), or NULL.  Static. */
	const char *(*wrong)(const char *text);
	const char *help; /* one line */
};

enum section_kind { SECTION_FIXED, SECTION_PROGRAM, SECTION_PROVIDER, SECTION_MODEL };

struct section {
	const char *name;
	enum section_kind kind;
	const struct row *rows;
	size_t nrows;
	size_t base; /* fixed: where its fields start within struct config; others: their size */
	const char *help;
};

extern const struct section sections[];
extern const size_t nsections;

/* What a dialect's settings are where a provider says nothing. */
struct dialect_row {
	const char *name, *base_url, *ws_url, *assets_url, *concurrency;
};
extern const struct dialect_row dialects[DIALECT__MAX];

extern const struct profile profiles[]; /* NULL name at the end */

/* The variables that other tools set, for the reference page; NULL name at the end. */
struct convention_row {
	const char *name;
	bool secret;
	const char *help;
};
extern const struct convention_row conventions[];

/* Bounds of names that other modules keep in fixed fields (store.h, err.h). */
#define PROVIDER_NAME_MAX 63
#define MODEL_ID_MAX      127
#define PREVIEW_MODEL     "easel-preview"

/* checks.c: see struct row, wrong(). */
const char *wrong_listen(const char *s);
const char *wrong_public_url(const char *s);
const char *wrong_http_url(const char *s);
const char *wrong_ws_url(const char *s);
const char *wrong_proxy(const char *s);
const char *wrong_address(const char *s);
const char *wrong_origin(const char *s);
const char *wrong_store(const char *s);
const char *wrong_files(const char *s);
const char *wrong_degrade(const char *s);
const char *wrong_empty(const char *s);
const char *wrong_model_id(const char *s);

#endif
