#ifndef EASEL_API_TASK_OLDER_H
#define EASEL_API_TASK_OLDER_H
/*
 * task_older - the request of the service before this one: POST /generate
 *
 *	{"auth_type":"token"|"login", "token" | "email"+"password", "model","prompt","negative_prompt","sampler",
 *	 "steps","scale","resolution","image","strength","noise"}
 *
 * becomes an images request: scale is guidance, resolution a size.  White space and line breaks around
 * credentials are trimmed.  A scale of exactly 11, which that service sent when nothing was chosen, was
 * made for models before v3 and is 5.5 here.
 */
#include "api/task_add.h"
#include "base/cleanup.h"

struct task_older {
	json_t *body;
	const struct model_conf *model;
	struct task_account account; /* texts are `given`'s */
	bool has_account;            /* a model that is drawn here needs none */
	json_t *given;               /* what was sent; its secrets are wiped at the end */
};

/*
 * 0 or -1: what request_json() says; ERR_MISSING, ERR_TYPE, ERR_VALUE for a credential that is missing or
 * malformed, an unknown resolution, a model that no NovelAI account is good for; ERR_MODEL_NOT_FOUND.
 * In either case to be ended with task_older_done().
 */
int task_older_read(struct request *r, const struct config *c, struct task_older *out,
		    struct err *e);
void task_older_done(struct task_older *o);

/* Errors name the fields as they were sent. */
void task_older_name(struct err *e);

#endif
