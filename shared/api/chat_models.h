#ifndef EASEL_API_CHAT_MODELS_H
#define EASEL_API_CHAT_MODELS_H
/*
 * chat_models - which model a chat request means, and whether it makes pictures
 *
 * In this order:
 *
 *	configured (id or alias)       as its `type` says
 *	listed by an openai provider   an image model when the list says so or its name is like one of
 *	                               [defaults] image_model_patterns, else a chat model
 *	anything, when the only openai provider cannot say what it has: the same by its name
 *	else                           ERR_MODEL_NOT_FOUND with the nearest name
 *
 * "modalities" with "image" makes a picture with whatever model that is; one that is not known as an image model is
 * then asked through its provider's chat, because that is where such requests are understood.
 *
 * Models that are not configured get a struct model_conf of their own that lives as long as this does. Thread-safe.
 */
#include "api/chat_request.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/ledger.h"
#include "config/config.h"

#define CHAT_MODELS_MAX 1024 /* that are not configured; a further one is not found */

struct chat_models;

int chat_models_open(struct chat_models **out, const struct config *c, struct err *e);
void chat_models_free(struct chat_models *m);
DEFINE_FREEP(chat_models);

/*
 * The model, or NULL: ERR_MISSING (none was named and there is no default), ERR_MODEL_NOT_FOUND.  May ask providers
 * for their lists, inside the deadline.
 */
const struct model_conf *chat_models_resolve(struct chat_models *m, const struct chat_request *rq,
					     const struct deadline *d, struct ledger *ledger,
					     struct err *e);

/* Does a name mean pictures by [defaults] image_model_patterns? */
bool chat_models_pattern(const struct config *c, const char *name);

#endif
