#include "provider/provider.h"

#include <stdlib.h>

#include "provider/grok.h"

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
	case DIALECT_GROK: return &provider_grok;
	case DIALECT_PREVIEW:
	case DIALECT__MAX: break;
	}
	return &provider_preview;
}

const char *
provider_mode(const struct model_conf *m, const struct image_conf *image)
{
	const struct provider_conf *p = m->provider_conf;

	if (m->via == VIA_CHAT)
		return "http";
	switch (p->dialect) {
	case DIALECT_PREVIEW: return "local";
	case DIALECT_MODELSCOPE: return "async";
	case DIALECT_GROK: return grok_mode(p, image) == GROK_WS ? "ws" : "http";
	default: return "http";
	}
}

bool
provider_by_token(const struct provider_conf *p)
{
	return p->dialect == DIALECT_GROK && p->tokens.n && !grok_is_official(p);
}

const struct provider_driver *
provider_driver_of(const struct model_conf *m)
{
	return m->via == VIA_CHAT ? &provider_chat : provider_driver(m->provider_conf->dialect);
}
