#include "provider/chat_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define ANSWER_LEAST ((size_t)1 << 20)
#define ANSWER_MOST  ((size_t)200 << 20)

static void
secret_freep(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
}

bool
chat_call_possible(const struct provider_conf *p)
{
	size_t n = strlen(p->base_url);

	switch (p->dialect) {
	case DIALECT_OPENAI:
	case DIALECT_MODELSCOPE: return true;
	case DIALECT_GROK: /* the official API */
		return p->api_keys.n && n > 3 && !strcmp(p->base_url + n - 3, "/v1");
	default: return false;
	}
}

size_t
chat_answer_bytes(uint64_t image_bytes)
{
	if (!image_bytes || image_bytes > ANSWER_MOST / 3)
		return ANSWER_MOST;
	return ANSWER_LEAST + (size_t)image_bytes / 3 * 8;
}

int
chat_call(const struct chat_call *call, const struct upstream_body *receiver,
	  struct upstream_head *head, struct err *e)
{
	__attribute__((cleanup(secret_freep))) char *authorization = NULL;
	const struct provider_conf *p = call->provider;
	AUTO_FREE char *url = NULL;
	const char *headers[4] = { "Content-Type: application/json",
				   call->stream ? "Accept: text/event-stream, application/json"
						: "Accept: application/json" };
	struct upstream_req rq = { .method = "POST",
				   .headers = headers,
				   .body = call->body,
				   .body_len = call->body_len,
				   .proxy = p->proxy,
				   .connect_timeout_ms = p->connect_timeout_ms,
				   .idle_ms = call->idle_ms,
				   .policy = UPSTREAM_TRUSTED,
				   .provider = p->name,
				   .item = LEDGER_PROVIDER };

	if (asprintf(&url, "%s/chat/completions", p->base_url) < 0 ||
	    asprintf(&authorization, "Authorization: Bearer %s", call->credential) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (*call->credential)
		headers[2] = authorization;
	rq.url = url;
	return upstream_call(&rq, receiver, head, call->deadline, call->ledger, e);
}
