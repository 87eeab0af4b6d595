#ifndef EASEL_API_IMAGE_STREAM_H
#define EASEL_API_IMAGE_STREAM_H
/*
 * image_stream - makes the pictures that a request wants and answers with OpenAI's events
 *
 * image_generation.partial_image and .completed (image_edit.… when the request starts from pictures), field
 * for field, whatever the provider can do: one that cannot stream yields completed events alone.  The
 * stream begins with its first event or, when nothing happens for [server] stream_keep_alive, with a
 * comment; what fails before that is answered as it is without a stream, what fails later with an error
 * event.  Completed events leave as pictures are stored; the last one, or the error, says in "easel" what
 * the headers of a plain answer say.  Private to api/.
 */
#include "api/image_wait.h"

/*
 * Runs the job of *plan, as the caller of image_wait_run() fills it.  0: answered.  -1: *e is the answer when none has begun, else it was answered in band and
 * is for the log alone.
 */
int image_stream(const struct image_wait *plan, struct err *e);

#endif
