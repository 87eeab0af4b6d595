#include "provider/api_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void
secret_freep(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
}

int
api_call(struct image_call *call, const struct api_ask *ask, struct picture_answer *a,
	 struct upstream_head *head, struct err *e)
{
	__attribute__((cleanup(secret_freep))) char *authorization = NULL;
	AUTO_FREE char *url = NULL;
	const struct provider_conf *p = call->provider;
	const char *type = "Content-Type: application/json";
	const char *headers[5] = { "Accept: application/json" };
	struct upstream_body plain = picture_answer_body(a);
	const struct upstream_body *receiver = ask->receiver ? ask->receiver : &plain;
	struct upstream_req rq = { .method = ask->method,
				   .headers = headers,
				   .body = ask->body,
				   .body_len = ask->body ? strlen(ask->body) : 0,
				   .proxy = p->proxy,
				   .connect_timeout_ms = p->connect_timeout_ms,
				   .policy = UPSTREAM_TRUSTED,
				   .provider = p->name,
				   .item = LEDGER_PROVIDER };
	unsigned n = 1;
	int rc;

	if (ask->upload) {
		if (ask->upload->failed)
			return err_set(e, ERR_INTERNAL, "no memory for the request");
		if (ask->multipart)
			type = ask->upload->content_type;
		rq.body_read = upload_read;
		rq.body_self = ask->upload;
		rq.body_len = (size_t)ask->upload->bytes;
	}
	if (asprintf(&url, "%s%s", p->base_url, ask->path) < 0 ||
	    asprintf(&authorization, "Authorization: Bearer %s", call->credential) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (*call->credential)
		headers[n++] = authorization;
	if (ask->body || ask->upload)
		headers[n++] = type;
	if (ask->header)
		headers[n++] = ask->header;
	rq.url = url;
	rc = upstream_call(&rq, receiver, head, ask->deadline, call->ledger, e);
	picture_answer_book(a, LEDGER_PROVIDER);
	if (head->quota_said)
		call->quota_left = head->quota_left;
	if (head->request_id[0])
		(void)snprintf(call->upstream_request_id, sizeof(call->upstream_request_id), "%s",
			       head->request_id);
	return rc;
}

void
image_call_begin(struct image_call *call)
{
	if (call->nimages)
		return;
	image_call_done(call);
	call->upstream_request_id[0] = call->background[0] = call->quality[0] = '\0';
	call->usage_input = call->usage_output = call->usage_total = -1;
	call->usage_input_text = call->usage_input_image = -1;
	call->quota_left = -1;
}
