#ifndef EASEL_API_IMAGE_ANSWER_H
#define EASEL_API_IMAGE_ANSWER_H
/*
 * image_answer - makes the pictures that a request wants and answers as OpenAI's images API does
 *
 * What POST /v1/images/generations and POST /v1/images/edits have in common, once the request was read:
 * addresses of the stored pictures, or the pictures themselves in base64, read back from their files in
 * pieces; the receipt and the other headers; pictures that came although not all did, in the error.
 */
#include "http/request.h"
#include "job/image_run.h"

/*
 * body: what was sent, without its pictures.  model: as the caller named it; NULL: the default.  0: answered; -1: nothing was answered yet, *e is
 * the answer.
 */
int image_answer(struct request *r, struct image_engine *g, const struct image_request *rq,
		 const json_t *body, const char *model, struct err *e);

#endif
