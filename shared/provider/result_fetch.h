#ifndef EASEL_PROVIDER_RESULT_FETCH_H
#define EASEL_PROVIDER_RESULT_FETCH_H
/*
 * result_fetch - gets a picture from the URL that a provider answered with
 *
 * The URL is somebody else's word: only public addresses on ports 443 and 80, or the provider's own
 * scheme, host and port (that of base_url); no credential, cookie or referrer goes with it (but see
 * result_fetch_from()); at most
 * three redirects, each judged anew.  A fresh picture is often missing for a second, so what may pass
 * (404, 408, 425, 429, 5xx, a broken connection) is tried three times, a second apart.
 */
#include "provider/provider.h"

/*
 * url: absolute, or a path on the provider's own host.
 * 0 or -1: ERR_FETCH_REFUSED, ERR_FETCH_FAILED, ERR_DEADLINE, or what the sink says (ERR_RESULT_NOT_IMAGE,
 * ERR_UP_TOO_LARGE, ERR_STORAGE_FULL, ERR_INTERNAL).  may_have_been_billed is always set: the picture
 * exists.
 */
int result_fetch(struct image_call *call, const char *url, struct picture *out, struct err *e);

/*
 * The same where the provider's pictures lie on an origin of their own that wants to know who asks:
 * `base` is trusted instead of base_url, and `header` ("Cookie: …") goes to it and to nobody else.
 */
int result_fetch_from(struct image_call *call, const char *url, const char *base,
		      const char *header, struct picture *out, struct err *e);

#endif
