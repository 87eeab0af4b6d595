#ifndef EASEL_PROVIDER_OPENAI_EDIT_H
#define EASEL_PROVIDER_OPENAI_EDIT_H
/*
 * openai_edit - what POST {base_url}/images/edits is sent: multipart/form-data
 *
 * Wire format: OpenAI's specification 2.3.0.  One picture is the part "image", several are parts
 * "image[]"; OpenAI goes by each part's Content-Type, so it is what the bytes are, not what the caller
 * called them.
 */
#include <jansson.h>

#include "provider/provider.h"
#include "provider/upload.h"

/* Says in the receipt which parameters the endpoint does not have, or has for edits only.  Once a call. */
void openai_edit_receipt(struct image_call *call);

/* `fields` are the parameters, as POST /images/generations is sent them. */
void openai_edit_form(struct upload *u, const json_t *fields, const struct image_request *rq);

#endif
