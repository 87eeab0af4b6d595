#ifndef EASEL_PROVIDER_CHAT_ANSWER_H
#define EASEL_PROVIDER_CHAT_ANSWER_H
/*
 * chat_answer - finds the pictures in what a chat model answered
 *
 * In the forms that models and relays have:
 *
 *	choices[].message.images[]                        OpenRouter, LiteLLM
 *	choices[].message.content                         Markdown, bare URLs, data URLs; or parts with image_url
 *	candidates[].content.parts[].inlineData.data      Gemini's own
 *	data[].b64_json, data[].url                       as on the images endpoints
 *
 * and the same in chunks of an event stream that nobody asked for.  The answer is whole and in memory: unlike on the
 * images endpoints a picture may stand anywhere in its text.  Private to provider/.  Thread-safe.
 */
#include "base/buf.h"
#include "provider/provider.h"
#include "provider/upstream_error.h"

/*
 * Moves pictures into the call until it has `want`.  0; or -1: ERR_IMAGES_INCOMPLETE (some came), ERR_UP_POLICY (a
 * refusal in words, IMAGE_SAFETY), ERR_UP_GARBAGE (words or nothing), what upstream_error() makes of an error inside,
 * what sink and result_fetch() say.
 */
int chat_answer_read(struct image_call *call, const struct buf *text,
		     const struct upstream_failure *f, unsigned want, struct err *e);

#endif
