#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/num.h"
#include "base/utf8.h"
#include "job/image_run.h"

#define SIDE_MAX      16384 /* pixels; what a model makes of it is judged later */
#define TEXT_CHARS    256   /* of quality, style, user and their like */
#define UNKNOWN_SHOWN 8     /* unknown parameters named in the receipt */
#define NAME_CHARS    40

/* Reads a member's value into *rq; v is neither NULL nor null. */
typedef int read_fn(const char *name, const json_t *v, struct image_request *rq, struct err *e);

static int
bad_type(const char *name, const json_t *v, const char *expected, struct err *e)
{
	return err_field(e, ERR_TYPE, name, expected, "%s", json_type_name(v));
}

static int
get_text(const char *name, const json_t *v, size_t chars_max, const char **out, struct err *e)
{
	char expected[80];
	size_t chars;

	if (!json_is_string(v))
		return bad_type(name, v, "a string", e);
	chars = utf8_count(json_string_value(v), json_string_length(v));
	if (chars > chars_max) {
		(void)snprintf(expected, sizeof(expected), "at most %zu characters", chars_max);
		return err_field(e, ERR_TOO_LONG, name, expected, "%zu", chars);
	}
	*out = json_string_value(v);
	return 0;
}

static int
get_int(const char *name, const json_t *v, int64_t min, int64_t max, int64_t *out, struct err *e)
{
	char expected[80];
	json_int_t i;

	if (!json_is_integer(v))
		return bad_type(name, v, "an integer", e);
	i = json_integer_value(v);
	if (i > max) {
		(void)snprintf(expected, sizeof(expected), "a value <= %lld", (long long)max);
		return err_field(e, ERR_ABOVE_MAX, name, expected, "%lld", (long long)i);
	}
	if (i < min) {
		(void)snprintf(expected, sizeof(expected), "a value >= %lld", (long long)min);
		return err_field(e, ERR_BELOW_MIN, name, expected, "%lld", (long long)i);
	}
	*out = i;
	return 0;
}

static int
get_number(const char *name, const json_t *v, double max, double *out, struct err *e)
{
	char expected[80];
	double d;

	if (!json_is_number(v))
		return bad_type(name, v, "a number", e);
	d = json_number_value(v);
	if (!(d >= 0 && d <= max)) {
		(void)snprintf(expected, sizeof(expected), "a number from 0 to %g", max);
		return err_field(e, ERR_VALUE, name, expected, "%g", d);
	}
	*out = d;
	return 0;
}

/* One of the words, which end with NULL; -1 with *e when it is none. */
static int
get_word(const char *name, const json_t *v, const char *const *words, struct err *e)
{
	char expected[160] = "", found[80];
	size_t len = 0;

	if (!json_is_string(v))
		return bad_type(name, v, "a string", e);
	for (int i = 0; words[i]; i++) {
		if (!strcmp(words[i], json_string_value(v)))
			return i;
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s'%s'",
					i ? (words[i + 1] ? ", " : " or ") : "", words[i]);
	}
	json_quote(v, found, sizeof(found));
	return err_field(e, ERR_VALUE, name, expected, "%s", found);
}

static int
read_n(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	int64_t n;

	if (get_int(name, v, 1, IMAGES_MAX, &n, e) < 0)
		return -1;
	rq->n = (unsigned)n;
	return 0;
}

static int
read_size(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	char found[80];

	if (!json_is_string(v))
		return bad_type(name, v, "a string like 1024x1024", e);
	if (!strcmp(json_string_value(v), "auto"))
		return 0;
	if (num_size(json_string_value(v), 1, SIDE_MAX, &rq->width, &rq->height) == 0)
		return 0;
	json_quote(v, found, sizeof(found));
	return err_field(e, ERR_VALUE, name, "'auto' or WIDTHxHEIGHT, each 1 to 16384", "%s",
			 found);
}

static int
read_response_format(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	static const char *const words[] = { "url", "b64_json", NULL };
	int i = get_word(name, v, words, e);

	if (i < 0)
		return -1;
	rq->response_format = i ? RESPONSE_B64 : RESPONSE_URL;
	return 0;
}

static int
read_output_format(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	static const char *const words[] = { "png", "jpeg", "webp", NULL };
	int i = get_word(name, v, words, e);

	if (i < 0)
		return -1;
	rq->output_type = picture_by_format(words[i]);
	return 0;
}

static int
read_output_compression(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	int64_t n;

	if (get_int(name, v, 0, 100, &n, e) < 0)
		return -1;
	rq->output_compression = (int)n;
	return 0;
}

static int
read_background(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	static const char *const words[] = { "transparent", "opaque", "auto", NULL };

	if (get_word(name, v, words, e) < 0)
		return -1;
	rq->background = json_string_value(v);
	return 0;
}

static int
read_stream(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	if (!json_is_boolean(v))
		return bad_type(name, v, "a boolean", e);
	rq->stream = json_is_true(v);
	return 0;
}

static int
read_partial_images(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	int64_t n;

	if (get_int(name, v, 0, 3, &n, e) < 0)
		return -1;
	rq->partial_images = (int)n;
	return 0;
}

static int
read_seed(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	return get_int(name, v, 0, INT64_MAX, &rq->seed, e);
}

static int
read_steps(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	int64_t n;

	if (get_int(name, v, 1, 1000, &n, e) < 0)
		return -1;
	rq->steps = (int)n;
	return 0;
}

static int
read_guidance(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	return get_number(name, v, 100, &rq->guidance, e);
}

static int
read_strength(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	return get_number(name, v, 1, &rq->strength, e);
}

static int
read_noise(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	return get_number(name, v, 1, &rq->noise, e);
}

static int
read_negative_prompt(const char *name, const json_t *v, struct image_request *rq, struct err *e)
{
	return get_text(name, v, PROMPT_CHARS_MAX, &rq->negative_prompt, e);
}

/* Short texts whose words differ from model to model: passed on as they are. */
#define READ_TEXT(field)                                                                     \
	static int read_##field(const char *name, const json_t *v, struct image_request *rq, \
				struct err *e)                                               \
	{                                                                                    \
		return get_text(name, v, TEXT_CHARS, &rq->field, e);                         \
	}
READ_TEXT(quality)
READ_TEXT(moderation)
READ_TEXT(style)
READ_TEXT(user)
READ_TEXT(sampler)
READ_TEXT(aspect_ratio)
READ_TEXT(input_fidelity)

/* How each is read, and what its text is where everything is text (multipart). */
enum text_kind { TEXT, TEXT_INTEGER, TEXT_NUMBER, TEXT_BOOLEAN };

static const struct reader {
	read_fn *read;
	enum text_kind kind;
} readers[PARAM__MAX] = {
	[PARAM_N] = { read_n, TEXT_INTEGER },
	[PARAM_SIZE] = { read_size, TEXT },
	[PARAM_QUALITY] = { read_quality, TEXT },
	[PARAM_RESPONSE_FORMAT] = { read_response_format, TEXT },
	[PARAM_OUTPUT_FORMAT] = { read_output_format, TEXT },
	[PARAM_OUTPUT_COMPRESSION] = { read_output_compression, TEXT_INTEGER },
	[PARAM_BACKGROUND] = { read_background, TEXT },
	[PARAM_MODERATION] = { read_moderation, TEXT },
	[PARAM_STYLE] = { read_style, TEXT },
	[PARAM_STREAM] = { read_stream, TEXT_BOOLEAN },
	[PARAM_PARTIAL_IMAGES] = { read_partial_images, TEXT_INTEGER },
	[PARAM_USER] = { read_user, TEXT },
	[PARAM_NEGATIVE_PROMPT] = { read_negative_prompt, TEXT },
	[PARAM_SEED] = { read_seed, TEXT_INTEGER },
	[PARAM_STEPS] = { read_steps, TEXT_INTEGER },
	[PARAM_GUIDANCE] = { read_guidance, TEXT_NUMBER },
	[PARAM_SAMPLER] = { read_sampler, TEXT },
	[PARAM_ASPECT_RATIO] = { read_aspect_ratio, TEXT },
	[PARAM_STRENGTH] = { read_strength, TEXT_NUMBER },
	[PARAM_NOISE] = { read_noise, TEXT_NUMBER },
	[PARAM_INPUT_FIDELITY] = { read_input_fidelity, TEXT },
};

static void
note_unknown(struct image_request *rq, const char *name, unsigned count)
{
	size_t len = strlen(rq->unknown);
	char shown[4 * NAME_CHARS];

	if (count > UNKNOWN_SHOWN)
		return;
	/* The name goes into a header: what is not harmless ASCII there becomes '?'. */
	utf8_clip(shown, sizeof(shown), name, strlen(name), NAME_CHARS);
	for (char *s = shown; *s; s++)
		if ((unsigned char)*s < 0x21 || (unsigned char)*s > 0x7e || strchr(";,=", *s))
			*s = '?';
	(void)snprintf(rq->unknown + len, sizeof(rq->unknown) - len, "%s%s", len ? ", " : "",
		       count == UNKNOWN_SHOWN ? "…" : shown);
}

static int
read_prompt(const json_t *body, struct image_request *rq, struct err *e)
{
	const json_t *v = json_object_get(body, "prompt");
	const char *s;

	if (!v || json_is_null(v)) {
		(void)err_set(e, ERR_MISSING, "%s", "");
		(void)snprintf(e->param, sizeof(e->param), "prompt");
		(void)snprintf(e->expected, sizeof(e->expected), "what the picture shows");
		return -1;
	}
	if (get_text("prompt", v, PROMPT_CHARS_MAX, &rq->prompt, e) < 0)
		return -1;
	s = rq->prompt;
	if (!s[strspn(s, " \t\r\n")])
		return err_field(e, ERR_VALUE, "prompt", "a text that is not empty", "'%s'", "");
	return 0;
}

int
image_param_set(struct image_request *rq, enum image_param p, const json_t *v, struct err *e)
{
	if (readers[p].read(image_param_name(p), v, rq, e) < 0)
		return -1;
	rq->given |= PARAM_BIT(p);
	return 0;
}

int
image_param_by_name(const char *name)
{
	for (int p = 0; p < PARAM__MAX; p++)
		if (!strcmp(name, image_param_name((enum image_param)p)))
			return p;
	return -1;
}

/* The text as a value of that kind, a new reference; NULL: it is none. */
static json_t *
value_of(enum text_kind kind, const char *text, size_t n)
{
	struct err ignored;
	json_t *v = NULL;
	int64_t i;

	if (!n && kind != TEXT)
		return NULL;
	switch (kind) {
	case TEXT: return json_stringn(text, n);
	case TEXT_BOOLEAN:
		if (!strcasecmp(text, "true"))
			return json_true();
		return strcasecmp(text, "false") != 0 ? NULL : json_false();
	case TEXT_INTEGER:
		return num_i64(text, INT64_MIN, INT64_MAX, &i) < 0 ? NULL : json_integer(i);
	case TEXT_NUMBER:
		/* As JSON writes it, so that both ways in mean the same. */
		if (json_read(text, n, &v, &ignored) < 0)
			return NULL;
		if (!json_is_number(v)) {
			json_decref(v);
			return NULL;
		}
		return v;
	}
	return NULL;
}

int
image_param_from_text(json_t *body, const char *name, const char *text, size_t n, struct err *e)
{
	static const char *const kinds[] = { "UTF-8 text", "an integer", "a number", "a boolean" };
	int p = image_param_by_name(name);
	enum text_kind kind = p < 0 ? TEXT : readers[p].kind;
	char shown[100];
	json_t *v;

	if (json_object_get(body, name)) {
		(void)err_set(e, ERR_DUPLICATE_KEY, "%s", "");
		utf8_clip(e->param, sizeof(e->param), name, strlen(name), NAME_CHARS);
		return -1;
	}
	v = memchr(text, '\0', n) ? NULL : value_of(kind, text, n);
	if (v)
		return json_object_set_new(body, name, v) == 0
			       ? 0
			       : err_set(e, ERR_INTERNAL, "out of memory");
	utf8_clip(shown, sizeof(shown), text, n, NAME_CHARS);
	(void)err_field(e, kind == TEXT ? ERR_VALUE : ERR_TYPE, "", kinds[kind],
			kind == TEXT ? "other bytes" : "'%s'", shown);
	utf8_clip(e->param, sizeof(e->param), name, strlen(name), NAME_CHARS);
	return -1;
}

/* Pictures to start from are never dropped: where they are not taken, they are refused. */
static bool
is_source(const char *name)
{
	return !strcmp(name, "image") || !strcmp(name, "images") || !strcmp(name, "image_url") ||
	       !strcmp(name, "mask");
}

void
image_params_init(struct image_request *rq)
{
	*rq = (struct image_request){ .n = 1,
				      .output_compression = -1,
				      .seed = -1,
				      .guidance = -1,
				      .strength = -1,
				      .noise = -1 };
}

void
image_params_forget(json_t *body)
{
	for (void *at = json_object_iter(body); at; at = json_object_iter_next(body, at)) {
		const char *name = json_object_iter_key(at);

		if (strcmp(name, "prompt") != 0 && strcmp(name, "model") != 0 &&
		    image_param_by_name(name) < 0 && !json_is_null(json_object_iter_value(at)))
			(void)json_object_iter_set_new(body, at, json_true());
	}
}

int
image_params_read(json_t *body, struct image_request *rq, const char **model, struct err *e)
{
	const char *name;
	unsigned unknown = 0;
	json_t *v;

	image_params_init(rq);
	*model = NULL;
	if (read_prompt(body, rq, e) < 0)
		return -1;
	json_object_foreach(body, name, v)
	{
		int p;

		if (json_is_null(v) || !strcmp(name, "prompt"))
			continue;
		if (!strcmp(name, "model")) {
			if (get_text(name, v, TEXT_CHARS, model, e) < 0)
				return -1;
			continue;
		}
		p = image_param_by_name(name);
		if (is_source(name)) {
			(void)err_set(e, ERR_UNSUPPORTED,
				      "POST /v1/images/edits takes pictures to start from");
			(void)snprintf(e->param, sizeof(e->param), "%s", name);
			return -1;
		}
		if (p < 0)
			note_unknown(rq, name, ++unknown);
		else if (image_param_set(rq, (enum image_param)p, v, e) < 0)
			return -1;
	}
	return 0;
}
