/*
 * Grok: the official images API of xAI, and the two ways of grok.com's own page.
 *
 * Wire format: docs.x.ai (2026) for the first; for the others what several clients agree on.  Only the
 * operator's own credential, only against the configured addresses, under our own name: where the edge
 * refuses that, the answer says so, and nothing is done about it.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "provider/api_call.h"
#include "provider/grok.h"

/* ---- what the models can do ---- */

enum family { FAMILY_OFFICIAL, FAMILY_PAGE };

#define COMMON (PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_ASPECT_RATIO))

static const struct image_caps caps_of[] = {
	[FAMILY_OFFICIAL] = { .family = "grok-imagine-image and others of xAI's API",
			      .keeps = COMMON | PARAM_BIT(PARAM_QUALITY) | PARAM_BIT(PARAM_USER),
			      .n_max = 10,
			      .prompt_max = 32000,
			      .sources_max = 3,
			      .source_bytes_max = 10 << 20,
			      .sizes = "any: the nearest aspect ratio at 1k, 1.5k or 2k",
			      .mapped = "size→aspect_ratio and resolution; pictures as base64" },
	[FAMILY_PAGE] = { .family = "grok-imagine-1.0 and others of grok.com",
			  .keeps = COMMON | PARAM_BIT(PARAM_STREAM) |
				   PARAM_BIT(PARAM_PARTIAL_IMAGES),
			  .n_max = 6,
			  .prompt_max = 32000,
			  .partials = true,
			  .sizes = "any: the nearest of 1:1, 2:3, 3:2, 16:9, 9:16",
			  .mapped = "size→aspect_ratio; over HTTP ([image] image_ws = false) size, "
				    "aspect_ratio and partial_images are dropped, and a call makes "
				    "two pictures" },
};

static const struct image_caps *
grok_caps(const char *upstream_model)
{
	static const char *const official[] = { "grok-imagine-image", "grok-2-image" };

	for (size_t i = 0; i < sizeof(official) / sizeof(official[0]); i++)
		if (!strncasecmp(upstream_model, official[i], strlen(official[i])))
			return &caps_of[FAMILY_OFFICIAL];
	return &caps_of[FAMILY_PAGE];
}

static const struct image_caps *
grok_caps_row(unsigned i)
{
	return i < sizeof(caps_of) / sizeof(caps_of[0]) ? &caps_of[i] : NULL;
}

/* ---- which door ---- */

bool
grok_is_official(const struct provider_conf *p)
{
	return config_grok_is_official(p);
}

enum grok_mode
grok_mode(const struct provider_conf *p, const struct image_conf *image)
{
	if (grok_is_official(p))
		return GROK_OFFICIAL;
	return image->image_ws ? GROK_WS : GROK_HTTP;
}

static int
grok_generate(struct image_call *call, struct err *e)
{
	enum grok_mode mode = grok_mode(call->provider, call->image);

	call->mode = mode == GROK_WS ? "ws" : "http";
	image_call_begin(call);
	if (call->rq->given & PARAM_BIT(PARAM_RESPONSE_FORMAT))
		receipt_note(call->receipt, PARAM_RESPONSE_FORMAT, "served-here");
	switch (mode) {
	case GROK_OFFICIAL: return grok_official_generate(call, e);
	case GROK_WS: return grok_ws_generate(call, e);
	case GROK_HTTP: break;
	}
	return grok_http_generate(call, e);
}

/* ---- for all doors ---- */

void
grok_secret_freep(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

int
grok_cookie(const char *token, bool rw, char **out, struct err *e)
{
	int n;

	if (!strncmp(token, "sso=", 4))
		token += 4;
	for (const char *p = token; *p; p++)
		if (!isgraph((unsigned char)*p) || strchr(";,\"\\", *p))
			return err_set(e, ERR_CONFIG,
				       "the token holds a character that no cookie may have");
	n = rw ? asprintf(out, "Cookie: sso=%s; sso-rw=%s", token, token)
	       : asprintf(out, "Cookie: sso=%s", token);
	if (n < 0) {
		*out = NULL;
		return err_set(e, ERR_INTERNAL, "out of memory");
	}
	return 0;
}

void
grok_note(const struct image_call *call, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (!call->on_note)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	call->on_note(call->self, text);
}

int
grok_refuse_sources(const struct image_call *call, struct err *e)
{
	if (!call->rq->nsources)
		return 0;
	(void)err_set(e, ERR_UNSUPPORTED,
		      "this provider is asked the way grok.com's page asks, which takes no input "
		      "pictures here; the official API does");
	(void)snprintf(e->param, sizeof(e->param), "image");
	return -1;
}

void
grok_drop(const struct image_call *call, enum image_param p)
{
	if (call->rq->given & PARAM_BIT(p))
		receipt_note(call->receipt, p, "dropped");
}

const struct provider_driver provider_grok = {
	.dialect = DIALECT_GROK,
	.caps = grok_caps,
	.caps_row = grok_caps_row,
	.generate = grok_generate,
};
