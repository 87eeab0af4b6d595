#ifndef EASEL_PROVIDER_GROK_H
#define EASEL_PROVIDER_GROK_H
/*
 * grok - the three doors of the dialect grok, and which one is taken
 *
 * The official API, where base_url ends in /v1 and there is an api_key; else, as [image] image_ws says,
 * the WebSocket or the HTTP that grok.com's own page uses, with the operator's own token.  The same token
 * may be welcome at one door and refused at another, so the door is decided here, once, and never changed
 * in silence.  Private to provider/.  Thread-safe.
 */
#include <stdbool.h>

#include "provider/provider.h"

enum grok_mode { GROK_OFFICIAL, GROK_WS, GROK_HTTP };

bool grok_is_official(const struct provider_conf *p);
enum grok_mode grok_mode(const struct provider_conf *p, const struct image_conf *image);

int grok_official_generate(struct image_call *call, struct err *e);
int grok_ws_generate(struct image_call *call, struct err *e);
int grok_http_generate(struct image_call *call, struct err *e);

/* "Cookie: sso=TOKEN", with rw also "; sso-rw=TOKEN".  The caller's, to be wiped; -1: ERR_CONFIG. */
int grok_cookie(const char *token, bool rw, char **out, struct err *e);
void grok_secret_freep(char **s);
#define AUTO_SECRET __attribute__((cleanup(grok_secret_freep)))

/* A line for the log, where anybody keeps one; "{prompt}" in it becomes what may be logged of that. */
void grok_note(const struct image_call *call, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Neither page's door takes pictures to start from. */
int grok_refuse_sources(const struct image_call *call, struct err *e);
/* It was given and this door has no use for it. */
void grok_drop(const struct image_call *call, enum image_param p);

/* ---- aspect ratios ---- */

/*
 * The aspect ratio to ask for: of aspect_ratio, else of size, else *otherwise* (NULL: none).  What is not
 * on the list (NULL at the end) becomes the nearest that is, and the receipt says so.  -1: ERR_VALUE,
 * aspect_ratio is none.
 */
int grok_ratio(const struct image_call *call, const char *const *list, const char *otherwise,
	       const char **out, struct err *e);
/* width / height; 0: it is none. */
double grok_ratio_read(const char *text);
const char *grok_ratio_nearest(const char *const *list, double ratio);

extern const char *const grok_ws_ratios[], *const grok_official_ratios[];

#endif
