#ifndef EASEL_BASE_ERR_H
#define EASEL_BASE_ERR_H
/*
 * err - one error, from the deepest module to the client
 *
 * A function that can fail returns 0 or -1 and takes `struct err *e` last.  On -1 it has filled *e
 * exactly once; on 0 it has not touched *e.  Callers add nothing and pass it up, so calls chain:
 *
 *	if (a(x, e) < 0 || b(y, e) < 0)
 *		return -1;
 *
 * The text that a person reads is not composed here: it stands once, in English and Chinese, in the
 * catalogue (base/catalogue.h), with places for the facts that struct err carries.  `detail` goes to
 * the log and nowhere else.  No function here logs.  Thread-safe.
 *
 * No secret, path, SQL or unquoted upstream text ever goes into the other fields.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/catalogue.h"

#define X(kind, ...) kind,
enum err_kind { ERR_NONE, ERR_CATALOGUE(X) ERR__MAX };
#undef X

#define X(cause, ...) cause,
enum err_cause { CAUSE_NONE, ERR_CAUSES(X) CAUSE__MAX };
#undef X

enum err_lang { LANG_EN, LANG_ZH };

/* Whose move it is: `party` in an error. */
enum err_party {
	PARTY_CLIENT,
	PARTY_WEB_SERVER,
	PARTY_GATEWAY_CONFIG,
	PARTY_GATEWAY,
	PARTY_PROVIDER_CREDENTIAL,
	PARTY_PROVIDER_POLICY,
	PARTY_PROVIDER,
	PARTY_NETWORK,
	PARTY__MAX
};

struct err {
	enum err_kind kind;
	enum err_cause cause; /* of a 401 */
	int status;           /* 0: the catalogue's */
	int party;            /* 0: the catalogue's, else enum err_party + 1 */
	int retry_after_s;    /* 0: no Retry-After header */
	bool may_have_been_billed;
	char task_id[40];   /* the work goes on as this task; "" : it does not */
	const char *stage;  /* static: "auth", "provider.wait", …; NULL: not known */
	char param[64];     /* the offending field, "" when none */
	char expected[240]; /* what was expected there */
	char found[160];    /* what was found there, quoted and clipped */
	char about[240];    /* the fact of this occurrence: a name, a reason */
	struct {
		char name[64]; /* the provider as configured; "" when no provider is involved */
		int status;    /* its HTTP status, 0 when none came */
		char request_id[96];
		char message[512]; /* its words: quoted, clipped, scrubbed */
	} upstream;
	char detail[256]; /* for the log only: errno, curl's words */
};

/* Both always return -1, so `return err_set(…)` is the whole error path. */
int err_set(struct err *e, enum err_kind kind, const char *about_fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* For a field: what was expected and, after `found_fmt`, what was found. */
int err_field(struct err *e, enum err_kind kind, const char *param, const char *expected,
	      const char *found_fmt, ...) __attribute__((format(printf, 5, 6)));

/* Adds what only the log may see. */
void err_detail(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int err_status(const struct err *e);       /* HTTP */
const char *err_type(const struct err *e); /* OpenAI's `type` */
const char *err_code(const struct err *e);
const char *err_party(const struct err *e); /* "client", "provider-credential", … */
bool err_retry(const struct err *e);        /* false: the answer says x-should-retry: false */
const char *err_cause(const struct err *e); /* NULL when there is none */
enum err_kind err_cause_kind(enum err_cause cause);

/*
 * The message and the hint ("" when there is none) for a person, cut to `size` at a character.  Valid UTF-8, whatever
 * the facts are made of: a header's bytes, a name cut short.
 */
void err_message(const struct err *e, enum err_lang lang, char *out, size_t size);
void err_hint(const struct err *e, enum err_lang lang, char *out, size_t size);
/* The command that mends it, or NULL. */
const char *err_command(const struct err *e);
/* "certain", "likely" or "possible". */
const char *err_confidence(const struct err *e);

/* The kind whose code is `code`, or ERR_NONE: for `easel explain` and the tests. */
enum err_kind err_by_code(const char *code);

/* One row of the catalogue, for documentation and tests. */
struct err_row {
	int status;
	const char *type, *code;
	enum err_party party;
	bool retry;
	const char *en, *zh, *hint_en, *hint_zh, *command;
};
const struct err_row *err_row(enum err_kind kind);
const char *err_party_name(enum err_party party);

#endif
