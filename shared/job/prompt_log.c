#include "job/prompt_log.h"

#include <string.h>

#include "access/fingerprint.h"
#include "base/utf8.h"

#define CLIP_CHARS 50

void
prompt_log(const struct config *c, const char *prompt, char out[PROMPT_LOG_BYTES])
{
	size_t n = strlen(prompt);

	out[0] = '\0';
	switch (c->log.prompts) {
	case PROMPTS_NONE: break;
	case PROMPTS_HASH: fingerprint(prompt, n, out); break;
	case PROMPTS_CLIP: utf8_clip(out, PROMPT_LOG_BYTES, prompt, n, CLIP_CHARS); break;
	case PROMPTS_FULL: utf8_clip(out, PROMPT_LOG_BYTES, prompt, n, PROMPT_LOG_BYTES); break;
	}
}
