#ifndef EASEL_PROVIDER_OPENAI_ANSWER_H
#define EASEL_PROVIDER_OPENAI_ANSWER_H
/*
 * openai_answer - reads OpenAI's answer, and what relays make of it, after it has arrived
 *
 * {"data":[{"b64_json" | "url", "revised_prompt"}], "usage", "background", "quality"}; the list may be
 * called "images" or "output_images", or be one object; an item may be a bare URL, or hold
 * "image_url"; pictures as URLs are fetched.  Thread-safe.
 */
#include "provider/picture_answer.h"
#include "provider/upstream_error.h"

/*
 * Moves pictures into the call until it has `want`; surplus ones stay with *a, which removes them.
 * JSON that is none in the end (a key twice, something after it) is forgiven when the pictures are there.
 * 0; or -1 with as many as came: ERR_IMAGES_INCOMPLETE (some), ERR_UP_TRUNCATED, ERR_UP_GARBAGE, what
 * upstream_error() makes of an error inside, what result_fetch() says when there is no picture.
 */
int openai_answer_read(struct picture_answer *a, const struct upstream_failure *f, unsigned want,
		       struct err *e);

/*
 * What is said about the whole answer.  Of several calls, or events, the tokens add up; they may have the names
 * that they have in chat.
 */
void openai_facts_read(struct image_call *call, const json_t *root);

/*
 * One event of a stream: its own picture ({"b64_json"} or {"url"}), or a list as above; and what it says
 * about the whole.  0, also when there is no picture in it; -1: one that could not be fetched.
 */
int openai_event_read(struct picture_answer *a, const json_t *root, unsigned want, struct err *e);

/*
 * Always -1: of an answer that has ended some pictures came but not all (ERR_IMAGES_INCOMPLETE, `why` for the
 * log); or it broke off (ERR_UP_TRUNCATED).
 */
int openai_answer_incomplete(const struct picture_answer *a, const struct upstream_failure *f,
			     const char *why, struct err *e);
int openai_answer_cut(const struct picture_answer *a, const struct upstream_failure *f,
		      struct err *e);

#endif
