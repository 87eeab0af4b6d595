#include "provider/upstream_error.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "base/scrub.h"
#include "provider/upstream_said.h"

#define MESSAGE_CHARS 480 /* with "…" at most 500 bytes of ASCII */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Codes and types: compared whole. */
static const char *const quota_codes[] = {
	"insufficient_quota",
	"insufficient_user_quota",
	"insufficient_balance",
	"insufficient_credits",
	"insufficient_funds",
	"credit_balance_exhausted",
	"organization_spend_limit_exceeded",
	"project_spend_limit_exceeded",
	"organization_usage_limit_exceeded",
	"billing_hard_limit_reached",
	"billing_not_active",
	"pre_consume_token_quota_failed",
	"quota_exceeded",
	"arrearage",
};
static const char *const policy_codes[] = {
	"moderation_blocked",
	"content_policy_violation",
	"content_filter",
	"content_filtered",
	"sensitive_words_detected",
	"data_inspection_failed",
	"datainspectionfailed",
	"image_safety",
	"prohibited_content",
	"safety_violation",
	"responsible_ai_policy_violation",
};
static const char *const auth_codes[] = {
	"invalid_api_key",
	"api_key_invalid",
	"authentication_error",
	"invalid_authentication",
};
static const char *const rate_codes[] = {
	"rate_limit_exceeded", "rate_limit_error", "slow_down",
	"too_many_requests",   "requests",         "tokens",
};

/* Words: found anywhere in the message. */
static const char *const quota_words[] = {
	"exceeded your current quota",
	"exceeded today's quota",
	"insufficient quota",
	"insufficient balance",
	"insufficient credit",
	"out of credit",
	"billing hard limit",
	"used all available credits",
	"spending limit",
	"余额不足",
	"额度不足",
	"额度已用尽",
	"欠费",
};
static const char *const policy_words[] = {
	"safety system",
	"content policy",
	"content_policy",
	"moderation",
	"sensitive word",
	"image_safety",
	"prohibited_content",
	"prohibited content",
	"content management policy",
	"敏感",
	"违规",
	"违禁",
	"审核不通过",
	"审核未通过",
};
static const char *const async_words[] = { "async", "synchronous call" };
static const char *const auth_words[] = { "api key not valid", "incorrect api key",
					  "invalid api key" };
static const char *const busy_words[] = {
	"overload",
	"busy",
	"no available channel",
	"capacity",
	"temporarily unavailable",
	"无可用渠道",
	"service unavailable",
	"负载",
	"繁忙",
};
static const char *const challenge_words[] = { "just a moment", "attention required",
					       "captcha",       "challenge",
					       "access denied", "are you human",
					       "ddos" };

static bool
among(const char *value, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcasecmp(value, list[i]))
			return true;
	return false;
}

static bool
speaks_of(const struct said *s, const char *const *list, size_t n)
{
	for (size_t i = 0; s->message && i < n; i++)
		if (strcasestr(s->message, list[i]))
			return true;
	return false;
}

#define HAS_CODE(s, list) \
	(among((s)->code, list, COUNT(list)) || among((s)->type, list, COUNT(list)))
#define SPEAKS_OF(s, list) speaks_of(s, list, COUNT(list))

/* What an error inside a 200 would have been as a status. */
static int
status_meant(const struct said *s)
{
	if (s->number >= 400 && s->number <= 599)
		return s->number;
	if (HAS_CODE(s, auth_codes))
		return 401;
	if (HAS_CODE(s, rate_codes))
		return 429;
	if (!strcmp(s->type, "invalid_request_error"))
		return 400;
	if (!strcmp(s->type, "not_found_error") || !strcmp(s->code, "model_not_found"))
		return 404;
	return 500;
}

/* Too busy to accept the work: the only 5xx after which nothing can have been bought. */
static bool
is_busy(const struct said *s, int status, int retry_after_s)
{
	return (status == 503 || status == 529) &&
	       (retry_after_s || SPEAKS_OF(s, busy_words) || strcasestr(s->code, "overload") ||
		strcasestr(s->type, "overload"));
}

/* `words`: is the message to be searched too, or only the codes? */
static enum err_kind
kind_of(const struct said *s, int status, bool mitigated, bool words)
{

	if (mitigated || (s->html && status == 403) ||
	    (s->html && status < 300 && SPEAKS_OF(s, challenge_words)))
		return ERR_UP_CHALLENGE;
	if (status < 400)
		return ERR_UP_GARBAGE;
	if (HAS_CODE(s, policy_codes) || status == 451 || (words && SPEAKS_OF(s, policy_words)))
		return ERR_UP_POLICY;
	if (HAS_CODE(s, quota_codes) || status == 402 || (words && SPEAKS_OF(s, quota_words)))
		return ERR_UP_QUOTA;
	if (status >= 500)
		return ERR_UP_FAILED;
	switch (status) {
	case 401: return ERR_UP_AUTH;
	case 403:
		return SPEAKS_OF(s, async_words) &&
				       strcasestr(s->message, "not support synchronous")
			       ? ERR_UP_ASYNC
			       : ERR_UP_AUTH;
	case 404:
	case 405:
	case 410: return ERR_UP_NOT_FOUND;
	case 408:
	case 425:
	case 429: return ERR_UP_RATE;
	case 400:
		if (s->html)
			return ERR_UP_GARBAGE;
		if (SPEAKS_OF(s, async_words))
			return ERR_UP_ASYNC;
		return HAS_CODE(s, auth_codes) || SPEAKS_OF(s, auth_words) ? ERR_UP_AUTH
									   : ERR_UP_REJECTED;
	default: return ERR_UP_REJECTED;
	}
}

/* "… Please try again in 12s." or "… in 1m30s" or "… in 250ms": seconds, 0 when it says none. */
static int
retry_in_words(const char *message)
{
	const char *p = message ? strcasestr(message, "try again in ") : NULL;
	double total = 0;

	for (p = p ? p + 13 : ""; isdigit((unsigned char)*p);) {
		char *unit;
		double v = strtod(p, &unit);

		if (!strncmp(unit, "ms", 2)) {
			total += v / 1000;
			p = unit + 2;
		} else if (*unit == 's' || !strncmp(unit, " s", 2)) {
			total += v;
			break;
		} else if (*unit == 'm') {
			total += v * 60;
			p = unit + 1;
		} else {
			break;
		}
	}
	return total <= 0 ? 0 : total >= 86400 ? 86400 : (int)(total + 0.999);
}

/* "https://user:x@host:8/p?q" → "host:8" */
static void
host_of(char *out, size_t size, const char *url)
{
	const char *start = strstr(url, "://"), *at;
	size_t n;

	start = start ? start + 3 : url;
	n = strcspn(start, "/?#");
	at = memchr(start, '@', n);
	if (at) {
		n -= (size_t)(at + 1 - start);
		start = at + 1;
	}
	utf8_clip(out, size, n ? start : "nowhere", n ? n : 7, size);
}

static void
about_set(struct err *e, const struct said *s, int status, const char *location)
{
	char host[100];

	if (status >= 300 && status < 400) {
		host_of(host, sizeof(host), location ? location : "");
		(void)snprintf(e->about, sizeof(e->about), "it redirects to %s", host);
	} else if (s->html) {
		(void)snprintf(e->about, sizeof(e->about),
			       "it answered HTTP %d with a web page instead of JSON", status);
	} else {
		(void)snprintf(e->about, sizeof(e->about), "it answered HTTP %d without a picture",
			       status);
	}
}

/* One line: each run of white space becomes a blank. */
static void
lines_join(char *text)
{
	char *w = text;

	for (const char *r = text; *r; r++)
		if (!isspace((unsigned char)*r))
			*w++ = *r;
		else if (w > text && w[-1] != ' ')
			*w++ = ' ';
	*w = '\0';
}

/* So much of it is looked through.  The word at the edge is left out: it may be half a secret. */
static void
words_cut(char *text)
{
	size_t n = strlen(text);

	if (n < UPSTREAM_ERROR_BYTES)
		return;
	n = UPSTREAM_ERROR_BYTES;
	while (n && text[n - 1] != ' ')
		n--;
	text[n] = '\0';
}

/* Who said what, made fit for others' eyes. */
static void
quote(struct err *e, const struct upstream_failure *f, char *message)
{
	(void)snprintf(e->upstream.name, sizeof(e->upstream.name), "%s", f->provider);
	e->upstream.status = f->head->status;
	if (message) {
		lines_join(message);
		words_cut(message);
		scrub(message, f->credential);
		utf8_clip(e->upstream.message, 501, message, strlen(message), MESSAGE_CHARS);
	}
	e->stage = "provider.submit";
}

static int
judge(const struct upstream_failure *f, struct said *s, struct err *e)
{
	int status = f->head->status;
	int meant = status < 300 && s->json ? status_meant(s) : status;
	/* A parameter called "moderation" may be at fault without any moderation. */
	bool words = !s->param[0] && status < 500;
	enum err_kind kind = kind_of(s, meant, f->head->mitigated, words);
	bool busy = is_busy(s, meant, f->head->retry_after_s);

	if (kind == ERR_UP_RATE && f->head->quota_said && f->head->quota_left == 0)
		kind = ERR_UP_QUOTA; /* waiting a moment would not help */
	(void)err_set(e, kind, "%s", "");
	if (kind == ERR_UP_GARBAGE)
		about_set(e, s, status, f->head->location);
	quote(e, f, s->message);
	(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
		       f->head->request_id[0] ? f->head->request_id : s->request_id);
	/* A challenge stands before the API, so nothing behind it was reached. */
	e->may_have_been_billed = kind != ERR_UP_CHALLENGE && !busy &&
				  (status >= 500 || kind == ERR_UP_FAILED ||
				   (status < 300 && kind == ERR_UP_GARBAGE));
	if (kind == ERR_UP_RATE || busy)
		e->retry_after_s = f->head->retry_after_s ? f->head->retry_after_s
							  : retry_in_words(s->message);
	if (kind == ERR_UP_REJECTED) {
		(void)snprintf(e->param, sizeof(e->param), "%s", s->param);
		if (meant != 400 && meant != 413 && meant != 422) {
			e->status = 502;
			e->party = PARTY_PROVIDER + 1;
		}
	}
	if (s->code[0] || s->type[0])
		err_detail(e, "code=%s type=%s", s->code, s->type);
	return -1;
}

int
upstream_error(const struct upstream_failure *f, const char *body, size_t n, struct err *e)
{
	struct said s;

	said_read(&s, f->head->content_type, body, n);
	(void)judge(f, &s, e);
	said_done(&s);
	return -1;
}

int
upstream_error_json(const struct upstream_failure *f, const json_t *root, struct err *e)
{
	struct said s;

	said_read_json(&s, root);
	(void)judge(f, &s, e);
	said_done(&s);
	return -1;
}

int
upstream_garbage(const struct upstream_failure *f, const char *about, const char *piece, size_t n,
		 struct err *e)
{
	char *copy =
		piece ? strndup(piece, n < UPSTREAM_ERROR_BYTES ? n : UPSTREAM_ERROR_BYTES) : NULL;

	(void)err_set(e, ERR_UP_GARBAGE, "%s", about);
	quote(e, f, copy);
	(void)snprintf(e->upstream.request_id, sizeof(e->upstream.request_id), "%s",
		       f->head->request_id);
	e->may_have_been_billed = true;
	free(copy);
	return -1;
}
