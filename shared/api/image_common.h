#ifndef EASEL_API_IMAGE_COMMON_H
#define EASEL_API_IMAGE_COMMON_H
/*
 * image_common - what a plain answer with pictures and a stream of them have in common
 *
 * Private to api/.
 */
#include "base/buf.h"
#include "base/json_text.h"
#include "http/request.h"
#include "job/image_run.h"

/* The job of this request, of which the caller says what is asked for. */
struct image_job image_common_job(struct request *r);

/*
 * Runs the job and settles what the frame wants to know of it.  task_id: where the task's id stands when it has become
 * one meanwhile, else "".  As image_run().
 */
int image_common_run(struct request *r, struct image_engine *g, struct image_job *job,
		     const char *task_id, struct err *e);

/* x-easel-model, -attempts, -mode, -params. */
void image_common_headers(struct request *r, const struct image_job *job);

#define IMAGE_REVISED_BYTES (REVISED_PROMPT_BYTES * JSON_TEXT_WORST) /* as JSON writes it */

/* ,"name":"value" */
void image_common_member(struct buf *b, const char *name, const char *value);

/* What is known of a picture, behind its base64 text in an event: the fields that OpenAI's schema wants. */
void image_common_facts(const struct image_job *job, struct buf *b, enum picture_type type,
			uint32_t width, uint32_t height);

/* Tokens, none of them negative. */
struct image_usage {
	int64_t total, input, output, input_text, input_image;
};
/* Those of a call: 0 where the provider did not say, and the sum where it only said the parts. */
struct image_usage image_common_tokens(const struct image_call *call);
/* ,"usage":{…} */
void image_common_usage(struct buf *b, const struct image_usage *u);

/* The absolute URL of a stored picture. */
#define IMAGE_URL_BYTES 576
void image_common_url(const struct request *r, const struct picture *p, char out[IMAGE_URL_BYTES]);

/* The pictures that came, for an error: {"images":[{"url"}]}, as a new reference; NULL: none did. */
json_t *image_common_came(const struct request *r, const struct image_job *job);
/*
 * Answers with the error and the pictures that came although not all did.  0; -1: none did, or an answer has begun,
 * and the error is the frame's.
 */
int image_common_fail(struct request *r, const struct image_job *job, struct err *e);

#endif
