#ifndef EASEL_PROVIDER_UPSTREAM_SAID_H
#define EASEL_PROVIDER_UPSTREAM_SAID_H
/*
 * upstream_said - reads what a provider says in an error, whatever shape it has
 *
 * Private to provider/.  Shapes seen: {"error":{"message","code" (string or number),"type","param"}},
 * {"error":"text"}, {"errors":{"message"},"request_id"}, {"message"}, {"detail"} (a text, or FastAPI's
 * list), new-api's and one-api's, a task's {"task_msg"}, an HTML page, plain text, nothing.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct said {
	char *message; /* owned; unscrubbed; NULL: nothing was said */
	char code[96], type[64], param[64], request_id[96];
	int number; /* a numeric code, 0: none */
	bool html;  /* a web page; message is its title */
	bool json;
};

/* Never fails: what cannot be read is plain text. */
void said_read(struct said *s, const char *content_type, const char *body, size_t n);
/* The same from a parsed answer. */
void said_read_json(struct said *s, const json_t *root);
void said_done(struct said *s);

/* Does the answer hold an error: a member "error" or "errors" that says something? */
bool said_is_error(const json_t *root);

#define SAID_COUNT_MAX ((int64_t)1 << 53) /* so that sums of sums are numbers, too */

/* Adds a count that the answer may hold, as of tokens, to *sum, which is below 0 before the first. */
void said_count_add(int64_t *sum, const json_t *o, const char *name);

#endif
