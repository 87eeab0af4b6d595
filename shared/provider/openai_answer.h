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

#endif
