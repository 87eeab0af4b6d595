#ifndef EASEL_FILES_ANSWER_SCAN_H
#define EASEL_FILES_ANSWER_SCAN_H
/*
 * answer_scan - finds the pictures in a JSON answer while it arrives
 *
 * A provider's answer is mostly one base64 string per picture.  This scanner takes the answer in
 * pieces of any size, hands the characters of every picture string on as they come (JSON escapes
 * undone), and keeps the rest, with each such string replaced by a number, for a real JSON parser: a
 * 2.7 MB answer costs 2 ms instead of 40.  It judges only what it needs: strings, escapes, which key
 * stands before them; whether the rest is valid JSON is the parser's business.
 *
 * A picture string is the value of a key "b64_json" at any depth, unless it is empty (relays send both
 * "url" and "b64_json" and leave one of them empty), or of "url" or "image_url" when it starts with
 * "data:", which is handed on with it.  An escape of a character beyond ASCII, which has no place in
 * such a string, is handed on as U+FFFD.  In the rest the value is the number of the picture, counted
 * from 0 in order of arrival:
 *
 *	{"data":[{"b64_json":"iVBOR…"},{"url":"https://…"}]}  →  {"data":[{"b64_json":0},{"url":"https://…"}]}
 *
 * One thread at a time.  Does not log.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct answer_scan {
	/* Set by the caller.  Each returns 0, or -1 with *e filled, which ends the scan. */
	int (*picture_begin)(void *self, unsigned index, struct err *e);
	int (*picture_text)(void *self, const char *text, size_t n, struct err *e);
	int (*picture_end)(void *self, struct err *e);
	void *self;
	const char *also; /* one more key whose strings are pictures, in base64: "image"; NULL: none */
	struct buf rest; /* its max bounds everything that is not a picture */

	/* The scanner's own. */
	unsigned pictures;
	int state;
	char key[16]; /* the last string that may be a key, escapes undone */
	unsigned key_len;
	size_t value_at;    /* where in the rest a value begins that may be a picture */
	unsigned value_len; /* characters of "data:" seen in it */
	unsigned escape_value, escape_len;
};

void answer_scan_init(struct answer_scan *s, size_t rest_max_bytes);

/*
 * 0 or -1: ERR_UP_TOO_LARGE (the rest), ERR_UP_GARBAGE (a bad escape in a picture), or what a callback
 * said.  After -1 it takes no more.
 */
int answer_scan_feed(struct answer_scan *s, const char *p, size_t n, struct err *e);

/* From the beginning, for another answer; what the caller has set stays. */
void answer_scan_again(struct answer_scan *s);

/* Did the input end outside of any string? */
bool answer_scan_complete(const struct answer_scan *s);

void answer_scan_done(struct answer_scan *s); /* frees the rest */

#endif
