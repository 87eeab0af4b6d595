#ifndef EASEL_API_CHAT_PROXY_H
#define EASEL_API_CHAT_PROXY_H
/*
 * chat_proxy - a chat request for a model that writes, passed on to its provider
 *
 * The body goes on as it came, but for the model's name; the operator's key goes with it.  An event stream comes back
 * byte for byte, each piece as it arrives; any other answer, unless it is very long, once it is whole, so that one that
 * breaks off or holds an error is an error with a status.  What the provider refuses is our error object: its 401 is
 * never ours.  Once a stream has begun, an error is its last event: data: {"error":{…}}.
 *
 * Tried again, with another key or after a wait, and then with the models of `fallback`, only while nothing can have
 * been bought: chat costs money too.  x-easel-model and x-easel-attempts say who was asked last, and how many calls
 * that took.  Ends when the client has left, and, with ERR_STOPPING, when this process must.  Logs.
 */
#include "api/chat_request.h"
#include "config/config.h"
#include "http/request.h"

struct chat_proxy {
	const struct config *config;
	const struct model_conf *model;
	const char *text; /* the body */
	size_t text_len;
	bool stream;
};

/* 0: answered; -1: *e is the answer, or was its last event. */
int chat_proxy(struct request *r, const struct chat_proxy *p, struct err *e);

#endif
