#ifndef EASEL_API_CHAT_REQUEST_H
#define EASEL_API_CHAT_REQUEST_H
/*
 * chat_request - reads the body of POST /v1/chat/completions
 *
 * What is the same for every model, and, for one that makes pictures, what the conversation asks for: the
 * text of the last user message, the pictures in it, the pictures of the answer before it.  Thread-safe.
 */
#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "files/source.h"
#include "provider/image_request.h"

struct chat_request {
	json_t *body;      /* borrowed */
	const char *model; /* NULL: none */
	bool stream, include_usage;
	bool wants_image; /* "modalities" holds "image" */
};

/* 0 or -1: ERR_MISSING, ERR_TYPE, ERR_VALUE. */
int chat_request_read(json_t *body, struct chat_request *out, struct err *e);

struct chat_picture {
	const char *url; /* "data:…", "https://…", whatever the caller wrote; borrowed from the turn */
	char param[64];  /* where it stood: "messages[2].content[1].image_url" */
};

struct chat_turn {
	char *prompt;
	struct chat_picture asked[SOURCES_MAX]; /* of the last user message */
	unsigned nasked;
	struct chat_picture earlier[SOURCES_MAX]; /* of the answer before it, each once; further ones are left out */
	unsigned nearlier;
	char *texts; /* what earlier[] borrows from */
};

/*
 * 0: *t is to be ended with chat_turn_done(); it borrows from rq->body.
 * -1: ERR_MISSING (no user message), ERR_TYPE, ERR_VALUE (no text), ERR_ABOVE_MAX (pictures), ERR_TOO_LONG,
 * ERR_UNSUPPORTED (audio and files: nothing is left out silently that a picture should come from).
 */
int chat_turn_read(const struct chat_request *rq, struct chat_turn *t, struct err *e);
void chat_turn_done(struct chat_turn *t);

/*
 * The parameters of pictures that stand in a chat body: n, size, quality, seed, …, and OpenRouter's
 * image_config.aspect_ratio.  Those of chat (temperature, max_tokens, …) are none of them and mean nothing here.
 * 0 or -1: as image_params_read().
 */
int chat_image_params(const struct chat_request *rq, struct image_request *out, struct err *e);

#endif
