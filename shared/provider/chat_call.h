#ifndef EASEL_PROVIDER_CHAT_CALL_H
#define EASEL_PROVIDER_CHAT_CALL_H
/*
 * chat_call - one POST {base_url}/chat/completions
 *
 * For dialects that have it: openai, modelscope, grok's official API.  The receiver and the judgement are the
 * caller's.  Thread-safe.
 */
#include "net/upstream.h"
#include "provider/provider.h"

/* Does the provider have chat at all? */
bool chat_call_possible(const struct provider_conf *p);

/*
 * How much of an answer to take that must be whole: room for a picture of the largest size ([limits] image_bytes, 0:
 * any) in base64, twice: some say it in the text and beside it.
 */
size_t chat_answer_bytes(uint64_t image_bytes);

struct chat_call {
	const struct provider_conf *provider;
	const char *credential; /* "": none */
	const char *body;       /* JSON */
	size_t body_len;
	bool stream;     /* the answer is to be an event stream */
	int64_t idle_ms; /* as in struct upstream_req */
	const struct deadline *deadline;
	struct ledger *ledger;
};

/* As upstream_call(). */
int chat_call(const struct chat_call *call, const struct upstream_body *receiver,
	      struct upstream_head *head, struct err *e);

#endif
