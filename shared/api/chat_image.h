#ifndef EASEL_API_CHAT_IMAGE_H
#define EASEL_API_CHAT_IMAGE_H
/*
 * chat_image - a chat request for a model that makes pictures
 *
 * One image_run(), as on the images endpoints.  The answer holds every picture as Markdown in the content and
 * in message.images[] (delta.images in a stream), which is what the various clients look for.  A stream begins with
 * the pictures or, when that takes long, with a comment; what fails before it begins is answered with its own
 * status, what fails later with data: {"error":{…}}.  Logs.
 */
#include "api/chat_request.h"
#include "http/request.h"
#include "job/image_run.h"

/* body: what was sent.  0: answered.  -1: *e is the answer, or was the stream's last event. */
int chat_image(struct request *r, struct image_engine *g, const struct chat_request *rq,
	       const struct model_conf *model, const json_t *body, struct err *e);

#endif
