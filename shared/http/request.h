#ifndef EASEL_HTTP_REQUEST_H
#define EASEL_HTTP_REQUEST_H
/*
 * request - what a handler sees of one HTTP request
 *
 * Borrowed from the frame for the time of the call; one thread.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "access/keys.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/ledger.h"
#include "http/multipart.h"

struct request;
struct store;

const char *request_id(const struct request *r);     /* "req_…" */
const char *request_method(const struct request *r); /* "POST" */
/* The path of the route that it took, by whichever of its names: "/v1/images/generations". */
const char *request_route(const struct request *r);
/* What stood where the route's path says "*", percent-decoded once; "" when nothing does. */
const char *request_rest(const struct request *r);
/* A header by its CGI name ("HTTP_PREFER", "CONTENT_TYPE"), or NULL. */
const char *request_header(const struct request *r, const char *cgi_name);
const char *request_query(const struct request *r); /* raw, "" when none */

const struct deadline *request_deadline(const struct request *r);
int64_t request_budget_ms(const struct request *r); /* the deadline's length at accept */
struct ledger *request_ledger(struct request *r);
/* Who asks; all zero on an open route, until it asks for a credential itself. */
const struct principal *request_principal(const struct request *r);
/* On an open route: judges the credential as others have it judged before.  As authenticate(). */
int request_authenticate(struct request *r, unsigned scope, struct err *e);
/* Who sent it, as far as trusted proxies say: http/peer.h; out has PEER_TEXT bytes. */
void request_peer(const struct request *r, char *out);
enum err_lang request_lang(const struct request *r); /* from Accept-Language */

/*
 * The JSON object of the body.  Strict: UTF-8, one object, no duplicate keys, depth at most 32.
 * *out is the caller's.  -1: ERR_MEDIA_TYPE, ERR_BODY_TOO_LARGE, ERR_BODY_INCOMPLETE, ERR_DEADLINE (it
 * comes too slowly), ERR_JSON, ERR_DUPLICATE_KEY, ERR_TYPE (not an object).
 */
int request_json(struct request *r, json_t **out, struct err *e);
/* The same, and its text, the caller's: to be handed on as it came. */
int request_json_text(struct request *r, json_t **out, char **text, size_t *n, struct err *e);

bool request_is_multipart(const struct request *r);
/*
 * Reads a multipart/form-data body to its end and hands its parts on as they come, in pieces; nothing of
 * it is kept.  [limits] upload_bytes is the limit.  0 or -1: ERR_BODY_TOO_LARGE, ERR_BODY_INCOMPLETE,
 * ERR_DEADLINE, ERR_MULTIPART, ERR_MEDIA_TYPE, or whatever the handler said.
 */
int request_multipart(struct request *r, const struct multipart_handler *to, struct err *e);

/*
 * On a route that spends: takes n pictures of the key's [limits] images_per_day, before anything is
 * bought.  Those that do not come are given back.  -1: ERR_RATE_LIMITED, ERR_OVERLOADED.
 */
int request_images_take(struct request *r, unsigned n, struct err *e);
void request_images_came(struct request *r, unsigned n);

/* "http://host:8080": [server] public_url, else what the request says of itself. */
void request_base_url(const struct request *r, char *out, size_t size);

/*
 * Has the client left, as far as the web server says?  For a tick (base/tick.h): what was not bought yet
 * need not be.
 */
bool request_is_left(const struct request *r);

/*
 * Calls fn(arg) when the answer has left and the connection is closed; of several, the one that was asked for
 * first is called first.  At most REQUEST_AFTERS a request.
 */
#define REQUEST_AFTERS 4
void request_after(struct request *r, void (*fn)(void *arg), void *arg);
/* The same before those that are there already. */
void request_after_first(struct request *r, void (*fn)(void *arg), void *arg);

/*
 * Work that outlives its request.  The handler has answered, in the middle of its work (from a tick), and
 * calls request_leave(): the connection is closed, the log line is written, and what the handler does
 * afterwards may take until until_us.  It then returns -1 with ERR_GONE, or 0.  Not in a CGI program, whose
 * answer ends when it does: there request_may_outlive() is false.
 */
bool request_may_outlive(const struct request *r);
void request_leave(struct request *r, int64_t until_us);
bool request_is_over(const struct request *r);
bool request_is_answered(const struct request *r); /* an answer has begun at least */
/* It is not answered yet, but its handler may take until then. */
void request_may_last(struct request *r, int64_t until_us);
#define STOPPING_RETRY_S 5 /* what could be asked for again: a restart takes less */
/*
 * The process ends: clock_us() of when whoever still waits is to be told so and the work is to be left to others; 0:
 * it does not.  For a tick, which then calls request_let_go(): this process is no longer waited for on its account.
 */
int64_t request_leave_us(const struct request *r);
void request_let_go(struct request *r);

struct store *request_store(const struct request *r);

#endif
