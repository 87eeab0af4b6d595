#ifndef EASEL_PROVIDER_API_CALL_H
#define EASEL_PROVIDER_API_CALL_H
/*
 * api_call - one request to a provider's own API: base_url, the bearer token, JSON both ways
 *
 * For every dialect whose credential is a bearer token.  The answer's pictures stream to the disk
 * (picture_answer.h); the status is for the caller to judge.  Thread-safe.
 */
#include "provider/picture_answer.h"
#include "provider/upload.h"

struct api_ask {
	const char *method;
	const char *path;   /* below base_url: "/images/generations" */
	const char *header; /* one more, "Name: value"; NULL: none */
	const char *body;   /* JSON; NULL: none */
	/* Instead of body; NULL: none.  JSON too, unless it is multipart. */
	struct upload *upload;
	bool multipart;
	const struct deadline *deadline;
	/* Instead of *a, when the answer may be something else (provider/event_answer.h); NULL: *a. */
	const struct upstream_body *receiver;
};

/*
 * 0: the provider answered, whatever it said; *a holds it.  -1: as upstream_call().
 * call->upstream_request_id is filled either way when a header said one.
 */
int api_call(struct image_call *call, const struct api_ask *ask, struct picture_answer *a,
	     struct upstream_head *head, struct err *e);

/*
 * What a call gives back is as before the first answer; unless there are pictures of an earlier attempt:
 * then it goes on.
 */
void image_call_begin(struct image_call *call);

#endif
