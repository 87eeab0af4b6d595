#ifndef EASEL_PROVIDER_MODEL_LIST_H
#define EASEL_PROVIDER_MODEL_LIST_H
/*
 * model_list - which models a provider says it has: GET {base_url}/models, remembered for a while
 *
 * Asked when somebody first wants a model that is not configured, and then every MODEL_LIST_KEEP_MS; a provider that
 * does not answer, or answers with something else, is asked again after MODEL_LIST_RETRY_MS, and what it had said
 * stays.  It costs nothing.  One thread asks, others wait for it; nobody longer than MODEL_LIST_WAIT_MS.  Thread-safe.
 *
 * Wire format: OpenAI's {"data":[{"id"}]}; some say what a model makes, as OpenRouter does:
 * "architecture":{"output_modalities":["image","text"]}, or "type":"image".
 */
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/ledger.h"
#include "config/config.h"

#define MODEL_LIST_KEEP_MS  300000
#define MODEL_LIST_RETRY_MS 30000
#define MODEL_LIST_WAIT_MS  5000
#define MODEL_LIST_BYTES    (4 * 1024 * 1024)
#define MODEL_LIST_MAX      10000 /* models of one provider; further ones are not seen */

struct model_list;

/* NULL: out of memory.  p lives longer. */
struct model_list *model_list_new(const struct provider_conf *p);
void model_list_free(struct model_list *l);
DEFINE_FREEP(model_list);

enum model_listed {
	LISTED_UNKNOWN, /* there is no list */
	LISTED_NOT,
	LISTED,      /* it is there */
	LISTED_IMAGE /* … and makes pictures, as the provider says */
};
enum model_listed model_list_find(struct model_list *l, const char *id, const struct deadline *d,
				  struct ledger *ledger);

/* The listed name nearest to id, as config_nearest_model(); "" when none is.  Asks nobody. */
void model_list_nearest(struct model_list *l, const char *id, char *out, size_t size);

#endif
