#include "provider/provider.h"

#include <stdlib.h>

#include <stddef.h>

static const struct image_caps nothing = { .n_max = 1, .prompt_max = 1, .sizes = "none" };

static const struct image_caps *
no_caps(const char *upstream_model)
{
	(void)upstream_model;
	return &nothing;
}

static const struct image_caps *
no_rows(unsigned i)
{
	(void)i;
	return NULL;
}

static int
no_generate(struct image_call *call, struct err *e)
{
	return err_set(e, ERR_CONFIG, "the dialect '%s' of provider '%s' is not built yet.",
		       config_dialect_name(call->provider->dialect), call->provider->name);
}

static const struct provider_driver none[DIALECT__MAX] = {
	[DIALECT_GROK] = { DIALECT_GROK, no_caps, no_rows, no_generate },
};

void
image_call_done(struct image_call *call)
{
	for (int i = 0; i < IMAGES_MAX; i++) {
		free(call->revised_prompt[i]);
		call->revised_prompt[i] = NULL;
	}
}

const struct provider_driver *
provider_driver(enum dialect d)
{
	switch (d) {
	case DIALECT_OPENAI: return &provider_openai;
	case DIALECT_MODELSCOPE: return &provider_modelscope;
	case DIALECT_NOVELAI: return &provider_novelai;
	case DIALECT_PREVIEW: return &provider_preview;
	case DIALECT_GROK:
	case DIALECT__MAX: break;
	}
	return &none[d < DIALECT__MAX ? d : DIALECT_GROK];
}
